package tensor

import "hone/engine/kernel"

// pack brings the activations into tiles of tileRows rows, [step][rows] each, and while a tile is at hand computes
// from it what lows ask.
func (c *product) pack(p *Pool, ws *Workspace) {
	if c.prec == Single && c.m == 1 && c.acs == 1 && c.alpha == 1 && len(c.lows) == 0 {
		c.packed = c.a[:c.k] // one row is its own tile
		return
	}
	c.packed = ws.F32(c.m * c.steps)
	tile := c.tileRows()
	if len(c.lows) > 0 {
		c.edges = ws.F32(tile * groupCols * p.Threads())
	}
	p.Run((c.m+tile-1)/tile, c.packRows)
}

func (c *product) doPackRows(task, worker int) {
	tile := c.tileRows()
	i := task * tile
	rows := min(tile, c.m-i)
	packed := c.packed[i*c.steps : (i+rows)*c.steps]
	c.packTile(packed, i, rows, 0, c.steps)
	if len(c.lows) > 0 {
		c.inner(i, rows, packed, c.edges[worker*tile*groupCols:][:tile*groupCols])
	}
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
