package nn

import "hone/engine/kernel"

// Memory says how the activations of a forward pass wait for its backward pass.
type Memory uint8

const (
	// MemoryFast keeps them as they were computed, in f32.
	MemoryFast Memory = iota
	// MemoryBalanced keeps them rounded to bfloat16. The forward pass is that of MemoryFast; gradients differ by what
	// was rounded away.
	MemoryBalanced
	// MemoryLow keeps the input of every layer and computes the rest again in the backward pass (Chen et al. 2016,
	// arXiv 1604.06174). All bits are those of MemoryFast.
	MemoryLow
)

// String is the setting's name: "fast", "balanced" or "low".
func (m Memory) String() string {
	return [...]string{"fast", "balanced", "low"}[m]
}

// savedBlock is what waits of one layer's forward pass. Which of its slices hold their values while they wait, the
// call's Memory says: all, none until half is widened into them, or x and the inner activations of Down alone.
type savedBlock struct {
	blockSaved
	half  []float32 // MemoryBalanced: the values of wide, in pairs of bfloat16
	again bool      // MemoryLow: the forward pass runs again
}

// wide appends to list the activations that may be rounded. They lie in the room of activations; what must not be
// rounded, a layer takes from Saved.
func (s *blockSaved) wide(list [][]float32) [][]float32 {
	for _, x := range [...][]float32{
		s.x, s.mid, s.ya, s.ym,
		s.attn.uq, s.attn.uk, s.attn.uv, s.attn.uo, s.attn.qraw, s.attn.kraw, s.attn.q, s.attn.k, s.attn.v, s.attn.out,
		s.mlp.ug, s.mlp.uu, s.mlp.ud, s.mlp.gate, s.mlp.up,
	} {
		if x != nil {
			list = append(list, x)
		}
	}
	return list
}

// activations returns room for n activations of the layer under way.
func (c *Call) activations(n int) []float32 {
	if c.Keep() && c.Memory == MemoryBalanced {
		return c.layer.F32(n) // the same for all layers
	}
	return c.Saved.F32(n)
}

// forward runs a layer and keeps what the backward pass needs. It returns the layer's output: spare, where every layer
// has the same room for its input and output in turn, or x, where nothing is kept.
func (c *Call) forward(b *Block, x, spare []float32) (out []float32) {
	if !c.Keep() {
		mark := c.Saved.Mark()
		b.Forward(c, x, x)
		c.Saved.Release(mark)
		return x
	}
	var s savedBlock
	switch c.Memory {
	case MemoryBalanced:
		out = spare
		mark := c.layer.Mark()
		s.blockSaved = b.Forward(c, out, x)
		s.half = c.narrow(&s.blockSaved)
		c.layer.Release(mark)
	case MemoryLow:
		out = c.Saved.F32(len(x))
		down := b.MLP.Down.Inner(c) // few, and the costliest to have again
		mark := c.Saved.Mark()
		copy(down, b.Forward(c, out, x).mlp.ud)
		c.Saved.Release(mark)
		s.again, s.x, s.mlp.ud = true, x, down
	default:
		out = c.Saved.F32(len(x))
		s.blockSaved = b.Forward(c, out, x)
	}
	c.blocks = append(c.blocks, s)
	return out
}

// backward runs a layer's backward pass on d, in place.
func (c *Call) backward(b *Block, d []float32, s *savedBlock) {
	switch {
	case s.again:
		mark := c.Saved.Mark()
		b.Backward(c, d, b.Again(c, s.x, s.mlp.ud))
		c.Saved.Release(mark)
		return
	case s.half != nil:
		c.widen(&s.blockSaved, s.half)
	}
	b.Backward(c, d, s.blockSaved)
}

// narrow returns the values of s.wide in bfloat16.
func (c *Call) narrow(s *blockSaved) []float32 {
	c.wide = s.wide(c.wide[:0])
	n := 0
	for _, x := range c.wide {
		n += (len(x) + 1) / 2
	}
	half := c.Saved.F32(n)
	c.eachPiece(half, kernel.NarrowBF16)
	return half
}

// widen puts the values of half back where they were.
func (c *Call) widen(s *blockSaved, half []float32) {
	c.wide = s.wide(c.wide[:0])
	c.eachPiece(half, func(half, x []float32) { kernel.WidenBF16(x, half) })
}

// savedPiece is how many values one task converts; an even number, so that a piece is whole pairs.
const savedPiece = 1 << 14

// eachPiece runs f in parallel over pieces of the activations in c.wide and their places in half.
func (c *Call) eachPiece(half []float32, f func(half, x []float32)) {
	pieces := 0
	for _, x := range c.wide {
		pieces += (len(x) + savedPiece - 1) / savedPiece
	}
	c.Pool.Run(pieces, func(task, _ int) {
		at := 0
		for _, x := range c.wide {
			n := (len(x) + savedPiece - 1) / savedPiece
			if task < n {
				x = x[task*savedPiece : min(len(x), (task+1)*savedPiece)]
				at += task * savedPiece / 2
				f(half[at:at+(len(x)+1)/2], x)
				return
			}
			task -= n
			at += (len(x) + 1) / 2
		}
	})
}
