// Package nn holds the layers of a decoder-only transformer: Linear with adapters, RMSNorm, rotary positions,
// attention with grouped heads, and the gated MLP. Each has a Forward and a Backward written by hand; there is
// no graph. Weights are immutable; activations live in the workspace of a Call; adapters come with the rows.
//
// Shapes in comments: T rows (tokens) of a call, D hidden size, H query heads, G key/value heads, E head size,
// F intermediate size, r rank. Every array is row-major.
package nn

import "hone/engine/tensor"

// rowBlock is how many rows one task of an elementwise operation takes.
const rowBlock = 16

// Call is what one pass over a model needs besides its weights. A Call serves one pass at a time.
type Call struct {
	Pool    *tensor.Pool
	WS      *tensor.Workspace   // scratch, given back before a layer returns
	Saved   *tensor.Workspace   // activations that the backward pass reads
	Scratch []*tensor.Workspace // one for each worker of Pool
	T       int                 // rows
	Pos     []int32             // position of each row in its own sequence, (T)
	Segs    []Segment           // consecutive row ranges that cover 0..T-1
	Grads   *Grads              // where Backward accumulates; nil: no backward pass follows
	Dropout *Dropout            // nil: none

	// Forward and Backward are the precisions of the products with weights and adapters. Below f32, attention
	// multiplies bfloat16 where a backward pass follows, and keeps half floats in caches. Sums, softmax, norms and
	// losses are f32 always.
	Forward, Backward tensor.Precision

	// Memory is how activations wait for Backward.
	Memory Memory

	// Trace, where set, sees the residual stream: layer -1 is the embedding, then each layer's output,
	// the last one after the final norm. For tests.
	Trace func(layer int, x []float32)

	// Lists of the pass under way, reused.
	blocks    []savedBlock
	wide      [][]float32
	layer     tensor.Workspace // activations of the layer under way at MemoryBalanced
	seqs      []sequence
	attend    []attendTask
	grads     []gradTask
	blockList [][]float32          // the packed keys and values of sequences without a cache
	masks     [][queryBlock]uint64 // by worker

	products    []tensor.Product
	projections []tensor.Projection
	addends     []tensor.Addend
	frozen      []group
}

// Segment is one sequence's rows [Start, End) in a call. Rows attend to earlier rows of their own segment, to
// those of the segment it continues, and to what is in its KV cache.
type Segment struct {
	Start, End int
	Adapter    *Adapter // nil: the base alone
	KV         *KV      // nil: attend within the call
	Row        int64    // dataset row, keys dropout
	Continues  int      // 1 + index of an earlier segment whose rows come first, such as a shared prompt; 0: none
}

// Keep reports whether a backward pass follows, which needs the activations.
func (c *Call) Keep() bool { return c.Grads != nil }

// rows runs f over the rows 0..n-1 in blocks, in parallel. f must not depend on the blocks' borders.
func (c *Call) rows(n int, f func(lo, hi int)) {
	c.Pool.Run((n+rowBlock-1)/rowBlock, func(task, _ int) {
		f(task*rowBlock, min(n, (task+1)*rowBlock))
	})
}

// Param is one named tensor of a model: a vector (W) or a matrix (M).
type Param struct {
	ID   int    // index in Grads.P
	Name string // Hugging Face name, as model.layers.0.self_attn.q_proj.weight
	W    []float32
	M    *tensor.Matrix
}

// Size is the number of elements.
func (p *Param) Size() int {
	if p.M != nil {
		return p.M.Rows * p.M.Cols
	}
	return len(p.W)
}

// Grads is where backward passes add up. A nil entry is a frozen tensor: its gradient is not computed.
type Grads struct {
	P    [][]float32 // by Param.ID, row-major like the parameter
	LoRA []LoRAGrad  // by Linear.ID
}

// LoRAGrad has the shapes of LoRA.A (r, in) and LoRA.B (out, r).
type LoRAGrad struct{ A, B []float32 }

// of returns the gradient buffer of p, nil where frozen.
func (g *Grads) of(p *Param) []float32 {
	if p == nil || g == nil || g.P == nil {
		return nil
	}
	return g.P[p.ID]
}
