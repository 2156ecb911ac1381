package tensor

import "hone/engine/kernel"

// What products at Half do in another way: operands are packed in pairs of k, so a step of a product is a pair,
// and weights go from their stored form through a small block of f32 into pairs.

const (
	halfTask = 112 << 10 // most packed values of a forward task: 448 kB
	halfCols = 256       // weight columns that are expanded at a time: 16 kB of f32 for a panel
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
