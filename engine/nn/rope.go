package nn

import (
	"math"
	"sync"
)

// Rope rotates pairs (i, i+R/2) of the first R elements of each head by position·InvFreq[i] (Su et al. 2021,
// arXiv 2104.09864, in Hugging Face's half-split layout).
type Rope struct {
	InvFreq []float32 // (R/2); scaling is already in it

	mu   sync.Mutex
	cos  []float32 // (positions so far, R/2)
	sin  []float32
	rows int
}

// table returns the cosines and sines of positions 0..n-1, extending them where needed.
func (r *Rope) table(n int) (cos, sin []float32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	half := len(r.InvFreq)
	if n > r.rows {
		rows := max(n, 2*r.rows, 256)
		c, s := make([]float32, rows*half), make([]float32, rows*half)
		copy(c, r.cos)
		copy(s, r.sin)
		for p := r.rows; p < rows; p++ {
			for i, f := range r.InvFreq {
				// The angle is rounded to f32 as the reference implementations compute it.
				sn, cs := math.Sincos(float64(float32(p) * f))
				c[p*half+i], s[p*half+i] = float32(cs), float32(sn)
			}
		}
		r.cos, r.sin, r.rows = c, s, rows
	}
	return r.cos, r.sin
}

// Apply rotates x, (T, heads·e), in place. Inverse undoes it, which is also its backward pass.
func (r *Rope) Apply(c *Call, x []float32, heads, e int, inverse bool) {
	last := int32(0)
	for _, p := range c.Pos {
		last = max(last, p)
	}
	cos, sin := r.table(int(last) + 1)
	half := len(r.InvFreq)
	c.rows(c.T, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			p := int(c.Pos[t]) * half
			cs, sn := cos[p:p+half], sin[p:p+half]
			for h := range heads {
				a := x[(t*heads+h)*e:][:half]
				b := x[(t*heads+h)*e+half:][:half]
				if inverse {
					for i, cv := range cs {
						a[i], b[i] = a[i]*cv+b[i]*sn[i], b[i]*cv-a[i]*sn[i]
					}
					continue
				}
				for i, cv := range cs {
					a[i], b[i] = a[i]*cv-b[i]*sn[i], b[i]*cv+a[i]*sn[i]
				}
			}
		}
	})
}
