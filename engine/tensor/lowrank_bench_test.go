package tensor

import (
	"math/rand/v2"
	"testing"
)

// layer is the products of a decoder layer of SmolLM2-135M's shape with an adapter of rank 16 on each.
type layer struct {
	m        int
	x, wide  []float32 // (m, 576) and (m, 1536)
	dx, dw   []float32
	linears  []*layerLinear
	together [][]*layerLinear // those of one input
}

type layerLinear struct {
	w        *Matrix
	low      LowRank
	y, u, du []float32
	x, dx    []float32
	gradA    []float32
	gradB    []float32
	add      bool
}

func newLayer(b *testing.B, m int) *layer {
	r := rand.New(rand.NewPCG(1, 1))
	l := &layer{m: m, x: randomF32(r, m*576), wide: randomF32(r, m*1536), dx: make([]float32, m*576), dw: make([]float32, m*1536)}
	linear := func(rows, cols int, add bool) *layerLinear {
		w, _ := newMatrix(b, r, Q4_1, rows, cols)
		x, dx := l.x, l.dx
		if cols == 1536 {
			x, dx = l.wide, l.dw
		}
		n := &layerLinear{w: w, low: LowRank{16, 2, randomF32(r, 16*cols), randomF32(r, 16*rows)}, add: add, x: x, dx: dx,
			y: randomF32(r, m*rows), u: make([]float32, m*16), du: make([]float32, m*16), gradA: make([]float32, 16*cols), gradB: make([]float32, 16*rows)}
		l.linears = append(l.linears, n)
		return n
	}
	l.together = [][]*layerLinear{
		{linear(576, 576, false), linear(192, 576, true), linear(192, 576, true)},
		{linear(576, 576, false)},
		{linear(1536, 576, false), linear(1536, 576, true)},
		{linear(576, 1536, false)},
	}
	return l
}

func (l *layer) separate(prec Precision, p *Pool, ws *Workspace, back bool) {
	for _, n := range l.linears {
		in, out, r := n.w.Cols, n.w.Rows, n.low.R
		if !back {
			MulTAt(prec, p, ws, n.y, n.x, l.m, n.w, false)
			GemmAt(prec, p, ws, l.m, r, in, 1, n.x, in, 1, n.low.A, 1, in, 0, n.u, r)
			GemmAt(prec, p, ws, l.m, out, r, n.low.Scale, n.u, r, 1, n.low.B, 1, r, 1, n.y, out)
			continue
		}
		MulAt(prec, p, ws, n.dx, n.y, l.m, n.w, n.add)
		GemmAt(prec, p, ws, l.m, r, out, n.low.Scale, n.y, out, 1, n.low.B, r, 1, 0, n.du, r)
		GemmAt(prec, p, ws, l.m, in, r, 1, n.du, r, 1, n.low.A, in, 1, 1, n.dx, in)
	}
}

func (l *layer) fused(prec Precision, p *Pool, ws *Workspace, back bool, ps []Projection) {
	for _, group := range l.together {
		if !back {
			ps = ps[:0]
			for _, n := range group {
				ps = append(ps, Projection{Y: n.y, W: n.w, Low: n.low, U: n.u})
			}
			Project(prec, p, ws, group[0].x, l.m, ps)
			continue
		}
		for _, n := range group {
			ProjectBack(prec, p, ws, n.dx, n.y, l.m, n.w, n.low, n.du, n.add)
		}
	}
}

func (l *layer) grads(prec Precision, p *Pool, ws *Workspace) {
	for _, n := range l.linears {
		in, out, r := n.w.Cols, n.w.Rows, n.low.R
		GemmAt(prec, p, ws, out, r, l.m, n.low.Scale, n.y, 1, out, n.u, r, 1, 1, n.gradB, r)
		GemmAt(prec, p, ws, r, in, l.m, 1, n.du, 1, r, n.x, in, 1, 1, n.gradA, in)
	}
}

// BenchmarkLayer takes the products of a layer at 2048 rows, the adapter's separate and within the weight's pass.
func BenchmarkLayer(b *testing.B) {
	p := NewPool(0)
	defer p.Close()
	var ws Workspace
	l := newLayer(b, 2048)
	ps := make([]Projection, 0, 3)
	for _, prec := range []Precision{Half, Single} {
		for _, c := range []struct {
			name string
			run  func()
		}{
			{"forward/separate", func() { l.separate(prec, p, &ws, false) }},
			{"forward/fused", func() { l.fused(prec, p, &ws, false, ps) }},
			{"backward/separate", func() { l.separate(prec, p, &ws, true) }},
			{"backward/fused", func() { l.fused(prec, p, &ws, true, ps) }},
			{"grads", func() { l.grads(prec, p, &ws) }},
		} {
			b.Run(prec.String()+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					c.run()
				}
			})
		}
	}
}

// BenchmarkHead takes the products of a head of SmolLM2-135M's shape with 256 rows.
func BenchmarkHead(b *testing.B) {
	const M, V, D = 256, 49152, 576
	r := rand.New(rand.NewPCG(2, 2))
	w, _ := newMatrix(b, r, Q8_0, V, D)
	x, y := randomF32(r, M*D), randomF32(r, M*V)
	eachPrecision(b, "forward", func(b *testing.B, prec Precision, p *Pool, ws *Workspace) {
		best(b, 2*M*V*D, func() { MulTAt(prec, p, ws, y, x, M, w, false) })
	})
	eachPrecision(b, "backward", func(b *testing.B, prec Precision, p *Pool, ws *Workspace) {
		best(b, 2*M*V*D, func() { MulAt(prec, p, ws, x, y, M, w, false) })
	})
}
