package tensor

import "hone/engine/kernel"

// Products of which one operand is thin, as those with a LoRA adapter's matrices: little arithmetic for each
// value read, so what counts is to read and write the large operand once, in order.

const (
	thinValues = 64 << 10 // most values of a right operand, in panels, that is kept whole: 256 kB
	thinRows   = 64       // fewest activation rows for which that is done
	thinDepth  = 512      // steps of a pass, whose activations are packed in the first-level cache
)

// thin reports whether the whole right operand fits the second-level cache beside what streams through it.
func (c *product) thin() bool {
	return c.m >= thinRows && c.groups*groupCols*c.steps <= thinValues
}

// runThin prepares the right operand, then takes a few rows at a time through all of it: a tile of activations
// is packed in the first-level cache where it is used, and the output's rows are written from end to end.
func (c *product) runThin(p *Pool, ws *Workspace) {
	c.perWorker = c.tileRows()*thinDepth + c.spare()
	c.scratch = ws.F32(c.perWorker * p.Threads())
	if !c.inPlace() {
		c.right = ws.F32(c.groups * groupCols * c.steps)
		p.Run(c.groups, c.prepare)
	} else {
		c.right = c.w.f32[c.r0/panelRows*panelRows*c.k:]
	}
	groups := c.groups
	c.groups = 1 // splitRows may give every thread some rows
	c.splitRows(taskRows, p.Threads())
	c.groups = groups
	p.Run(c.rowTasks, c.stream)
	c.end()
}

// doPrepare writes one group of panels of the right operand.
func (c *product) doPrepare(group, worker int) {
	first, last := c.group(c.at + group)
	at, n := group*groupCols*c.steps, (last-first)*panelRows*c.steps
	c.panels(c.right[at:at+n], c.scratch[worker*c.perWorker:][:c.perWorker], first, last, 0, c.steps)
}

// doStream computes one range of output rows.
func (c *product) doStream(task, worker int) {
	from, to := c.rows(task)
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	tile, stride := c.tileRows(), panelRows*c.steps
	packed, edge := scratch[:tile*thinDepth], scratch[tile*thinDepth:]
	for i := from; i < to; i += tile {
		rows := min(tile, c.m-i)
		for k0 := 0; k0 < c.steps; k0 += thinDepth {
			k1 := min(k0+thinDepth, c.steps)
			a := packed[:rows*(k1-k0)]
			c.packTile(a, i, rows, k0, k1)
			for g := range c.groups {
				first, last := c.group(g)
				b := c.right[g*groupCols*c.steps+k0*panelRows:]
				c.tile(i, rows, a, k1-k0, b, stride, last-first, first*panelRows-c.r0, edge, c.add || k0 > 0, false)
			}
		}
	}
}

// runTurned computes a product of a wide A, given by columns, and a thin B as its transpose: A's columns are
// then read in runs of a group's width, each once. An element is the same sum of the same products.
func (c *product) runTurned(p *Pool, ws *Workspace) {
	c.m, c.n = c.n, c.m
	c.a, c.b = c.b, c.a
	c.ars, c.acs, c.brs, c.bcs = c.bcs, c.brs, c.acs, c.ars
	c.alpha, c.beta = c.beta, c.alpha
	c.split()
	c.pack(p, ws)
	c.perWorker = c.depth()*groupCols + c.m*groupCols
	c.scratch = ws.F32(c.perWorker * p.Threads())
	p.Run(c.groups, c.turned)
	c.end()
}

// doTurned computes one group of columns of the transpose, (m, n), and turns it into the output, (n, m).
func (c *product) doTurned(group, worker int) {
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	first, last := c.group(group)
	depth := c.depth()
	panels, sums := scratch[:depth*groupCols], scratch[depth*groupCols:]
	col, tile := first*panelRows, c.tileRows()
	cols := min(last*panelRows, c.n) - col
	out := c.out[col*c.ldc:]
	if c.add {
		kernel.Transpose(sums, groupCols, out, c.ldc, cols, c.m)
	}
	for k0 := 0; k0 < c.steps; k0 += depth {
		k1 := min(k0+depth, c.steps)
		b, stride := c.panels(panels, nil, first, last, k0, k1)
		for i := 0; i < c.m; i += tile {
			rows := min(tile, c.m-i)
			a := c.packed[i*c.steps+k0*rows : i*c.steps+k1*rows]
			c.multiply(sums[i*groupCols:], groupCols, a, b, stride, rows, last-first, k1-k0, c.add || k0 > 0)
		}
	}
	kernel.Transpose(out, c.ldc, sums, groupCols, c.m, cols)
}
