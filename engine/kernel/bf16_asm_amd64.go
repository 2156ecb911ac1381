//go:build !purego

package kernel

import "unsafe"

// implAVX512BF16 is implAVX512 with the bfloat16 instructions.
var implAVX512BF16 = func() implementation {
	impl := implAVX512
	impl.name = "avx512bf16"
	impl.bf16Rows, impl.tileBF16, impl.thenBF16 = 8, tileBF16AVX512, thenBF16AVX512
	impl.packBF16, impl.columnsBF16 = packBF16AVX512, columnsBF16Masks
	impl.rowPairsF32, impl.rowPairsF16, impl.rowPairsB16 = rowPairsF32AVX512, rowPairsF16AVX512, rowPairsB16AVX512
	impl.narrowBF16 = narrowBF16AVX512
	impl.pairsInRegisters = true
	impl.rankDots = rankDotsAVX512
	return impl
}()

// Tiles by rows−1 and panels−1; AVX2 has registers for one panel.
var (
	tilesBF16AVX512 = [8][TilePanels]tileFunc{
		{tileBF16AVX512_1x1, tileBF16AVX512_1x2, tileBF16AVX512_1x3}, {tileBF16AVX512_2x1, tileBF16AVX512_2x2, tileBF16AVX512_2x3},
		{tileBF16AVX512_3x1, tileBF16AVX512_3x2, tileBF16AVX512_3x3}, {tileBF16AVX512_4x1, tileBF16AVX512_4x2, tileBF16AVX512_4x3},
		{tileBF16AVX512_5x1, tileBF16AVX512_5x2, tileBF16AVX512_5x3}, {tileBF16AVX512_6x1, tileBF16AVX512_6x2, tileBF16AVX512_6x3},
		{tileBF16AVX512_7x1, tileBF16AVX512_7x2, tileBF16AVX512_7x3}, {tileBF16AVX512_8x1, tileBF16AVX512_8x2, tileBF16AVX512_8x3},
	}
	tilesBF16AVX2 = [4]tileFunc{tileBF16AVX2_1x1, tileBF16AVX2_2x1, tileBF16AVX2_3x1, tileBF16AVX2_4x1}

	rowPairsF32Sizes = [TilePanels]rowAsm{rowPairsF32AVX512_1, rowPairsF32AVX512_2, rowPairsF32AVX512_3}
	rowPairsF16Sizes = [TilePanels]rowAsm{rowPairsF16AVX512_1, rowPairsF16AVX512_2, rowPairsF16AVX512_3}
	rowPairsB16Sizes = [TilePanels]rowAsm{rowPairsB16AVX512_1, rowPairsB16AVX512_2, rowPairsB16AVX512_3}
)

func tileBF16AVX512(c []float32, ldc int, a, b []float32, bStride, mr, panels, pairs int, accumulate bool) {
	tilesBF16AVX512[mr-1][panels-1](&c[0], ldc*4, &a[0], &b[0], bStride*4, pairs, accumulate, nil, nil, 0, 0)
}

func thenBF16AVX512(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	tilesBF16AVX512[mr-1][panels-1](&c[0], ldc*4, &first.A[0], &first.B[0], first.Stride*4, first.K, accumulate,
		&then.A[0], &then.B[0], then.Stride*4, then.K)
}

func tileBF16AVX2(c []float32, ldc int, a, b []float32, bStride, mr, panels, pairs int, accumulate bool) {
	for p := range panels {
		tilesBF16AVX2[mr-1](&c[p*PanelRows], ldc*4, &a[0], &b[p*bStride], 0, pairs, accumulate, nil, nil, 0, 0)
	}
}

func thenBF16AVX2(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	for p := range panels {
		tilesBF16AVX2[mr-1](&c[p*PanelRows], ldc*4, &first.A[0], &first.B[p*first.Stride], 0, first.K, accumulate,
			&then.A[0], &then.B[p*then.Stride], 0, then.K)
	}
}

// packBF16AVX512 interleaves 8 rows by 8 pairs at a time. The assembly writes 8 values a step even where fewer
// rows are left, as pack8AVX2 does, so the last steps and odd ends are done in Go.
func packBF16AVX512(dst []float32, width int, src []float32, rowStride, rows, k int, alpha float32) {
	if blocks := k / 32; width == 1 && blocks > 0 {
		_ = src[k-1]
		narrowRowAVX512(&dst[0], &src[0], blocks, alpha)
		if done := 32 * blocks; done < k {
			pairs(dst[done/2:], 1, src[done:], 0, 1, 1, k-done, alpha)
		}
		return
	}
	if width > 8 && width != 16 {
		packBF16Generic(dst, width, src, rowStride, rows, k, alpha)
		return
	}
	_, _ = dst[(k+1)/2*width-1], src[(rows-1)*rowStride+k-1]
	for i := 0; i < rows; i += 8 {
		n := min(8, rows-i)
		blocks := k / 16
		for blocks > 0 && ((k+1)/2-blocks*8)*width < 8-(width-i) {
			blocks--
		}
		if blocks > 0 {
			pack8BF16AVX512(&dst[i], width*4, &src[i*rowStride], rowStride*4, n-1, blocks, alpha)
		}
		if done := blocks * 16; done < k {
			pairs(dst[done/2*width+i:], width, src[i*rowStride+done:], rowStride, 1, n, k-done, alpha)
		}
	}
	clearColumns(dst, width, rows)
}

func columnsBF16Masks(dst []float32, width int, src []float32, kStride, rows, k int, alpha float32) {
	if width > 16 {
		columnsBF16Generic(dst, width, src, kStride, rows, k, alpha)
		return
	}
	_, _ = dst[(k+1)/2*width-1], src[(k-1)*kStride+rows-1]
	if k > 1 {
		columnsBF16AVX512(&dst[0], width*4, &src[0], kStride*4, 1<<rows-1, 1<<width-1, k/2, alpha)
	}
	if k%2 != 0 {
		pairs(dst[k/2*width:], width, src[(k-1)*kStride:], 1, 0, rows, 1, alpha)
		clearColumns(dst[k/2*width:], width, rows)
	}
}

func rowPairsF32AVX512(y, x, src []float32, stride, panels int, accumulate bool) {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), len(src)*4)
	runRowPairs(&rowPairsF32Sizes, y, x, bytes, stride*4, panels, accumulate)
}

func rowPairsF16AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRowPairs(&rowPairsF16Sizes, y, x, src, stride, panels, accumulate)
}

func rowPairsB16AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRowPairs(&rowPairsB16Sizes, y, x, src, stride, panels, accumulate)
}

// runRowPairs hands panels to the assembly, as many at a time as it takes.
func runRowPairs(sizes *[TilePanels]rowAsm, y, x []float32, src []byte, stride, panels int, accumulate bool) {
	for p := 0; p < panels; p += TilePanels {
		n := min(panels-p, TilePanels)
		sizes[n-1](&y[p*PanelRows], &x[0], &src[p*stride], stride, len(x), accumulate)
	}
}
