package kernel

import "fmt"

// Products of bfloat16 values with f32 sums. Operands are packed in pairs: two values at successive k, the even
// one in the low half, fill the 32 bits of a float32, which nothing else may compute with. An operand's panel at
// one pair is then as large as an f32 panel at one k, and everything that cuts, strides and tiles serves both.
//
// The operation is that of VDPBF16PS: for each pair, the product of the odd elements is added to the sum, then
// that of the even, each with one rounding to nearest even, and with subnormal operands and results taken as
// zero. All levels compute exactly that, so bfloat16 products have the same bits at every level, NaN payloads
// apart; "avx512bf16" does it in one instruction, "avx512" and "avx2" in several, at about a fifth of its speed.

// BF16Rows is the largest number of activation rows that one TileBF16 call takes at the active level.
func BF16Rows() int { return active.bf16Rows }

// TileBF16 is Tile for operands packed by PackBF16; k and the panels' bStride count pairs. An element is one
// chain over ascending pairs, so splitting a sum between pairs changes no bit.
func TileBF16(c []float32, ldc int, a, b []float32, bStride, mr, panels, pairs int, accumulate bool) {
	if mr < 1 || mr > active.bf16Rows || panels < 1 || panels > TilePanels || pairs < 0 ||
		len(c) < (mr-1)*ldc+panels*PanelRows || len(a) < pairs*mr || len(b) < (panels-1)*bStride+pairs*PanelRows {
		panic(fmt.Sprintf("kernel.TileBF16: mr %d, panels %d, pairs %d, ldc %d, stride %d with slices of %d, %d, %d",
			mr, panels, pairs, ldc, bStride, len(c), len(a), len(b)))
	}
	if pairs == 0 {
		if !accumulate {
			for i := range mr {
				clear(c[i*ldc : i*ldc+panels*PanelRows])
			}
		}
		return
	}
	active.tileBF16(c, ldc, a, b, bStride, mr, panels, pairs, accumulate)
}

// TileThenBF16 is TileThen for operands packed by PackBF16.
func TileThenBF16(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	checkThen(c, ldc, mr, active.bf16Rows, panels, first, then)
	active.thenBF16(c, ldc, mr, panels, accumulate, first, then)
}

// PackBF16 interleaves rows as Pack does, in pairs: dst[p·width + i] holds alpha·src[i·rowStride + kk·kStride]
// for kk = 2p and 2p+1, rounded by RoundBF16, for i < rows; zero for rows ≤ i < width and for kk = k if k is odd.
// dst has width·⌈k/2⌉ values.
func PackBF16(dst []float32, width int, src []float32, rowStride, kStride, rows, k int, alpha float32) {
	dst = dst[:(k+1)/2*width]
	switch {
	case k == 0 || rows == 0:
		clear(dst)
	case kStride == 1:
		active.packBF16(dst, width, src, rowStride, rows, k, alpha)
	case rowStride == 1:
		active.columnsBF16(dst, width, src, kStride, rows, k, alpha)
	default:
		pairs(dst, width, src, rowStride, kStride, rows, k, alpha)
		clearColumns(dst, width, rows)
	}
}
