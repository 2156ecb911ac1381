package nn

import (
	"math"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// queryBlock is how many queries of a sequence share one matrix of scores.
const queryBlock = 64

// Attention is causal scaled dot-product attention with grouped heads (Vaswani et al. 2017, arXiv 1706.03762;
// Ainslie et al. 2023, arXiv 2305.13245): query head h reads key/value head h/(H/G).
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

// sequence is a segment's queries with all the keys and values that come before their end.
type sequence struct {
	q0, pos0, n int       // rows of the call from q0, at positions from pos0
	k, v        []float32 // (positions, G·E)
	dk, dv      []float32 // in a backward pass, their gradients
}

// block is the part of the sequence from its query lo on, queryBlock at most.
func (s sequence) block(lo int) sequence {
	s.q0, s.pos0, s.n = s.q0+lo, s.pos0+lo, min(queryBlock, s.n-lo)
	return s
}

// sequences lists the call's segments with their keys and values: rows of k and v (T, G·E), after those of a
// cache, or of the segment that one continues, which are copied to stand before its own.
func (a *Attention) sequences(c *Call, k, v []float32) []sequence {
	kw := a.Groups * a.E
	c.seqs = c.seqs[:0]
	for _, s := range c.Segs {
		t := sequence{q0: s.Start, n: s.End - s.Start, k: k[s.Start*kw : s.End*kw], v: v[s.Start*kw : s.End*kw]}
		switch {
		case s.KV != nil:
			t.pos0 = s.KV.Len()
			t.k, t.v = s.KV.put(a.Layer, t.k, t.v, kw)
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

// Forward writes out (T, H·E) for q (T, H·E), k and v (T, G·E).
func (a *Attention) Forward(c *Call, out, q, k, v []float32) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	c.queries = c.queries[:0]
	for _, s := range a.sequences(c, k, v) {
		for lo := 0; lo < s.n; lo += queryBlock {
			c.queries = append(c.queries, s.block(lo))
		}
	}
	blocks := c.queries
	c.Pool.Run(len(blocks)*a.Heads, func(i, worker int) {
		a.forwardBlock(c.Scratch[worker], out, q, blocks[i/a.Heads], i%a.Heads)
	})
}

// forwardBlock computes one head's outputs of a block of queries.
func (a *Attention) forwardBlock(ws *tensor.Workspace, out, q []float32, t sequence, h int) {
	mark := ws.Mark()
	defer ws.Release(mark)
	p, lo, n := a.probabilities(ws, q, t, h)
	w, kw := a.Heads*a.E, a.Groups*a.E
	g := h / (a.Heads / a.Groups)
	o := out[t.q0*w+h*a.E:]
	if t.n == 1 {
		clear(o[:a.E])
		kernel.AddRows(o[:a.E], p, t.v[lo*kw+g*a.E:], kw)
		return
	}
	tensor.Gemm(nil, ws, t.n, a.E, n, 1, p, n, 1, t.v[lo*kw+g*a.E:], kw, 1, 0, o, w)
}

// probabilities returns the attention weights of head h for a block of queries, (t.n, n) for the keys from
// position lo on; what a query may not see is 0.
func (a *Attention) probabilities(ws *tensor.Workspace, q []float32, t sequence, h int) (p []float32, lo, n int) {
	lo, _ = a.span(t.pos0)
	_, hi := a.span(t.pos0 + t.n - 1)
	n = hi - lo
	w, kw := a.Heads*a.E, a.Groups*a.E
	g := h / (a.Heads / a.Groups)
	qh, kh := q[t.q0*w+h*a.E:], t.k[lo*kw+g*a.E:]
	p = ws.F32(t.n * n)
	if t.n == 1 {
		kernel.DotRows(p, qh[:a.E], kh, kw)
		kernel.Scale(p, a.Scale)
	} else {
		tensor.Gemm(nil, ws, t.n, n, a.E, a.Scale, qh, w, 1, kh, 1, kw, 0, p, n)
	}
	for i := range t.n {
		row := p[i*n : (i+1)*n]
		from, to := a.span(t.pos0 + i)
		seen := row[from-lo : to-lo]
		if a.Softcap > 0 {
			for j, s := range seen {
				seen[j] = a.Softcap * tanh(s/a.Softcap)
			}
		}
		kernel.SoftmaxInPlace(seen)
		clear(row[:from-lo])
		clear(row[to-lo:])
	}
	return p, lo, n
}

func tanh(x float32) float32 { return float32(math.Tanh(float64(x))) }

// Backward takes dout (T, H·E) and the forward pass's q, k, v, and writes dq, dk, dv. A call with KV caches has
// no backward pass.
func (a *Attention) Backward(c *Call, dq, dk, dv, dout, q, k, v []float32) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	kw := a.Groups * a.E
	clear(dk)
	clear(dv)
	seqs := a.sequences(c, k, v)
	for i, s := range c.Segs {
		seqs[i].dk, seqs[i].dv = dk[s.Start*kw:s.End*kw], dv[s.Start*kw:s.End*kw]
		if s.Continues > 0 { // its own copy, so that sequences do not add to the shared rows at once
			seqs[i].dk, seqs[i].dv = c.WS.Zeros(len(seqs[i].k)), c.WS.Zeros(len(seqs[i].v))
		}
	}
	rep := a.Heads / a.Groups
	c.Pool.Run(len(seqs)*a.Groups, func(i, worker int) {
		s, g := seqs[i/a.Groups], i%a.Groups
		// Key and value gradients of a group add up over its heads and query blocks in this order.
		for h := g * rep; h < (g+1)*rep; h++ {
			for lo := 0; lo < s.n; lo += queryBlock {
				a.backwardBlock(c.Scratch[worker], dq, s.dk, s.dv, dout, q, s.block(lo), h)
			}
		}
	})
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

// backwardBlock writes the query gradients of one block and head and adds to its sequence's key and value
// gradients. With P the probabilities and dP = dO·Vᵀ: dS = P∘(dP − rowsum(P∘dP)), dQ = scale·dS·K,
// dK += scale·dSᵀ·Q, dV += Pᵀ·dO.
func (a *Attention) backwardBlock(ws *tensor.Workspace, dq, dk, dv, dout, q []float32, t sequence, h int) {
	mark := ws.Mark()
	defer ws.Release(mark)
	w, kw := a.Heads*a.E, a.Groups*a.E
	g := h / (a.Heads / a.Groups)
	p, lo, n := a.probabilities(ws, q, t, h)
	off, koff := t.q0*w+h*a.E, lo*kw+g*a.E
	do := dout[off:]
	dp := ws.F32(t.n * n)
	tensor.Gemm(nil, ws, t.n, n, a.E, 1, do, w, 1, t.v[koff:], 1, kw, 0, dp, n)
	tensor.Gemm(nil, ws, n, a.E, t.n, 1, p, 1, n, do, w, 1, 1, dv[koff:], kw)
	var cap []float32
	if a.Softcap > 0 {
		cap = a.cappedScores(ws, q, t, h, lo, n)
	}
	for i := range t.n {
		pr, dr := p[i*n:(i+1)*n], dp[i*n:(i+1)*n]
		dot := kernel.Dot(pr, dr)
		for j, pv := range pr {
			dr[j] = pv * (dr[j] - dot)
		}
		if cap != nil {
			for j, s := range cap[i*n : (i+1)*n] {
				dr[j] *= 1 - s*s
			}
		}
	}
	tensor.Gemm(nil, ws, t.n, a.E, n, a.Scale, dp, n, 1, t.k[koff:], kw, 1, 0, dq[off:], w)
	tensor.Gemm(nil, ws, n, a.E, t.n, a.Scale, dp, 1, n, q[off:], w, 1, 1, dk[koff:], kw)
}

// cappedScores returns tanh(score/Softcap) of a block, whose square gives the cap's derivative.
func (a *Attention) cappedScores(ws *tensor.Workspace, q []float32, t sequence, h, lo, n int) []float32 {
	w, kw := a.Heads*a.E, a.Groups*a.E
	g := h / (a.Heads / a.Groups)
	s := ws.F32(t.n * n)
	tensor.Gemm(nil, ws, t.n, n, a.E, a.Scale, q[t.q0*w+h*a.E:], w, 1, t.k[lo*kw+g*a.E:], 1, kw, 0, s, n)
	for i, x := range s {
		s[i] = tanh(x / a.Softcap)
	}
	return s
}
