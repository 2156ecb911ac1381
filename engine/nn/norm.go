package nn

import (
	"math"

	"hone/engine/kernel"
)

// RMSNorm is y = x / √(mean(x²) + Eps) · (W + Offset) over rows of len(W) elements (Zhang and Sennrich 2019,
// arXiv 1910.07467). Gemma stores W − 1: Offset 1.
type RMSNorm struct {
	W      *Param
	Eps    float32
	Offset float32
}

// Forward writes y for x, both n rows of len(W).
func (m *RMSNorm) Forward(c *Call, y, x []float32) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	d, w := len(m.W.W), m.weight(c)
	c.rows(len(x)/d, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr := x[r*d : (r+1)*d]
			kernel.ScaleMul(y[r*d:(r+1)*d], xr, w, m.scale(xr))
		}
	})
}

// weight is W + Offset.
func (m *RMSNorm) weight(c *Call) []float32 {
	if m.Offset == 0 {
		return m.W.W
	}
	w := c.WS.F32(len(m.W.W))
	for i, v := range m.W.W {
		w[i] = v + m.Offset
	}
	return w
}

// scale is 1/√(mean(x²)+Eps) of one row.
func (m *RMSNorm) scale(x []float32) float32 {
	return float32(1 / math.Sqrt(float64(kernel.Dot(x, x))/float64(len(x))+float64(m.Eps)))
}

// Backward takes dy and the forward pass's x, accumulates the gradient of W where it trains, and writes dx, or
// adds to it. With s the row's scale and g = dy·(W+Offset): dx = s·g − x·s³·mean(g·x). dx may be dy.
func (m *RMSNorm) Backward(c *Call, dx, dy, x []float32, add bool) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	d, w := len(m.W.W), m.weight(c)
	if gw := c.Grads.of(m.W); gw != nil {
		t := c.WS.F32(d)
		for r := range len(x) / d {
			xr := x[r*d : (r+1)*d]
			kernel.ScaleMul(t, xr, dy[r*d:(r+1)*d], m.scale(xr))
			kernel.Add(gw, t)
		}
	}
	c.rows(len(x)/d, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr, dyr := x[r*d:(r+1)*d], dy[r*d:(r+1)*d]
			s := m.scale(xr)
			k := s * s * s * kernel.DotMul(dyr, w, xr) / float32(d)
			kernel.NormBackward(dx[r*d:(r+1)*d], dyr, xr, w, s, k, add)
		}
	})
}
