package nn

import (
	"hone/engine/kernel"
	"hone/engine/tensor"
)

// Frozen adapters are laid out for inference, as the products read them: at f32 as matrices, which come after the
// base's product; else as low-rank changes in bfloat16, whose inner products are a pass of their own for all rows and
// all Linears with the same input, and whose outer products are added inside the base's product.

// Freeze lays A and B of each entry out for inference, rounded to bf16 unless prec is f32; linears are those the
// entries belong to. Thaw must come before they change.
func (a *Adapter) Freeze(linears []*Linear, prec tensor.Precision) {
	lows := make([]tensor.LowRank, len(a.LoRA))
	for i, l := range a.LoRA {
		switch {
		case l == nil:
		case prec == tensor.Single:
			l.a, l.b = tensor.FromF32(l.R, linears[i].In(), l.A), tensor.FromF32(linears[i].Out(), l.R, l.B)
		default:
			lows[i] = l.lowRank()
		}
	}
	a.low = prec != tensor.Single
	for i, low := range tensor.Freeze(lows) {
		if low != nil {
			a.LoRA[i].low = low
		}
	}
}

// Thaw forgets what Freeze laid out.
func (a *Adapter) Thaw() {
	a.low = false
	for _, l := range a.LoRA {
		if l != nil {
			l.a, l.b, l.low = nil, nil, nil
		}
	}
}

// Bytes is the memory that the adapter's values take, as trained and as laid out.
func (a *Adapter) Bytes() (n int) {
	for _, l := range a.LoRA {
		if l == nil {
			continue
		}
		n += 4 * (len(l.A) + len(l.B))
		if l.a != nil {
			n += l.a.Bytes() + l.b.Bytes()
		}
		if l.low != nil {
			n += l.low.Bytes()
		}
	}
	return n
}

// lowFrozen tells whether the products are at bf16 with adapters that are frozen so.
func (c *Call) lowFrozen() bool {
	if c.Forward != tensor.Half || c.Keep() {
		return false
	}
	for i := range c.Segs {
		if a := c.Segs[i].Adapter; a != nil && a.low {
			return true
		}
	}
	return false
}

// projectFrozen is project in fixed point, and at bf16 with frozen adapters. In fixed point the input is quantised
// once for all, and the products share a pass of the pool, to which biases and frozen adapters are added; the bits are
// those of separate products.
func (c *Call) projectFrozen(x []float32, ps ...projection) {
	mark := c.WS.Mark()
	c.products, c.addends, c.projections = c.products[:0], c.addends[:0], c.projections[:0]
	for _, p := range ps {
		from := len(c.addends)
		c.appendAddends(p.l.ID)
		product := tensor.Product{Y: p.y, W: p.l.W.M, Adds: c.addends[from:len(c.addends):len(c.addends)]}
		if p.l.Bias != nil {
			product.Bias = p.l.Bias.W
		}
		c.products = append(c.products, product)
		c.projections = append(c.projections, tensor.Projection{Y: p.y, W: p.l.W.M})
	}
	in := ps[0].l.In()
	if c.Forward == tensor.Fixed {
		acts := tensor.QuantiseFor(c.Pool, c.WS, x, c.T, in, c.products...)
		tensor.MulTEach(c.Pool, c.WS, acts, false, c.products...)
	} else {
		tensor.Inner(c.Pool, c.WS, x, c.T, in, c.products...)
		tensor.Project(c.Forward, c.Pool, c.WS, x, c.T, c.projections)
		tensor.AddAfter(c.Pool, c.WS, c.T, c.products...)
	}
	c.WS.Release(mark)
	for _, p := range ps {
		p.l.addLoRA(c, p.y, x, p.u)
	}
}

// appendAddends appends to the call's addends those of Linear id.
func (c *Call) appendAddends(id int) {
	if c.Keep() {
		return
	}
	var buf [16]group
	for _, g := range c.groups(id, buf[:]) {
		if g.lora.low != nil {
			c.addends = append(c.addends, tensor.Addend{Lo: g.lo, Hi: g.hi, W: g.lora.low})
		}
	}
}

// addFrozen adds what frozen adapters give and projectFrozen has not added, and returns the other groups. Several
// groups of rows, as many streams with adapters of their own, go to the workers a group at a time.
func (l *Linear) addFrozen(c *Call, y, x []float32, gs []group) (rest []group) {
	rest, frozen := gs[:0], c.frozen[:0]
	for _, g := range gs {
		switch {
		case g.lora.a != nil:
			frozen = append(frozen, g)
		case g.lora.low == nil || c.Forward == tensor.Single:
			rest = append(rest, g)
		}
	}
	c.frozen = frozen
	if len(frozen) == 1 {
		l.addMatrices(c, y, x, frozen[0], c.Pool, c.WS)
	} else if len(frozen) > 1 {
		c.Pool.Run(len(frozen), func(i, worker int) { l.addMatrices(c, y, x, frozen[i], nil, c.Scratch[worker]) })
	}
	return rest
}

// addMatrices adds what an adapter gives that is frozen as two matrices.
func (l *Linear) addMatrices(c *Call, y, x []float32, g group, p *tensor.Pool, ws *tensor.Workspace) {
	in, out := l.In(), l.Out()
	n, r := g.hi-g.lo, g.lora.R
	mark := ws.Mark()
	u := ws.F32(n * r)
	tensor.MulTAt(c.Forward, p, ws, u, x[g.lo*in:g.hi*in], n, g.lora.a, false)
	kernel.Scale(u, g.lora.Scale)
	tensor.MulTAt(c.Forward, p, ws, y[g.lo*out:g.hi*out], u, n, g.lora.b, true)
	ws.Release(mark)
}
