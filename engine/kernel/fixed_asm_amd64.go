//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// hasVNNI tells whether this CPU has VPDPBUSD. The level avx512 does without where it is missing, with the same
// results.
var hasVNNI = cpu.X86.HasAVX512VNNI

// A fixedAsm multiplies a fixed number of activation rows with one panel; strides are in bytes.
type fixedAsm func(y *float32, ldy int, x *int32, stride int, panel *byte, blocks int, accumulate bool)

// The products of AVX-512, indexed by rows − 1.
var (
	fixedQ41SizesAVX512 = [FixedRows]fixedAsm{
		fixedQ41AVX512_1, fixedQ41AVX512_2, fixedQ41AVX512_3, fixedQ41AVX512_4,
		fixedQ41AVX512_5, fixedQ41AVX512_6, fixedQ41AVX512_7, fixedQ41AVX512_8,
	}
	fixedQ40SizesAVX512 = [FixedRows]fixedAsm{
		fixedQ40AVX512_1, fixedQ40AVX512_2, fixedQ40AVX512_3, fixedQ40AVX512_4,
		fixedQ40AVX512_5, fixedQ40AVX512_6, fixedQ40AVX512_7, fixedQ40AVX512_8,
	}
	fixedQ80SizesAVX512 = [FixedRows]fixedAsm{
		fixedQ80AVX512_1, fixedQ80AVX512_2, fixedQ80AVX512_3, fixedQ80AVX512_4,
		fixedQ80AVX512_5, fixedQ80AVX512_6, fixedQ80AVX512_7, fixedQ80AVX512_8,
	}
)

func fixedQ41AVX512(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	if !hasVNNI {
		fixedQ41AVX2(y, ldy, x, stride, panel, rows, accumulate)
		return
	}
	fixedQ41SizesAVX512[rows-1](&y[0], ldy*4, &x[0], stride*4, &panel[0], len(panel)/PanelBlockQ41, accumulate)
}

func fixedQ40AVX512(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	if !hasVNNI {
		fixedQ40AVX2(y, ldy, x, stride, panel, rows, accumulate)
		return
	}
	fixedQ40SizesAVX512[rows-1](&y[0], ldy*4, &x[0], stride*4, &panel[0], len(panel)/PanelBlockQ40, accumulate)
}

func fixedQ80AVX512(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	if !hasVNNI {
		fixedQ80AVX2(y, ldy, x, stride, panel, rows, accumulate)
		return
	}
	fixedQ80SizesAVX512[rows-1](&y[0], ldy*4, &x[0], stride*4, &panel[0], len(panel)/PanelBlockQ80, accumulate)
}

func quantiseAVX2(dst []int32, x []float32) { quantiseBlocksAVX2(&dst[0], &x[0], len(x)/32) }

func quantiseAVX512(dst []int32, x []float32) { quantiseBlocksAVX512(&dst[0], &x[0], len(x)/32) }

func quantisePairsAVX2(dst []int32, x []float32) { quantisePairBlocksAVX2(&dst[0], &x[0], len(x)/32) }

func quantisePairsAVX512(dst []int32, x []float32) {
	quantisePairBlocksAVX512(&dst[0], &x[0], len(x)/32)
}

// A fixedHalfAsm multiplies one or two activation rows with half a panel, whose scales and words are given apart.
type fixedHalfAsm func(y *float32, ldy int, x *int32, stride int, scales, words *byte, blocks int, accumulate bool)

// fixedHalves multiplies with both halves of a panel, two activation rows at a time. Words start behind the scales
// and are a multiple of 256 bytes.
func fixedHalves(one, two fixedHalfAsm, y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool, f storedFormat) {
	blocks, words := len(panel)/f.panelBlock(), f.panelBlock()%256
	for i := 0; i < rows; i += 2 {
		run := two
		if i+1 == rows {
			run = one
		}
		for half := range 2 {
			run(&y[i*ldy+8*half], ldy*4, &x[i*stride], stride*4, &panel[16*half], &panel[words+32*half], blocks, accumulate)
		}
	}
}

func fixedQ41AVX2(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedHalves(fixedQ41AVX2_1, fixedQ41AVX2_2, y, ldy, x, stride, panel, rows, accumulate, q41)
}

func fixedQ40AVX2(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedHalves(fixedQ40AVX2_1, fixedQ40AVX2_2, y, ldy, x, stride, panel, rows, accumulate, q40)
}

func fixedQ80AVX2(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedHalves(fixedQ80AVX2_1, fixedQ80AVX2_2, y, ldy, x, stride, panel, rows, accumulate, q80)
}
