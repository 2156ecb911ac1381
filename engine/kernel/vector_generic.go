package kernel

import "math"

// generic is the specification in plain Go, and the implementation where there is no assembly. Products are
// converted to float32 before they are added, so that no compiler fuses them and all platforms agree.
var generic = implementation{
	name: "generic",
	dot:  dotGeneric, sum: sumGeneric, axpy: axpyGeneric, add: addGeneric, scale: scaleGeneric,
	mul: mulGeneric, mulAdd: mulAddGeneric, scaleMul: scaleMulGeneric,
	dotMul: dotMulGeneric, normBack: normBackGeneric, normAdd: normAddGeneric, max: maxGeneric,
	expShift: expShiftGeneric, sumExp: sumExpGeneric,
	siluMul: siluMulGeneric, siluBack: siluBackGeneric, geluMul: geluMulGeneric, geluBack: geluBackGeneric,
	adamW: adamWGeneric, tileRows: 4, tile: tileGeneric, tileThen: tileThenGeneric, pack: packGeneric, columns: columnsGeneric, transpose: transposeGeneric, turn: turnGeneric,
	expandQ41: expandQ41Generic, expandQ40: expandQ40Generic, expandQ80: expandQ80Generic,
	expandF16: expandF16Generic, expandB16: expandB16Generic,
	rowQ41: rowQ41Generic, rowQ40: rowQ40Generic, rowQ80: rowQ80Generic, rowF16: rowF16Generic, rowB16: rowB16Generic,
	tileF16: tileF16Generic, narrowF16: narrowF16Generic,
	softmaxBlock: softmaxBlockGeneric, softmaxBack: softmaxBackGeneric, softcap: softcapGeneric, softcapBack: softcapBackGeneric,
	rankDots: rankDotsGeneric,
	quantise: quantiseGeneric, quantisePairs: quantisePairsGeneric,
	fixedQ41: fixedQ41Generic, fixedQ40: fixedQ40Generic, fixedQ80: fixedQ80Generic,
	bf16Rows: 4, tileBF16: tileBF16Generic, thenBF16: thenBF16Generic, packBF16: packBF16Generic, columnsBF16: columnsBF16Generic,
	rowPairsF32: rowPairsF32Generic, rowPairsF16: rowPairsF16Generic, rowPairsB16: rowPairsB16Generic,
	narrowBF16: narrowBF16Generic, widenBF16: widenBF16Generic,
}

func dotGeneric(a, b []float32) float32 {
	b = b[:len(a)]
	var s [4]float32 // four chains, for speed and for a smaller error than one
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s[0] += float32(a[i] * b[i])
		s[1] += float32(a[i+1] * b[i+1])
		s[2] += float32(a[i+2] * b[i+2])
		s[3] += float32(a[i+3] * b[i+3])
	}
	for ; i < len(a); i++ {
		s[0] += float32(a[i] * b[i])
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func sumGeneric(x []float32) float32 {
	var s float64
	for _, v := range x {
		s += float64(v)
	}
	return float32(s)
}

func axpyGeneric(y []float32, alpha float32, x []float32) {
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}

func addGeneric(y, x []float32) {
	for i, v := range x {
		y[i] += v
	}
}

func scaleGeneric(y []float32, alpha float32) {
	for i := range y {
		y[i] *= alpha
	}
}

func mulGeneric(y, x []float32) {
	for i, v := range x {
		y[i] *= v
	}
}

func mulAddGeneric(y, a, b []float32) {
	for i, v := range a {
		y[i] += float32(v * b[i])
	}
}

func scaleMulGeneric(y, x, w []float32, s float32) {
	for i, v := range x {
		y[i] = float32(v*s) * w[i]
	}
}

func dotMulGeneric(a, b, c []float32) float32 {
	b, c = b[:len(a)], c[:len(a)]
	var s [4]float32
	for i, v := range a {
		s[i%4] += float32(float32(v*b[i]) * c[i])
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func normBackGeneric(dx, dy, x, w []float32, s, k float32) {
	for i, v := range dy {
		dx[i] = float32(float32(v*s)*w[i]) - float32(k*x[i])
	}
}

func normAddGeneric(dx, dy, x, w []float32, s, k float32) {
	for i, v := range dy {
		dx[i] += float32(float32(v*s)*w[i]) - float32(k*x[i])
	}
}

func maxGeneric(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

// expShiftGeneric sets y = exp(x−shift) and returns the sum of y. y may be x.
func expShiftGeneric(y, x []float32, shift float32) float32 {
	var s float64
	for i, v := range x {
		e := exp32(v - shift)
		y[i] = e
		s += float64(e)
	}
	return float32(s)
}

func sumExpGeneric(x []float32, shift float32) float32 {
	var s float64
	for _, v := range x {
		s += float64(exp32(v - shift))
	}
	return float32(s)
}

func sigmoid(x float32) float32 { return 1 / (1 + exp32(-x)) }

func siluMulGeneric(y, gate, up []float32) {
	for i, g := range gate {
		y[i] = g * sigmoid(g) * up[i]
	}
}

func siluBackGeneric(dgate, dup, gate, up, dy []float32) {
	for i, g := range gate {
		s, d, u := sigmoid(g), dy[i], up[i]
		dup[i] = d * (g * s)
		dgate[i] = d * u * (s * (1 + float32(g*(1-s))))
	}
}

// gelu(x) = x·sigmoid(x·(geluA + geluB·x²)), from 2u = 2√(2/π)·(x + 0.044715·x³).
const (
	geluA = 1.5957691216057308
	geluB = geluA * 0.044715
)

func geluMulGeneric(y, gate, up []float32) {
	for i, g := range gate {
		s := sigmoid(g * (geluA + float32(geluB*float32(g*g))))
		y[i] = g * s * up[i]
	}
}

func geluBackGeneric(dgate, dup, gate, up, dy []float32) {
	for i, g := range gate {
		g2 := float32(g * g)
		s, d, u := sigmoid(g*(geluA+float32(geluB*g2))), dy[i], up[i]
		dup[i] = d * (g * s)
		slope := g * (geluA + float32(3*geluB*g2))
		dgate[i] = d * u * (s * (1 + float32(slope*(1-s))))
	}
}

func adamWGeneric(w, g, m, v []float32, c *adamConstants) {
	for i := range w {
		gi := g[i] * c.gscale
		mi := float32(c.beta1*m[i]) + float32(c.oneBeta1*gi)
		vi := float32(c.beta2*v[i]) + float32(c.oneBeta2*float32(gi*gi))
		m[i], v[i] = mi, vi
		den := float32(float32(math.Sqrt(float64(vi)))*c.rootBC2) + c.eps
		w[i] = float32(w[i]*c.decay) - float32(c.step*float32(mi/den))
	}
}
