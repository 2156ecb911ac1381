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
	k      int     // length of the sums of u
	a, b   []float32
	ars    int // element (k, j) of u's right operand is a[k·ars + j·acs], of the tail's b[k·brs + j·bcs]
	acs    int
	brs    int
	bcs    int
	u      []float32 // (M, r)
	inner  []float32 // panels of a, whole steps deep, behind those of the lows before
	panel  int       // the first of those
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
	c.layLows(p, ws, k)
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
	c.layLows(p, ws, w.Rows)
	c.low = &c.lows[0]
	c.runBack(p, ws)
	ws.Release(mark)
}

// panels is how many panels of 16 columns the values of n columns take.
func panels(n int) int { return (n + panelRows - 1) / panelRows }

// addLow appends l with scratch for its tail.
func (c *product) addLow(ws *Workspace, l lowPart) {
	l.steps, l.panel = c.stepsOf(l.r), c.lowPanels
	l.right, l.tail = ws.F32(panels(l.n)*panelRows*l.steps), ws.F32(c.m*l.steps)
	c.lows = append(c.lows, l)
	c.lowPanels += panels(l.r)
}

// layLows brings the right operands of the lows into panels, those of their inner products side by side.
func (c *product) layLows(p *Pool, ws *Workspace, k int) {
	c.whole = c.stepsOf(k)
	c.lowRight = ws.F32(c.lowPanels * panelRows * c.whole)
	for i := range c.lows {
		c.lows[i].inner = c.lowRight[c.lows[i].panel*panelRows*c.whole:]
	}
	p.Run(2*len(c.lows), c.layLow)
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

// inner computes rows [i,i+rows) of every u from their packed activations a, or adds the sums over this part of k, and
// packs them once the sums are whole. edge is a tile of scratch, as wide as a group.
func (c *product) inner(i, rows int, a, edge []float32) {
	add := c.before > 0
	for p := 0; p < c.lowPanels; p += kernel.TilePanels {
		n := min(c.lowPanels-p, kernel.TilePanels)
		if add {
			c.eachU(i, rows, p, n, func(u, edge []float32) { copy(edge, u) }, edge)
		}
		c.multiply(edge, groupCols, a, c.lowRight[(p*c.whole+c.before)*panelRows:], c.whole*panelRows, rows, n, c.steps, add)
		c.eachU(i, rows, p, n, func(u, edge []float32) { copy(u, edge) }, edge)
	}
	for l := range c.lows {
		if c.left == 0 {
			c.lows[l].packTail(c.prec, i, rows)
		}
	}
}

// eachU calls f with the parts of rows [i,i+rows) of every u that panels [p,p+n) hold, and their places in edge.
func (c *product) eachU(i, rows, p, n int, f func(u, edge []float32), edge []float32) {
	for l := range c.lows {
		low := &c.lows[l]
		from := max(p, low.panel)
		lo, hi := (from-low.panel)*panelRows, min((p+n-low.panel)*panelRows, low.r)
		for t := 0; t < rows && lo < hi; t++ {
			f(low.u[(i+t)*low.r+lo:(i+t)*low.r+hi], edge[t*groupCols+(from-p)*panelRows:])
		}
	}
}

// packTail packs rows [i,i+rows) of u, times the scales, as the activations of what follows the sums over k.
func (l *lowPart) packTail(prec Precision, i, rows int) {
	u := l.u[i*l.r : (i+rows)*l.r]
	if l.uScale != 1 {
		kernel.Scale(u, l.uScale)
	}
	tail := l.tail[i*l.steps : (i+rows)*l.steps]
	if prec == Half {
		kernel.PackBF16(tail, rows, u, l.r, 1, rows, l.r, l.scale)
	} else {
		kernel.Pack(tail, rows, u, l.r, 1, rows, l.r, l.scale)
	}
}

// part is what follows the sums over k of rows [i,i+rows) and columns from col on.
func (l *lowPart) part(i, rows, col int) kernel.Part {
	return kernel.Part{A: l.tail[i*l.steps : (i+rows)*l.steps], B: l.right[col*l.steps:], Stride: l.steps * panelRows, K: l.steps}
}
