package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// The products below cut the work into tasks of a few weight panels by some activation rows. Each output
// element is one sum over k in ascending order in one accumulator that starts at zero, or at the element's
// old value when adding, so its bits depend on the operands, K and the CPU level alone: not on M, on threads,
// on how rows of the output are split, nor on how a long sum is split into successive adding calls.

const (
	taskRows   = 192  // activation rows of a task: what it reads again stays in the second-level cache
	taskDepth  = 1024 // k of a pass; accumulators go through memory between passes, which changes no bit
	smallDepth = 128  // the same for few rows, where expanded panels should stay in the first-level cache
	smallRows  = 16
	expandRows = 32 // fewest rows for which a task of its own is worth the expansion of a panel
	groupCols  = kernel.TilePanels * panelRows
	madeValues = 1 << 20 // most values of the right operand that exist at once in panels made for a call: 4 MB
	aloneWork  = 1 << 17 // fewer multiplications are done sooner by the caller than shared, in about 2 µs
)

// product is the state of one call. It lives in the Workspace, with its method values, so that handing tasks
// to the pool allocates nothing.
type product struct {
	prec   Precision // Single or Half
	out    []float32 // (M, n), row stride ldc
	ldc    int
	a      []float32 // element (i, k) at a[i·ars + k·acs]
	ars    int
	acs    int
	alpha  float32
	m, n   int // rows and columns of the output
	k      int // length of the sums
	steps  int // the same in steps of the tiles: k, or at Half pairs of k
	w      *Matrix
	r0     int // weight row of the output's first column
	add    bool
	packed []float32 // tiles of [step][rows]
	edges  []float32 // a tile for each worker while it packs
	before int       // steps of the sums that an earlier part of the call has done
	left   int       // steps that a later part will do
	bias   []float32 // (n), added to the sums over k, or nil
	lows   []lowPart // what adapters of the same activations ask of their packing
	low    *lowPart  // what follows the sums over k, or nil

	lowRight  []float32 // the lows' panels, whole steps deep
	lowPanels int
	whole     int

	b         []float32 // Gemm: element (k, j) at b[k·brs + j·bcs], times beta
	brs, bcs  int
	beta      float32
	wr0       int       // first weight row of a product with the weight's rows, whose turned panels are in right
	right     []float32 // panels of the right operand from group at on, or nil
	at        int
	scratch   []float32 // perWorker values for each worker
	perWorker int
	rowTasks  int
	groups    int
	packRows  func(task, worker int)
	forward   func(task, worker int)
	prepare   func(task, worker int)
	turn      func(task, worker int)
	layLow    func(task, worker int)
	stream    func(task, worker int)
	turned    func(task, worker int)
}

// product returns the workspace's state of a call, with its method values, made once in a workspace's life.
func (w *Workspace) product() *product {
	c := &w.prod
	if c.packRows == nil {
		c.packRows, c.forward, c.prepare, c.turn = c.doPackRows, c.doForward, c.doPrepare, c.doTurn
		c.layLow, c.stream, c.turned = c.doLayLow, c.doStream, c.doTurned
	}
	return c
}

// end forgets the operands of the call.
func (c *product) end() {
	clear(c.lows)
	*c = product{
		packRows: c.packRows, forward: c.forward, prepare: c.prepare, turn: c.turn,
		layLow: c.layLow, stream: c.stream, turned: c.turned, lows: c.lows[:0],
	}
}

// MulT computes y(M,Rows) = x(M,Cols)·wᵀ, adding to y if add is set. x and y are row-major and contiguous.
func MulT(p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, add bool) {
	MulTRows(p, ws, y, x, M, w, 0, w.Rows, add)
}

// MulTRows is MulT for weight rows [r0,r1) only: y(M, r1−r0).
func MulTRows(p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, r0, r1 int, add bool) {
	mulTRows(Single, p, ws, y, x, M, w, r0, r1, add)
}

func mulTRows(prec Precision, p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, r0, r1 int, add bool) {
	n := r1 - r0
	if r0 < 0 || n < 0 || r1 > w.Rows || M < 0 || len(y) < M*n || len(x) < M*w.Cols {
		panic(fmt.Sprintf("tensor.MulTRows: y %d, x %d, M %d, rows [%d,%d) of %d×%d", len(y), len(x), M, r0, r1, w.Rows, w.Cols))
	}
	if M == 0 || n == 0 {
		return
	}
	mark := ws.Mark()
	c := ws.product()
	c.prec, c.out, c.ldc, c.a, c.ars, c.acs, c.alpha = prec, y, n, x, w.Cols, 1, 1
	c.m, c.n, c.k, c.w, c.r0, c.add = M, n, w.Cols, w, r0, add
	c.run(p, ws)
	ws.Release(mark)
}

// Gemm computes C(M,N) = beta·C + alpha·op(A)·op(B) for f32 operands given by strides: element (i,k) of op(A)
// is a[i·ars + k·acs], element (k,j) of op(B) is b[k·brs + j·bcs], and row i of C starts at c[i·ldc]. With
// beta = 0 the old C is not read. alpha is multiplied into A beforehand.
func Gemm(p *Pool, ws *Workspace, M, N, K int, alpha float32, a []float32, ars, acs int, b []float32, brs, bcs int, beta float32, c []float32, ldc int) {
	gemm(Single, p, ws, M, N, K, alpha, a, ars, acs, b, brs, bcs, beta, c, ldc)
}

func gemm(prec Precision, p *Pool, ws *Workspace, M, N, K int, alpha float32, a []float32, ars, acs int, b []float32, brs, bcs int, beta float32, c []float32, ldc int) {
	if M < 0 || N < 0 || K < 0 || ldc < N {
		panic(fmt.Sprintf("tensor.Gemm: M %d, N %d, K %d, ldc %d", M, N, K, ldc))
	}
	if M == 0 || N == 0 {
		return
	}
	for i := 0; i < M && (beta != 1 && beta != 0 || K == 0 && beta != 1); i++ {
		row := c[i*ldc : i*ldc+N]
		if beta == 0 {
			clear(row)
		} else {
			kernel.Scale(row, beta)
		}
	}
	if K == 0 {
		return
	}
	mark := ws.Mark()
	g := ws.product()
	g.prec, g.out, g.ldc, g.a, g.ars, g.acs, g.alpha = prec, c, ldc, a, ars, acs, alpha
	g.m, g.n, g.k, g.w, g.r0, g.add = M, N, K, nil, 0, beta != 0
	g.b, g.brs, g.bcs, g.beta = b, brs, bcs, 1
	if ars == 1 && N <= groupCols && M > groupCols && K >= groupCols {
		g.runTurned(p, ws)
	} else {
		g.run(p, ws)
	}
	ws.Release(mark)
}

// run packs the activations and computes the output, panels by rows.
func (c *product) run(p *Pool, ws *Workspace) {
	if c.m*c.n*c.k < aloneWork {
		p = nil
	}
	c.split()
	if c.thin() {
		c.runThin(p, ws)
		return
	}
	c.pack(p, ws)
	c.columns(p, ws)
	c.end()
}

// columns computes the output from the packed activations, bias and low included. Where several row tasks would each
// make the same panels of what is stored, all make some of them together first, in scratch that they share.
func (c *product) columns(p *Pool, ws *Workspace) {
	c.splitRows(c.taskRows(), p.Threads())
	c.perWorker = c.depth()*groupCols + c.spare()
	c.scratch = ws.F32(c.perWorker * p.Threads())
	if c.rowTasks == 1 || c.inPlace() {
		p.Run(c.groups*c.rowTasks, c.forward)
		return
	}
	groups := c.groups
	some := min(groups, max(1, madeValues/(c.steps*groupCols)))
	c.right = ws.F32(some * c.steps * groupCols)
	for c.at = 0; c.at < groups; c.at += some {
		c.groups = min(some, groups-c.at)
		p.Run(c.groups, c.prepare)
		p.Run(c.groups*c.rowTasks, c.forward)
	}
	c.right, c.at, c.groups = nil, 0, groups
}

// inPlace reports whether panels are multiplied where they are stored.
func (c *product) inPlace() bool { return c.prec == Single && c.w != nil && c.w.DType == F32 }

// split sets the number of steps and of groups of panels.
func (c *product) split() {
	c.steps = c.stepsOf(c.k)
	c.groups = ((c.r0+c.n+panelRows-1)/panelRows - c.r0/panelRows + kernel.TilePanels - 1) / kernel.TilePanels
}

// taskRows is how many activation rows a task takes at most: in pairs as many more as take the same memory.
func (c *product) taskRows() int {
	if c.prec == Half {
		return min(2*taskRows, max(taskRows/2, halfTask/c.steps))
	}
	return taskRows
}

// spare is the scratch that a worker needs beside panels: an edge tile, and at Half a block of f32.
func (c *product) spare() int {
	n := c.tileRows() * groupCols
	if c.prec == Half {
		n += halfCols * panelRows
	}
	return n
}

// tileRows is how many activation rows a tile takes.
func (c *product) tileRows() int {
	if c.prec == Half {
		return kernel.BF16Rows()
	}
	return kernel.TileRows()
}

// splitRows cuts the output's rows into tasks of at most about size rows, whole tiles each; finer where there
// are few groups of columns, as in a LoRA product, so that every thread has some. Operands that each task must
// expand or pack for itself set a limit to that.
func (c *product) splitRows(size, threads int) {
	least := c.tileRows()
	if c.right == nil && !c.inPlace() {
		least = expandRows
	}
	want := (4*threads + c.groups - 1) / c.groups
	c.rowTasks = max((c.m+size-1)/size, min(want, c.m/least), 1)
	if threads == 1 {
		c.rowTasks = (c.m + size - 1) / size
	}
}

// rows is the range of output rows of one of the rowTasks.
func (c *product) rows(task int) (from, to int) {
	tile := c.tileRows()
	tiles := (c.m + tile - 1) / tile
	return min(tiles*task/c.rowTasks*tile, c.m), min(tiles*(task+1)/c.rowTasks*tile, c.m)
}

// depth is the number of steps of a pass.
func (c *product) depth() int {
	if c.m <= smallRows && c.right == nil {
		return min(c.steps, smallDepth)
	}
	return min(c.steps, taskDepth)
}

// group is the range of the right operand's panels that make up a group.
func (c *product) group(group int) (first, last int) {
	first = c.r0/panelRows + group*kernel.TilePanels
	return first, min(first+kernel.TilePanels, (c.r0+c.n+panelRows-1)/panelRows)
}
