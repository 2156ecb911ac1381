package nn

import (
	"encoding/binary"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// packing is the layout of a block of keys and values as operands of products. For each group there are the keys,
// keyBlock/16 panels of 16 positions, E deep, and then the values, panels of 16 of their columns (of which the last
// may be cut short), keyBlock positions deep. In pairs (bfloat16) the depths are halves. It is the same whether a
// pass packs its own keys or a KV cache keeps them.
type packing struct {
	groups, e int
	pairs     bool
}

// depth is how many steps k values take.
func (p packing) depth(k int) int {
	if p.pairs {
		return (k + 1) / 2
	}
	return k
}

// columns is E, rounded up to whole panels.
func (p packing) columns() int { return (p.e + 15) &^ 15 }

// sides are the sizes of a group's keys and of its values.
func (p packing) sides() (keys, values int) {
	return keyBlock * p.depth(p.e), p.columns() * p.depth(keyBlock)
}

// block is the size of a block of all groups.
func (p packing) block() int {
	keys, values := p.sides()
	return p.groups * (keys + values)
}

// group returns what a block has of group g.
func (p packing) group(block []float32, g int) (k, v []float32) {
	keys, values := p.sides()
	block = block[g*(keys+values):]
	return block[:keys], block[keys : keys+values]
}

// groupF16 is group for half floats.
func (p packing) groupF16(block []byte, g int) (k, v []byte) {
	keys, values := p.sides()
	block = block[2*g*(keys+values):]
	return block[:2*keys], block[2*keys : 2*(keys+values)]
}

// tileRows is how many rows a tile takes.
func (p packing) tileRows() int {
	if p.pairs {
		return kernel.BF16Rows()
	}
	return kernel.TileRows()
}

// pack is kernel.Pack or kernel.PackBF16.
func (p packing) pack(dst []float32, width int, src []float32, rowStride, kStride, rows, k int, alpha float32) {
	if p.pairs {
		kernel.PackBF16(dst, width, src, rowStride, kStride, rows, k, alpha)
		return
	}
	kernel.Pack(dst, width, src, rowStride, kStride, rows, k, alpha)
}

// tile is kernel.Tile or kernel.TileBF16 for any number of panels, k values deep.
func (p packing) tile(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool) {
	for done := 0; done < panels; {
		n := panelsAtOnce(panels - done)
		if c, b := c[done*kernel.PanelRows:], b[done*bStride:]; p.pairs {
			kernel.TileBF16(c, ldc, a, b, bStride, mr, n, p.depth(k), accumulate)
		} else {
			kernel.Tile(c, ldc, a, b, bStride, mr, n, k, accumulate)
		}
		done += n
	}
}

// tileF16 is kernel.TileF16 for any number of panels. next has what b has in the block to come, or is empty.
func tileF16(c []float32, ldc int, a []float32, b, next []byte, bStride, mr, panels, k int, accumulate bool) {
	for done := 0; done < panels; {
		n := panelsAtOnce(panels - done)
		kernel.TileF16(c[done*kernel.PanelRows:], ldc, a, b[2*done*bStride:], next[min(len(next), 2*done*bStride):], bStride, mr, n, k, accumulate)
		done += n
	}
}

// panelsAtOnce is how many of the panels left the next tile takes: four make two twos.
func panelsAtOnce(left int) int {
	if left == 4 {
		return 2
	}
	return min(left, kernel.TilePanels)
}

// rowTiles packs n rows of x, stride apart, as left operands of tiles, k deep, one tile after the other.
func (p packing) rowTiles(dst, x []float32, stride, n, k int, alpha float32) {
	r, depth := p.tileRows(), p.depth(k)
	for i := 0; i < n; i += r {
		m := min(r, n-i)
		p.pack(dst[i*depth:], m, x[i*stride:], stride, 1, m, k, alpha)
	}
}

// across packs n rows of x, stride apart and E wide, as panels of 16 rows.
func (p packing) across(dst, x []float32, stride, n int) {
	depth := p.depth(p.e)
	for i := 0; i < n; i += kernel.PanelRows {
		p.pack(dst[i*depth:], kernel.PanelRows, x[i*stride:], stride, 1, min(n-i, kernel.PanelRows), p.e, 1)
	}
}

// along packs n rows of alpha·x, stride apart, as panels of 16 columns with room for keyBlock rows.
func (p packing) along(dst, x []float32, stride, n int, alpha float32) {
	depth := p.depth(keyBlock)
	for c := 0; c < p.e; c += kernel.PanelRows {
		p.pack(dst[c*depth:], kernel.PanelRows, x[c:], 1, stride, min(p.e-c, kernel.PanelRows), n, alpha)
	}
}

// put stores n rows k and v of group g, stride apart, in a cache's blocks from position pos on.
func (p packing) put(ws *tensor.Workspace, l kvLayer, g, pos, n int, k, v []float32, stride int) {
	for i := 0; i < n; {
		m := kernel.PanelRows
		if (pos+i)%m != 0 || n-i < m {
			m = 1
		}
		b, at := (pos+i)/keyBlock, (pos+i)%keyBlock
		if l.f16 != nil {
			ks, vs := p.groupF16(l.f16[b], g)
			p.putKeysF16(ws, ks, at, m, k[i*stride:], stride)
			p.putValuesF16(vs, at, m, v[i*stride:], stride)
		} else {
			ks, vs := p.group(l.f32[b], g)
			p.putKeys(ks, at, m, k[i*stride:], stride)
			p.putValues(vs, at, m, v[i*stride:], stride)
		}
		i += m
	}
}

// putKeys stores a whole panel of keys, or one position's.
func (p packing) putKeys(dst []float32, at, n int, k []float32, stride int) {
	col := at % kernel.PanelRows
	dst = dst[(at-col)*p.e:]
	if n > 1 {
		kernel.Pack(dst, kernel.PanelRows, k, stride, 1, n, p.e, 1)
		return
	}
	for e, x := range k[:p.e] {
		dst[e*kernel.PanelRows+col] = x
	}
}

func (p packing) putValues(dst []float32, at, n int, v []float32, stride int) {
	for i := range n {
		for c := 0; c < p.e; c += kernel.PanelRows {
			copy(dst[c*keyBlock+(at+i)*kernel.PanelRows:], v[i*stride+c:i*stride+min(c+kernel.PanelRows, p.e)])
		}
	}
}

func (p packing) putKeysF16(ws *tensor.Workspace, dst []byte, at, n int, k []float32, stride int) {
	col := at % kernel.PanelRows
	dst = dst[2*(at-col)*p.e:]
	if n > 1 {
		mark := ws.Mark()
		panel := ws.F32(kernel.PanelRows * p.e)
		kernel.Pack(panel, kernel.PanelRows, k, stride, 1, n, p.e, 1)
		kernel.NarrowF16(dst, panel)
		ws.Release(mark)
		return
	}
	for e, x := range k[:p.e] {
		binary.LittleEndian.PutUint16(dst[2*(e*kernel.PanelRows+col):], kernel.FloatToHalf(x))
	}
}

func (p packing) putValuesF16(dst []byte, at, n int, v []float32, stride int) {
	for i := range n {
		for c := 0; c < p.e; c += kernel.PanelRows {
			kernel.NarrowF16(dst[2*(c*keyBlock+(at+i)*kernel.PanelRows):], v[i*stride+c:i*stride+min(c+kernel.PanelRows, p.e)])
		}
	}
}
