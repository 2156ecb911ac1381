package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// eachLevel runs a test once for each level of kernels.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	was := kernel.Level()
	defer func() {
		if err := kernel.SetLevel(was); err != nil {
			t.Fatal(err)
		}
	}()
	for _, level := range kernel.Levels() {
		if err := kernel.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		t.Run(level, f)
	}
}

// attentionCall makes a call of segments with these lengths on so many threads.
func attentionCall(t *testing.T, threads int, prec tensor.Precision, train bool, lengths ...int) *Call {
	pool := tensor.NewPool(threads)
	t.Cleanup(pool.Close)
	c := &Call{Pool: pool, WS: new(tensor.Workspace), Saved: new(tensor.Workspace), Forward: prec, Backward: prec}
	for range threads {
		c.Scratch = append(c.Scratch, new(tensor.Workspace))
	}
	if train {
		c.Grads = &Grads{}
	}
	for _, n := range lengths {
		c.Segs = append(c.Segs, Segment{Start: c.T, End: c.T + n})
		c.T += n
	}
	return c
}

// scenario is one call's arrays.
type scenario struct{ q, k, v, dout []float32 }

func newScenario(a *Attention, rows int, seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 5))
	random := func(n int, scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64() * scale)
		}
		return x
	}
	return scenario{random(rows*a.Heads*a.E, 1), random(rows*a.Groups*a.E, 1), random(rows*a.Groups*a.E, 1), random(rows*a.Heads*a.E, 1)}
}

// results are what attention gives.
type results struct{ out, lse, dq, dk, dv []float32 }

func attend(a *Attention, c *Call, s scenario) (r results) {
	r.out = make([]float32, len(s.q))
	if !c.Keep() {
		a.Forward(c, r.out, nil, s.q, s.k, s.v)
		return r
	}
	r.lse = make([]float32, c.T*a.Heads)
	a.Forward(c, r.out, r.lse, s.q, s.k, s.v)
	r.dq, r.dk, r.dv = make([]float32, len(s.q)), make([]float32, len(s.k)), make([]float32, len(s.v))
	a.Backward(c, r.dq, r.dk, r.dv, s.dout, r.out, r.lse, s.q, s.k, s.v)
	return r
}

// plainAttention is attention written down in f64, query by query.
func plainAttention(a *Attention, c *Call, s scenario) (out, dq, dk, dv []float64) {
	w, kw := a.Heads*a.E, a.Groups*a.E
	out, dq, dk, dv = make([]float64, len(s.q)), make([]float64, len(s.q)), make([]float64, len(s.k)), make([]float64, len(s.v))
	for _, seg := range c.Segs {
		var rows []int // of the keys, by position
		if seg.Continues > 0 {
			first := c.Segs[seg.Continues-1]
			for t := first.Start; t < first.End; t++ {
				rows = append(rows, t)
			}
		}
		for t := seg.Start; t < seg.End; t++ {
			rows = append(rows, t)
			seen := rows
			if a.Window > 0 {
				seen = rows[max(0, len(rows)-a.Window):]
			}
			for h := range a.Heads {
				plainQuery(a, s, t*w+h*a.E, seen, kw, h/(a.Heads/a.Groups)*a.E, out, dq, dk, dv)
			}
		}
	}
	return out, dq, dk, dv
}

// plainQuery is one query and head; its values start at qo, those of a key at row·kw + ko.
func plainQuery(a *Attention, s scenario, qo int, rows []int, kw, ko int, out, dq, dk, dv []float64) {
	p, slope := make([]float64, len(rows)), make([]float64, len(rows))
	top, sum := math.Inf(-1), 0.0
	for j, r := range rows {
		for e := range a.E {
			p[j] += float64(s.q[qo+e]) * float64(s.k[r*kw+ko+e])
		}
		p[j] *= float64(a.Scale)
		slope[j] = 1
		if c := float64(a.Softcap); c > 0 {
			th := math.Tanh(p[j] / c)
			p[j], slope[j] = c*th, 1-th*th
		}
		top = max(top, p[j])
	}
	for j := range p {
		p[j] = math.Exp(p[j] - top)
		sum += p[j]
	}
	d, mean := make([]float64, len(rows)), 0.0
	for j, r := range rows {
		p[j] /= sum
		for e := range a.E {
			g := float64(s.dout[qo+e])
			out[qo+e] += p[j] * float64(s.v[r*kw+ko+e])
			dv[r*kw+ko+e] += p[j] * g
			d[j] += g * float64(s.v[r*kw+ko+e])
		}
		mean += p[j] * d[j]
	}
	for j, r := range rows {
		ds := p[j] * (d[j] - mean) * slope[j] * float64(a.Scale)
		for e := range a.E {
			dq[qo+e] += ds * float64(s.k[r*kw+ko+e])
			dk[r*kw+ko+e] += ds * float64(s.q[qo+e])
		}
	}
}

// close fails unless got is within tolerance of want, as a part of want's root mean square.
func closeTo(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	var square, worst float64
	for i, w := range want {
		square += w * w
		if d := math.Abs(float64(got[i]) - w); !(d <= worst) {
			worst = d
		}
	}
	if rms := math.Sqrt(square / float64(len(want))); !(worst <= tolerance*rms) {
		t.Errorf("%s is off by %.2g of its size", what, worst/rms)
	}
}

// shapes are groups, windows, caps and head sizes that do and do not fill panels.
var shapes = []Attention{
	{Heads: 2, Groups: 1, E: 64, Scale: 0.125},
	{Heads: 3, Groups: 3, E: 7, Scale: 0.4},
	{Heads: 6, Groups: 2, E: 80, Scale: 0.1, Window: 40},
	{Heads: 2, Groups: 1, E: 33, Scale: 0.3, Softcap: 4},
	{Heads: 9, Groups: 1, E: 24, Scale: 0.2, Window: 70, Softcap: 8},
	{Heads: 1, Groups: 1, E: 128, Scale: 0.09},
}

// shapesHere are those that a test takes at this level: two where kernels are slow or the test shall be short.
func shapesHere() []Attention {
	if kernel.Level() == "generic" || testing.Short() {
		return shapes[1:3]
	}
	return shapes
}

// TestAttentionIsWhatItSays compares with plainAttention, forward and backward, on sequences around the blocks' size, of
// which two continue others.
func TestAttentionIsWhatItSays(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for i, a := range shapesHere() {
			for prec, tolerance := range map[tensor.Precision]float64{tensor.Single: 3e-5, tensor.Half: 0.12} {
				c := attentionCall(t, 2, prec, true, 1, 63, 64, 65, 130, 3, 20, 77)
				c.Segs[5].Continues, c.Segs[6].Continues = 3, 5
				c.Segs[7].Continues = 2
				s := newScenario(&a, c.T, uint64(i))
				got := attend(&a, c, s)
				out, dq, dk, dv := plainAttention(&a, c, s)
				for _, x := range []struct {
					name string
					got  []float32
					want []float64
				}{{"out", got.out, out}, {"dq", got.dq, dq}, {"dk", got.dk, dk}, {"dv", got.dv, dv}} {
					closeTo(t, fmt.Sprintf("%+v at %v: %s", a, prec, x.name), x.got, x.want, tolerance)
				}
			}
		}
	})
}

// TestAttentionSplits: threads, and with them the cut into tasks, and other sequences change no bit.
func TestAttentionSplits(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for i, a := range shapesHere() {
			for _, prec := range []tensor.Precision{tensor.Single, tensor.Half} {
				what := fmt.Sprintf("%+v at %v", a, prec)
				s := newScenario(&a, 200, uint64(i))
				one := attend(&a, attentionCall(t, 1, prec, true, 200), s)
				four := attend(&a, attentionCall(t, 4, prec, true, 200), s)
				for name, pair := range map[string][2][]float32{
					"out": {one.out, four.out}, "lse": {one.lse, four.lse}, "dq": {one.dq, four.dq}, "dk": {one.dk, four.dk}, "dv": {one.dv, four.dv},
				} {
					if !slices.Equal(pair[0], pair[1]) {
						t.Errorf("%s: threads change %s", what, name)
					}
				}
				mate := newScenario(&a, 90, 77)
				both := scenario{append(mate.q, s.q...), append(mate.k, s.k...), append(mate.v, s.v...), append(mate.dout, s.dout...)}
				together := attend(&a, attentionCall(t, 2, prec, true, 90, 200), both)
				if !slices.Equal(one.out, together.out[90*a.Heads*a.E:]) || !slices.Equal(one.dk, together.dk[90*a.Groups*a.E:]) {
					t.Errorf("%s: another sequence changes bits", what)
				}
				// A sequence that continues another: its queries are the same as in one piece.
				c := attentionCall(t, 2, prec, true, 71, 129)
				c.Segs[1].Continues = 1
				if parts := attend(&a, c, s); !slices.Equal(one.out, parts.out) || !slices.Equal(one.dq, parts.dq) {
					t.Errorf("%s: continuing changes bits", what)
				}
			}
		}
	})
}

// TestCacheChunks reads a sequence at once and in pieces, down to single positions and beyond one range of keys, beside
// another stream; no cut may change a bit, and without halves it is what a call without a cache computes.
func TestCacheChunks(t *testing.T) {
	const n = rangeBlocks*keyBlock + 140
	eachLevel(t, func(t *testing.T) {
		for i, a := range shapesHere() {
			for _, prec := range []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed} {
				s := newScenario(&a, n, uint64(i))
				read := func(threads int, chunks ...int) []float32 {
					kv, other := NewKV(1), NewKV(1)
					var out []float32
					w, kw := a.Heads*a.E, a.Groups*a.E
					for at, j := 0, 0; at < n; j++ {
						m := min(chunks[j%len(chunks)], n-at)
						c := attentionCall(t, threads, prec, false, 1, m)
						c.Segs[0].KV, c.Segs[1].KV = other, kv
						mate := newScenario(&a, 1, uint64(j))
						o := make([]float32, (1+m)*w)
						a.Forward(c, o, nil, append(mate.q, s.q[at*w:(at+m)*w]...), append(mate.k, s.k[at*kw:(at+m)*kw]...), append(mate.v, s.v[at*kw:(at+m)*kw]...))
						out = append(out, o[w:]...)
						kv.Advance(m)
						other.Advance(1)
						at += m
						c.Pool.Close()
					}
					return out
				}
				whole := read(2, n)
				for _, chunks := range [][]int{{256}, {64, 1, 1, 17}, {1, 300, 2, 5}, {n - 3, 1}} {
					if got := read(1+len(chunks)%3, chunks...); !slices.Equal(whole, got) {
						t.Errorf("%+v at %v: chunks of %d change bits", a, prec, chunks)
					}
				}
				plain := attend(&a, attentionCall(t, 2, prec, false, n), s).out
				want := make([]float64, len(plain))
				for j, x := range plain {
					want[j] = float64(x)
				}
				if prec == tensor.Single && !slices.Equal(plain, whole) {
					t.Errorf("%+v: the cache changes bits", a)
				}
				closeTo(t, fmt.Sprintf("%+v at %v: with a cache, the output", a, prec), whole, want, 0.02)
			}
		}
	})
}

// TestCacheTruncates writes over positions that were forgotten.
func TestCacheTruncates(t *testing.T) {
	for _, prec := range []tensor.Precision{tensor.Single, tensor.Fixed} {
		a := shapes[0]
		s := newScenario(&a, 100, 3)
		w, kw := a.Heads*a.E, a.Groups*a.E
		run := func(kv *KV, from, to int, x scenario) []float32 {
			c := attentionCall(t, 2, prec, false, to-from)
			c.Segs[0].KV = kv
			out := make([]float32, (to-from)*w)
			a.Forward(c, out, nil, x.q[from*w:to*w], x.k[from*kw:to*kw], x.v[from*kw:to*kw])
			kv.Advance(to - from)
			return out
		}
		kv := NewKV(1)
		want := run(kv, 0, 100, s)
		other := newScenario(&a, 100, 4)
		kv = NewKV(1)
		run(kv, 0, 100, other)
		kv.Truncate(0)
		run(kv, 0, 50, s)
		if got := run(kv, 50, 100, s); !slices.Equal(got, want[50*w:]) || kv.Len() != 100 {
			t.Errorf("%v: forgotten positions matter", prec)
		}
	}
}
