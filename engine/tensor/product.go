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
	expandRows = 32  // fewest rows for which a task of its own is worth the expansion of a panel
	backDepth  = 256 // weight rows of a backward pass, whole panels
	backCols   = 96  // weight columns of a backward task: whole blocks and whole tiles
	groupCols  = kernel.TilePanels * panelRows
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
	r0     int // first weight row in use
	add    bool
	packed []float32 // tiles of [step][rows]

	b         []float32 // Gemm: element (k, j) at b[k·brs + j·bcs], times beta
	brs, bcs  int
	beta      float32
	right     []float32 // the whole right operand in panels, for products in thin.go
	scratch   []float32 // perWorker values for each worker
	perWorker int
	rowTasks  int
	groups    int
	packRows  func(task, worker int)
	forward   func(task, worker int)
	backward  func(task, worker int)
	prepare   func(task, worker int)
	stream    func(task, worker int)
	turned    func(task, worker int)
}

// product returns the workspace's state of a call, with its method values, made once in a workspace's life.
func (w *Workspace) product() *product {
	p := &w.prod
	if p.packRows == nil {
		p.packRows, p.forward, p.backward = p.doPackRows, p.doForward, p.doBackward
		p.prepare, p.stream, p.turned = p.doPrepare, p.doStream, p.doTurned
	}
	return p
}

// end forgets the operands of the call.
func (c *product) end() {
	*c = product{
		packRows: c.packRows, forward: c.forward, backward: c.backward,
		prepare: c.prepare, stream: c.stream, turned: c.turned,
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
	c.splitRows(c.taskRows(), p.Threads())
	c.perWorker = c.depth()*groupCols + c.spare()
	c.scratch = ws.F32(c.perWorker * p.Threads())
	p.Run(c.groups*c.rowTasks, c.forward)
	c.end()
}

// split sets the number of steps and of groups of panels.
func (c *product) split() {
	c.steps = c.k
	if c.prec == Half {
		c.steps = (c.k + 1) / 2
	}
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

// pack brings the activations into tiles of tileRows rows, [step][rows] each.
func (c *product) pack(p *Pool, ws *Workspace) {
	if c.prec == Single && c.m == 1 && c.acs == 1 && c.alpha == 1 {
		c.packed = c.a[:c.k] // one row is its own tile
		return
	}
	c.packed = ws.F32(c.m * c.steps)
	tile := c.tileRows()
	p.Run((c.m+tile-1)/tile, c.packRows)
}

// splitRows cuts the output's rows into tasks of at most about size rows, whole tiles each; finer where there
// are few groups of columns, as in a LoRA product, so that every thread has some. Operands that each task must
// expand or pack for itself set a limit to that.
func (c *product) splitRows(size, threads int) {
	least := c.tileRows()
	if c.w == nil || c.w.DType != F32 || c.prec == Half {
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
	if c.m <= smallRows {
		return min(c.steps, smallDepth)
	}
	return min(c.steps, taskDepth)
}

func (c *product) doPackRows(task, _ int) {
	tile := c.tileRows()
	i := task * tile
	rows := min(tile, c.m-i)
	c.packTile(c.packed[i*c.steps:(i+rows)*c.steps], i, rows, 0, c.steps)
}

// packTile packs activation rows [i,i+rows) as [step][rows], for steps [k0,k1).
func (c *product) packTile(dst []float32, i, rows, k0, k1 int) {
	if c.prec == Half {
		k0, k1 = 2*k0, min(2*k1, c.k)
		kernel.PackBF16(dst, rows, c.a[i*c.ars+k0*c.acs:], c.ars, c.acs, rows, k1-k0, c.alpha)
		return
	}
	kernel.Pack(dst, rows, c.a[i*c.ars+k0*c.acs:], c.ars, c.acs, rows, k1-k0, c.alpha)
}

// group is the range of the right operand's panels that make up a group.
func (c *product) group(group int) (first, last int) {
	first = c.r0/panelRows + group*kernel.TilePanels
	return first, min(first+kernel.TilePanels, (c.r0+c.n+panelRows-1)/panelRows)
}

// doForward computes one group of panels for one range of rows.
func (c *product) doForward(task, worker int) {
	from, to := c.rows(task / c.groups)
	first, last := c.group(task % c.groups)
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	depth := c.depth()
	dst, rest := scratch[:depth*groupCols], scratch[depth*groupCols:]
	edge, block := rest[:c.tileRows()*groupCols], rest[c.tileRows()*groupCols:]
	if c.m == 1 && c.rowProduct() {
		c.single(first, last, edge)
		return
	}
	for k0 := 0; k0 < c.steps; k0 += depth {
		k1 := min(k0+depth, c.steps)
		b, stride := c.panels(dst, block, first, last, k0, k1)
		c.tiles(from, to, k0, k1, b, stride, last-first, first*panelRows-c.r0, edge)
	}
}

// panels returns panels [first,last) of the right operand for steps [k0,k1), and their distance: in dst, or where
// they are. block is scratch of halfCols·16 values at Half.
func (c *product) panels(dst, block []float32, first, last, k0, k1 int) (b []float32, stride int) {
	if c.prec == Half {
		return c.panelsHalf(dst, block, first, last, k0, k1)
	}
	if c.w != nil && c.w.DType == F32 {
		return c.w.f32[(first*c.k+k0)*panelRows:], c.k * panelRows
	}
	stride = (k1 - k0) * panelRows
	for p := first; p < last; p++ {
		panel := dst[(p-first)*stride : (p-first+1)*stride]
		if c.w != nil {
			c.w.expand(panel, p, k0, k1)
			continue
		}
		j := p * panelRows
		kernel.Pack(panel, panelRows, c.b[k0*c.brs+j*c.bcs:], c.bcs, c.brs, min(panelRows, c.n-j), k1-k0, c.beta)
	}
	return dst, stride
}

// tiles runs the micro-kernel over rows [from,to) of the output and panels of columns from col on, for one
// pass of steps [k0,k1).
func (c *product) tiles(from, to, k0, k1 int, b []float32, stride, panels, col int, edge []float32) {
	tile := c.tileRows()
	for i := from; i < to; i += tile {
		rows := min(tile, c.m-i)
		c.tile(i, rows, c.packed[i*c.steps+k0*rows:i*c.steps+k1*rows], k1-k0, b, stride, panels, col, edge, c.add || k0 > 0)
	}
}

// tile computes rows [i,i+rows) of panels of columns from col on. Columns outside the output, at its edges, go
// through the edge tile.
func (c *product) tile(i, rows int, a []float32, steps int, b []float32, stride, panels, col int, edge []float32, add bool) {
	lo, hi := max(col, 0), min(col+panels*panelRows, c.n)
	if hi-lo == panels*panelRows {
		c.multiply(c.out[i*c.ldc+col:], c.ldc, a, b, stride, rows, panels, steps, add)
		return
	}
	for r := 0; r < rows && add; r++ {
		copy(edge[r*groupCols+lo-col:], c.out[(i+r)*c.ldc+lo:(i+r)*c.ldc+hi])
	}
	c.multiply(edge, groupCols, a, b, stride, rows, panels, steps, add)
	for r := range rows {
		copy(c.out[(i+r)*c.ldc+lo:(i+r)*c.ldc+hi], edge[r*groupCols+lo-col:])
	}
}

// multiply is the micro-kernel of the precision.
func (c *product) multiply(out []float32, ldc int, a, b []float32, stride, rows, panels, steps int, add bool) {
	if c.prec == Half {
		kernel.TileBF16(out, ldc, a, b, stride, rows, panels, steps, add)
		return
	}
	kernel.Tile(out, ldc, a, b, stride, rows, panels, steps, add)
}

// single computes panels [first,last) for the only activation row, straight from their stored form.
func (c *product) single(first, last int, edge []float32) {
	col, n := first*panelRows-c.r0, (last-first)*panelRows
	if lo, hi := max(col, 0), min(col+n, c.n); hi-lo < n {
		if c.add {
			copy(edge[lo-col:], c.out[lo:hi])
		}
		c.mulRow(edge[:n], first, last)
		copy(c.out[lo:hi], edge[lo-col:])
		return
	}
	c.mulRow(c.out[col:col+n], first, last)
}

// rowProduct reports whether mulRow can be used.
func (c *product) rowProduct() bool {
	switch {
	case c.w == nil:
		return false
	case c.prec == Half:
		return c.w.rowProductHalf()
	}
	return c.w.rowProduct()
}

// mulRow multiplies the only activation row with panels [first,last).
func (c *product) mulRow(y []float32, first, last int) {
	if c.prec == Half {
		c.w.mulRowHalf(y, c.packed, first, last, c.add)
		return
	}
	c.w.mulRow(y, c.packed, first, last, c.add)
}
