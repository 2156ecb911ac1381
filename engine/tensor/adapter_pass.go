package tensor

import (
	"fmt"
	"math"

	"hone/engine/kernel"
)

// The passes of the pool that adapters add to a product: one before it, for the inner products, and one after it
// where the product cannot take B·u into its own tasks.

const (
	innerAlone   = 8 << 10 // fewer values of A than this are read sooner by the caller alone
	afterPanels  = 12      // panels of a task that adds B·u
	afterRows    = 64      // rows of such a task, whole tiles
	innerDivided = 4       // tasks for each thread for which blocks of 16 ranks are not divided
)

// adapterPass is the state of one such pass. It lives in the Workspace, as product does.
type adapterPass struct {
	x         []float32 // (M, k)
	k         int
	quantise  *fixedProduct // whose tasks come first; nil: none
	quantised int           // their number
	inner     []innerTask
	outer     []outerTask
	scratch   []float32
	perWorker int
	doInner   func(task, worker int)
	doOuter   func(task, worker int)
}

// innerTask computes ranks [lo,hi) of an addend's u for a tile of rows.
type innerTask struct {
	add       *Addend
	row, rows int
	lo, hi    int
}

// outerTask adds to panels [first,last) of a product for rows [from,to).
type outerTask struct {
	after       after
	first, last int
	from, to    int
}

func (w *Workspace) adapterPass() *adapterPass {
	c := &w.adapters
	if c.doInner == nil {
		c.doInner, c.doOuter = c.innerTask, c.outerTask
	}
	return c
}

// end forgets the operands of the call.
func (c *adapterPass) end() {
	clear(c.inner)
	clear(c.outer)
	*c = adapterPass{inner: c.inner[:0], outer: c.outer[:0], doInner: c.doInner, doOuter: c.doOuter}
}

// QuantiseFor converts x(M,K) for MulTEach with these products, with memory of ws, and is Inner of theirs, in one pass.
func QuantiseFor(p *Pool, ws *Workspace, x []float32, M, K int, products ...Product) Activations {
	if !anyAddend(products) {
		return quantise(p, ws, x, M, K, products...)
	}
	a, tasks := prepareQuantise(ws, x, M, K, products)
	c := ws.adapterPass()
	if tasks > 0 {
		c.quantise, c.quantised = ws.fixedProduct(), tasks
		c.quantise.a = a
	}
	c.runInner(p, ws, x, K, products)
	if tasks > 0 {
		ws.fixedProduct().a = Activations{}
	}
	return a
}

// Inner computes what the addends of products take of x(M,K), for MulTEach or AddAfter with memory of ws.
func Inner(p *Pool, ws *Workspace, x []float32, M, K int, products ...Product) {
	if M < 0 || K < 0 || len(x) < M*K {
		panic(fmt.Sprintf("tensor.Inner: x %d, M %d, K %d", len(x), M, K))
	}
	if anyAddend(products) {
		ws.adapterPass().runInner(p, ws, x, K, products)
	}
}

func anyAddend(products []Product) bool {
	for i := range products {
		if len(products[i].Adds) > 0 {
			return true
		}
	}
	return false
}

// runInner cuts the inner products into tasks: a tile of rows of one addend by a block of ranks, which are divided
// where there would be too few tasks for all threads. No cut changes a bit.
func (c *adapterPass) runInner(p *Pool, ws *Workspace, x []float32, k int, products []Product) {
	c.x, c.k = x, k
	size, blocks := 0, 0
	for i := range products {
		for j := range products[i].Adds {
			add := &products[i].Adds[j]
			if add.W.In != k || add.Lo < 0 || add.Lo > add.Hi || add.Hi*k > len(x) {
				panic(fmt.Sprintf("tensor.Inner: rows [%d,%d) of %d values of x, K %d, for an adapter of %d columns", add.Lo, add.Hi, len(x), k, add.W.In))
			}
			add.u = ws.F32((add.Hi - add.Lo) * add.W.pairs())
			size += (add.Hi - add.Lo) * len(add.W.a)
			blocks += (add.Hi - add.Lo + tileRows() - 1) / tileRows() * ((add.W.R + kernel.RankRows - 1) / kernel.RankRows)
		}
	}
	step := kernel.RankRows
	if blocks < innerDivided*p.Threads() {
		step = kernel.RankStep
	}
	for i := range products {
		for j := range products[i].Adds {
			c.cut(&products[i].Adds[j], step)
		}
	}
	if size < innerAlone {
		p = nil
	}
	mark := ws.Mark()
	c.perWorker = (k+kernel.LineColumns-1)/kernel.LineColumns*linePairs + kernel.RankRows
	c.scratch = ws.F32(c.perWorker * p.Threads())
	p.Run(c.quantised+len(c.inner), c.doInner)
	ws.Release(mark)
	c.end()
}

func (c *adapterPass) cut(add *Addend, step int) {
	for i := add.Lo; i < add.Hi; {
		end := tileEnd(i, add.Hi)
		for lo := 0; lo < add.W.R; lo += step {
			c.inner = append(c.inner, innerTask{add, i, end - i, lo, min(lo+step, add.W.ranks())})
		}
		i = end
	}
}

func (c *adapterPass) innerTask(task, worker int) {
	if task < c.quantised {
		c.quantise.doQuantise(task, worker)
		return
	}
	t := &c.inner[task-c.quantised]
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	x, u := scratch[:c.perWorker-kernel.RankRows], scratch[c.perWorker-kernel.RankRows:]
	w := t.add.W
	block, stride := w.block(t.lo)
	pairs := t.add.u[(t.row-t.add.Lo)*w.pairs():]
	clear(x[(c.k+1)/2:])
	for i := range t.rows {
		kernel.PackBF16(x[:(c.k+1)/2], 1, c.x[(t.row+i)*c.k:], c.k, 1, 1, c.k, 1)
		kernel.RankDots(u, x, block, t.hi-t.lo, stride)
		for j := t.lo; j < min(t.hi, w.R); j += 2 {
			pair := uint32(kernel.RoundBF16(w.Scale * u[j-t.lo]))
			if j+1 < w.R {
				pair |= uint32(kernel.RoundBF16(w.Scale*u[j+1-t.lo])) << 16
			}
			pairs[j/2*t.rows+i] = math.Float32frombits(pair)
		}
	}
}

// AddAfter adds bias and addends of products that have been computed for M rows.
func AddAfter(p *Pool, ws *Workspace, M int, products ...Product) {
	c := ws.adapterPass()
	for i := range products {
		a := products[i].after()
		for from := 0; from < M && !a.empty(); from += afterRows {
			for first := 0; first < (a.n+panelRows-1)/panelRows; first += afterPanels {
				last := min(first+afterPanels, (a.n+panelRows-1)/panelRows)
				c.outer = append(c.outer, outerTask{a, first, last, from, min(from+afterRows, M)})
			}
		}
	}
	if len(c.outer) > 0 {
		mark := ws.Mark()
		c.perWorker = edgeTile
		c.scratch = ws.F32(c.perWorker * p.Threads())
		p.Run(len(c.outer), c.doOuter)
		ws.Release(mark)
	}
	c.end()
}

func (c *adapterPass) outerTask(task, worker int) {
	t := &c.outer[task]
	t.after.apply(t.first, t.last, t.from, t.to, c.scratch[worker*c.perWorker:][:c.perWorker])
}
