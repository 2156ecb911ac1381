package tensor

import "hone/engine/kernel"

// doForward computes one group of panels for one range of rows.
func (c *product) doForward(task, worker int) {
	from, to := c.rows(task / c.groups)
	first, last := c.group(c.at + task%c.groups)
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	depth := c.depth()
	dst, rest := scratch[:depth*groupCols], scratch[depth*groupCols:]
	edge, block := rest[:c.tileRows()*groupCols], rest[c.tileRows()*groupCols:]
	if c.m == 1 && c.low == nil && c.right == nil && c.rowProduct() {
		c.single(first, last, edge)
		return
	}
	for k0 := 0; k0 < c.steps; k0 += depth {
		k1 := min(k0+depth, c.steps)
		b, stride := c.operand(dst, block, first, last, k0, k1)
		c.tiles(from, to, k0, k1, b, stride, last-first, first*panelRows-c.r0, edge)
	}
}

// operand returns panels [first,last) of the right operand for steps [k0,k1), and their distance.
func (c *product) operand(dst, block []float32, first, last, k0, k1 int) (b []float32, stride int) {
	if c.right != nil {
		panel := first - c.r0/panelRows - c.at*kernel.TilePanels
		return c.right[(panel*c.steps+k0)*panelRows:], c.steps * panelRows
	}
	return c.panels(dst, block, first, last, k0, k1)
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
		c.tile(i, rows, c.packed[i*c.steps+k0*rows:i*c.steps+k1*rows], k1-k0, b, stride, panels, col, edge, c.add || k0 > 0, k1 == c.steps)
	}
}

// tile computes rows [i,i+rows) of panels of columns from col on. Columns outside the output, at its edges, go
// through the edge tile. What follows the sums over k is added in the last pass.
func (c *product) tile(i, rows int, a []float32, steps int, b []float32, stride, panels, col int, edge []float32, add, last bool) {
	lo, hi := max(col, 0), min(col+panels*panelRows, c.n)
	out, ldc := edge, groupCols
	if hi-lo == panels*panelRows {
		out, ldc = c.out[i*c.ldc+col:], c.ldc
	} else if add {
		for r := range rows {
			copy(edge[r*groupCols+lo-col:], c.out[(i+r)*c.ldc+lo:(i+r)*c.ldc+hi])
		}
	}
	if l := c.low; last && l != nil && c.bias == nil {
		first := kernel.Part{A: a, B: b, Stride: stride, K: steps}
		then := l.part(i, rows, col)
		if c.prec == Half {
			kernel.TileThenBF16(out, ldc, rows, panels, add, first, then)
		} else {
			kernel.TileThen(out, ldc, rows, panels, add, first, then)
		}
	} else {
		c.multiply(out, ldc, a, b, stride, rows, panels, steps, add)
	}
	if last && c.bias != nil {
		for r := range rows {
			kernel.Add(out[r*ldc+lo-col:r*ldc+hi-col], c.bias[lo:hi])
		}
	}
	if l := c.low; last && l != nil && c.bias != nil {
		t := l.part(i, rows, col)
		c.multiply(out, ldc, t.A, t.B, t.Stride, rows, panels, t.K, true)
	}
	if hi-lo == panels*panelRows {
		return
	}
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
	lo, hi := max(col, 0), min(col+n, c.n)
	if hi-lo < n {
		if c.add {
			copy(edge[lo-col:], c.out[lo:hi])
		}
		c.mulRow(edge[:n], first, last)
		copy(c.out[lo:hi], edge[lo-col:])
	} else {
		c.mulRow(c.out[col:col+n], first, last)
	}
	if c.bias != nil {
		kernel.Add(c.out[lo:hi], c.bias[lo:hi])
	}
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
