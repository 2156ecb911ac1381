package nn

import (
	"math"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

const (
	// queryBlock is how many queries of a sequence one task takes.
	queryBlock = 64
	// rangeBlocks is how many blocks of keys are summed up in one go. A query's sums over such a range, which starts
	// at a multiple of its length, are joined in order, so that ranges can be summed by different threads.
	rangeBlocks = 8
)

// Attention is causal scaled dot-product attention with grouped heads (Vaswani et al. 2017, arXiv 1706.03762;
// Ainslie et al. 2023, arXiv 2305.13245): query head h reads key/value head h/(H/G). It goes over blocks of keys
// with a running softmax (Dao et al. 2022, arXiv 2205.14135), so no more than a tile of scores exists at a time.
//
// Keys and values are packed once for all heads and queries that read them, in blocks that start at multiples of
// keyBlock in their sequence. A query's sums go over its keys in ascending order, with what it may not see as zero.
// So its bits depend on itself and the keys it sees, and not on the query's place in a call, the call's cut of the
// sequence, threads or other sequences.
//
// Operands are f32, and bfloat16 in passes at reduced precision that a backward pass follows. A cache of half floats
// is read as it is by few rows and expanded for many, with the same results.
type Attention struct {
	Layer   int // index in the KV cache
	Heads   int // H
	Groups  int // G, divides H
	E       int // head size
	Scale   float32
	Window  int     // a query sees this many positions, itself included; 0: all
	Softcap float32 // scores become Softcap·tanh(score/Softcap); 0: off (Gemma 2, arXiv 2408.00118)
}

// span is the keys a query may see: positions lo..hi-1 of its sequence.
func (a *Attention) span(pos int) (lo, hi int) {
	hi = pos + 1
	if a.Window > 0 {
		lo = max(0, hi-a.Window)
	}
	return lo, hi
}

// mask has the bits of the keys of a block, which starts at position from, that the query at pos may see.
func (a *Attention) mask(pos, from int) uint64 {
	lo, hi := a.span(pos)
	lo, hi = min(max(lo-from, 0), keyBlock), min(max(hi-from, 0), keyBlock)
	return (1<<hi - 1) &^ (1<<lo - 1)
}

// packing is the layout of keys and values in a pass.
func (a *Attention) packing(c *Call) packing {
	return packing{groups: a.Groups, e: a.E, pairs: c.Keep() && c.Forward != tensor.Single}
}

// sequence is a segment's queries with all the keys and values up to their end.
type sequence struct {
	q0, pos0, n int       // rows of the call from q0, at positions from pos0
	k, v        []float32 // (rows, G·E): its own where it has a cache, else all that come before its end
	cached      bool
	blocks      kvLayer   // the keys and values, packed
	dk, dv      []float32 // in a backward pass, the gradients of k and v
	grad        gradOperands
}

// sequences lists the call's segments, with rows of k and v (T, G·E), after those of the segment that one continues,
// which are copied to stand before its own.
func (a *Attention) sequences(c *Call, k, v []float32) []sequence {
	kw := a.Groups * a.E
	c.seqs = c.seqs[:0]
	for _, s := range c.Segs {
		t := sequence{q0: s.Start, n: s.End - s.Start, k: k[s.Start*kw : s.End*kw], v: v[s.Start*kw : s.End*kw]}
		switch {
		case s.KV != nil:
			t.pos0, t.cached = s.KV.Len(), true
			t.blocks = s.KV.reserve(a.Layer, t.n, c.Forward != tensor.Single, a.packing(c))
		case s.Continues > 0:
			first := c.Segs[s.Continues-1]
			t.pos0 = first.End - first.Start
			t.k, t.v = c.after(k, first, t.k, kw), c.after(v, first, t.v, kw)
		}
		c.seqs = append(c.seqs, t)
	}
	return c.seqs
}

// after returns the rows of x of the segment first followed by own, in scratch.
func (c *Call) after(x []float32, first Segment, own []float32, width int) []float32 {
	n := (first.End - first.Start) * width
	out := c.WS.F32(n + len(own))
	copy(out, x[first.Start*width:first.End*width])
	copy(out[n:], own)
	return out
}

// attendTask is a block of queries of one head, or one query of all heads of a group.
type attendTask struct {
	seq, head, heads int
	q, n             int // queries of the sequence from q on
}

// rows is the number of pairs of a query and a head.
func (t attendTask) rows() int { return t.n * t.heads }

// Forward writes out (T, H·E) for q (T, H·E), k and v (T, G·E), and to lse (H, T), where it is not nil, the logarithm
// of each softmax's denominator, for the backward pass.
func (a *Attention) Forward(c *Call, out, lse, q, k, v []float32) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	seqs := a.sequences(c, k, v)
	a.pack(c, seqs)
	c.attend = c.attend[:0]
	rep := a.Heads / a.Groups
	for i := len(seqs) - 1; i >= 0; i-- {
		s := seqs[i]
		if s.n == 1 {
			for h := 0; h < a.Heads; h += rep {
				c.attend = append(c.attend, attendTask{i, h, rep, 0, 1})
			}
			continue
		}
		for lo := (s.n - 1) / queryBlock * queryBlock; lo >= 0; lo -= queryBlock { // the longest first
			for h := range a.Heads {
				c.attend = append(c.attend, attendTask{i, h, 1, lo, min(queryBlock, s.n-lo)})
			}
		}
	}
	c.maskRoom()
	tasks := c.attend
	c.Pool.Run(len(tasks), func(i, worker int) {
		s := seqs[tasks[i].seq]
		if s.cached && s.n == 1 {
			a.store(c.Scratch[worker], a.packing(c), s, tasks[i].head/rep)
		}
		r := rows{a: a, p: a.packing(c), ws: c.Scratch[worker], masks: &c.masks[worker], s: s, t: tasks[i], stride: a.Heads * a.E}
		r.forward(out, lse, q, c.T)
	})
}

// maskRoom makes room for each worker's masks.
func (c *Call) maskRoom() {
	for len(c.masks) < c.Pool.Threads() {
		c.masks = append(c.masks, [queryBlock]uint64{})
	}
}

// pack packs the keys and values of sequences without a cache, and stores those of many rows with one.
func (a *Attention) pack(c *Call, seqs []sequence) {
	p := a.packing(c)
	c.blockList = c.blockList[:0]
	work := 0
	for i := range seqs {
		s := &seqs[i]
		if s.cached {
			work += s.n - 1
			continue
		}
		work++
		from := len(c.blockList)
		for at := 0; at < s.pos0+s.n; at += keyBlock {
			c.blockList = append(c.blockList, c.WS.F32(p.block()))
		}
		s.blocks.f32 = c.blockList[from:len(c.blockList):len(c.blockList)]
	}
	if work == 0 {
		return // each stream has one row, which its tasks store
	}
	kw := a.Groups * a.E
	c.Pool.Run(len(seqs)*a.Groups, func(i, worker int) {
		s, g := seqs[i/a.Groups], i%a.Groups
		if s.cached {
			if s.n > 1 {
				a.store(c.Scratch[worker], p, s, g)
			}
			return
		}
		for b, block := range s.blocks.f32 {
			at := b * keyBlock
			n, off := min(keyBlock, s.pos0+s.n-at), at*kw+g*a.E
			ks, vs := p.group(block, g)
			p.across(ks, s.k[off:], kw, n)
			p.along(vs, s.v[off:], kw, n, 1)
		}
	})
}

// store puts the rows of group g in the sequence's cache.
func (a *Attention) store(ws *tensor.Workspace, p packing, s sequence, g int) {
	p.put(ws, s.blocks, g, s.pos0, s.n, s.k[g*a.E:], s.v[g*a.E:], a.Groups*a.E)
}

// rows is a task at work: its rows are queries of one head, or heads of one query.
type rows struct {
	a      *Attention
	p      packing
	ws     *tensor.Workspace
	masks  *[queryBlock]uint64
	s      sequence
	t      attendTask
	stride int // H·E

	q           []float32 // packed
	score, tile []float32 // of one tile of rows: scores, then probabilities, and these packed
	f, sums     []float32
	ks, vs      []float32 // an expanded block
}

// partial is the rows' softmax over a range of keys: maxima, sums and sums of values.
type partial struct{ m, l, o []float32 }

// pos is the position of row i.
func (r *rows) pos(i int) int {
	if r.t.heads > 1 {
		i = 0
	}
	return r.s.pos0 + r.t.q + i
}

// at is where row i's E values start in q or out.
func (r *rows) at(i int) int {
	if r.t.heads > 1 {
		return (r.s.q0+r.t.q)*r.stride + (r.t.head+i)*r.a.E
	}
	return (r.s.q0+r.t.q+i)*r.stride + r.t.head*r.a.E
}

// forward computes the rows' outputs.
func (r *rows) forward(out, lse, q []float32, T int) {
	mark := r.ws.Mark()
	defer r.ws.Release(mark)
	n, e, p := r.t.rows(), r.a.E, r.p
	step := r.stride
	if r.t.heads > 1 {
		step = e
	}
	r.q = r.ws.F32(n * p.depth(e))
	p.rowTiles(r.q, q[r.at(0):], step, n, e, r.a.Scale)
	most := p.tileRows()
	r.score, r.tile = r.ws.F32(most*keyBlock), r.ws.F32(most*keyBlock)
	r.f, r.sums = r.ws.F32(n), r.ws.F32(n)
	if r.s.blocks.f16 != nil && n > most {
		keys, values := p.sides()
		r.ks, r.vs = r.ws.F32(keys), r.ws.F32(values)
	}
	lo, _ := r.a.span(r.pos(0))
	first, last := lo/keyBlock, r.pos(n-1)/keyBlock
	total := r.partial()
	r.sum(total, first, min(last, first|(rangeBlocks-1)))
	if from := (first | (rangeBlocks - 1)) + 1; from <= last {
		next := r.partial()
		for ; from <= last; from += rangeBlocks {
			r.sum(next, from, min(last, from+rangeBlocks-1))
			r.join(total, next)
		}
	}
	for i := range n {
		y := out[r.at(i):][:e]
		copy(y, total.o[i*p.columns():])
		kernel.Scale(y, 1/total.l[i])
		if lse != nil {
			h, t := r.t.head, r.s.q0+r.t.q+i
			if r.t.heads > 1 {
				h, t = h+i, t-i
			}
			lse[h*T+t] = total.m[i] + float32(math.Log(float64(total.l[i])))
		}
	}
}

// partial allocates for the rows.
func (r *rows) partial() partial {
	n := r.t.rows()
	return partial{r.ws.F32(n), r.ws.F32(n), r.ws.F32(n * r.p.columns())}
}

// sum runs the softmax over the blocks first to last.
func (r *rows) sum(to partial, first, last int) {
	for i := range to.m {
		to.m[i], to.l[i] = float32(math.Inf(-1)), 0
	}
	for b := first; b <= last; b++ {
		r.block(to, b, b == first)
	}
}

// block adds a block of keys to the rows' sums, or starts them with it.
func (r *rows) block(to partial, b int, start bool) {
	p, g := r.p, r.t.head/(r.a.Heads/r.a.Groups)
	halves := r.s.blocks.f16 != nil
	var k, v []float32
	var kh, vh, nextK, nextV []byte
	switch {
	case !halves:
		k, v = p.group(r.s.blocks.f32[b], g)
	case r.ks == nil:
		kh, vh = p.groupF16(r.s.blocks.f16[b], g)
		if b+1 < len(r.s.blocks.f16) {
			nextK, nextV = p.groupF16(r.s.blocks.f16[b+1], g)
		}
	default:
		kh, vh = p.groupF16(r.s.blocks.f16[b], g)
		k, v = r.ks, r.vs
		kernel.ExpandF16(k, kh)
		kernel.ExpandF16(v, vh)
		halves = false
	}
	n, cols := r.t.rows(), p.columns()
	for i := 0; i < n; i += p.tileRows() {
		m := min(p.tileRows(), n-i)
		seen := min(r.pos(i+m-1)+1-b*keyBlock, keyBlock)
		o := to.o[i*cols:]
		if seen <= 0 {
			if start {
				clear(o[:m*cols])
			}
			continue
		}
		panels := (seen + kernel.PanelRows - 1) / kernel.PanelRows
		q := r.q[i*p.depth(p.e):]
		if halves {
			tileF16(r.score, keyBlock, q, kh, nextK, kernel.PanelRows*p.e, m, panels, p.e, false)
		} else {
			p.tile(r.score, keyBlock, q, k, kernel.PanelRows*p.depth(p.e), m, panels, p.e, false)
		}
		r.softmax(to, i, m, b, start)
		p.pack(r.tile, m, r.score, keyBlock, 1, m, seen, 1)
		if halves {
			tileF16(o, cols, r.tile, vh, nextV, kernel.PanelRows*keyBlock, m, cols/kernel.PanelRows, seen, !start)
		} else {
			p.tile(o, cols, r.tile, v, kernel.PanelRows*p.depth(keyBlock), m, cols/kernel.PanelRows, seen, !start)
		}
	}
}

// softmax makes probabilities of a tile's scores, of m rows from i on with block b, and shrinks what their sums have.
func (r *rows) softmax(to partial, i, m, b int, start bool) {
	score := r.score[:m*keyBlock]
	if r.a.Softcap > 0 {
		kernel.Softcap(score, r.a.Softcap)
	}
	masks := r.masks[:m]
	for j := range masks {
		masks[j] = r.a.mask(r.pos(i+j), b*keyBlock)
	}
	f := r.f[i : i+m]
	kernel.SoftmaxBlock(score, masks, to.m[i:], to.l[i:], f, r.sums)
	if start {
		return
	}
	cols := r.p.columns()
	for j, f := range f {
		if f != 1 {
			kernel.Scale(to.o[(i+j)*cols:(i+j+1)*cols], f)
		}
	}
}

// join adds the sums over a later range to those before it.
func (r *rows) join(to, next partial) {
	cols := r.p.columns()
	for i := range to.m {
		o, x := to.o[i*cols:(i+1)*cols], next.o[i*cols:(i+1)*cols]
		m := max(to.m[i], next.m[i])
		f, g := shrink(to.m[i], m), shrink(next.m[i], m)
		kernel.Scale(o, f)
		kernel.Axpy(o, g, x)
		to.m[i], to.l[i] = m, float32(to.l[i]*f)+float32(next.l[i]*g)
	}
}

// shrink is exp(m − to), the factor of sums taken beside a maximum m when it becomes to.
func shrink(m, to float32) float32 {
	if m == to {
		return 1
	}
	return float32(math.Exp(float64(m - to)))
}
