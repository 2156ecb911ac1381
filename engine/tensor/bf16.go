package tensor

import "hone/engine/kernel"

// What products at Half do in another way: operands are packed in pairs of k, so a step of a product is a pair,
// and weights go from their stored form through a small block of f32 into pairs.

const (
	halfTask   = 112 << 10              // most packed values of a forward task: 448 kB
	halfCols   = 256                    // weight columns that are expanded at a time: 16 kB of f32 for a panel
	halfTurned = 64                     // weight rows that are turned at a time, in 16 kB likewise for each panel
	halfSpread = halfTurned - panelRows // of those, rows that are in use wherever in a panel they start
)

// panelsHalf is panels at Half: steps are pairs of k. block is scratch for f32.
func (c *product) panelsHalf(dst, block []float32, first, last, k0, k1 int) (b []float32, stride int) {
	stride = (k1 - k0) * panelRows
	from, to := 2*k0, min(2*k1, c.k)
	for p := first; p < last; p++ {
		panel := dst[(p-first)*stride : (p-first+1)*stride]
		if c.w != nil {
			c.narrow(panel, block, p, from, to)
			continue
		}
		j := p * panelRows
		kernel.PackBF16(panel, panelRows, c.b[from*c.brs+j*c.bcs:], c.bcs, c.brs, min(panelRows, c.n-j), to-from, c.beta)
	}
	return dst, stride
}

// narrow writes columns [k0,k1) of a weight panel to dst in pairs; block is scratch.
func (c *product) narrow(dst, block []float32, panel, k0, k1 int) {
	for k := k0; k < k1; k += halfCols {
		n := min(halfCols, k1-k)
		src := c.w.expand(block, panel, k, k+n)
		pairs := (n + 1) / 2
		kernel.PackBF16(dst[:pairs*panelRows], panelRows, src, 1, panelRows, panelRows, n, 1)
		dst = dst[pairs*panelRows:]
	}
}

// doBackwardHalf is doBackward at Half: a pass turns weight rows into panels of [row][16 columns] as there, some
// at a time, and pairs those from the first row in use on, wherever in a panel of the weight that is.
func (c *product) doBackwardHalf(task, worker int) {
	group := task % c.groups
	from, to := c.rows(task / c.groups)
	scratch := c.scratch[worker*c.perWorker:][:c.perWorker]
	paired, rest := scratch[:backDepth*backCols], scratch[backDepth*backCols:]
	turned, rest := rest[:halfTurned*backCols], rest[halfTurned*backCols:]
	block, edge := rest[:panelRows*backCols], rest[panelRows*backCols:]
	c0 := group * backCols
	c1 := min(c0+backCols, c.n)
	panels := (c1 - c0 + panelRows - 1) / panelRows
	const stride = backDepth * panelRows
	for k0 := 0; k0 < c.steps; k0 += backDepth {
		k1 := min(k0+backDepth, c.steps)
		for k := 2 * k0; k < min(2*k1, c.k); k += halfSpread {
			n := min(halfSpread, 2*k1-k, c.k-k)
			c.pairRows(paired[(k/2-k0)*panelRows:], stride, turned, block, c.r0+k, n, c0, c1)
		}
		for p := 0; p < panels; p += kernel.TilePanels {
			n := min(kernel.TilePanels, panels-p)
			c.tiles(from, to, k0, k1, paired[p*stride:], stride, n, c0+p*panelRows, edge)
		}
	}
}

// pairRows writes columns [c0,c1) of weight rows [r,r+n) to panels of 16 columns in dst, stride apart, in pairs of
// rows. turned and block are scratch.
func (c *product) pairRows(dst []float32, stride int, turned, block []float32, r, n, c0, c1 int) {
	first := r / panelRows
	const turnedStride = halfTurned * panelRows
	for p := first; p*panelRows < r+n; p++ {
		c.turn(turned[(p-first)*panelRows*panelRows:], turnedStride, block, p, c0, c1)
	}
	for p := 0; p*panelRows < c1-c0; p++ {
		src := turned[p*turnedStride+r%panelRows*panelRows:]
		kernel.PackBF16(dst[p*stride:][:(n+1)/2*panelRows], panelRows, src, 1, panelRows, panelRows, n, 1)
	}
}

// rowProductHalf reports whether mulRowHalf can be used, and is worth it.
func (m *Matrix) rowProductHalf() bool {
	return !m.DType.Quantised() && m.Cols%2 == 0 && kernel.PairsInRegisters()
}

// mulRowHalf multiplies one row of activations, in pairs, with panels [first,last).
func (m *Matrix) mulRowHalf(y, x []float32, first, last int, add bool) {
	stride := panelRows * m.Cols
	switch m.DType {
	case F32:
		kernel.RowPairsF32(y, x, m.f32[first*stride:last*stride], stride, last-first, add)
	case F16:
		kernel.RowPairsF16(y, x, m.data[first*2*stride:last*2*stride], 2*stride, last-first, add)
	case BF16:
		kernel.RowPairsBF16(y, x, m.data[first*2*stride:last*2*stride], 2*stride, last-first, add)
	}
}
