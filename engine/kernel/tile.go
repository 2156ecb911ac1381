package kernel

import "fmt"

const (
	// PanelRows is the number of weight rows interleaved in a panel: at each k their values are adjacent.
	PanelRows = 16
	// TilePanels is the largest number of panels that one Tile call takes.
	TilePanels = 3
)

// TileRows is the largest number of activation rows that one Tile call takes at the active level.
func TileRows() int { return active.tileRows }

// Tile computes a block of a product: c[i·ldc + p·16 + j] (+)= Σ_k a[k·mr + i] · b[p·bStride + k·16 + j] for
// i < mr, p < panels, j < 16, k ascending in one accumulator an element. With accumulate the sum starts at
// c, so a long k may be split into calls without changing a bit; without it the sum starts at zero.
// mr is 1…TileRows(), panels 1…TilePanels; a holds k·mr values, b has panels bStride values apart.
func Tile(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool) {
	if mr < 1 || mr > active.tileRows || panels < 1 || panels > TilePanels || k < 0 ||
		len(c) < (mr-1)*ldc+panels*PanelRows || len(a) < k*mr || len(b) < (panels-1)*bStride+k*PanelRows {
		panic(fmt.Sprintf("kernel.Tile: mr %d, panels %d, k %d, ldc %d, stride %d with slices of %d, %d, %d",
			mr, panels, k, ldc, bStride, len(c), len(a), len(b)))
	}
	if k == 0 {
		if !accumulate {
			for i := range mr {
				clear(c[i*ldc : i*ldc+panels*PanelRows])
			}
		}
		return
	}
	active.tile(c, ldc, a, b, bStride, mr, panels, k, accumulate)
}

// Part is a range of a sum: A holds K·mr values and B panels of K·16, Stride values apart.
type Part struct {
	A, B      []float32
	Stride, K int
}

// fits panics unless the slices hold the part.
func (p Part) fits(mr, panels int) {
	if p.K < 1 || len(p.A) < p.K*mr || len(p.B) < (panels-1)*p.Stride+p.K*PanelRows {
		panic(fmt.Sprintf("kernel: part of k %d, stride %d with %d and %d values for %d rows of %d panels", p.K, p.Stride, len(p.A), len(p.B), mr, panels))
	}
}

// TileThen is two calls of Tile, the second adding, whose sums stay in registers between. Both parts have k ≥ 1.
func TileThen(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	checkThen(c, ldc, mr, active.tileRows, panels, first, then)
	active.tileThen(c, ldc, mr, panels, accumulate, first, then)
}

func checkThen(c []float32, ldc, mr, most, panels int, first, then Part) {
	if mr < 1 || mr > most || panels < 1 || panels > TilePanels || len(c) < (mr-1)*ldc+panels*PanelRows {
		panic(fmt.Sprintf("kernel.TileThen: mr %d, panels %d, ldc %d with %d values", mr, panels, ldc, len(c)))
	}
	first.fits(mr, panels)
	then.fits(mr, panels)
}

// Pack interleaves rows: dst[kk·width + i] = alpha·src[i·rowStride + kk·kStride] for i < rows, kk < k, and zero
// for rows ≤ i < width. It makes Tile's a (width = mr) and b (width = PanelRows) operands.
func Pack(dst []float32, width int, src []float32, rowStride, kStride, rows, k int, alpha float32) {
	if k == 0 || rows == 0 {
		clear(dst[:k*width])
		return
	}
	switch {
	case kStride == 1:
		active.pack(dst, width, src, rowStride, rows, k)
	case rowStride == 1:
		active.columns(dst, width, src, kStride, rows, k)
	default:
		for kk := range k {
			d := dst[kk*width : kk*width+width]
			for i := range rows {
				d[i] = src[i*rowStride+kk*kStride]
			}
			clear(d[rows:])
		}
	}
	if alpha != 1 {
		active.scale(dst[:k*width], alpha)
	}
}

// Transpose16 sets dst to the transpose of src, both 16×16 and contiguous, and distinct.
func Transpose16(dst, src []float32) {
	active.transpose(dst[:256], src[:256])
}

// Transpose sets dst[c·dstStride + r] to src[r·srcStride + c] for r < rows, c < cols. The two do not overlap.
func Transpose(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows > 0 && cols > 0 {
		active.turn(dst, dstStride, src, srcStride, rows, cols)
	}
}
