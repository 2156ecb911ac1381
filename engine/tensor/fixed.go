package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// Products at precision Fixed: activations are quantised by rows, once for each format that weights of a call want,
// and multiplied with the stored panels. A row's quantisation and its sums over blocks of k, in ascending order, are
// the same whatever else the call computes, so its bits depend on its values, K and the matrix alone, and are even
// those of every CPU level.

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
	M, K int
	x    []float32                   // (M, K), for weights that cannot be multiplied at Fixed
	rows [activationFormats]fixedRow // empty where no weight wants the format
}

// fixedRow are rows in one format.
type fixedRow struct {
	words  []int32 // (M, stride)
	stride int
}

// The formats of activations.
const (
	pairActs  = iota // 12 bits, for 4-bit weights
	bytesActs        // 16 bits, for 8-bit weights
	activationFormats
)

// activations is the format that products with the matrix want.
func (m *Matrix) activations() int {
	if m.DType == Q8_0 {
		return bytesActs
	}
	return pairActs
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
	x       fixedRow
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

// quantise converts x(M,K) for weights of K columns, with memory of ws.
func quantise(p *Pool, ws *Workspace, x []float32, M, K int, products ...Product) Activations {
	a, tasks := prepareQuantise(ws, x, M, K, products)
	if tasks == 0 {
		return a
	}
	if M*K/32 < quantiseAlone {
		a.quantise(0, M)
		return a
	}
	c := ws.fixedProduct()
	c.a = a
	p.Run(tasks, c.quantise)
	c.a = Activations{}
	return a
}

// prepareQuantise makes room for the activations in each format that one of the products wants, which so many tasks
// of doQuantise convert.
func prepareQuantise(ws *Workspace, x []float32, M, K int, products []Product) (a Activations, tasks int) {
	if M < 0 || K < 0 || len(x) < M*K {
		panic(fmt.Sprintf("tensor.QuantiseFor: x %d, M %d, K %d", len(x), M, K))
	}
	a = Activations{M: M, K: K, x: x[:M*K]}
	if K%32 != 0 || M*K == 0 {
		return a, 0
	}
	for i := range products {
		w := products[i].W
		if !w.fixed() {
			continue
		}
		words := kernel.PairWords
		if w.activations() == bytesActs {
			words = kernel.FixedWords
		}
		if r := &a.rows[w.activations()]; r.stride == 0 {
			r.stride = K / 32 * words
			r.words = ws.I32(M * r.stride)
			tasks = (M + a.perTask() - 1) / a.perTask()
		}
	}
	return a, tasks
}

func (c *fixedProduct) doQuantise(task, _ int) {
	from := task * c.a.perTask()
	c.a.quantise(from, min(from+c.a.perTask(), c.a.M))
}

// quantise converts rows [from,to).
func (a *Activations) quantise(from, to int) {
	x := a.x[from*a.K : to*a.K]
	if r := a.rows[pairActs]; r.stride > 0 {
		kernel.QuantisePairs(r.words[from*r.stride:to*r.stride], x)
	}
	if r := a.rows[bytesActs]; r.stride > 0 {
		kernel.QuantiseFixed(r.words[from*r.stride:to*r.stride], x)
	}
}

// perTask is the number of rows that a task quantises.
func (a *Activations) perTask() int { return max(1, quantiseBlocks/(a.K/32)) }

// MulTEach is MulTAt at precision Fixed for the products that a was made for (QuantiseFor), in one pass of the pool,
// which saves handing over each by itself: the queries, keys and values of attention, or the two halves of a gate.
// Every result has the bits of its MulTAt.
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
	a := quantise(p, ws, x, M, w.Cols, Product{W: w})
	c := ws.fixedProduct()
	c.a, c.add = a, add
	c.part(y, w, r0, r1, p.Threads())
	c.run(p, ws)
	ws.Release(mark)
}

// part adds a product to the call and cuts it into tasks of some panels by some rows.
func (c *fixedProduct) part(y []float32, w *Matrix, r0, r1, threads int) {
	n, m := r1-r0, c.a.M
	if r0 < 0 || n < 0 || r1 > w.Rows || c.a.K != w.Cols || len(y) < m*n {
		panic(fmt.Sprintf("tensor.MulTEach: y %d, x %d×%d, rows [%d,%d) of %d×%d", len(y), m, c.a.K, r0, r1, w.Rows, w.Cols))
	}
	if m == 0 || n == 0 {
		return
	}
	x := c.a.rows[w.activations()]
	if x.stride == 0 {
		panic("tensor.MulTEach: activations that were not quantised for " + w.DType.String())
	}
	panels := (r1+panelRows-1)/panelRows - r0/panelRows
	c.rowTasks = (m + fixedTaskRows - 1) / fixedTaskRows
	tiles := (m/c.rowTasks + kernel.FixedRows - 1) / kernel.FixedRows
	perTask := max(1, min(fixedTaskBlocks/(tiles*w.Cols/32), panels/(2*threads)))
	groups := (panels + perTask - 1) / perTask
	c.parts = append(c.parts, fixedPart{y, w, x, n, r0, perTask, groups, c.tasks, after{}})
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
	for panel := first; panel < last; panel++ {
		part.after.prefetch(panel, panel+1, from, to)
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
	n, rows, stride := part.n, to-i, part.x.stride
	x := part.x.words[i*stride : to*stride]
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
