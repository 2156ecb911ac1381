package tensor

import (
	"fmt"

	"hone/engine/kernel"
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
	if M*w.Cols*k < aloneWork {
		p = nil
	}
	mark := ws.Mark()
	c := ws.product()
	c.prec, c.out, c.ldc, c.a, c.ars, c.acs, c.alpha = prec, dx, w.Cols, dy, k, 1, 1
	c.m, c.n, c.k, c.w, c.r0, c.add = M, w.Cols, k, w, r0, add
	c.split()
	c.pack(p, ws)
	c.groups = (c.n + backCols - 1) / backCols
	c.splitRows(2*taskRows, p.Threads())
	c.perWorker = backDepth*backCols + panelRows*backCols + c.tileRows()*groupCols
	if c.prec == Half {
		c.perWorker += halfTurned * backCols
	}
	c.scratch = ws.F32(c.perWorker * p.Threads())
	p.Run(c.groups*c.rowTasks, c.backward)
	c.end()
	ws.Release(mark)
}

// doBackward computes one group of output columns for one range of rows. A pass turns the columns of some
// weight panels into panels of their own, [weight row][16 columns], shared by all rows of the task.
func (c *product) doBackward(task, worker int) {
	if c.prec == Half {
		c.doBackwardHalf(task, worker)
		return
	}
	group := task % c.groups
	from, to := c.rows(task / c.groups)
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	turned, rest := scratch[:backDepth*backCols], scratch[backDepth*backCols:]
	block, edge := rest[:panelRows*backCols], rest[panelRows*backCols:]
	c0 := group * backCols
	c1 := min(c0+backCols, c.n)
	panels := (c1 - c0 + panelRows - 1) / panelRows
	const stride = backDepth * panelRows
	start := c.r0 / panelRows * panelRows // passes cover whole panels; the first may start before r0
	for s := start; s < c.r0+c.k; s += backDepth {
		e := min(s+backDepth, c.r0+c.k)
		for r := s; r < e; r += panelRows {
			c.turn(turned[(r-s)*panelRows:], stride, block, r/panelRows, c0, c1)
		}
		skip := max(c.r0-s, 0)
		k0, k1 := s+skip-c.r0, e-c.r0
		for p := 0; p < panels; p += kernel.TilePanels {
			n := min(kernel.TilePanels, panels-p)
			c.tiles(from, to, k0, k1, turned[p*stride+skip*panelRows:], stride, n, c0+p*panelRows, edge)
		}
	}
}

// turn transposes columns [c0,c1) of one weight panel to 16 rows of each panel in dst, stride apart.
func (c *product) turn(dst []float32, stride int, block []float32, panel, c0, c1 int) {
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
