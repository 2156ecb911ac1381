package nn

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"hone/engine/tensor"
)

// frozenRig is three Linears with the same input, of whole panels and not, with quantised weights and one bias, and
// adapters of many ranks: on all of them, or on some.
type frozenRig struct {
	*rig
	in       int
	lins     []*Linear
	adapters []*Adapter
}

func newFrozenRig(t *testing.T, prec tensor.Precision, in int) *frozenRig {
	r := &frozenRig{rig: newRig(t), in: in}
	for i, out := range []int{96, 70, 5} {
		data := make([]byte, 0, out*in/32*34)
		for range out * in / 32 {
			data = append(data, 0, 0x20) // 2^-7, a half float
			for range 32 {
				data = append(data, byte(r.rng.IntN(256)))
			}
		}
		m, err := tensor.NewMatrix(tensor.Q8_0, out, in, data)
		if err != nil {
			t.Fatal(err)
		}
		l := &Linear{ID: i, W: &Param{M: m}}
		if i == 1 {
			l.Bias = r.vector(out)
		}
		r.lins = append(r.lins, l)
	}
	for i, rank := range []int{4, 16, 17, 64, 1} {
		a := &Adapter{LoRA: make([]*LoRA, len(r.lins))}
		for j, l := range r.lins {
			if i%3 != 2 || j != i%2 {
				a.LoRA[j] = &LoRA{R: rank, Scale: 8 / float32(math.Sqrt(float64(rank))), A: r.random(rank * in), B: r.random(l.Out() * rank)}
			}
		}
		if i != 4 { // this one is not frozen
			a.Freeze(r.lins, prec)
		}
		r.adapters = append(r.adapters, a)
	}
	return r
}

// run projects rows of x, cut into segments, on so many threads.
func (r *frozenRig) run(prec tensor.Precision, threads int, x []float32, segs []Segment) (ys [][]float32) {
	p := tensor.NewPool(threads)
	defer p.Close()
	c := &Call{Pool: p, WS: new(tensor.Workspace), Saved: new(tensor.Workspace), T: len(x) / r.in, Segs: segs, Forward: prec}
	for range threads {
		c.Scratch = append(c.Scratch, new(tensor.Workspace))
	}
	var ps []projection
	for _, l := range r.lins {
		ys = append(ys, make([]float32, c.T*l.Out()))
		ps = append(ps, projection{l: l, y: ys[len(ys)-1]})
	}
	c.project(x, ps...)
	for i, l := range r.lins { // alone, a Linear gives the same
		y := make([]float32, len(ys[i]))
		l.Forward(c, y, x, nil)
		if !slices.Equal(y, ys[i]) {
			r.t.Errorf("%v: Linear %d alone differs from its projection beside others", prec, i)
		}
	}
	return ys
}

// segments are rows with these adapters, by index, −1 for none, and lengths.
func (r *frozenRig) segments(parts [][2]int) (segs []Segment, rows int) {
	for _, p := range parts {
		s := Segment{Start: rows, End: rows + p[1]}
		if p[0] >= 0 {
			s.Adapter = r.adapters[p[0]]
		}
		segs, rows = append(segs, s), s.End
	}
	return segs, rows
}

// A row gives the same bits whichever rows, adapters and threads are beside it, and what the slow form gives but for
// rounding.
func TestFrozenAdapters(t *testing.T) {
	for _, prec := range []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed} {
		for _, in := range []int{64, 96, 608} {
			r := newFrozenRig(t, prec, in)
			for _, parts := range [][][2]int{
				{{0, 1}}, {{1, 9}}, {{3, 70}}, {{4, 3}},
				{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {-1, 1}, {0, 1}, {4, 1}, {2, 1}},
				{{1, 3}, {1, 2}, {-1, 4}, {2, 1}, {3, 19}, {1, 1}, {0, 130}, {4, 2}, {-1, 1}},
			} {
				t.Run(fmt.Sprintf("%v/%d/%v", prec, in, parts), func(t *testing.T) {
					r.t = t
					segs, rows := r.segments(parts)
					x := r.random(rows * in)
					ys := r.run(prec, 2, x, segs)
					r.checkAlone(prec, x, segs, ys)
					r.checkSlow(prec, x, segs, ys)
				})
			}
		}
	}
}

// checkAlone compares with every segment by itself, and with some rows by themselves.
func (r *frozenRig) checkAlone(prec tensor.Precision, x []float32, segs []Segment, ys [][]float32) {
	for _, s := range segs {
		for _, cut := range [][2]int{{s.Start, s.End}, {s.Start, s.Start + 1}, {(s.Start + s.End) / 2, s.End}} {
			lo, hi := cut[0], cut[1]
			alone := r.run(prec, 1, x[lo*r.in:hi*r.in], []Segment{{End: hi - lo, Adapter: s.Adapter}})
			for i, l := range r.lins {
				if !slices.Equal(alone[i], ys[i][lo*l.Out():hi*l.Out()]) {
					r.t.Fatalf("Linear %d: rows %d to %d differ from the same rows alone", i, lo, hi)
				}
			}
		}
	}
}

func (r *frozenRig) checkSlow(prec tensor.Precision, x []float32, segs []Segment, ys [][]float32) {
	unit := 0x1p-20
	if prec != tensor.Single {
		unit = 0x1p-7 // A, x, u and B are rounded to 8 bits each
	}
	base := r.run(prec, 1, x, []Segment{{End: len(x) / r.in}})
	for _, s := range segs {
		for i, l := range r.lins {
			if s.Adapter == nil || s.Adapter.LoRA[i] == nil {
				continue
			}
			for row := s.Start; row < s.End; row++ {
				n := l.Out()
				checkSlowRow(r.t, s.Adapter.LoRA[i], x[row*r.in:(row+1)*r.in], base[i][row*n:(row+1)*n], ys[i][row*n:(row+1)*n], unit)
			}
		}
	}
}

// checkSlowRow checks y = base + Scale·B·(A·x) in float64, within unit of the sum of all terms' magnitudes.
func checkSlowRow(t *testing.T, l *LoRA, x, base, y []float32, unit float64) {
	t.Helper()
	u, size := make([]float64, l.R), make([]float64, l.R)
	for j := range u {
		for k, v := range x {
			term := float64(l.A[j*len(x)+k]) * float64(v)
			u[j], size[j] = u[j]+term, size[j]+math.Abs(term)
		}
	}
	for o, got := range y {
		want, terms := float64(base[o]), math.Abs(float64(base[o]))*0x1p-8
		for j := range u {
			b := float64(l.Scale) * float64(l.B[o*l.R+j])
			want, terms = want+b*u[j], terms+math.Abs(b)*size[j]
		}
		if d := math.Abs(float64(got) - want); !(d <= unit*terms+1e-5) {
			t.Fatalf("rank %d, output %d: got %v, want %v (terms of %v)", l.R, o, got, want, terms)
		}
	}
}

// Two bytes a parameter, rank 16 and whole blocks being padded by nothing.
func TestFrozenBytes(t *testing.T) {
	l := &Linear{W: &Param{M: tensor.FromF32(128, 64, make([]float32, 128*64))}}
	a := &Adapter{LoRA: []*LoRA{{R: 16, Scale: 1, A: make([]float32, 16*64), B: make([]float32, 128*16)}}}
	trained := a.Bytes()
	a.Freeze([]*Linear{l}, tensor.Fixed)
	if got, want := a.Bytes()-trained, 2*16*(64+128); got != want {
		t.Errorf("a frozen adapter takes %d bytes, want %d", got, want)
	}
	a.Thaw()
	if a.Bytes() != trained {
		t.Errorf("a thawed adapter takes %d bytes, want %d", a.Bytes(), trained)
	}
}
