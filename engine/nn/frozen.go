package nn

import (
	"encoding/binary"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// Freeze lays A and B out for inference, rounded to bf16 unless prec is f32. Thaw must come before they change.
func (l *LoRA) Freeze(in, out int, prec tensor.Precision) error {
	lay := func(rows, cols int, x []float32) (*tensor.Matrix, error) {
		if prec == tensor.Single {
			return tensor.FromF32(rows, cols, x), nil
		}
		half := make([]byte, 0, 2*len(x))
		for _, v := range x {
			half = binary.LittleEndian.AppendUint16(half, kernel.RoundBF16(v))
		}
		return tensor.NewMatrix(tensor.BF16, rows, cols, half)
	}
	// An odd rank is padded with zeros, since bf16 products of one row want pairs; sums do not change.
	r := l.R + l.R%2
	a, b := make([]float32, r*in), make([]float32, out*r)
	copy(a, l.A)
	for o := range out {
		copy(b[o*r:], l.B[o*l.R:(o+1)*l.R])
	}
	var err error
	if l.a, err = lay(r, in, a); err != nil {
		return err
	}
	l.b, err = lay(out, r, b)
	return err
}

// Thaw forgets what Freeze laid out.
func (l *LoRA) Thaw() { l.a, l.b = nil, nil }

// projectFixed is project in fixed point.
func (c *Call) projectFixed(x []float32, ps []projection) {
	mark := c.WS.Mark()
	acts := tensor.Quantise(c.Pool, c.WS, x, c.T, ps[0].l.In())
	c.products = c.products[:0]
	for _, p := range ps {
		c.products = append(c.products, tensor.Product{Y: p.y, W: p.l.W.M})
	}
	tensor.MulTEach(c.Pool, c.WS, acts, false, c.products...)
	c.WS.Release(mark)
	for _, p := range ps {
		p.l.finish(c, p.y, x, p.u)
	}
}

// addFrozen is addLoRA for frozen adapters. Several groups of rows, as many streams with adapters of their own, go to
// the workers a group at a time.
func (l *Linear) addFrozen(c *Call, y, x []float32, gs []group) {
	in, out := l.In(), l.Out()
	add := func(g group, p *tensor.Pool, ws *tensor.Workspace) {
		n, r := g.hi-g.lo, g.lora.a.Rows
		mark := ws.Mark()
		u := ws.F32(n * r)
		tensor.MulTAt(c.Forward, p, ws, u, x[g.lo*in:g.hi*in], n, g.lora.a, false)
		kernel.Scale(u, g.lora.Scale)
		tensor.MulTAt(c.Forward, p, ws, y[g.lo*out:g.hi*out], u, n, g.lora.b, true)
		ws.Release(mark)
	}
	if len(gs) == 1 {
		add(gs[0], c.Pool, c.WS)
		return
	}
	c.Pool.Run(len(gs), func(i, worker int) { add(gs[i], nil, c.Scratch[worker]) })
}
