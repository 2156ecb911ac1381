//go:build !purego

package kernel

import "unsafe"

// A tileF16Func computes a tile of a fixed size; strides are in bytes and k is at least 1.
type tileF16Func func(c *float32, ldc int, a *float32, b *byte, bStride, k int, accumulate bool, ahead int)

// Tiles by rows−1 and panels−1; AVX2 has registers for one panel.
var (
	tilesF16AVX512 = [8][TilePanels]tileF16Func{
		{tileF16AVX512_1x1, tileF16AVX512_1x2, tileF16AVX512_1x3}, {tileF16AVX512_2x1, tileF16AVX512_2x2, tileF16AVX512_2x3},
		{tileF16AVX512_3x1, tileF16AVX512_3x2, tileF16AVX512_3x3}, {tileF16AVX512_4x1, tileF16AVX512_4x2, tileF16AVX512_4x3},
		{tileF16AVX512_5x1, tileF16AVX512_5x2, tileF16AVX512_5x3}, {tileF16AVX512_6x1, tileF16AVX512_6x2, tileF16AVX512_6x3},
		{tileF16AVX512_7x1, tileF16AVX512_7x2, tileF16AVX512_7x3}, {tileF16AVX512_8x1, tileF16AVX512_8x2, tileF16AVX512_8x3},
	}
	tilesF16AVX2 = [6]tileF16Func{
		tileF16AVX2_1x1, tileF16AVX2_2x1, tileF16AVX2_3x1, tileF16AVX2_4x1, tileF16AVX2_5x1, tileF16AVX2_6x1,
	}
)

func tileF16AVX512(c []float32, ldc int, a []float32, b, next []byte, bStride, mr, panels, k int, accumulate bool) {
	tilesF16AVX512[mr-1][panels-1](&c[0], ldc*4, &a[0], &b[0], bStride*2, k, accumulate, ahead(b, next))
}

func tileF16AVX2(c []float32, ldc int, a []float32, b, next []byte, bStride, mr, panels, k int, accumulate bool) {
	for p := range panels {
		tilesF16AVX2[mr-1](&c[p*PanelRows], ldc*4, &a[0], &b[2*p*bStride], 0, k, accumulate, ahead(b, next))
	}
}

// ahead is how far behind b's beginning next starts, 0 where there is no next.
func ahead(b, next []byte) int {
	if len(next) == 0 {
		return 0
	}
	return int(uintptr(unsafe.Pointer(&next[0])) - uintptr(unsafe.Pointer(&b[0]))) //nolint:gosec // a difference, of either sign
}

// Whole registers go through the assembly, the rest is done in Go.
func narrowF16AVX2(dst []byte, src []float32) {
	whole := len(src) &^ 7
	if whole > 0 {
		narrowHalvesAVX2(&dst[0], &src[0], whole/8)
	}
	narrowF16Generic(dst[2*whole:], src[whole:])
}

func narrowF16AVX512(dst []byte, src []float32) {
	whole := len(src) &^ 15
	if whole > 0 {
		narrowHalvesAVX512(&dst[0], &src[0], whole/16)
	}
	narrowF16Generic(dst[2*whole:], src[whole:])
}
