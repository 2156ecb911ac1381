package nn

import (
	"math/bits"

	"hone/engine/tensor"
)

// Adapter is a set of low-rank additions to a model's Linears, indexed by Linear.ID; nil entries add nothing.
type Adapter struct {
	LoRA []*LoRA

	low bool // Freeze has laid entries out as LoRA.low
}

// LoRA adds Scale·B·(A·dropout(x)) to a Linear's output (Hu et al. 2021, arXiv 2106.09685).
type LoRA struct {
	R       int
	Scale   float32   // alpha/r, or alpha/√r for rsLoRA (arXiv 2312.03732)
	A       []float32 // (r, in)
	B       []float32 // (out, r)
	Dropout float32   // probability of dropping an input element in training

	a, b *tensor.Matrix // A and B laid out by Freeze at f32
	low  *tensor.Frozen // the same at other precisions
}

// Dropout names the masks of one training step. A mask depends on (Seed, Step, dataset row, module, position)
// and the element's index alone, so it does not change with packing, micro-batches or threads.
type Dropout struct {
	Seed uint64
	Step uint64
}

// mix folds v into the state h (the finaliser of SplitMix64, Steele et al. 2014).
func mix(h, v uint64) uint64 {
	h ^= v
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// apply writes dropout(x) of one row to y: kept elements are scaled by 1/(1-p).
func (d *Dropout) apply(y, x []float32, p float32, row int64, module int, pos int32) {
	key := mix(mix(mix(mix(d.Seed, d.Step), uint64(row)), uint64(module)), uint64(uint32(pos))) //nolint:gosec // bit patterns, not quantities
	threshold := uint64(float64(p) * (1 << 32))
	scale := 1 / (1 - p)
	for i := range x {
		// One 64-bit draw serves two elements.
		r := mix(key, uint64(i/2)) //nolint:gosec // i is an index
		if i&1 == 1 {
			r = bits.RotateLeft64(r, 32)
		}
		if r&0xffffffff < threshold {
			y[i] = 0
		} else {
			y[i] = x[i] * scale
		}
	}
}

// group is a run of rows [lo, hi) that share an adapter entry.
type group struct {
	lo, hi int
	lora   *LoRA
}

// groups returns the runs of consecutive rows that use the same adapter entry for Linear id, skipping those
// without one.
func (c *Call) groups(id int, buf []group) []group {
	out := buf[:0]
	for _, s := range c.Segs {
		if s.Adapter == nil || s.Adapter.LoRA[id] == nil {
			continue
		}
		lora := s.Adapter.LoRA[id]
		if n := len(out); n > 0 && out[n-1].lora == lora && out[n-1].hi == s.Start {
			out[n-1].hi = s.End
			continue
		}
		out = append(out, group{s.Start, s.End, lora})
	}
	return out
}

// dropped returns dropout(x) for the rows of g, or x's rows themselves where nothing drops. The result is
// (g.hi-g.lo, in), in the workspace.
func (c *Call) dropped(g group, id int, x []float32, in int) []float32 {
	if c.Dropout == nil || g.lora.Dropout == 0 {
		return x[g.lo*in : g.hi*in]
	}
	y := c.WS.F32((g.hi - g.lo) * in)
	c.eachRow(g.lo, g.hi, func(t int, row int64) {
		c.Dropout.apply(y[(t-g.lo)*in:(t-g.lo+1)*in], x[t*in:(t+1)*in], g.lora.Dropout, row, id, c.Pos[t])
	})
	return y
}

// maskAdd adds d to the rows of dx through the dropout mask of the forward pass.
func (c *Call) maskAdd(g group, id int, dx, d []float32, in int) {
	c.eachRow(g.lo, g.hi, func(t int, row int64) {
		src := d[(t-g.lo)*in : (t-g.lo+1)*in]
		c.Dropout.apply(src, src, g.lora.Dropout, row, id, c.Pos[t])
		dst := dx[t*in : (t+1)*in]
		for i, v := range src {
			dst[i] += v
		}
	})
}

// eachRow runs f for the rows lo..hi-1, in parallel over segments, with their dataset row.
func (c *Call) eachRow(lo, hi int, f func(t int, row int64)) {
	c.Pool.Run(len(c.Segs), func(task, _ int) {
		s := c.Segs[task]
		for t := max(lo, s.Start); t < min(hi, s.End); t++ {
			f(t, s.Row)
		}
	})
}

// Inner takes room for what an adapter's backward pass needs of the forward pass: u =
// dropout(x)·Aᵀ, (T, r). It is nil where no backward pass follows or no adapter applies. In training all rows of
// a call have the same adapter.
func (l *Linear) Inner(c *Call) []float32 {
	if !c.Keep() || c.Segs[0].Adapter == nil || c.Segs[0].Adapter.LoRA[l.ID] == nil {
		return nil
	}
	return c.activations(c.T * c.Segs[0].Adapter.LoRA[l.ID].R)
}

// addLoRA adds the adapters' products to y (T, out) for input x (T, in), and writes the inner products to u,
// where the caller keeps them.
func (l *Linear) addLoRA(c *Call, y, x, u []float32) {
	in, out := l.In(), l.Out()
	var buf [16]group
	gs := c.groups(l.ID, buf[:])
	if !c.Keep() {
		gs = l.addFrozen(c, y, x, gs)
	}
	for _, g := range gs {
		r, n := g.lora.R, g.hi-g.lo
		mark := c.WS.Mark()
		ug := u
		if ug == nil {
			ug = c.WS.F32(n * r)
		}
		xd := c.dropped(g, l.ID, x, in)
		tensor.GemmAt(c.Forward, c.Pool, c.WS, n, r, in, 1, xd, in, 1, g.lora.A, 1, in, 0, ug, r)
		tensor.GemmAt(c.Forward, c.Pool, c.WS, n, out, r, g.lora.Scale, ug, r, 1, g.lora.B, 1, r, 1, y[g.lo*out:g.hi*out], out)
		c.WS.Release(mark)
	}
}

// uniform returns the adapter entry for Linear id if it is the same for all rows, changes in training, and drops
// nothing in this call: then it can be part of the weight's pass.
func (c *Call) uniform(id int) *LoRA {
	var buf [2]group
	gs := c.groups(id, buf[:])
	if len(gs) != 1 || gs[0].lo != 0 || gs[0].hi != c.T || gs[0].lora.a != nil || c.Dropout != nil && gs[0].lora.Dropout > 0 {
		return nil
	}
	return gs[0].lora
}

// lowRank is the entry as products take it.
func (l *LoRA) lowRank() tensor.LowRank {
	return tensor.LowRank{R: l.R, Scale: l.Scale, A: l.A, B: l.B}
}

// backTogether is Backward for an adapter that all rows have, in one pass with the weight.
func (l *Linear) backTogether(c *Call, dx, dy, x, u []float32, lora *LoRA, add bool) {
	mark := c.WS.Mark()
	du := c.WS.F32(c.T * lora.R)
	tensor.ProjectBack(c.Backward, c.Pool, c.WS, dx, dy, c.T, l.W.M, lora.lowRank(), du, add)
	l.adapterGrads(c, dy, x, u, du, c.T, lora)
	c.WS.Release(mark)
}

// adapterGrads accumulates the gradients of A and B over n rows, where they train.
func (l *Linear) adapterGrads(c *Call, dy, x, u, du []float32, n int, lora *LoRA) {
	gr := c.Grads.LoRA
	if gr == nil || gr[l.ID].A == nil {
		return
	}
	in, out, r := l.In(), l.Out(), lora.R
	tensor.GemmAt(c.Backward, c.Pool, c.WS, out, r, n, lora.Scale, dy, 1, out, u, r, 1, 1, gr[l.ID].B, r)
	tensor.GemmAt(c.Backward, c.Pool, c.WS, r, in, n, 1, du, 1, r, x, in, 1, 1, gr[l.ID].A, in)
}

// backLoRA accumulates the adapter's gradients for the output gradient dy (T, out) and adds its part to dx
// (T, in), which may be nil. u is what addLoRA returned.
func (l *Linear) backLoRA(c *Call, dx, dy, x, u []float32) {
	in, out := l.In(), l.Out()
	var buf [8]group
	for _, g := range c.groups(l.ID, buf[:]) {
		r, s, n := g.lora.R, g.lora.Scale, g.hi-g.lo
		mark := c.WS.Mark()
		dyg := dy[g.lo*out : g.hi*out]
		du := c.WS.F32(n * r)
		tensor.GemmAt(c.Backward, c.Pool, c.WS, n, r, out, s, dyg, out, 1, g.lora.B, r, 1, 0, du, r)
		l.adapterGrads(c, dyg, c.dropped(g, l.ID, x, in), u, du, n, g.lora)
		switch {
		case dx == nil:
		case c.Dropout != nil && g.lora.Dropout > 0:
			d := c.WS.F32(n * in)
			tensor.GemmAt(c.Backward, c.Pool, c.WS, n, in, r, 1, du, r, 1, g.lora.A, in, 1, 0, d, in)
			c.maskAdd(g, l.ID, dx, d, in)
		default:
			tensor.GemmAt(c.Backward, c.Pool, c.WS, n, in, r, 1, du, r, 1, g.lora.A, in, 1, 1, dx[g.lo*in:g.hi*in], in)
		}
		c.WS.Release(mark)
	}
}
