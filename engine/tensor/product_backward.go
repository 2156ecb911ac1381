package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// Input gradients: products with a weight's rows, whose panels have to be turned. All tasks first turn some rows of
// the weight together, into panels of [step][16 columns] in scratch, then multiply with them.

const (
	turnRows   = 48                   // weight rows that a task turns, whole panels
	turnCols   = 96                   // weight columns likewise: whole blocks and whole panels
	turnSpread = turnRows + panelRows // rows of the panels that turnRows rows lie in, wherever they start
	backDepth  = 512                  // fewest steps of a part of a sum that is too long for madeValues
)

// Mul computes dx(M,Cols) = dy(M,Rows)·w, the gradient of MulT's input, adding to dx if add is set.
func Mul(p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, add bool) {
	MulRows(p, ws, dx, dy, M, w, 0, w.Rows, add)
}

// MulRows is Mul with weight rows [r0,r1) only: dx(M,Cols) = dy(M,r1−r0)·w[r0:r1]. Adding the products of
// successive ranges gives the bits of the product over the whole range.
func MulRows(p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, r0, r1 int, add bool) {
	mulRows(Single, p, ws, dx, dy, M, w, r0, r1, add)
}

func mulRows(prec Precision, p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, r0, r1 int, add bool) {
	k := r1 - r0
	if r0 < 0 || k < 0 || r1 > w.Rows || M < 0 || len(dx) < M*w.Cols || len(dy) < M*k {
		panic(fmt.Sprintf("tensor.MulRows: dx %d, dy %d, M %d, rows [%d,%d) of %d×%d", len(dx), len(dy), M, r0, r1, w.Rows, w.Cols))
	}
	if M == 0 || k == 0 {
		if !add {
			clear(dx[:M*w.Cols])
		}
		return
	}
	mark := ws.Mark()
	c := ws.product()
	c.setBack(prec, dx, dy, M, w, r0, k, add)
	c.runBack(p, ws)
	ws.Release(mark)
}

// setBack describes dx(M,Cols) (+)= dy(M,k)·w[r0:r0+k].
func (c *product) setBack(prec Precision, dx, dy []float32, M int, w *Matrix, r0, k int, add bool) {
	c.prec, c.out, c.ldc, c.a, c.ars, c.acs, c.alpha = prec, dx, w.Cols, dy, k, 1, 1
	c.m, c.n, c.k, c.w, c.wr0, c.add = M, w.Cols, k, w, r0, add
}

// runBack cuts the sums into parts whose turned rows are at most madeValues, or backDepth deep.
func (c *product) runBack(p *Pool, ws *Workspace) {
	if c.m*c.n*c.k < aloneWork {
		p = nil
	}
	perStep := 1
	if c.prec == Half {
		perStep = 2
	}
	c.split()
	whole, steps, cols := c.k, c.steps, (c.n+panelRows-1)/panelRows*panelRows
	depth := steps
	if steps*cols > madeValues {
		depth = max(madeValues/cols, backDepth) &^ (panelRows - 1)
	}
	a, add, r0, low := c.a, c.add, c.wr0, c.low
	for c.before = 0; c.before < steps; c.before += depth {
		mark := ws.Mark()
		done := c.before * perStep
		c.k = min(depth*perStep, whole-done)
		c.split()
		c.left = steps - c.before - c.steps
		c.a, c.add, c.wr0, c.low = a[done*c.acs:], add || done > 0, r0+done, nil
		if c.left == 0 {
			c.low = low
		}
		c.pack(p, ws)
		c.turnedColumns(p, ws)
		ws.Release(mark)
	}
	c.end()
}

// turnedColumns turns the weight's rows and computes the output from them and the packed activations.
func (c *product) turnedColumns(p *Pool, ws *Workspace) {
	c.right = ws.F32((c.n + panelRows - 1) / panelRows * panelRows * c.steps)
	c.splitRows(c.taskRows(), p.Threads())
	c.perWorker = max((turnSpread+panelRows)*turnCols, c.depth()*groupCols+c.spare())
	c.scratch = ws.F32(c.perWorker * p.Threads())
	p.Run((c.n+turnCols-1)/turnCols*((c.k+turnRows-1)/turnRows), c.turn)
	p.Run(c.groups*c.rowTasks, c.forward)
	c.right = nil
}

// doTurn turns some columns of some rows of the weight.
func (c *product) doTurn(task, worker int) {
	blocks := (c.n + turnCols - 1) / turnCols
	c0, done := task%blocks*turnCols, task/blocks*turnRows
	c1, n := min(c0+turnCols, c.n), min(turnRows, c.k-done)
	step := done
	if c.prec == Half {
		step = done / 2
	}
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	turned, block := scratch[:turnSpread*turnCols], scratch[turnSpread*turnCols:][:panelRows*turnCols]
	dst, stride := c.right[c0*c.steps+step*panelRows:], c.steps*panelRows
	row := c.wr0 + done
	for ; n >= panelRows && row%panelRows == 0; n, row = n-panelRows, row+panelRows {
		if c.prec == Half {
			c.turnPairs(dst, stride, block, row/panelRows, c0, c1)
		} else {
			c.turnPanel(dst, stride, block, row/panelRows, c0, c1)
		}
		if n > panelRows {
			dst = dst[panelRows*c.stepsOf(panelRows):]
		}
	}
	if n > 0 {
		c.turnRest(dst, stride, turned, block, row, n, c0, c1)
	}
}

// stepsOf is the steps that n of the sums' elements make, or begin.
func (c *product) stepsOf(n int) int {
	if c.prec == Half {
		return (n + 1) / 2
	}
	return n
}

// turnPanel transposes columns [c0,c1) of one weight panel to 16 rows of each panel in dst, stride apart.
func (c *product) turnPanel(dst []float32, stride int, block []float32, panel, c0, c1 int) {
	src := c.w.expand(block, panel, c0, c1)
	for len(src) > 0 {
		if len(src) < 256 {
			clear(block[copy(block, src):256])
			src = block[:256]
		}
		kernel.Transpose16(dst, src)
		src = src[256:]
		if len(src) > 0 {
			dst = dst[stride:]
		}
	}
}

// turnPairs is turnPanel with the rows in pairs.
func (c *product) turnPairs(dst []float32, stride int, block []float32, panel, c0, c1 int) {
	src := c.w.expand(block, panel, c0, c1)
	for cols := c1 - c0; cols > 0; cols -= panelRows {
		n := min(cols, panelRows)
		kernel.PackBF16(dst[:panelRows/2*panelRows], panelRows, src, panelRows, 1, n, panelRows, 1)
		if cols > panelRows {
			src, dst = src[256:], dst[stride:]
		}
	}
}

// turnRest does the same with weight rows [r,r+n), turnRows at most, that are not whole panels or start within one.
func (c *product) turnRest(dst []float32, stride int, turned, block []float32, r, n, c0, c1 int) {
	const turnedStride = turnSpread * panelRows
	first := r / panelRows
	for p := first; p*panelRows < r+n; p++ {
		c.turnPanel(turned[(p-first)*panelRows*panelRows:], turnedStride, block, p, c0, c1)
	}
	for p := 0; p*panelRows < c1-c0; p++ {
		src, to := turned[p*turnedStride+r%panelRows*panelRows:], dst[p*stride:]
		if c.prec == Half {
			kernel.PackBF16(to[:(n+1)/2*panelRows], panelRows, src, 1, panelRows, panelRows, n, 1)
		} else {
			copy(to[:n*panelRows], src)
		}
	}
}
