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
	fixedAlone      = 256 // fewer blocks of activations than this are quantised by the caller alone
)

// Activations are rows of activations, quantised once for several products at precision Fixed. They are valid
// until the Release of a mark of their Workspace taken before; the values they were made of must not change
// until then.
type Activations struct {
	M, K  int
	x     []float32 // (M, K), for weights that cannot be multiplied at Fixed
	words []int32   // (M, K/32, FixedWords); nil if K is not whole blocks
}

// fixedProduct is the state of one call. It lives in the Workspace, as product does.
type fixedProduct struct {
	y        []float32 // (m, n)
	a        Activations
	n, r0    int // columns of y and the weight row of the first
	w        *Matrix
	add      bool
	edges    []float32 // a tile for each worker
	perTask  int       // panels of a task
	groups   int
	rowTasks int
	quantise func(task, worker int)
	multiply func(task, worker int)
}

const edgeTile = kernel.FixedRows * panelRows

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
	a := Activations{M: M, K: K, x: x[:M*K]}
	if K%32 != 0 || M*K == 0 {
		return a
	}
	a.words = ws.I32(M * K / 32 * kernel.FixedWords)
	if M*K/32 < fixedAlone {
		kernel.QuantiseFixed(a.words, a.x)
		return a
	}
	c := ws.fixedProduct()
	c.a = a
	p.Run((M+kernel.FixedRows-1)/kernel.FixedRows, c.quantise)
	c.a = Activations{}
	return a
}

func (c *fixedProduct) doQuantise(task, _ int) {
	from := task * kernel.FixedRows
	to := min(from+kernel.FixedRows, c.a.M)
	kernel.QuantiseFixed(c.a.words[from*c.a.stride():to*c.a.stride()], c.a.x[from*c.a.K:to*c.a.K])
}

// stride is the number of words of a row.
func (a *Activations) stride() int { return a.K / 32 * kernel.FixedWords }

// MulTQ computes y(M,Rows) = a(M,Cols)·wᵀ at precision Fixed, adding to y if add is set. A weight that cannot
// be multiplied so is multiplied as MulTAt would.
func MulTQ(p *Pool, ws *Workspace, y []float32, a Activations, w *Matrix, add bool) {
	MulTRowsQ(p, ws, y, a, w, 0, w.Rows, add)
}

// MulTRowsQ is MulTQ for weight rows [r0,r1) only: y(M, r1−r0).
func MulTRowsQ(p *Pool, ws *Workspace, y []float32, a Activations, w *Matrix, r0, r1 int, add bool) {
	if w.At(Fixed) != Fixed {
		MulTRowsAt(Fixed, p, ws, y, a.x, a.M, w, r0, r1, add)
		return
	}
	n := r1 - r0
	if r0 < 0 || n < 0 || r1 > w.Rows || a.K != w.Cols || len(y) < a.M*n {
		panic(fmt.Sprintf("tensor.MulTRowsQ: y %d, x %d×%d, rows [%d,%d) of %d×%d", len(y), a.M, a.K, r0, r1, w.Rows, w.Cols))
	}
	if a.M == 0 || n == 0 {
		return
	}
	mark := ws.Mark()
	c := ws.fixedProduct()
	c.y, c.a, c.n, c.r0, c.w, c.add = y, a, n, r0, w, add
	c.edges = ws.F32(edgeTile * p.Threads())
	c.split(p.Threads())
	p.Run(c.groups*c.rowTasks, c.multiply)
	*c = fixedProduct{quantise: c.quantise, multiply: c.multiply}
	ws.Release(mark)
}

func mulTRowsFixed(p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, r0, r1 int, add bool) {
	mark := ws.Mark()
	MulTRowsQ(p, ws, y, Quantise(p, ws, x, M, w.Cols), w, r0, r1, add)
	ws.Release(mark)
}

// split cuts the call into tasks of some panels by some rows.
func (c *fixedProduct) split(threads int) {
	panels := (c.r0+c.n+panelRows-1)/panelRows - c.r0/panelRows
	c.rowTasks = (c.a.M + fixedTaskRows - 1) / fixedTaskRows
	tiles := (c.a.M/c.rowTasks + kernel.FixedRows - 1) / kernel.FixedRows
	c.perTask = max(1, min(fixedTaskBlocks/(tiles*c.a.K/32), panels/(2*threads)))
	c.groups = (panels + c.perTask - 1) / c.perTask
}

// doMultiply computes one group of panels for one range of rows.
func (c *fixedProduct) doMultiply(task, worker int) {
	m, stride := c.a.M, c.a.stride()
	tiles := (m + kernel.FixedRows - 1) / kernel.FixedRows
	part := task / c.groups
	from, to := tiles*part/c.rowTasks*kernel.FixedRows, min(tiles*(part+1)/c.rowTasks*kernel.FixedRows, m)
	first := c.r0/panelRows + task%c.groups*c.perTask
	last := min(first+c.perTask, (c.r0+c.n+panelRows-1)/panelRows)
	edge := c.edges[worker*edgeTile:][:edgeTile]
	for panel := first; panel < last; panel++ {
		col := panel*panelRows - c.r0
		lo, hi := max(col, 0), min(col+panelRows, c.n)
		for i := from; i < to; i += kernel.FixedRows {
			rows := min(kernel.FixedRows, to-i)
			x := c.a.words[i*stride : (i+rows)*stride]
			if hi-lo == panelRows {
				c.w.mulFixed(c.y[i*c.n+col:], c.n, x, stride, panel, rows, c.add)
				continue
			}
			for r := 0; r < rows && c.add; r++ {
				copy(edge[r*panelRows+lo-col:], c.y[(i+r)*c.n+lo:(i+r)*c.n+hi])
			}
			c.w.mulFixed(edge, panelRows, x, stride, panel, rows, c.add)
			for r := range rows {
				copy(c.y[(i+r)*c.n+lo:(i+r)*c.n+hi], edge[r*panelRows+lo-col:])
			}
		}
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
