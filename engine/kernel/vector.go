package kernel

import (
	"fmt"
	"math"
)

// sameLength panics unless every length equals n: the callers' contract for element-wise operations.
func sameLength(op string, n int, others ...int) {
	for _, o := range others {
		if o != n {
			panic(fmt.Sprintf("kernel.%s: slices of %d and %d elements", op, n, o))
		}
	}
}

// Dot is Σ a[i]·b[i] in f32, with a fixed order of summation for each length.
func Dot(a, b []float32) float32 {
	sameLength("Dot", len(a), len(b))
	return active.dot(a, b)
}

// SumSquares is Σ x[i]² in f32, as Dot(x, x).
func SumSquares(x []float32) float32 { return active.dot(x, x) }

// Sum is Σ x[i] in f32, with a fixed order of summation for each length.
func Sum(x []float32) float32 { return active.sum(x) }

// Max is the largest element, −Inf for an empty slice; which element wins beside a NaN is not specified.
func Max(x []float32) float32 { return active.max(x) }

// Axpy computes y += alpha·x.
func Axpy(y []float32, alpha float32, x []float32) {
	sameLength("Axpy", len(y), len(x))
	active.axpy(y, alpha, x)
}

// Add computes y += x.
func Add(y, x []float32) {
	sameLength("Add", len(y), len(x))
	active.add(y, x)
}

// Scale computes y *= alpha.
func Scale(y []float32, alpha float32) { active.scale(y, alpha) }

// Mul computes y *= x, element by element.
func Mul(y, x []float32) {
	sameLength("Mul", len(y), len(x))
	active.mul(y, x)
}

// MulAdd computes y += a·b, element by element.
func MulAdd(y, a, b []float32) {
	sameLength("MulAdd", len(y), len(a), len(b))
	active.mulAdd(y, a, b)
}

// ScaleMul computes y = (x·s)·w, the second half of RMSNorm with s = 1/√(mean x² + ε). y may be x.
func ScaleMul(y, x, w []float32, s float32) {
	sameLength("ScaleMul", len(y), len(x), len(w))
	active.scaleMul(y, x, w, s)
}

// DotMul is Σ a[i]·b[i]·c[i] in f32, with a fixed order of summation for each length.
func DotMul(a, b, c []float32) float32 {
	sameLength("DotMul", len(a), len(b), len(c))
	return active.dotMul(a, b, c)
}

// NormBackward computes dx = dy·s·w − k·x, RMSNorm's gradient with s = 1/√(mean x² + ε) and
// k = s³·DotMul(dy, w, x)/n, or adds it to dx. dx may be dy.
func NormBackward(dx, dy, x, w []float32, s, k float32, add bool) {
	sameLength("NormBackward", len(dx), len(dy), len(x), len(w))
	if add {
		active.normAdd(dx, dy, x, w, s, k)
	} else {
		active.normBack(dx, dy, x, w, s, k)
	}
}

// SoftmaxInPlace replaces x by exp(x−max)/sum and returns both, so that log-probabilities follow as
// x − max − log(sum). A row of nothing but −Inf, or one with a NaN or +Inf, becomes NaN.
func SoftmaxInPlace(x []float32) (max, sum float32) {
	max = active.max(x)
	sum = active.expShift(x, x, max)
	active.scale(x, 1/sum)
	return max, sum
}

// LogSumExp is log Σ exp(x[i]) without overflow; x stays as it is. It is −Inf for an empty slice.
func LogSumExp(x []float32) float32 {
	max := active.max(x)
	if math.IsInf(float64(max), -1) {
		max = 0 // nothing but −Inf, whose exponentials are 0, and perhaps a NaN
	}
	return float32(float64(max) + math.Log(float64(active.sumExp(x, max))))
}

// ExpInPlace replaces x by exp(x−shift), accurate to 2 units in the last place of that difference's exponential.
func ExpInPlace(x []float32, shift float32) { active.expShift(x, x, shift) }

// SiLUMul computes y = silu(gate)·up with silu(x) = x/(1+exp(−x)). y may be gate or up.
func SiLUMul(y, gate, up []float32) {
	sameLength("SiLUMul", len(y), len(gate), len(up))
	active.siluMul(y, gate, up)
}

// SiLUMulBackward sets (not adds) the gradients of SiLUMul's inputs from dy, the gradient of its output:
// dup = dy·silu(gate), dgate = dy·up·silu′(gate). A destination may be the same slice as a source.
func SiLUMulBackward(dgate, dup, gate, up, dy []float32) {
	sameLength("SiLUMulBackward", len(dy), len(dgate), len(dup), len(gate), len(up))
	active.siluBack(dgate, dup, gate, up, dy)
}

// GELUTanhMul computes y = gelu(gate)·up with the tanh form that PyTorch calls gelu_pytorch_tanh:
// gelu(x) = x/2·(1+tanh(u)), u = √(2/π)·(x + 0.044715·x³), which equals x/(1+exp(−2u)).
func GELUTanhMul(y, gate, up []float32) {
	sameLength("GELUTanhMul", len(y), len(gate), len(up))
	active.geluMul(y, gate, up)
}

// GELUTanhMulBackward sets the gradients of GELUTanhMul's inputs, as SiLUMulBackward does for SiLUMul.
func GELUTanhMulBackward(dgate, dup, gate, up, dy []float32) {
	sameLength("GELUTanhMulBackward", len(dy), len(dgate), len(dup), len(gate), len(up))
	active.geluBack(dgate, dup, gate, up, dy)
}

// adamConstants are AdamW's scalars as the element-wise loop needs them. Assembly reads them by position.
type adamConstants struct {
	gscale   float32 // factor of the gradient
	decay    float32 // 1 − lr·wd
	beta1    float32
	oneBeta1 float32 // 1 − beta1
	beta2    float32
	oneBeta2 float32 // 1 − beta2
	rootBC2  float32 // 1/√bc2
	eps      float32
	step     float32 // lr/bc1
}

// AdamW takes one step of decoupled-decay Adam as torch.optim.AdamW defines it, on weights w with gradient
// g·gscale and moments m and v: w *= 1−lr·wd; m = β1·m+(1−β1)·g; v = β2·v+(1−β2)·g²;
// w −= lr/bc1 · m/(√v/√bc2+eps). bc1 = 1−β1ᵗ and bc2 = 1−β2ᵗ for step t from 1. The
// constants are worked out in f64, so that 1−β2 of 0.999 is the f32 nearest to 0.001.
func AdamW(w, g, m, v []float32, lr, beta1, beta2, eps, wd, bc1, bc2, gscale float64) {
	sameLength("AdamW", len(w), len(g), len(m), len(v))
	c := adamConstants{
		gscale: float32(gscale), decay: float32(1 - lr*wd),
		beta1: float32(beta1), oneBeta1: float32(1 - beta1),
		beta2: float32(beta2), oneBeta2: float32(1 - beta2),
		rootBC2: float32(1 / math.Sqrt(bc2)), eps: float32(eps),
		step: float32(lr / bc1),
	}
	active.adamW(w, g, m, v, &c)
}
