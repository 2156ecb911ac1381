package arch

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"hone/engine/nn"
	"hone/engine/tensor"
	"hone/engine/weights"
)

// Options says how to build a decoder.
type Options struct {
	Trainable bool         // every matrix becomes f32, so that its values can change
	Pool      *tensor.Pool // builds matrices in parallel; nil: one after the other
}

// Build makes the decoder of a config from a model's tensors. Every tensor must have its place and every place its
// tensor, in the right shape; errors name it.
func Build(c *Config, m *weights.Model, o Options) (*nn.Decoder, error) {
	f, ok := lookup(c.ModelType)
	if !ok {
		return nil, fmt.Errorf("config: model_type %q is not supported", c.ModelType)
	}
	b := &builder{Config: c, model: m, opts: o, dec: &nn.Decoder{EmbedScale: 1, LogitScale: 1, Pad: c.pad()}, used: map[string]bool{}}
	d := f.build(b)
	b.fill()
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs[:min(len(b.errs), 8)]...)
	}
	return d, b.unused()
}

// builder hands out a model's parts and collects what is wrong with them, so that a family's file reads as its
// architecture.
type builder struct {
	*Config
	model   *weights.Model
	opts    Options
	dec     *nn.Decoder
	used    map[string]bool
	errs    []error
	waiting []pending
}

// pending is a matrix whose values are still to be laid out.
type pending struct {
	p *nn.Param
	t weights.Tensor
}

func (b *builder) fail(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// unused refuses tensors that no part took, but for buffers that some exporters leave in.
func (b *builder) unused() error {
	var left []string
	for name := range b.model.Tensors {
		if b.used[name] || strings.HasSuffix(name, ".rotary_emb.inv_freq") || (name == "lm_head.weight" && b.dec.Head == b.dec.Embed) {
			continue
		}
		left = append(left, name)
	}
	if len(left) == 0 {
		return nil
	}
	sort.Strings(left)
	more := ""
	if len(left) > 4 {
		more = fmt.Sprintf(" and %d more", len(left)-4)
	}
	return fmt.Errorf("a %s model has no place for tensor %s%s", b.ModelType, strings.Join(left[:min(4, len(left))], ", "), more)
}

// take finds a tensor by name and checks its shape.
func (b *builder) take(name string, shape ...int) (weights.Tensor, bool) {
	t, err := b.model.Tensor(name)
	if err != nil {
		b.errs = append(b.errs, err)
		return t, false
	}
	b.used[name] = true
	if !sameShape(t.Shape, shape) {
		b.fail("tensor %s has shape %v, the config wants %v", name, t.Shape, shape)
		return t, false
	}
	return t, true
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// param registers p and gives it the next ID.
func (b *builder) param(p *nn.Param) *nn.Param {
	p.ID = len(b.dec.Params)
	b.dec.Params = append(b.dec.Params, p)
	return p
}

// matrix takes a weight matrix, which fill lays out.
func (b *builder) matrix(name string, rows, cols int) *nn.Param {
	p := &nn.Param{Name: name}
	if t, ok := b.take(name, rows, cols); ok {
		b.waiting = append(b.waiting, pending{p, t})
	}
	return b.param(p)
}

// fill lays out the matrices' values in their stored precision, in the order in which the layers read them, or as f32
// where they are to be trained.
func (b *builder) fill() {
	errs := make([]error, len(b.waiting))
	starts := make([]int, len(b.waiting)+1)
	for i, w := range b.waiting {
		starts[i+1] = starts[i]
		if !b.opts.Trainable {
			starts[i+1] += tensor.RoomFor(w.t.DType, w.t.Shape[0], w.t.Shape[1], w.t.Data)
		}
	}
	room := tensor.Room(starts[len(b.waiting)])
	b.opts.Pool.Run(len(b.waiting), func(i, _ int) {
		p, t := b.waiting[i].p, b.waiting[i].t
		if b.opts.Trainable {
			p.M = tensor.FromF32(t.Shape[0], t.Shape[1], weights.AsF32(t))
			return
		}
		if p.M, errs[i] = tensor.NewMatrixIn(room[starts[i]:starts[i+1]:starts[i+1]], t.DType, t.Shape[0], t.Shape[1], t.Data); errs[i] != nil {
			errs[i] = fmt.Errorf("tensor %s: %w", p.Name, errs[i])
		}
	})
	b.errs = append(b.errs, slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// vector takes a norm weight or bias as f32.
func (b *builder) vector(name string, n int) *nn.Param {
	p := &nn.Param{Name: name}
	if t, ok := b.take(name, n); ok {
		p.W = weights.AsF32(t)
	}
	return b.param(p)
}

// linear takes a module's weight and, where it has one, its bias.
func (b *builder) linear(name string, out, in int, bias bool) *nn.Linear {
	l := &nn.Linear{ID: len(b.dec.Linears), Name: name, W: b.matrix(name+".weight", out, in)}
	b.dec.Linears = append(b.dec.Linears, l)
	if bias {
		l.Bias = b.vector(name+".bias", out)
	}
	return l
}

// norm takes an RMSNorm's weight.
func (b *builder) norm(name string, n int, offset float32) *nn.RMSNorm {
	return &nn.RMSNorm{W: b.vector(name+".weight", n), Eps: float32(b.NormEps), Offset: offset}
}

// ropeFor makes the rotation of a layer kind.
func (b *builder) ropeFor(kind string) *nn.Rope {
	inv, err := b.rope(kind)
	if err != nil {
		b.errs = append(b.errs, err)
		return &nn.Rope{InvFreq: make([]float32, b.HeadDim/2)}
	}
	if b.RopeFreqs {
		if t, ok := b.take("rope_freqs.weight", len(inv)); ok {
			for i, f := range weights.AsF32(t) {
				inv[i] /= f
			}
		}
	}
	return &nn.Rope{InvFreq: inv}
}

// layer is the name of layer i's module.
func layer(i int, module string) string { return fmt.Sprintf("model.layers.%d.%s", i, module) }

// attention takes the four projections of layer i.
func (b *builder) attention(i int, bias, outBias bool, rope *nn.Rope) *nn.SelfAttention {
	h, g, e := b.Heads, b.KVHeads, b.HeadDim
	return &nn.SelfAttention{
		Attention: nn.Attention{Layer: i, Heads: h, Groups: g, E: e, Scale: float32(1 / math.Sqrt(float64(e)))},
		Q:         b.linear(layer(i, "self_attn.q_proj"), h*e, b.Hidden, bias),
		K:         b.linear(layer(i, "self_attn.k_proj"), g*e, b.Hidden, bias),
		V:         b.linear(layer(i, "self_attn.v_proj"), g*e, b.Hidden, bias),
		O:         b.linear(layer(i, "self_attn.o_proj"), b.Hidden, h*e, outBias),
		Rope:      rope,
	}
}

// mlp takes the three products of layer i.
func (b *builder) mlp(i int, bias bool) *nn.MLP {
	act, err := b.gate()
	if err != nil {
		b.errs = append(b.errs, err)
	}
	return &nn.MLP{
		Gate: b.linear(layer(i, "mlp.gate_proj"), b.Intermediate, b.Hidden, bias),
		Up:   b.linear(layer(i, "mlp.up_proj"), b.Intermediate, b.Hidden, bias),
		Down: b.linear(layer(i, "mlp.down_proj"), b.Hidden, b.Intermediate, bias),
		Act:  act,
	}
}

// decoder takes the embedding, then the layers that block makes, then the final norm and the head.
func (b *builder) decoder(tiedByDefault bool, normOffset float32, block func(i int) *nn.Block) *nn.Decoder {
	d := b.dec
	d.Embed = b.matrix("model.embed_tokens.weight", b.VocabSize, b.Hidden)
	for i := range b.Layers {
		d.Blocks = append(d.Blocks, block(i))
	}
	d.Norm = b.norm("model.norm", b.Hidden, normOffset)
	d.Head = d.Embed
	if !b.tied(tiedByDefault) {
		d.Head = b.matrix("lm_head.weight", b.VocabSize, b.Hidden)
	}
	return d
}

// preNorm is the block most families share: each sublayer reads a normalised residual stream.
func (b *builder) preNorm(i int, attn *nn.SelfAttention, mlp *nn.MLP) *nn.Block {
	return &nn.Block{
		PreAttn: b.norm(layer(i, "input_layernorm"), b.Hidden, 0), Attn: attn,
		PreMLP: b.norm(layer(i, "post_attention_layernorm"), b.Hidden, 0), MLP: mlp,
		Residual: 1,
	}
}
