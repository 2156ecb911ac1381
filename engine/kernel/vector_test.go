package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var inf, nan = float32(math.Inf(1)), float32(math.NaN())

func TestReductions(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		eachLength(func(n, off int) {
			a, checkA := guarded(t, r, n, off)
			b, checkB := guarded(t, r, n, (off+3)%8)
			var dot, squares, sum, size float64
			largest := math.Inf(-1)
			for i := range a {
				dot += float64(a[i]) * float64(b[i])
				size += math.Abs(float64(a[i])) * (1 + math.Abs(float64(b[i])))
				squares += float64(a[i]) * float64(a[i])
				sum += float64(a[i])
				largest = max(largest, float64(a[i]))
			}
			name := fmt.Sprintf("length %d offset %d", n, off)
			near(t, "Dot "+name, Dot(a, b), dot, 0, 2e-7*size)
			near(t, "Sum "+name, Sum(a), sum, 0, 2e-7*size)
			near(t, "SumSquares "+name, SumSquares(a), squares, 4, 0)
			near(t, "Max "+name, Max(a), largest, 0, 0)
			checkA()
			checkB()
			if n == 0 {
				return
			}
			// Alignment must not change a bit.
			if got, want := Dot(append(make([]float32, 0, n), a...), append([]float32(nil), b...)), Dot(a, b); got != want {
				t.Fatalf("%s: Dot depends on alignment: %v, %v", name, got, want)
			}
			at := r.IntN(n)
			a[at] = nan
			near(t, "Dot with NaN "+name, Dot(a, b), math.NaN(), 0, 0)
			near(t, "Sum with NaN "+name, Sum(a), math.NaN(), 0, 0)
			a[at] = inf
			near(t, "Max with Inf "+name, Max(a), math.Inf(1), 0, 0)
			for i := range a {
				a[i] = -inf
			}
			near(t, "Max of -Inf "+name, Max(a), math.Inf(-1), 0, 0)
		})
	})
}

// TestElementwise compares every operation that maps elements to elements with its formula in float64. Special
// values take part, so that a NaN or Inf stays in its lane.
func TestElementwise(t *testing.T) {
	type args struct{ y, a, b []float32 }
	const alpha = -1.7
	ops := []struct {
		name string
		run  func(v args)
		want func(y, a, b float64) float64
	}{
		{"Axpy", func(v args) { Axpy(v.y, alpha, v.a) }, func(y, a, _ float64) float64 { return y + float64(float32(alpha))*a }},
		{"Add", func(v args) { Add(v.y, v.a) }, func(y, a, _ float64) float64 { return y + a }},
		{"Scale", func(v args) { Scale(v.y, alpha) }, func(y, _, _ float64) float64 { return y * float64(float32(alpha)) }},
		{"Mul", func(v args) { Mul(v.y, v.a) }, func(y, a, _ float64) float64 { return y * a }},
		{"MulAdd", func(v args) { MulAdd(v.y, v.a, v.b) }, func(y, a, b float64) float64 { return y + a*b }},
		{"ScaleMul", func(v args) { ScaleMul(v.y, v.a, v.b, alpha) }, func(_, a, b float64) float64 { return a * float64(float32(alpha)) * b }},
	}
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, op := range ops {
			eachLength(func(n, off int) {
				y, checkY := guarded(t, r, n, off)
				a, checkA := guarded(t, r, n, (off+1)%8)
				b, checkB := guarded(t, r, n, (off+5)%8)
				if n > 2 {
					y[r.IntN(n)], a[r.IntN(n)] = inf, nan
				}
				was := slices.Clone(y)
				op.run(args{y, a, b})
				for i := range y {
					w := op.want(float64(was[i]), float64(a[i]), float64(b[i]))
					near(t, fmt.Sprintf("%s length %d offset %d element %d", op.name, n, off, i), y[i], w, 2, 1e-6)
				}
				checkY()
				checkA()
				checkB()
			})
		}
	})
}

func TestExp(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		var x []float32
		for v := -110.0; v < 95; v += 0.00390625 * 1.37 {
			x = append(x, float32(v))
		}
		x = append(x, 0, float32(math.Copysign(0, -1)), 1e-10, -1e-10, 88.72283, 88.72284, -87.33655, -103.97, -104, 1e30, -1e30, inf, -inf, nan)
		y := slices.Clone(x)
		ExpInPlace(y, 0)
		for i, v := range x {
			near(t, fmt.Sprintf("exp(%v)", v), y[i], math.Exp(float64(v)), 2, 3e-45)
		}
		eachLength(func(n, off int) {
			r := rand.New(rand.NewPCG(uint64(n), uint64(off)))
			v, check := guarded(t, r, n, off)
			was := slices.Clone(v)
			ExpInPlace(v, 0)
			for i := range v {
				near(t, fmt.Sprintf("exp length %d", n), v[i], math.Exp(float64(was[i])), 2, 0)
			}
			check()
		})
	})
}

func TestSoftmaxAndLogSumExp(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		eachLength(func(n, off int) {
			if n == 0 {
				SoftmaxInPlace(nil)
				near(t, "LogSumExp of nothing", LogSumExp(nil), math.Inf(-1), 0, 0)
				return
			}
			x, check := guarded(t, r, n, off)
			for i := range x {
				x[i] *= 20
			}
			if n > 3 {
				x[1] = -inf
			}
			was := slices.Clone(x)
			peak := float64(slices.Max(was))
			var sum float64
			for _, v := range was {
				sum += math.Exp(float64(v) - peak)
			}
			near(t, "LogSumExp", LogSumExp(x), peak+math.Log(sum), 1, 5e-7)
			gotMax, gotSum := SoftmaxInPlace(x)
			near(t, "softmax's max", gotMax, peak, 0, 0)
			near(t, "softmax's sum", gotSum, sum, 4, 0)
			for i := range x {
				near(t, fmt.Sprintf("softmax length %d element %d", n, i), x[i], math.Exp(float64(was[i])-peak)/sum, 8+peak-math.Max(float64(was[i]), peak-200), 1e-44)
			}
			check()
			copy(x, was)
			x[r.IntN(n)] = nan
			near(t, "LogSumExp with NaN", LogSumExp(x), math.NaN(), 0, 0)
			SoftmaxInPlace(x)
			for i := range x {
				near(t, "softmax with NaN", x[i], math.NaN(), 0, 0)
			}
		})
	})
}

// gatedReference returns an activation and its derivative in float64.
func gatedReference(gelu bool, x float64) (y, dy float64) {
	if gelu {
		c := math.Sqrt(2 / math.Pi)
		th := math.Tanh(c * (x + 0.044715*x*x*x))
		return 0.5 * x * (1 + th), 0.5*(1+th) + 0.5*x*(1-th*th)*c*(1+3*0.044715*x*x)
	}
	s := 1 / (1 + math.Exp(-x))
	return x * s, s * (1 + x*(1-s))
}

func TestGatedActivations(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, gelu := range []bool{false, true} {
			forward, backward := SiLUMul, SiLUMulBackward
			if gelu {
				forward, backward = GELUTanhMul, GELUTanhMulBackward
			}
			eachLength(func(n, off int) {
				gate, check1 := guarded(t, r, n, off)
				up, check2 := guarded(t, r, n, (off+2)%8)
				dy, check3 := guarded(t, r, n, (off+5)%8)
				y, check4 := guarded(t, r, n, (off+7)%8)
				dgate, check5 := guarded(t, r, n, (off+4)%8)
				dup, check6 := guarded(t, r, n, (off+1)%8)
				for i := range gate {
					gate[i] *= 4
				}
				if n > 8 {
					gate[0], gate[1], gate[2], gate[3] = 100, -100, 1e4, -1e4
					gate[n-1], up[n-2] = nan, nan
				}
				forward(y, gate, up)
				backward(dgate, dup, gate, up, dy)
				for i := range gate {
					name := fmt.Sprintf("gelu %v length %d offset %d gate %v", gelu, n, off, gate[i])
					g, u, d := float64(gate[i]), float64(up[i]), float64(dy[i])
					v, slope := gatedReference(gelu, g)
					near(t, name, y[i], v*u, 8, 2e-6)
					near(t, "dup of "+name, dup[i], d*v, 8, 2e-6)
					near(t, "dgate of "+name, dgate[i], d*u*slope, 8, 4e-6*(1+math.Abs(d*u)))
				}
				for _, check := range []func(){check1, check2, check3, check4, check5, check6} {
					check()
				}
				// In place gives the same bits.
				g2, u2 := slices.Clone(gate), slices.Clone(up)
				backward(g2, u2, g2, u2, dy)
				for i := range g2 {
					if math.Float32bits(g2[i]) != math.Float32bits(dgate[i]) || math.Float32bits(u2[i]) != math.Float32bits(dup[i]) {
						t.Fatalf("gelu %v length %d: in place differs at %d", gelu, n, i)
					}
				}
			})
		}
	})
}

func TestAdamW(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		const lr, beta1, beta2, eps, wd, scale = 0.01, 0.9, 0.999, 1e-8, 0.1, 0.5
		eachLength(func(n, off int) {
			w, check1 := guarded(t, r, n, off)
			g, check2 := guarded(t, r, n, (off+3)%8)
			m, check3 := guarded(t, r, n, (off+5)%8)
			v, check4 := guarded(t, r, n, (off+6)%8)
			clear(m)
			clear(v)
			rw, rm, rv := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range w {
				rw[i] = float64(w[i])
			}
			for step := 1; step <= 3; step++ {
				bc1, bc2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
				AdamW(w, g, m, v, lr, beta1, beta2, eps, wd, bc1, bc2, scale)
				for i := range w {
					gi := float64(g[i]) * scale
					rw[i] *= 1 - lr*wd
					rm[i] = beta1*rm[i] + (1-beta1)*gi
					rv[i] = beta2*rv[i] + (1-beta2)*gi*gi
					rw[i] -= lr / bc1 * rm[i] / (math.Sqrt(rv[i])/math.Sqrt(bc2) + eps)
					name := fmt.Sprintf("step %d length %d element %d", step, n, i)
					near(t, "w "+name, w[i], rw[i], 4, 2e-6)
					near(t, "m "+name, m[i], rm[i], 8, 1e-9)
					near(t, "v "+name, v[i], rv[i], 12, 0)
				}
			}
			for _, check := range []func(){check1, check2, check3, check4} {
				check()
			}
		})
	})
}
