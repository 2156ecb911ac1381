// Package engine trains and samples decoder-only language models on the CPU. Its verbs take token ids, weights
// and masks, never text. A Base is immutable and shared; a Trainer or a Stream holds what changes.
package engine

import (
	"fmt"
	"sync"

	"hone/engine/arch"
	"hone/engine/kernel"
	"hone/engine/nn"
	"hone/engine/tensor"
	"hone/engine/weights"
)

// LoadOptions says how to load a base.
type LoadOptions struct {
	Threads   int          // worker threads where Pool is nil; 0: one for each CPU
	Pool      *tensor.Pool // shared workers; nil: the base makes its own and closes them
	Trainable bool         // matrices become f32 copies, for full fine-tuning
	// Precision is that of the products in Decode, Score and the base's Evaluate; with Auto it is what
	// DecodingPrecision says of the weights.
	Precision tensor.Precision
	Auto      bool
}

// Base is a model's weights, shared by every training run and every stream that uses it. Its methods may be
// called from several goroutines.
type Base struct {
	cfg     *arch.Config
	model   *weights.Model
	dec     *nn.Decoder
	pool    *tensor.Pool
	ownPool bool
	train   bool
	prec    tensor.Precision

	mu   sync.Mutex
	free []*nn.Call // calls with their arenas, for reuse
}

// Load builds the base of an opened model. The model must stay open as long as the base is used.
func Load(m *weights.Model, o LoadOptions) (*Base, error) {
	cfg, err := arch.ParseConfig(m.Config)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", m.Path, err)
	}
	b := &Base{cfg: cfg, model: m, pool: o.Pool, train: o.Trainable, prec: o.Precision}
	if o.Auto {
		b.prec = DecodingPrecision(mostly(m))
	}
	if b.pool == nil {
		b.pool, b.ownPool = tensor.NewPool(o.Threads), true
	}
	if b.dec, err = arch.Build(cfg, m, arch.Options{Trainable: o.Trainable, Pool: b.pool}); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("load %s: %w", m.Path, err)
	}
	m.Rest() // the matrices have values of their own
	return b, nil
}

// mostly is the element type that most bytes of a model's weights have.
func mostly(m *weights.Model) (most tensor.DType) {
	bytes := map[tensor.DType]int{}
	for _, t := range m.Tensors {
		bytes[t.DType] += len(t.Data)
	}
	for d, n := range bytes {
		if n > bytes[most] || (n == bytes[most] && d < most) {
			most = d
		}
	}
	return most
}

// Precision is that of the base's products.
func (b *Base) Precision() tensor.Precision { return b.prec }

// Close ends the base's worker threads, where it made them.
func (b *Base) Close() error {
	if b.ownPool {
		b.pool.Close()
	}
	return nil
}

// Config is the model's configuration. It must not be changed.
func (b *Base) Config() *arch.Config { return b.cfg }

// SHA256 is the hash of the weights' bytes, in hex, computed on first use.
func (b *Base) SHA256() (string, error) { return b.model.SHA256() }

// Threads is how many threads a pass uses.
func (b *Base) Threads() int { return b.pool.Threads() }

// Level names the kernels in use, as kernel.Level does. Bits depend on it.
func (b *Base) Level() string { return kernel.Level() }

// Bytes is what the matrices take in memory.
func (b *Base) Bytes() (n int) {
	for _, p := range b.dec.Params {
		if p.M != nil {
			n += p.M.Bytes()
		}
	}
	return n
}

// Params is the number of the model's parameters.
func (b *Base) Params() (n int) {
	for _, p := range b.dec.Params {
		n += p.Size()
	}
	return n
}

// Module is a linear layer that an adapter can change.
type Module struct {
	Name    string // as model.layers.0.self_attn.q_proj
	In, Out int
}

// Modules lists the adaptable layers. The output head is not among them.
func (b *Base) Modules() []Module {
	ms := make([]Module, len(b.dec.Linears))
	for i, l := range b.dec.Linears {
		ms[i] = Module{l.Name, l.In(), l.Out()}
	}
	return ms
}

// TokenError reports a token id outside the vocabulary.
type TokenError struct {
	ID    int32
	Index int // where in the sequence
	Vocab int
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("token id %d at position %d is outside the vocabulary of %d", e.ID, e.Index, e.Vocab)
}

// LengthError reports a sequence that the model has no positions for.
type LengthError struct{ Tokens, Max int }

func (e *LengthError) Error() string {
	return fmt.Sprintf("%d tokens are more than the model's %d positions", e.Tokens, e.Max)
}

// check refuses a sequence that the model cannot read.
func (b *Base) check(ids []int32) error {
	if len(ids) > b.cfg.MaxPositions {
		return &LengthError{len(ids), b.cfg.MaxPositions}
	}
	for i, id := range ids {
		if id < 0 || int(id) >= b.cfg.VocabSize {
			return &TokenError{id, i, b.cfg.VocabSize}
		}
	}
	return nil
}

// begin takes a call for rows rows. end gives it back.
func (b *Base) begin(rows int) *nn.Call {
	b.mu.Lock()
	var c *nn.Call
	if n := len(b.free); n > 0 {
		c, b.free = b.free[n-1], b.free[:n-1]
	}
	b.mu.Unlock()
	if c == nil {
		c = &nn.Call{Pool: b.pool, WS: new(tensor.Workspace), Saved: new(tensor.Workspace)}
		for range b.pool.Threads() {
			c.Scratch = append(c.Scratch, new(tensor.Workspace))
		}
	}
	c.T = rows
	c.Pos, c.Segs = c.Pos[:0], c.Segs[:0]
	c.Grads, c.Dropout, c.Trace, c.Memory = nil, nil, nil, nn.MemoryFast
	c.Forward, c.Backward = b.prec, b.prec
	return c
}

func (b *Base) end(c *nn.Call) {
	c.WS.Release(tensor.Mark{})
	c.Saved.Release(tensor.Mark{})
	clear(c.Segs)
	b.mu.Lock()
	b.free = append(b.free, c)
	b.mu.Unlock()
}

// addSegment appends a sequence's rows to the call, at positions from pos on.
func addSegment(c *nn.Call, rows, pos int, s nn.Segment) {
	s.Start = len(c.Pos)
	s.End = s.Start + rows
	for i := range rows {
		c.Pos = append(c.Pos, int32(pos+i)) //nolint:gosec // bounded by MaxPositions
	}
	c.Segs = append(c.Segs, s)
}
