package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"hone/engine/tensor"
)

// rig is a small model part with random weights for gradient checks.
type rig struct {
	t      *testing.T
	rng    *rand.Rand
	call   *Call
	params []*Param
	lins   []*Linear
}

// newRig makes a call of two sequences, of 5 and 3 rows.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, rng: rand.New(rand.NewPCG(1, 2))}
	p := tensor.NewPool(2)
	t.Cleanup(p.Close)
	r.call = &Call{Pool: p, WS: new(tensor.Workspace), Saved: new(tensor.Workspace), T: 8, Pos: []int32{0, 1, 2, 3, 4, 0, 1, 2}}
	for range 2 {
		r.call.Scratch = append(r.call.Scratch, new(tensor.Workspace))
	}
	r.call.Segs = []Segment{{Start: 0, End: 5, Row: 7}, {Start: 5, End: 8, Row: 9}}
	return r
}

func (r *rig) random(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.rng.NormFloat64()) * 0.4
	}
	return x
}

func (r *rig) vector(n int) *Param {
	p := &Param{ID: len(r.params), W: r.random(n)}
	r.params = append(r.params, p)
	return p
}

// linear makes a Linear whose matrix can be perturbed through Param.W, its row-major values.
func (r *rig) linear(out, in int, bias bool) *Linear {
	w := r.vector(out * in)
	w.M = tensor.FromF32(out, in, w.W)
	l := &Linear{ID: len(r.lins), W: w}
	if bias {
		l.Bias = r.vector(out)
	}
	r.lins = append(r.lins, l)
	return l
}

// adapt gives every linear an adapter and returns its parts as perturbable values.
func (r *rig) adapt(dropout float32) {
	a := &Adapter{LoRA: make([]*LoRA, len(r.lins))}
	for i, l := range r.lins {
		a.LoRA[i] = &LoRA{R: 2, Scale: 1.5, A: r.random(2 * l.In()), B: r.random(l.Out() * 2), Dropout: dropout}
	}
	for i := range r.call.Segs {
		r.call.Segs[i].Adapter = a
	}
	if dropout > 0 {
		r.call.Dropout = &Dropout{Seed: 3, Step: 4}
	}
}

// check compares the gradients that backward finds with central differences of Σ out∘probe.
func (r *rig) check(inputs [][]float32, forward func() []float32, backward func(dout []float32) [][]float32) {
	r.t.Helper()
	r.call.Grads = &Grads{P: make([][]float32, len(r.params)), LoRA: make([]LoRAGrad, len(r.lins))}
	type part struct {
		name string
		x, g []float32
		m    *Param
	}
	var parts []part
	for _, p := range r.params {
		r.call.Grads.P[p.ID] = make([]float32, len(p.W))
		parts = append(parts, part{"parameter", p.W, r.call.Grads.P[p.ID], p})
	}
	if a := r.call.Segs[0].Adapter; a != nil {
		for i, l := range a.LoRA {
			g := LoRAGrad{A: make([]float32, len(l.A)), B: make([]float32, len(l.B))}
			r.call.Grads.LoRA[i] = g
			parts = append(parts, part{"lora A", l.A, g.A, nil}, part{"lora B", l.B, g.B, nil})
		}
	}
	out := append([]float32(nil), forward()...)
	probe := r.random(len(out))
	for i, g := range backward(append([]float32(nil), probe...)) {
		parts = append(parts, part{"input", inputs[i], append([]float32(nil), g...), nil})
	}
	value := func() (s float64) {
		r.call.WS.Release(tensor.Mark{})
		r.call.Saved.Release(tensor.Mark{})
		for i, o := range forward() {
			s += float64(o) * float64(probe[i])
		}
		return s
	}
	for n, p := range parts {
		scale := 0.0
		for _, g := range p.g {
			scale = math.Max(scale, math.Abs(float64(g)))
		}
		if scale == 0 {
			r.t.Errorf("%s %d: the gradient is all zero", p.name, n)
		}
		for i := 0; i < len(p.x); i += 1 + len(p.x)/40 {
			const eps = 2e-3
			at := p.x[i]
			set := func(v float32) {
				p.x[i] = v
				if p.m != nil && p.m.M != nil {
					p.m.M.SetF32(p.x)
				}
			}
			set(at + eps)
			up := value()
			set(at - eps)
			down := value()
			set(at)
			if want := (up - down) / (2 * eps); math.Abs(want-float64(p.g[i])) > 5e-3*math.Max(scale, 1) {
				r.t.Errorf("%s %d element %d: gradient %.5f, difference quotient %.5f", p.name, n, i, p.g[i], want)
				break
			}
		}
	}
}

func TestLinearGradient(t *testing.T) {
	for _, dropout := range []float32{0, 0.3} {
		r := newRig(t)
		l := r.linear(7, 6, true)
		r.adapt(dropout)
		x := r.random(8 * 6)
		var u []float32
		r.check([][]float32{x}, func() []float32 {
			y := make([]float32, 8*7)
			u = l.Inner(r.call)
			l.Forward(r.call, y, x, u)
			return y
		}, func(dy []float32) [][]float32 {
			dx := make([]float32, len(x))
			l.Backward(r.call, dx, dy, x, u, false)
			return [][]float32{dx}
		})
	}
}

func TestRMSNormGradient(t *testing.T) {
	for _, offset := range []float32{0, 1} {
		r := newRig(t)
		m := &RMSNorm{W: r.vector(6), Eps: 1e-5, Offset: offset}
		x := r.random(8 * 6)
		r.check([][]float32{x}, func() []float32 {
			y := make([]float32, len(x))
			m.Forward(r.call, y, x)
			return y
		}, func(dy []float32) [][]float32 {
			dx := make([]float32, len(x))
			m.Backward(r.call, dx, dy, x, false)
			return [][]float32{dx}
		})
	}
}

func TestRopeGradient(t *testing.T) {
	r := newRig(t)
	rope := &Rope{InvFreq: []float32{1, 0.3}} // of 6 elements, 4 rotate
	x := r.random(8 * 2 * 6)
	r.check([][]float32{x}, func() []float32 {
		y := append([]float32(nil), x...)
		rope.Apply(r.call, y, 2, 6, false)
		return y
	}, func(dy []float32) [][]float32 {
		rope.Apply(r.call, dy, 2, 6, true)
		return [][]float32{dy}
	})
}

func TestAttentionGradient(t *testing.T) {
	for _, a := range []Attention{
		{Heads: 4, Groups: 2, E: 6, Scale: 0.4},
		{Heads: 4, Groups: 1, E: 6, Scale: 0.4, Window: 2},
		{Heads: 2, Groups: 2, E: 6, Scale: 1, Softcap: 1.5},
	} {
		r := newRig(t)
		if a.Window == 0 { // the second sequence continues the first
			r.call.Segs[1].Continues = 1
		}
		q, k, v := r.random(8*a.Heads*a.E), r.random(8*a.Groups*a.E), r.random(8*a.Groups*a.E)
		out, lse := make([]float32, len(q)), make([]float32, 8*a.Heads)
		r.check([][]float32{q, k, v}, func() []float32 {
			a.Forward(r.call, out, lse, q, k, v)
			return out
		}, func(dout []float32) [][]float32 {
			dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
			a.Forward(r.call, out, lse, q, k, v)
			a.Backward(r.call, dq, dk, dv, dout, out, lse, q, k, v)
			return [][]float32{dq, dk, dv}
		})
	}
}

func TestMLPGradient(t *testing.T) {
	for name, m := range map[string]func(r *rig) *MLP{
		"silu": func(r *rig) *MLP {
			return &MLP{Gate: r.linear(10, 6, true), Up: r.linear(10, 6, false), Down: r.linear(6, 10, true)}
		},
		"gelu": func(r *rig) *MLP {
			return &MLP{Gate: r.linear(10, 6, false), Up: r.linear(10, 6, false), Down: r.linear(6, 10, false), Act: GELUTanh}
		},
		"joint": func(r *rig) *MLP { return &MLP{GateUp: r.linear(20, 6, false), Down: r.linear(6, 10, false)} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			mlp := m(r)
			r.adapt(0)
			x := r.random(8 * 6)
			var s mlpSaved
			r.check([][]float32{x}, func() []float32 {
				y := make([]float32, len(x))
				s = mlp.Forward(r.call, y, x)
				return y
			}, func(dy []float32) [][]float32 {
				dx := make([]float32, len(x))
				mlp.Backward(r.call, dx, dy, x, s)
				return [][]float32{dx}
			})
		})
	}
}

func TestBlockGradient(t *testing.T) {
	const d, e = 8, 4
	rope := func() *Rope { return &Rope{InvFreq: []float32{1, 0.2}} }
	shape := Attention{Heads: 2, Groups: 1, E: e, Scale: 0.5}
	split := func(r *rig) *SelfAttention {
		return &SelfAttention{Attention: shape, Q: r.linear(2*e, d, false), K: r.linear(e, d, false), V: r.linear(e, d, false), O: r.linear(d, 2*e, false), Rope: rope()}
	}
	mlp := func(r *rig) *MLP {
		return &MLP{Gate: r.linear(10, d, false), Up: r.linear(10, d, false), Down: r.linear(d, 10, false)}
	}
	norm := func(r *rig, n int) *RMSNorm { return &RMSNorm{W: r.vector(n), Eps: 1e-5, Offset: 1} }
	for name, make1 := range map[string]func(r *rig) *Block{
		"pre-norm": func(r *rig) *Block {
			return &Block{PreAttn: norm(r, d), Attn: split(r), PreMLP: norm(r, d), MLP: mlp(r), Residual: 0.6}
		},
		"post-norm, joint queries and keys": func(r *rig) *Block {
			a := split(r)
			a.QNorm, a.KNorm = norm(r, 2*e), norm(r, e)
			return &Block{Attn: a, PostAttn: norm(r, d), MLP: mlp(r), PostMLP: norm(r, d), Residual: 1}
		},
		"sandwich, heads normalised": func(r *rig) *Block {
			a := split(r)
			a.QNorm, a.KNorm = norm(r, e), norm(r, e)
			return &Block{PreAttn: norm(r, d), Attn: a, PostAttn: norm(r, d), PreMLP: norm(r, d), MLP: mlp(r), PostMLP: norm(r, d), Residual: 1}
		},
		"joint projection": func(r *rig) *Block {
			a := &SelfAttention{Attention: shape, QKV: r.linear(4*e, d, false), O: r.linear(d, 2*e, false)}
			return &Block{PreAttn: norm(r, d), Attn: a, PreMLP: norm(r, d), MLP: mlp(r), Residual: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := make1(r)
			r.adapt(0.2)
			x := r.random(8 * d)
			var s blockSaved
			out := make([]float32, len(x))
			r.check([][]float32{x}, func() []float32 {
				s = b.Forward(r.call, out, x)
				return out
			}, func(dy []float32) [][]float32 {
				b.Backward(r.call, dy, s)
				return [][]float32{dy}
			})
		})
	}
}
