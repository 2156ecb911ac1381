//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// supported lists the implementations that this machine can run, slowest first. Every CPU with AVX2 and FMA
// converts half floats as well, which has a feature bit of its own that x/sys does not report.
func supported() []*implementation {
	all := []*implementation{&generic}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		all = append(all, &implAVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW {
			all = append(all, &implAVX512)
			if cpu.X86.HasAVX512BF16 {
				all = append(all, &implAVX512BF16)
			}
		}
	}
	return all
}

var implAVX2 = implementation{
	name: "avx2",
	dot:  dotAVX2, sum: sumAVX2, axpy: axpyAVX2, add: addAVX2, scale: scaleAVX2,
	mul: mulAVX2, mulAdd: mulAddAVX2, scaleMul: scaleMulAVX2,
	dotMul: dotMulAVX2, normBack: normBackAVX2, normAdd: normAddAVX2, max: maxAVX2,
	expShift: expShiftAVX2, sumExp: sumExpAVX2,
	siluMul: siluMulAVX2, siluBack: siluBackAVX2, geluMul: geluMulAVX2, geluBack: geluBackAVX2,
	adamW: adamWAVX2, tileRows: 6, tile: tileAVX2, tileThen: tileThenAVX2, pack: packAVX2, columns: columnsAVX2, transpose: transpose16AVX2, turn: turnAVX2,
	expandQ41: expandQ41AVX2, expandQ40: expandQ40AVX2, expandQ80: expandQ80AVX2,
	expandF16: expandF16AVX2, expandB16: expandB16AVX2,
	rowQ41: rowQ41AVX2, rowQ40: rowQ40AVX2, rowQ80: rowQ80AVX2, rowF16: rowF16AVX2, rowB16: rowB16AVX2,
	tileF16: tileF16AVX2, narrowF16: narrowF16AVX2,
	softmaxBlock: softmaxBlockAVX2, softmaxBack: softmaxBackAVX2, softcap: softcapAVX2, softcapBack: softcapBackAVX2,
	rankDots: rankDotsAVX2,
	quantise: quantiseAVX2, quantisePairs: quantisePairsAVX2, fixedQ41: fixedQ41AVX2, fixedQ40: fixedQ40AVX2, fixedQ80: fixedQ80AVX2,
	bf16Rows: 4, tileBF16: tileBF16AVX2, thenBF16: thenBF16AVX2, packBF16: packBF16Generic, columnsBF16: columnsBF16Generic,
	rowPairsF32: rowPairsF32Generic, rowPairsF16: rowPairsF16Generic, rowPairsB16: rowPairsB16Generic,
	narrowBF16: narrowBF16AVX2, widenBF16: widenBF16AVX2,
}

var implAVX512 = implementation{
	name: "avx512",
	dot:  dotAVX512, sum: sumAVX512, axpy: axpyAVX512, add: addAVX512, scale: scaleAVX512,
	mul: mulAVX512, mulAdd: mulAddAVX512, scaleMul: scaleMulAVX512,
	dotMul: dotMulAVX512, normBack: normBackAVX512, normAdd: normAddAVX512, max: maxAVX512,
	expShift: expShiftAVX512, sumExp: sumExpAVX512,
	siluMul: siluMulAVX512, siluBack: siluBackAVX512, geluMul: geluMulAVX512, geluBack: geluBackAVX512,
	adamW: adamWAVX512, tileRows: 8, tile: tileAVX512, tileThen: tileThenAVX512, pack: packAVX2, columns: columnsAVX2, transpose: transpose16AVX2, turn: turnAVX2,
	expandQ41: expandQ41AVX512, expandQ40: expandQ40AVX512, expandQ80: expandQ80AVX512,
	expandF16: expandF16AVX512, expandB16: expandB16AVX512,
	rowQ41: rowQ41AVX512, rowQ40: rowQ40AVX512, rowQ80: rowQ80AVX512, rowF16: rowF16AVX512, rowB16: rowB16AVX512,
	tileF16: tileF16AVX512, narrowF16: narrowF16AVX512,
	softmaxBlock: softmaxBlockAVX512, softmaxBack: softmaxBackAVX512, softcap: softcapAVX512, softcapBack: softcapBackAVX512,
	rankDots: rankDotsAVX2,
	quantise: quantiseAVX512, quantisePairs: quantisePairsAVX512, fixedQ41: fixedQ41AVX512, fixedQ40: fixedQ40AVX512, fixedQ80: fixedQ80AVX512,
	bf16Rows: 4, tileBF16: tileBF16AVX2, thenBF16: thenBF16AVX2, packBF16: packBF16Generic, columnsBF16: columnsBF16Generic,
	rowPairsF32: rowPairsF32Generic, rowPairsF16: rowPairsF16Generic, rowPairsB16: rowPairsB16Generic,
	narrowBF16: narrowBF16AVX2, widenBF16: widenBF16AVX512,
}

// A tileFunc computes a tile of a fixed size; strides are in bytes and k is at least 1.
// Where k2 is not 0, the sums go on over a2 and b2.
type tileFunc func(c *float32, ldc int, a, b *float32, bStride, k int, accumulate bool, a2, b2 *float32, bStride2, k2 int)

// tilesAVX512 and tilesAVX2 are indexed by rows−1 and panels−1. A size that AVX2's registers cannot hold is
// done panel by panel.
var (
	tilesAVX512 = [8][TilePanels]tileFunc{
		{tileAVX512_1x1, tileAVX512_1x2, tileAVX512_1x3}, {tileAVX512_2x1, tileAVX512_2x2, tileAVX512_2x3},
		{tileAVX512_3x1, tileAVX512_3x2, tileAVX512_3x3}, {tileAVX512_4x1, tileAVX512_4x2, tileAVX512_4x3},
		{tileAVX512_5x1, tileAVX512_5x2, tileAVX512_5x3}, {tileAVX512_6x1, tileAVX512_6x2, tileAVX512_6x3},
		{tileAVX512_7x1, tileAVX512_7x2, tileAVX512_7x3}, {tileAVX512_8x1, tileAVX512_8x2, tileAVX512_8x3},
	}
	tilesAVX2 = [6][TilePanels]tileFunc{
		{tileAVX2_1x1, tileAVX2_1x2, tileAVX2_1x3}, {tileAVX2_2x1, tileAVX2_2x2, tileAVX2_2x3},
		{tileAVX2_3x1}, {tileAVX2_4x1}, {tileAVX2_5x1}, {tileAVX2_6x1},
	}
)

func tileAVX512(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool) {
	tilesAVX512[mr-1][panels-1](&c[0], ldc*4, &a[0], &b[0], bStride*4, k, accumulate, nil, nil, 0, 0)
}

func tileThenAVX512(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	tilesAVX512[mr-1][panels-1](&c[0], ldc*4, &first.A[0], &first.B[0], first.Stride*4, first.K, accumulate,
		&then.A[0], &then.B[0], then.Stride*4, then.K)
}

func tileAVX2(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool) {
	if tile := tilesAVX2[mr-1][panels-1]; tile != nil {
		tile(&c[0], ldc*4, &a[0], &b[0], bStride*4, k, accumulate, nil, nil, 0, 0)
		return
	}
	for p := range panels {
		tilesAVX2[mr-1][0](&c[p*PanelRows], ldc*4, &a[0], &b[p*bStride], 0, k, accumulate, nil, nil, 0, 0)
	}
}

func tileThenAVX2(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	for p := range panels {
		tilesAVX2[mr-1][0](&c[p*PanelRows], ldc*4, &first.A[0], &first.B[p*first.Stride], 0, first.K, accumulate,
			&then.A[0], &then.B[p*then.Stride], 0, then.K)
	}
}

// packAVX2 interleaves 8 rows by 8 columns at a time. pack8 writes 8 values for each column even where fewer
// rows are left, so the last columns, whose surplus would land behind dst, are done in Go.
func packAVX2(dst []float32, width int, src []float32, rowStride, rows, k int) {
	if rows < 3 || rows < width || width > 8 && width != 16 {
		packGeneric(dst, width, src, rowStride, rows, k)
		return
	}
	_, _ = dst[k*width-1], src[(rows-1)*rowStride+k-1]
	for i := 0; i < width; i += 8 {
		n := min(8, width-i)
		blocks := k / 8
		for blocks > 0 && (k-blocks*8)*width < 8-n {
			blocks--
		}
		if blocks > 0 {
			pack8AVX2(&dst[i], width*4, &src[i*rowStride], rowStride*4, n-1, blocks)
		}
		for kk := blocks * 8; kk < k; kk++ {
			for r := i; r < i+n; r++ {
				dst[kk*width+r] = src[r*rowStride+kk]
			}
		}
	}
}

// columnsAVX2 has loops for whole columns of the widths that matter; others are done in Go.
func columnsAVX2(dst []float32, width int, src []float32, kStride, rows, k int) {
	_, _ = dst[k*width-1], src[(k-1)*kStride+rows-1]
	switch {
	case rows == 16 && width == 16:
		columns16AVX2(&dst[0], &src[0], kStride*4, k)
	case rows == 8 && width == 8:
		columns8AVX2(&dst[0], &src[0], kStride*4, k)
	default:
		columnsGeneric(dst, width, src, kStride, rows, k)
	}
}

// turnAVX2 turns whole 8×8 blocks in assembly.
func turnAVX2(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	_, _ = dst[(cols-1)*dstStride+rows-1], src[(rows-1)*srcStride+cols-1]
	whole := cols &^ 7
	r := 0
	for ; whole > 0 && r+8 <= rows; r += 8 {
		pack8AVX2(&dst[r], dstStride*4, &src[r*srcStride], srcStride*4, 7, whole/8)
		if whole < cols {
			turnGeneric(dst[whole*dstStride+r:], dstStride, src[r*srcStride+whole:], srcStride, 8, cols-whole)
		}
	}
	if r < rows {
		turnGeneric(dst[r:], dstStride, src[r*srcStride:], srcStride, rows-r, cols)
	}
}
