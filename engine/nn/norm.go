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
	d := len(m.W.W)
	c.rows(len(x)/d, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr, yr := x[r*d:(r+1)*d], y[r*d:(r+1)*d]
			s := m.scale(xr)
			if m.Offset == 0 {
				for i, w := range m.W.W {
					yr[i] = xr[i] * s * w
				}
				continue
			}
			for i, w := range m.W.W {
				yr[i] = xr[i] * s * (w + m.Offset)
			}
		}
	})
}

// scale is 1/√(mean(x²)+Eps) of one row.
func (m *RMSNorm) scale(x []float32) float32 {
	return float32(1 / math.Sqrt(float64(kernel.Dot(x, x))/float64(len(x))+float64(m.Eps)))
}

// Backward takes dy and the forward pass's x, accumulates the gradient of W where it trains, and writes dx, or
// adds to it. With s the row's scale and g = dy·(W+Offset): dx = s·g − x·s³·mean(g·x). dx may be dy.
func (m *RMSNorm) Backward(c *Call, dx, dy, x []float32, add bool) {
	d := len(m.W.W)
	if gw := c.Grads.of(m.W); gw != nil {
		for r := range len(x) / d {
			xr, s := x[r*d:(r+1)*d], m.scale(x[r*d:(r+1)*d])
			for i, v := range dy[r*d : (r+1)*d] {
				gw[i] += v * xr[i] * s
			}
		}
	}
	c.rows(len(x)/d, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr, dyr, dxr := x[r*d:(r+1)*d], dy[r*d:(r+1)*d], dx[r*d:(r+1)*d]
			s := m.scale(xr)
			var dot float32
			for i, w := range m.W.W {
				dot += dyr[i] * (w + m.Offset) * xr[i]
			}
			k := s * s * s * dot / float32(d)
			for i, w := range m.W.W {
				v := s*dyr[i]*(w+m.Offset) - k*xr[i]
				if add {
					v += dxr[i]
				}
				dxr[i] = v
			}
		}
	})
}
