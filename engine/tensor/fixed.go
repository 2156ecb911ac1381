package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// Products at precision Fixed: activations are quantised once, by rows, and multiplied with the stored panels.
// A row's quantisation and its sums over blocks of k, in ascending order, are the same whatever else the call
// computes, so its bits depend on its values, K and the matrix alone, and are even those of every CPU level.

const (
	fixedTaskRows   = 96  // activation rows of a task: what all its panels read stays in the second-level cache
	fixedTaskBlocks = 64  // least blocks (of one panel by up to 8 rows) of a task, about a microsecond
	quantiseBlocks  = 96  // blocks of activations that a task quantises, under a microsecond
	quantiseAlone   = 256 // fewer blocks than this are quantised by the caller alone
)

// Activations are rows of activations, quantised once for several products at precision Fixed. They are valid
// until the Release of a mark of their Workspace taken before; the values they were made of must not change
// until then.
type Activations struct {
	M, K  int
	x     []float32 // (M, K), for weights that cannot be multiplied at Fixed
	words []int32   // (M, K/32, FixedWords); nil if K is not whole blocks
}

// Product is one of several products of the same activations: Y(M,Rows) = x·Wᵀ, then the bias, then what the addends
// give, whose inner products must have been computed (QuantiseFor, Inner).
type Product struct {
	Y    []float32
	W    *Matrix
	Bias []float32 // (Rows) or nil
	Adds []Addend  // of no row twice
}

// fixedProduct is the state of one call. It lives in the Workspace, as product does.
type fixedProduct struct {
	a        Activations
	add      bool
	parts    []fixedPart
	rowTasks int
	tasks    int
	edges    []float32 // a tile for each worker
	quantise func(task, worker int)
	multiply func(task, worker int)
}

// fixedPart is the product with weight rows [r0,r0+n) of one matrix.
type fixedPart struct {
	y       []float32 // (M, n)
	w       *Matrix
	n, r0   int
	perTask int // panels of a task
	groups  int // tasks for each range of activation rows
	first   int // the part's first task
	after   after
}

const edgeTile = kernel.FixedRows * panelRows

// fixedProduct returns the workspace's state of a call, with its method values, made once in a workspace's life.
func (w *Workspace) fixedProduct() *fixedProduct {
	c := &w.fixed
	if c.multiply == nil {
		c.quantise, c.multiply = c.doQuantise, c.doMultiply
	}
	return c
}

// fixed tells whether products with the matrix can be done in fixed point.
func (m *Matrix) fixed() bool { return m.DType.Quantised() && m.Cols%32 == 0 }

// Quantise converts x(M,K) for MulTQ, with memory of ws. If K is not a multiple of 32, which no quantised
// weight's is, there is nothing to convert.
func Quantise(p *Pool, ws *Workspace, x []float32, M, K int) Activations {
	if M < 0 || K < 0 || len(x) < M*K {
		panic(fmt.Sprintf("tensor.Quantise: x %d, M %d, K %d", len(x), M, K))
	}
	a, tasks := prepareQuantise(ws, x, M, K)
	if tasks == 0 {
		return a
	}
	if M*K/32 < quantiseAlone {
		kernel.QuantiseFixed(a.words, a.x)
		return a
	}
	c := ws.fixedProduct()
	c.a = a
	p.Run(tasks, c.quantise)
	c.a = Activations{}
	return a
}

// prepareQuantise makes room for the activations, which so many tasks of doQuantise convert.
func prepareQuantise(ws *Workspace, x []float32, M, K int) (a Activations, tasks int) {
	a = Activations{M: M, K: K, x: x[:M*K]}
	if K%32 != 0 || M*K == 0 {
		return a, 0
	}
	a.words = ws.I32(M * K / 32 * kernel.FixedWords)
	return a, (M + a.perTask() - 1) / a.perTask()
}

func (c *fixedProduct) doQuantise(task, _ int) {
	from := task * c.a.perTask()
	to := min(from+c.a.perTask(), c.a.M)
	kernel.QuantiseFixed(c.a.words[from*c.a.stride():to*c.a.stride()], c.a.x[from*c.a.K:to*c.a.K])
}

// perTask is the number of rows that a task quantises.
func (a *Activations) perTask() int { return max(1, quantiseBlocks/(a.K/32)) }

// stride is the number of words of a row.
func (a *Activations) stride() int { return a.K / 32 * kernel.FixedWords }

// MulTQ computes y(M,Rows) = a(M,Cols)·wᵀ at precision Fixed, adding to y if add is set. A weight that cannot
// be multiplied so is multiplied as MulTAt would.
func MulTQ(p *Pool, ws *Workspace, y []float32, a Activations, w *Matrix, add bool) {
	MulTRowsQ(p, ws, y, a, w, 0, w.Rows, add)
}

// MulTRowsQ is MulTQ for weight rows [r0,r1) only: y(M, r1−r0).
func MulTRowsQ(p *Pool, ws *Workspace, y []float32, a Activations, w *Matrix, r0, r1 int, add bool) {
	c := ws.fixedProduct()
	c.a, c.add = a, add
	if w.At(Fixed) == Fixed {
		c.part(y, w, r0, r1, p.Threads())
	} else {
		MulTRowsAt(Fixed, p, ws, y, a.x, a.M, w, r0, r1, add)
	}
	c.run(p, ws)
}

// MulTEach is MulTQ for several weights in one pass of the pool, which saves handing over each by itself: the
// queries, keys and values of attention, or the two halves of a gate. Every result has the bits of its MulTQ.
func MulTEach(p *Pool, ws *Workspace, a Activations, add bool, products ...Product) {
	c := ws.fixedProduct()
	c.a, c.add = a, add
	for i, each := range products {
		if each.W.At(Fixed) == Fixed {
			c.part(each.Y, each.W, 0, each.W.Rows, p.Threads())
			if n := len(c.parts); n > 0 {
				c.parts[n-1].after = each.after()
			}
		} else {
			MulTAt(Fixed, p, ws, each.Y, a.x, a.M, each.W, add)
			AddAfter(p, ws, a.M, products[i])
		}
	}
	c.run(p, ws)
}

func mulTRowsFixed(p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, r0, r1 int, add bool) {
	mark := ws.Mark()
	MulTRowsQ(p, ws, y, Quantise(p, ws, x, M, w.Cols), w, r0, r1, add)
	ws.Release(mark)
}

// part adds a product to the call and cuts it into tasks of some panels by some rows.
func (c *fixedProduct) part(y []float32, w *Matrix, r0, r1, threads int) {
	n, m := r1-r0, c.a.M
	if r0 < 0 || n < 0 || r1 > w.Rows || c.a.K != w.Cols || len(y) < m*n {
		panic(fmt.Sprintf("tensor.MulTQ: y %d, x %d×%d, rows [%d,%d) of %d×%d", len(y), m, c.a.K, r0, r1, w.Rows, w.Cols))
	}
	if m == 0 || n == 0 {
		return
	}
	panels := (r1+panelRows-1)/panelRows - r0/panelRows
	c.rowTasks = (m + fixedTaskRows - 1) / fixedTaskRows
	tiles := (m/c.rowTasks + kernel.FixedRows - 1) / kernel.FixedRows
	perTask := max(1, min(fixedTaskBlocks/(tiles*w.Cols/32), panels/(2*threads)))
	groups := (panels + perTask - 1) / perTask
	c.parts = append(c.parts, fixedPart{y, w, n, r0, perTask, groups, c.tasks, after{}})
	c.tasks += groups * c.rowTasks
}

// run computes the parts and forgets them.
func (c *fixedProduct) run(p *Pool, ws *Workspace) {
	if c.tasks > 0 {
		mark := ws.Mark()
		c.edges = ws.F32(edgeTile * p.Threads())
		p.Run(c.tasks, c.multiply)
		ws.Release(mark)
	}
	clear(c.parts)
	*c = fixedProduct{parts: c.parts[:0], quantise: c.quantise, multiply: c.multiply}
}

// doMultiply computes one group of panels of one part for one range of rows.
func (c *fixedProduct) doMultiply(task, worker int) {
	at := len(c.parts) - 1
	for task < c.parts[at].first {
		at--
	}
	part := &c.parts[at]
	task -= part.first
	m := c.a.M
	tiles := (m + kernel.FixedRows - 1) / kernel.FixedRows
	rows := task / part.groups
	from, to := tiles*rows/c.rowTasks*kernel.FixedRows, min(tiles*(rows+1)/c.rowTasks*kernel.FixedRows, m)
	first := part.r0/panelRows + task%part.groups*part.perTask
	last := min(first+part.perTask, (part.r0+part.n+panelRows-1)/panelRows)
	edge := c.edges[worker*edgeTile:][:edgeTile]
	part.after.prefetch(first, last, from, to)
	for panel := first; panel < last; panel++ {
		for i := from; i < to; i += kernel.FixedRows {
			c.tile(part, panel, i, min(i+kernel.FixedRows, to), edge)
		}
	}
	if !part.after.empty() {
		part.after.apply(first, last, from, to, edge)
	}
}

// tile computes the part's columns that one panel has, for rows [i,to). Columns outside the output, at its
// edges, go through the edge tile.
func (c *fixedProduct) tile(part *fixedPart, panel, i, to int, edge []float32) {
	n, rows, stride := part.n, to-i, c.a.stride()
	x := c.a.words[i*stride : to*stride]
	col := panel*panelRows - part.r0
	lo, hi := max(col, 0), min(col+panelRows, n)
	if hi-lo == panelRows {
		part.w.mulFixed(part.y[i*n+col:], n, x, stride, panel, rows, c.add)
		return
	}
	for r := 0; r < rows && c.add; r++ {
		copy(edge[r*panelRows+lo-col:], part.y[(i+r)*n+lo:(i+r)*n+hi])
	}
	part.w.mulFixed(edge, panelRows, x, stride, panel, rows, c.add)
	for r := range rows {
		copy(part.y[(i+r)*n+lo:(i+r)*n+hi], edge[r*panelRows+lo-col:])
	}
}

// mulFixed multiplies rows of quantised activations with one panel.
func (m *Matrix) mulFixed(y []float32, ldy int, x []int32, stride, panel, rows int, add bool) {
	size := m.Cols / 32 * m.DType.BlockBytes() * panelRows
	src := m.data[panel*size : (panel+1)*size]
	switch m.DType {
	case Q4_1:
		kernel.FixedQ41(y, ldy, x, stride, src, rows, add)
	case Q4_0:
		kernel.FixedQ40(y, ldy, x, stride, src, rows, add)
	case Q8_0:
		kernel.FixedQ80(y, ldy, x, stride, src, rows, add)
	}
}
