package nn

import "hone/engine/kernel"

// The backward pass makes each block of probabilities again from its scores and the saved log-sum-exp. With dP = dO·Vᵀ
// and δ = rowsum(dO∘O): dS = P∘(dP − δ), dQ = scale·dS·K, dK = scale·dSᵀ·Q, dV = Pᵀ·dO. A block of dK and dV is a
// chain over the group's heads and, within one, ascending queries; a query's dQ is one over ascending keys. Whoever
// computes them goes in that order, so how the work is split changes no bit.

// fusedTasks is how many tasks a thread must have for whole sequences to be shared out. With fewer, blocks of keys
// and blocks of queries are tasks of their own, which make each block of probabilities twice.
const fusedTasks = 3

// gradTask is what one task computes of a sequence and group: with keys set, dK and dV of the blocks of keys
// k0..k1−1; with queries set, dQ of the blocks of queries q0..q1−1.
type gradTask struct {
	seq, group     int
	k0, k1, q0, q1 int
	keys, queries  bool
}

// gradOperands are a sequence's packed operands of the backward pass.
type gradOperands struct {
	keys  []float32 // by block of keys and group: K and V by positions, K by columns, which is scaled
	heads []float32 // by head: Q, scaled, and dO, each block of queries as tiles of rows, and by columns
	delta []float32 // (H, n)
}

// gradients is a backward pass under way.
type gradients struct {
	a                *Attention
	c                *Call
	p                packing
	dq, dout, out, q []float32
	lse              []float32
	seqs             []sequence
}

// Backward takes dout (T, H·E), the forward pass's out and lse, and its q, k, v, and writes dq, dk, dv. A call with KV
// caches has no backward pass.
func (a *Attention) Backward(c *Call, dq, dk, dv, dout, out, lse, q, k, v []float32) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	kw := a.Groups * a.E
	clear(dk)
	clear(dv)
	seqs := a.sequences(c, k, v)
	for i, s := range c.Segs {
		seqs[i].dk, seqs[i].dv = dk[s.Start*kw:s.End*kw], dv[s.Start*kw:s.End*kw]
		if s.Continues > 0 { // its own copy, so that sequences do not add to the shared rows at once
			seqs[i].dk, seqs[i].dv = c.WS.F32(len(seqs[i].k)), c.WS.F32(len(seqs[i].v))
		}
	}
	g := &gradients{a, c, a.packing(c), dq, dout, out, q, lse, seqs}
	g.pack()
	tasks := g.tasks()
	c.maskRoom()
	c.Pool.Run(len(tasks), func(i, worker int) { g.run(tasks[i], worker) })
	for i, s := range c.Segs {
		if s.Continues > 0 {
			first := c.Segs[s.Continues-1]
			spread(dk, seqs[i].dk, first, s, kw)
			spread(dv, seqs[i].dv, first, s, kw)
		}
	}
}

// spread adds the gradients d of a segment and of the one it continues to their rows of dx.
func spread(dx, d []float32, first, s Segment, width int) {
	n := (first.End - first.Start) * width
	kernel.Add(dx[first.Start*width:first.End*width], d[:n])
	kernel.Add(dx[s.Start*width:s.End*width], d[n:])
}

// blocksOf is how many blocks of 64 n rows fill or begin.
func blocksOf(n int) int { return (n + keyBlock - 1) / keyBlock }

// tasks lists the work.
func (g *gradients) tasks() []gradTask {
	list := g.c.grads[:0]
	whole := len(g.seqs)*g.a.Groups >= fusedTasks*g.c.Pool.Threads()
	for i := range g.seqs {
		s := &g.seqs[i]
		keys, queries := blocksOf(s.pos0+s.n), blocksOf(s.n)
		for group := range g.a.Groups {
			if whole || keys == 1 {
				list = append(list, gradTask{i, group, 0, keys, 0, queries, true, true})
				continue
			}
			for b := range keys {
				list = append(list, gradTask{i, group, b, b + 1, 0, queries, true, false})
			}
			for b := queries - 1; b >= 0; b-- {
				list = append(list, gradTask{i, group, 0, keys, b, b + 1, false, true})
			}
		}
	}
	g.c.grads = list
	return list
}

// keySize is the size of a group's operands of one block of keys.
func (g *gradients) keySize() int {
	keys, values := g.p.sides()
	return 2*keys + values
}

// headSize is the size of a head's operands of n queries.
func (g *gradients) headSize(n int) int {
	_, columns := g.p.sides()
	return 2*n*g.p.depth(g.p.e) + 2*blocksOf(n)*columns
}

// pack makes all operands and δ.
func (g *gradients) pack() {
	a, c, p := g.a, g.c, g.p
	for i := range g.seqs {
		s := &g.seqs[i]
		s.grad = gradOperands{
			keys:  c.WS.F32(blocksOf(s.pos0+s.n) * a.Groups * g.keySize()),
			heads: c.WS.F32(a.Heads * g.headSize(s.n)),
			delta: c.WS.F32(a.Heads * s.n),
		}
	}
	kw := a.Groups * a.E
	keys, _ := p.sides()
	each := a.Groups + a.Heads
	c.Pool.Run(len(g.seqs)*each, func(i, _ int) {
		s, i := &g.seqs[i/each], i%each
		if i >= a.Groups {
			g.packHead(s, i-a.Groups)
			return
		}
		for b := range blocksOf(s.pos0 + s.n) {
			n, off := min(keyBlock, s.pos0+s.n-b*keyBlock), b*keyBlock*kw+i*a.E
			dst := s.grad.keys[(b*a.Groups+i)*g.keySize():]
			p.across(dst, s.k[off:], kw, n)
			p.across(dst[keys:], s.v[off:], kw, n)
			p.along(dst[2*keys:], s.k[off:], kw, n, a.Scale)
		}
	})
}

// packHead makes one head's operands and δ.
func (g *gradients) packHead(s *sequence, h int) {
	a, p := g.a, g.p
	w := a.Heads * a.E
	off := s.q0*w + h*a.E
	q, do, out := g.q[off:], g.dout[off:], g.out[off:]
	op := g.head(s, h)
	_, size := p.sides()
	for i := 0; i < s.n; i += queryBlock {
		n, at := min(queryBlock, s.n-i), i/queryBlock*size
		p.rowTiles(op.q[i*p.depth(a.E):], q[i*w:], w, n, a.E, a.Scale)
		p.rowTiles(op.do[i*p.depth(a.E):], do[i*w:], w, n, a.E, 1)
		p.along(op.qs[at:], q[i*w:], w, n, a.Scale)
		p.along(op.dos[at:], do[i*w:], w, n, 1)
	}
	for i := range s.n {
		op.delta[i] = kernel.Dot(do[i*w:][:a.E], out[i*w:][:a.E])
	}
}

// headOperands are views of a head's part of gradOperands.
type headOperands struct{ q, do, qs, dos, delta []float32 }

func (g *gradients) head(s *sequence, h int) headOperands {
	size := g.headSize(s.n)
	all := s.grad.heads[h*size : (h+1)*size]
	tiles := s.n * g.p.depth(g.p.e)
	columns := (size - 2*tiles) / 2
	return headOperands{all[:tiles], all[tiles : 2*tiles], all[2*tiles:][:columns], all[2*tiles+columns:], s.grad.delta[h*s.n:][:s.n]}
}

// gradWork is a task at work.
type gradWork struct {
	*gradients
	s     *sequence
	t     gradTask
	masks *[queryBlock]uint64

	score, dscore []float32 // queryBlock × keyBlock: P and dS
	capped        []float32 // the capped scores, where there is a cap
	tile          []float32
	dk, dv        []float32 // keyBlock × columns
	dq            []float32 // where dQ cannot be summed in place: (heads, queries, columns)
}

// run computes a task's gradients.
func (g *gradients) run(t gradTask, worker int) {
	ws := g.c.Scratch[worker]
	mark := ws.Mark()
	defer ws.Release(mark)
	const size = queryBlock * keyBlock
	w := gradWork{gradients: g, s: &g.seqs[t.seq], t: t, masks: &g.c.masks[worker],
		score: ws.F32(size), dscore: ws.F32(size), tile: ws.F32(g.p.tileRows() * keyBlock)}
	if g.a.Softcap > 0 {
		w.capped = ws.F32(size)
	}
	rep, cols := g.a.Heads/g.a.Groups, g.p.columns()
	if t.keys {
		w.dk, w.dv = ws.F32(keyBlock*cols), ws.F32(keyBlock*cols)
	}
	if t.queries && cols != g.a.E {
		w.dq = ws.F32(rep * (t.q1 - t.q0) * queryBlock * cols)
	}
	for b := t.k0; b < t.k1; b++ {
		clear(w.dk)
		clear(w.dv)
		for h := range rep {
			for qb := t.q0; qb < t.q1; qb++ {
				w.pair(b, h, qb)
			}
		}
		w.writeKeys(b)
	}
	w.writeQueries()
}

// writeKeys puts a block's dK and dV in their place.
func (w *gradWork) writeKeys(b int) {
	if !w.t.keys {
		return
	}
	a, cols := w.a, w.p.columns()
	kw := a.Groups * a.E
	for i := range min(keyBlock, w.s.pos0+w.s.n-b*keyBlock) {
		at := (b*keyBlock+i)*kw + w.t.group*a.E
		copy(w.s.dk[at:at+a.E], w.dk[i*cols:])
		copy(w.s.dv[at:at+a.E], w.dv[i*cols:])
	}
}

// queryGrad is where dQ of a query block's rows is summed, and how far apart the rows are.
func (w *gradWork) queryGrad(h, qb int) (dq []float32, stride int) {
	if w.dq != nil {
		cols := w.p.columns()
		return w.dq[(h*(w.t.q1-w.t.q0)+qb-w.t.q0)*queryBlock*cols:], cols
	}
	rep, stride := w.a.Heads/w.a.Groups, w.a.Heads*w.a.E
	return w.gradients.dq[(w.s.q0+qb*queryBlock)*stride+(w.t.group*rep+h)*w.a.E:], stride
}

// writeQueries puts dQ in its place if it was summed elsewhere.
func (w *gradWork) writeQueries() {
	if w.dq == nil {
		return
	}
	e, stride := w.a.E, w.a.Heads*w.a.E
	rep := w.a.Heads / w.a.Groups
	for h := range rep {
		for qb := w.t.q0; qb < w.t.q1; qb++ {
			from, cols := w.queryGrad(h, qb)
			to := w.gradients.dq[(w.s.q0+qb*queryBlock)*stride+(w.t.group*rep+h)*e:]
			for i := range min(queryBlock, w.s.n-qb*queryBlock) {
				copy(to[i*stride:i*stride+e], from[i*cols:])
			}
		}
	}
}

// pair adds what a block of keys b and a block of queries qb of the group's head h have to do with each other.
func (w *gradWork) pair(b, h, qb int) {
	q0 := qb * queryBlock
	n := min(queryBlock, w.s.n-q0)
	pos, from := w.s.pos0+q0, b*keyBlock
	lo, _ := w.a.span(pos)
	if pos+n <= from || lo >= from+keyBlock {
		return
	}
	p := w.p
	head := w.t.group*(w.a.Heads/w.a.Groups) + h
	op := w.head(w.s, head)
	size := w.keySize()
	operands := w.s.grad.keys[(b*w.a.Groups+w.t.group)*size:][:size]
	side, columns := p.sides()
	seen := 0 // the first query that sees a key of the block
	for i := 0; i < n; i += p.tileRows() {
		m := min(p.tileRows(), n-i)
		k := min(pos+i+m-from, keyBlock)
		if k <= 0 {
			seen = i + m
			continue
		}
		w.scores(op, operands, q0, i, m, k, head, b)
		if w.t.queries {
			dq, stride := w.queryGrad(h, qb)
			p.pack(w.tile, m, w.dscore[i*keyBlock:], keyBlock, 1, m, k, 1)
			p.tile(dq[i*stride:], stride, w.tile, operands[2*side:], kernel.PanelRows*p.depth(keyBlock), m, p.columns()/kernel.PanelRows, k, b > lo/keyBlock)
		}
	}
	if !w.t.keys {
		return
	}
	cols := p.columns()
	for j := 0; j < keyBlock && from+j < w.s.pos0+w.s.n; j += p.tileRows() {
		m := min(p.tileRows(), keyBlock-j, w.s.pos0+w.s.n-from-j)
		i := max(seen, (from+j-pos)&^1) // what comes before sees none of these keys
		if i >= n {
			break
		}
		step := p.depth(i) * kernel.PanelRows
		for _, x := range []struct{ sum, left, right []float32 }{{w.dv, w.score, op.dos}, {w.dk, w.dscore, op.qs}} {
			p.pack(w.tile, m, x.left[i*keyBlock+j:], 1, keyBlock, m, n-i, 1)
			p.tile(x.sum[j*cols:], cols, w.tile, x.right[qb*columns+step:], kernel.PanelRows*p.depth(keyBlock), m, cols/kernel.PanelRows, n-i, true)
		}
	}
}

// scores makes P and dS of the m queries from i on with k keys.
func (w *gradWork) scores(op headOperands, operands []float32, q0, i, m, k, head, b int) {
	p, e := w.p, w.a.E
	s, d := w.score[i*keyBlock:(i+m)*keyBlock], w.dscore[i*keyBlock:(i+m)*keyBlock]
	side, _ := p.sides()
	panels := (k + kernel.PanelRows - 1) / kernel.PanelRows
	depth := p.depth(e)
	if w.a.Softcap > 0 {
		clear(s) // the cap's derivative multiplies what is hidden too, which must be finite
	}
	p.tile(s, keyBlock, op.q[(q0+i)*depth:], operands, kernel.PanelRows*depth, m, panels, e, false)
	p.tile(d, keyBlock, op.do[(q0+i)*depth:], operands[side:], kernel.PanelRows*depth, m, panels, e, false)
	masks := w.masks[:m]
	for j := range masks {
		masks[j] = w.a.mask(w.s.pos0+q0+i+j, b*keyBlock)
	}
	var capped []float32
	if w.a.Softcap > 0 {
		kernel.Softcap(s, w.a.Softcap)
		capped = w.capped[:len(s)]
		copy(capped, s)
	}
	kernel.SoftmaxBlockBack(s, d, masks, w.lse[head*w.c.T+w.s.q0+q0+i:], op.delta[q0+i:])
	if capped != nil {
		kernel.SoftcapBack(d, capped, w.a.Softcap)
	}
}
