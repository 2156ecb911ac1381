package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// Products with a low-rank addition (LoRA) in one pass. The inner product u comes from each tile of activations
// while that is packed, and is packed itself; then every output element's sum over k goes on over the rank, in the
// same accumulator. So the bits are those of successive adding products: first the weight's, then the adapter's.

// LowRank is an addition Scale·B·A to a matrix. R = 0 is none.
type LowRank struct {
	R     int
	Scale float32
	A     []float32 // (R, Cols)
	B     []float32 // (Rows, R)
}

// Projection is one of several products of the same activations: Y(M,Rows) = x·Wᵀ + Bias + Scale·U·Bᵀ with
// U(M,R) = x·Aᵀ, which is written where there is a low-rank addition.
type Projection struct {
	Y    []float32
	W    *Matrix
	Bias []float32 // or nil
	Low  LowRank
	U    []float32
}

// lowPart is a low-rank addition as a product sees it: two right operands by strides.
type lowPart struct {
	r, n   int     // rank, columns of the output
	scale  float32 // of the tail
	uScale float32 // of u itself
	steps  int     // of the tail
	whole  int     // steps of the sums of u
	k      int     // elements of those
	a, b   []float32
	ars    int // element (k, j) of u's right operand is a[k·ars + j·acs], of the tail's b[k·brs + j·bcs]
	acs    int
	brs    int
	bcs    int
	u      []float32 // (M, r)
	inner  []float32 // panels of a
	right  []float32 // panels of b
	tail   []float32 // scaled u, packed as activations
}

// Project computes several products of x(M,Cols), which is packed once. prec is Single or Half.
func Project(prec Precision, p *Pool, ws *Workspace, x []float32, M int, ps []Projection) {
	if M == 0 || len(ps) == 0 {
		return
	}
	k, work := ps[0].W.Cols, 0
	for _, q := range ps {
		q.check(M, k, len(x))
		work += M * k * (q.W.Rows + q.Low.R)
	}
	if work < aloneWork {
		p = nil
	}
	mark := ws.Mark()
	c := ws.product()
	c.prec, c.a, c.ars, c.acs, c.alpha, c.m, c.k = prec, x, k, 1, 1, M, k
	for _, q := range ps {
		if l := q.Low; l.R > 0 {
			c.addLow(ws, lowPart{r: l.R, n: q.W.Rows, scale: l.Scale, uScale: 1, k: k, u: q.U,
				a: l.A, ars: 1, acs: k, b: l.B, brs: 1, bcs: l.R})
		}
	}
	p.Run(2*len(c.lows), c.layLow)
	c.steps = c.stepsOf(k)
	c.pack(p, ws)
	low := 0
	for _, q := range ps {
		c.out, c.ldc, c.n, c.w, c.bias, c.low = q.Y, q.W.Rows, q.W.Rows, q.W, q.Bias, nil
		if q.Low.R > 0 {
			c.low = &c.lows[low]
			low++
		}
		c.split()
		inner := ws.Mark()
		c.columns(p, ws)
		ws.Release(inner)
	}
	c.end()
	ws.Release(mark)
}

// check panics unless the slices fit.
func (q *Projection) check(M, k, x int) {
	l := &q.Low
	if M < 0 || q.W.Cols != k || x < M*k || len(q.Y) < M*q.W.Rows || q.Bias != nil && len(q.Bias) != q.W.Rows ||
		len(q.U) < M*l.R || len(l.A) < l.R*k || len(l.B) < q.W.Rows*l.R {
		panic(fmt.Sprintf("tensor.Project: M %d, x %d, y %d, u %d, bias %d, weight %d×%d, rank %d of %d and %d",
			M, x, len(q.Y), len(q.U), len(q.Bias), q.W.Rows, q.W.Cols, l.R, len(l.A), len(l.B)))
	}
}

// ProjectBack computes dx(M,Cols) = dy(M,Rows)·w + du·A with du(M,R) = Scale·dy·B, the gradients of Project's
// input and of U, adding to dx if add is set. prec is Single or Half.
func ProjectBack(prec Precision, p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, l LowRank, du []float32, add bool) {
	if M < 0 || l.R < 1 || len(dx) < M*w.Cols || len(dy) < M*w.Rows || len(du) < M*l.R || len(l.A) < l.R*w.Cols || len(l.B) < w.Rows*l.R {
		panic(fmt.Sprintf("tensor.ProjectBack: dx %d, dy %d, du %d, M %d, weight %d×%d, rank %d of %d and %d",
			len(dx), len(dy), len(du), M, w.Rows, w.Cols, l.R, len(l.A), len(l.B)))
	}
	if M == 0 {
		return
	}
	mark := ws.Mark()
	c := ws.product()
	c.setBack(prec, dx, dy, M, w, 0, w.Rows, add)
	c.addLow(ws, lowPart{r: l.R, n: w.Cols, scale: 1, uScale: l.Scale, k: w.Rows, u: du,
		a: l.B, ars: l.R, acs: 1, b: l.A, brs: w.Cols, bcs: 1})
	p.Run(2, c.layLow)
	c.low = &c.lows[0]
	c.runBack(p, ws)
	ws.Release(mark)
}

// addLow appends l with its scratch.
func (c *product) addLow(ws *Workspace, l lowPart) {
	l.steps, l.whole = c.stepsOf(l.r), c.stepsOf(l.k)
	whole := func(n int) int { return (n + panelRows - 1) / panelRows * panelRows }
	l.inner, l.right = ws.F32(whole(l.r)*l.whole), ws.F32(whole(l.n)*l.steps)
	l.tail = ws.F32(c.m * l.steps)
	c.lows = append(c.lows, l)
}

// doLayLow brings one of a low part's right operands into panels.
func (c *product) doLayLow(task, _ int) {
	l := &c.lows[task/2]
	if task%2 == 0 {
		c.lay(l.inner, l.a, l.ars, l.acs, l.k, l.r)
	} else {
		c.lay(l.right, l.b, l.brs, l.bcs, l.r, l.n)
	}
}

// lay writes the panels of an operand of k by n elements, element (i, j) at b[i·brs + j·bcs].
func (c *product) lay(dst, b []float32, brs, bcs, k, n int) {
	size := c.stepsOf(k) * panelRows
	for j := 0; j < n; j += panelRows {
		if c.prec == Half {
			kernel.PackBF16(dst[:size], panelRows, b[j*bcs:], bcs, brs, min(panelRows, n-j), k, 1)
		} else {
			kernel.Pack(dst[:size], panelRows, b[j*bcs:], bcs, brs, min(panelRows, n-j), k, 1)
		}
		dst = dst[size:]
	}
}

// inner computes rows [i,i+rows) of u from their packed activations a, or adds the sums over this part of k, and
// packs them once the sums are whole. edge is a tile of scratch.
func (c *product) inner(l *lowPart, i, rows int, a, edge []float32) {
	r, add := l.r, c.before > 0
	for j := 0; j < r; j += groupCols {
		n := min(r-j, groupCols)
		for t := 0; t < rows && add; t++ {
			copy(edge[t*groupCols:], l.u[(i+t)*r+j:(i+t)*r+j+n])
		}
		b := l.inner[j*l.whole+c.before*panelRows:]
		c.multiply(edge, groupCols, a, b, l.whole*panelRows, rows, (n+panelRows-1)/panelRows, c.steps, add)
		for t := range rows {
			copy(l.u[(i+t)*r+j:(i+t)*r+j+n], edge[t*groupCols:])
		}
	}
	if c.left > 0 {
		return
	}
	u := l.u[i*r : (i+rows)*r]
	if l.uScale != 1 {
		kernel.Scale(u, l.uScale)
	}
	tail := l.tail[i*l.steps : (i+rows)*l.steps]
	if c.prec == Half {
		kernel.PackBF16(tail, rows, u, r, 1, rows, r, l.scale)
	} else {
		kernel.Pack(tail, rows, u, r, 1, rows, r, l.scale)
	}
}
