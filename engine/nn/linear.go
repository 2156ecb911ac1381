package nn

import (
	"hone/engine/kernel"
	"hone/engine/tensor"
)

// Linear is y = x·Wᵀ + bias, plus what each row's adapter adds. Its weight may be stored in any precision.
type Linear struct {
	ID   int    // index in Adapter.LoRA and Grads.LoRA
	Name string // module name, as model.layers.0.self_attn.q_proj
	W    *Param // (out, in)
	Bias *Param // (out) or nil
}

// In is the number of input features.
func (l *Linear) In() int { return l.W.M.Cols }

// Out is the number of output features.
func (l *Linear) Out() int { return l.W.M.Rows }

// Forward writes y (T, out) for x (T, in), and the adapter's inner activations to u, which comes from Inner and
// belongs to Backward.
func (l *Linear) Forward(c *Call, y, x, u []float32) {
	c.project(x, projection{l, y, u})
}

// projection is one Linear of several that read the same input.
type projection struct {
	l    *Linear
	y, u []float32
}

// project runs the Forward of each projection of x (T, in). In fixed point the input is rounded once for all, and
// the products share a pass of the pool; the bits are those of separate ones.
func (c *Call) project(x []float32, ps ...projection) {
	if c.Forward == tensor.Fixed || c.lowFrozen() {
		c.projectFrozen(x, ps...)
		return
	}
	c.together(x, ps...)
}

// together runs the Forward of each projection of x (T, in) at Single or Half: x is packed once for all, and an
// adapter that all rows have is part of the weight's pass. The bits are those of separate products.
func (c *Call) together(x []float32, ps ...projection) {
	mark := c.WS.Mark()
	c.projections = c.projections[:0]
	for _, p := range ps {
		t := tensor.Projection{Y: p.y, W: p.l.W.M, U: p.u}
		if p.l.Bias != nil {
			t.Bias = p.l.Bias.W
		}
		if lora := c.uniform(p.l.ID); lora != nil {
			t.Low = lora.lowRank()
			if t.U == nil {
				t.U = c.WS.F32(c.T * lora.R)
			}
		}
		c.projections = append(c.projections, t)
	}
	tensor.Project(c.Forward, c.Pool, c.WS, x, c.T, c.projections)
	c.WS.Release(mark)
	for i, p := range ps {
		if c.projections[i].Low.R == 0 {
			p.l.addLoRA(c, p.y, x, p.u)
		}
	}
}

// Backward takes dy (T, out), the forward pass's x and u, accumulates the gradients of what trains, and writes
// dx (T, in), or adds to it. A nil dx is not computed.
func (l *Linear) Backward(c *Call, dx, dy, x, u []float32, add bool) {
	if lora := c.uniform(l.ID); dx != nil && lora != nil {
		l.backTogether(c, dx, dy, x, u, lora, add)
	} else {
		if dx != nil {
			tensor.MulAt(c.Backward, c.Pool, c.WS, dx, dy, c.T, l.W.M, add)
		}
		l.backLoRA(c, dx, dy, x, u)
	}
	n, in := l.Out(), l.In()
	if g := c.Grads.of(l.W); g != nil {
		tensor.GemmAt(c.Backward, c.Pool, c.WS, n, in, c.T, 1, dy, 1, n, x, in, 1, 1, g, in)
	}
	if g := c.Grads.of(l.Bias); g != nil {
		for t := range c.T {
			kernel.Add(g, dy[t*n:(t+1)*n])
		}
	}
}
