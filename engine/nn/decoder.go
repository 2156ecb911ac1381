package nn

import "hone/engine/kernel"

// Block is one decoder layer: attention and MLP, each added to the residual stream. A family normalises a
// sublayer's input (Llama), its output (OLMo 2) or both (Gemma); a norm that is nil is not there.
type Block struct {
	PreAttn, PostAttn *RMSNorm
	Attn              *SelfAttention
	PreMLP, PostMLP   *RMSNorm
	MLP               *MLP
	Residual          float32 // factor of what a sublayer adds; 1 but for Granite
}

// blockSaved is what the backward pass needs of one forward pass.
type blockSaved struct {
	x, mid []float32 // inputs of the two sublayers, (T, D)
	ya, ym []float32 // their outputs before a post-norm, where there is one
	attn   attnSaved
	mlp    mlpSaved
}

// Forward writes the residual stream after the layer to out, which may be x, (T, D).
func (b *Block) Forward(c *Call, out, x []float32) (s blockSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	in := b.attend(c, x, &s)
	y := c.orScratch(s.ym, len(x))
	s.mlp = b.MLP.Forward(c, y, in)
	b.join(c, out, s.mid, y, b.PostMLP)
	return s
}

// Again returns what Forward saved of x. Where that includes nothing of the MLP's output, the down projection, whose
// inner activations are given, is left out.
func (b *Block) Again(c *Call, x, down []float32) (s blockSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	in := b.attend(c, x, &s)
	if s.ym != nil {
		s.mlp = b.MLP.Forward(c, s.ym, in)
	} else {
		s.mlp = b.MLP.open(c, in)
		s.mlp.ud = down
	}
	return s
}

// attend runs the layer up to its MLP, whose input it returns, in scratch.
func (b *Block) attend(c *Call, x []float32, s *blockSaved) []float32 {
	s.x, s.mid = x, c.activations(len(x))
	if b.PostAttn != nil {
		s.ya = c.activations(len(x))
	}
	if b.PostMLP != nil {
		s.ym = c.activations(len(x))
	}
	in, y := c.normed(b.PreAttn, x), c.orScratch(s.ya, len(x))
	s.attn = b.Attn.Forward(c, y, in)
	b.join(c, s.mid, x, y, b.PostAttn)
	return c.normed(b.PreMLP, s.mid)
}

// Backward turns the gradient of the layer's output into that of its input, in place: d is (T, D).
func (b *Block) Backward(c *Call, d []float32, s blockSaved) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	din := c.WS.F32(len(d))

	dy := b.unjoin(c, d, s.ym, b.PostMLP)
	b.MLP.Backward(c, din, dy, c.normed(b.PreMLP, s.mid), s.mlp)
	c.unnormed(d, din, s.mid, b.PreMLP)

	dy = b.unjoin(c, d, s.ya, b.PostAttn)
	b.Attn.Backward(c, din, dy, c.normed(b.PreAttn, s.x), s.attn)
	c.unnormed(d, din, s.x, b.PreAttn)
}

// normed returns norm(x) in scratch, or x itself where there is no norm.
func (c *Call) normed(m *RMSNorm, x []float32) []float32 {
	if m == nil {
		return x
	}
	y := c.WS.F32(len(x))
	m.Forward(c, y, x)
	return y
}

// unnormed adds to d the gradient of x for the gradient din of norm(x).
func (c *Call) unnormed(d, din, x []float32, m *RMSNorm) {
	if m == nil {
		kernel.Add(d, din)
		return
	}
	m.Backward(c, d, din, x, true)
}

// orScratch returns s, or n elements of scratch where it is nil.
func (c *Call) orScratch(s []float32, n int) []float32 {
	if s != nil {
		return s
	}
	return c.WS.F32(n)
}

// join writes out = x + Residual·norm(y).
func (b *Block) join(c *Call, out, x, y []float32, m *RMSNorm) {
	mark := c.WS.Mark()
	defer c.WS.Release(mark)
	y = c.normed(m, y)
	d := len(x) / c.T
	c.rows(c.T, func(lo, hi int) {
		copy(out[lo*d:hi*d], x[lo*d:hi*d])
		kernel.Axpy(out[lo*d:hi*d], b.Residual, y[lo*d:hi*d])
	})
}

// unjoin returns the gradient of a sublayer's output y for the gradient d of the sum: d itself, or in scratch.
func (b *Block) unjoin(c *Call, d, y []float32, m *RMSNorm) []float32 {
	if b.Residual == 1 && m == nil {
		return d
	}
	dy, n := c.WS.F32(len(d)), len(d)/c.T
	c.rows(c.T, func(lo, hi int) {
		copy(dy[lo*n:hi*n], d[lo*n:hi*n])
		if b.Residual != 1 {
			kernel.Scale(dy[lo*n:hi*n], b.Residual)
		}
	})
	if m != nil {
		m.Backward(c, dy, dy, y, false)
	}
	return dy
}

// Decoder is a whole model: embedding, layers, final norm, and the head's weight.
type Decoder struct {
	Embed      *Param  // (V, D)
	EmbedScale float32 // factor of an embedding
	Pad        int32   // id whose embedding gets no gradient from where it is read; -1: none
	Blocks     []*Block
	Norm       *RMSNorm
	Head       *Param  // (V, D); the same as Embed where they are tied
	LogitScale float32 // factor of the logits; 1 but for Granite
	LogitCap   float32 // logits become LogitCap·tanh(logit/LogitCap); 0: off

	Params  []*Param  // every tensor, by ID
	Linears []*Linear // every adaptable module, by ID
}

// Vocab is V.
func (d *Decoder) Vocab() int { return d.Embed.M.Rows }

// Hidden is D.
func (d *Decoder) Hidden() int { return d.Embed.M.Cols }

// Pass is what a backward pass needs of a forward pass. It lives as long as the call's next one.
type Pass struct {
	ids    []int32
	blocks []savedBlock
	last   []float32 // input of the final norm
}

// Forward returns the normalised last hidden states, (T, D), among the saved activations, for the tokens ids (T).
// Where no backward pass follows, the rest of the saved activations is given back.
func (d *Decoder) Forward(c *Call, ids []int32) (h []float32, p Pass) {
	h = c.Saved.F32(c.T * d.Hidden())
	x := c.Saved.F32(len(h))
	d.embed(c, x, ids)
	c.trace(-1, x)
	p.ids = ids
	c.blocks = c.blocks[:0]
	var spare []float32
	if c.Keep() && c.Memory == MemoryBalanced {
		spare = c.Saved.F32(len(h))
	}
	for i, b := range d.Blocks {
		x, spare = c.forward(b, x, spare), x
		if i < len(d.Blocks)-1 {
			c.trace(i, x)
		}
	}
	p.blocks, p.last = c.blocks, x
	d.Norm.Forward(c, h, x)
	c.trace(len(d.Blocks)-1, h)
	return h, p
}

func (c *Call) trace(layer int, x []float32) {
	if c.Trace != nil {
		c.Trace(layer, x)
	}
}

// embed writes the tokens' embeddings to x (T, D).
func (d *Decoder) embed(c *Call, x []float32, ids []int32) {
	d.Embed.M.RowsOf(c.WS, ids, x)
	if d.EmbedScale != 1 {
		kernel.Scale(x, d.EmbedScale)
	}
}

// Backward accumulates the gradients of what trains for dh, the gradient of Forward's h, which it overwrites.
func (d *Decoder) Backward(c *Call, dh []float32, p Pass) {
	d.Norm.Backward(c, dh, dh, p.last, false)
	for i := len(d.Blocks) - 1; i >= 0; i-- {
		c.backward(d.Blocks[i], dh, &p.blocks[i])
	}
	g := c.Grads.of(d.Embed)
	if g == nil {
		return
	}
	n := d.Hidden()
	for t, id := range p.ids {
		if id == d.Pad {
			continue
		}
		kernel.Axpy(g[int(id)*n:(int(id)+1)*n], d.EmbedScale, dh[t*n:(t+1)*n])
	}
}
