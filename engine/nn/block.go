package nn

import (
	"hone/engine/kernel"
)

// SelfAttention projects to queries, keys and values, attends, and projects back.
type SelfAttention struct {
	Attention
	Q, K, V *Linear // nil where QKV is set
	QKV     *Linear // the three as one product (Phi-3): rows of Q, then K, then V
	O       *Linear
	QNorm   *RMSNorm // nil: none; over a head (Qwen3, Gemma 3) or over all heads (OLMo 2), by its length
	KNorm   *RMSNorm
	Rope    *Rope // nil: no positions (SmolLM3's NoPE layers)
}

// attnSaved is what the backward pass needs of one forward pass.
type attnSaved struct {
	uq, uk, uv, uo []float32 // adapters' inner activations
	qraw, kraw     []float32 // before QNorm and KNorm, where these exist
	q, k, v        []float32 // as attention read them
	out            []float32 // attention's output, O's input
	lse            []float32 // of its softmax, (H, T); nil where no backward pass follows
}

// Forward writes y (T, D) for x (T, D).
func (m *SelfAttention) Forward(c *Call, y, x []float32) (s attnSaved) {
	qw, kw := m.Heads*m.E, m.Groups*m.E
	s.q, s.k, s.v = c.activations(c.T*qw), c.activations(c.T*kw), c.activations(c.T*kw)
	if m.QKV != nil {
		s.uq = m.QKV.Inner(c)
		m.splitForward(c, x, &s)
	} else {
		s.uq, s.uk, s.uv = m.Q.Inner(c), m.K.Inner(c), m.V.Inner(c)
		c.project(x, projection{m.Q, s.q, s.uq}, projection{m.K, s.k, s.uk}, projection{m.V, s.v, s.uv})
	}
	if m.QNorm != nil {
		s.qraw, s.kraw = s.q, s.k
		s.q, s.k = c.activations(c.T*qw), c.activations(c.T*kw)
		m.QNorm.Forward(c, s.q, s.qraw)
		m.KNorm.Forward(c, s.k, s.kraw)
	}
	if m.Rope != nil {
		m.Rope.Apply(c, s.q, m.Heads, m.E, false)
		m.Rope.Apply(c, s.k, m.Groups, m.E, false)
	}
	s.out = c.activations(c.T * qw)
	if c.Keep() {
		s.lse = c.Saved.F32(c.T * m.Heads) // not among those that may be rounded
	}
	m.Attention.Forward(c, s.out, s.lse, s.q, s.k, s.v)
	s.uo = m.O.Inner(c)
	m.O.Forward(c, y, s.out, s.uo)
	return s
}

// splitForward runs the joint projection and deals its columns out to q, k and v.
func (m *SelfAttention) splitForward(c *Call, x []float32, s *attnSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	qw, kw := m.Heads*m.E, m.Groups*m.E
	n := qw + 2*kw
	all := c.WS.F32(c.T * n)
	m.QKV.Forward(c, all, x, s.uq)
	c.rows(c.T, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			row := all[t*n : (t+1)*n]
			copy(s.q[t*qw:(t+1)*qw], row)
			copy(s.k[t*kw:(t+1)*kw], row[qw:])
			copy(s.v[t*kw:(t+1)*kw], row[qw+kw:])
		}
	})
}

// Backward takes dy (T, D) and the forward pass's x and s, and writes dx (T, D).
func (m *SelfAttention) Backward(c *Call, dx, dy, x []float32, s attnSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	qw, kw := m.Heads*m.E, m.Groups*m.E
	dout := c.WS.F32(c.T * qw)
	m.O.Backward(c, dout, dy, s.out, s.uo, false)
	dq, dk, dv := c.WS.F32(c.T*qw), c.WS.F32(c.T*kw), c.WS.F32(c.T*kw)
	m.Attention.Backward(c, dq, dk, dv, dout, s.out, s.lse, s.q, s.k, s.v)
	if m.Rope != nil {
		m.Rope.Apply(c, dq, m.Heads, m.E, true)
		m.Rope.Apply(c, dk, m.Groups, m.E, true)
	}
	if m.QNorm != nil {
		m.QNorm.Backward(c, dq, dq, s.qraw, false)
		m.KNorm.Backward(c, dk, dk, s.kraw, false)
	}
	if m.QKV == nil {
		m.Q.Backward(c, dx, dq, x, s.uq, false)
		m.K.Backward(c, dx, dk, x, s.uk, true)
		m.V.Backward(c, dx, dv, x, s.uv, true)
		return
	}
	n := qw + 2*kw
	all := c.WS.F32(c.T * n)
	c.rows(c.T, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			row := all[t*n : (t+1)*n]
			copy(row, dq[t*qw:(t+1)*qw])
			copy(row[qw:], dk[t*kw:(t+1)*kw])
			copy(row[qw+kw:], dv[t*kw:(t+1)*kw])
		}
	})
	m.QKV.Backward(c, dx, all, x, s.uq, false)
}

// Gate is the nonlinearity of a gated MLP.
type Gate uint8

// SiLU is Llama's gate (SwiGLU, Shazeer 2020, arXiv 2002.05202), GELUTanh Gemma's (GeGLU).
const (
	SiLU Gate = iota
	GELUTanh
)

// MLP is down(gate(x·G) ∘ (x·U)).
type MLP struct {
	Gate, Up *Linear // nil where GateUp is set
	GateUp   *Linear // the two as one product (Phi-3): rows of Gate, then Up
	Down     *Linear
	Act      Gate
}

// mlpSaved is what the backward pass needs of one forward pass.
type mlpSaved struct {
	ug, uu, ud []float32
	gate, up   []float32 // (T, F)
}

// width is F.
func (m *MLP) width() int { return m.Down.In() }

// Forward writes y (T, D) for x (T, D).
func (m *MLP) Forward(c *Call, y, x []float32) (s mlpSaved) {
	s = m.open(c, x)
	s.ud = m.Down.Inner(c)
	// The activation is scratch: the backward pass makes it again, which is cheaper than holding it.
	mark := c.WS.Mark()
	m.Down.Forward(c, y, m.activation(c, s), s.ud)
	c.WS.Release(mark)
	return s
}

// open computes gate and up.
func (m *MLP) open(c *Call, x []float32) (s mlpSaved) {
	f := m.width()
	s.gate, s.up = c.activations(c.T*f), c.activations(c.T*f)
	if m.GateUp != nil {
		s.ug = m.GateUp.Inner(c)
		m.splitForward(c, x, s)
	} else {
		s.ug, s.uu = m.Gate.Inner(c), m.Up.Inner(c)
		c.project(x, projection{m.Gate, s.gate, s.ug}, projection{m.Up, s.up, s.uu})
	}
	return s
}

// splitForward runs the joint product and deals its columns out to gate and up.
func (m *MLP) splitForward(c *Call, x []float32, s mlpSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	f := m.width()
	all := c.WS.F32(c.T * 2 * f)
	m.GateUp.Forward(c, all, x, s.ug)
	c.rows(c.T, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			copy(s.gate[t*f:(t+1)*f], all[2*t*f:])
			copy(s.up[t*f:(t+1)*f], all[(2*t+1)*f:])
		}
	})
}

// activation returns act(gate)∘up, (T, F), in the workspace.
func (m *MLP) activation(c *Call, s mlpSaved) []float32 {
	f := m.width()
	act := c.WS.F32(c.T * f)
	c.rows(c.T, func(lo, hi int) {
		a, g, u := act[lo*f:hi*f], s.gate[lo*f:hi*f], s.up[lo*f:hi*f]
		if m.Act == GELUTanh {
			kernel.GELUTanhMul(a, g, u)
		} else {
			kernel.SiLUMul(a, g, u)
		}
	})
	return act
}

// Backward takes dy (T, D) and the forward pass's x and s, and writes dx (T, D).
func (m *MLP) Backward(c *Call, dx, dy, x []float32, s mlpSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	f := m.width()
	dact := c.WS.F32(c.T * f)
	m.Down.Backward(c, dact, dy, m.activation(c, s), s.ud, false)
	dg, du := c.WS.F32(c.T*f), c.WS.F32(c.T*f)
	c.rows(c.T, func(lo, hi int) {
		a, b := lo*f, hi*f
		if m.Act == GELUTanh {
			kernel.GELUTanhMulBackward(dg[a:b], du[a:b], s.gate[a:b], s.up[a:b], dact[a:b])
		} else {
			kernel.SiLUMulBackward(dg[a:b], du[a:b], s.gate[a:b], s.up[a:b], dact[a:b])
		}
	})
	if m.GateUp == nil {
		m.Gate.Backward(c, dx, dg, x, s.ug, false)
		m.Up.Backward(c, dx, du, x, s.uu, true)
		return
	}
	all := c.WS.F32(c.T * 2 * f)
	c.rows(c.T, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			copy(all[2*t*f:(2*t+1)*f], dg[t*f:(t+1)*f])
			copy(all[(2*t+1)*f:(2*t+2)*f], du[t*f:(t+1)*f])
		}
	})
	m.GateUp.Backward(c, dx, all, x, s.ug, false)
}
