package main

import "fmt"

const fixedHalfParams = "y *float32, ldy int, x *int32, stride int, scales *byte, words *byte, blocks int, accumulate bool"

// fixedHalfStart begins a product of one or two rows of activations with half a panel, and a block with its scales.
func fixedHalfStart(f *file, s stored, rows int) {
	f.function(fixedName(f, s, rows), fixedHalfParams, "")
	f.op("MOVQ y+0(FP), DI")
	f.op("MOVQ ldy+8(FP), DX")
	f.op("MOVQ x+16(FP), SI")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ scales+32(FP), R9")
	f.op("MOVQ words+40(FP), BX")
	f.op("MOVQ blocks+48(FP), CX")
	f.op("MOVBLZX accumulate+56(FP), AX")
	for i := range rows {
		zero(f, 8+i)
	}
	f.op("TESTL AX, AX")
	f.op("JE block")
	for i := range rows {
		f.op("VMOVUPS %s, {%d}", halfResult[i], 8+i)
	}
	f.mark("block")
	f.op("VCVTPH2PS (R9), {14}")
	if s.scales == 2 {
		f.op("VCVTPH2PS 32(R9), {15}")
	}
}

// fixedHalfScale adds the integer sum in Y10, times the scales, to row i's result.
func fixedHalfScale(f *file, s stored, i, scale, sum int) {
	f.op("VCVTDQ2PS {10}, {10}")
	f.op("VBROADCASTSS %d%s, {12}", scale, halfActivation[i])
	f.op("VMULPS {12}, {14}, {12}")
	f.op("VMULPS {12}, {10}, {10}")
	f.op("VADDPS {10}, {%d}, {%d}", 8+i, 8+i)
	if s.scales == 2 {
		f.op("VBROADCASTSS %d%s, {12}", sum, halfActivation[i])
		f.op("VMULPS {12}, {15}, {12}")
		f.op("VADDPS {12}, {%d}, {%d}", 8+i, 8+i)
	}
}

// fixedHalfEnd goes to the next block, size bytes of activations on, and at the last one stores the results.
func fixedHalfEnd(f *file, s stored, rows, size int) {
	f.op("ADDQ $%d, BX", 16*s.blockBytes)
	f.op("ADDQ $%d, R9", 16*s.blockBytes)
	f.op("ADDQ $%d, SI", size)
	f.op("DECQ CX")
	f.op("JNE block")
	for i := range rows {
		f.op("VMOVUPS {%d}, %s", 8+i, halfResult[i])
	}
	f.end()
}

// fixedAVX2 multiplies one or two rows of 16-bit activations with half a panel of bytes: VPMADDUBSW sums pairs to 16
// bits, where eight groups of 4-bit weights fit, and VPMADDWD the rest; so the bytes' low and high halves are
// multiplied by themselves. Y0…Y7 hold weights, Y8 and Y9 results, Y14 scales.
func fixedAVX2(f *file, s stored, rows int) {
	fixedHalfStart(f, s, rows)
	low := []int{13, 15} // sums over the low halves
	fixedHalfBytes(f, false)
	for i := range rows {
		fixedHalfSum(f, i)
		f.op("VMOVDQA {10}, {%d}", low[i])
	}
	fixedHalfBytes(f, true)
	for i := range rows {
		fixedHalfSum(f, i)
		f.op("VPSLLD $4, {10}, {10}")
		f.op("VPADDD {%d}, {10}, {10}", low[i])
		f.op("VPBROADCASTD %d%s, {12}", signOffset, halfActivation[i])
		f.op("VPADDD {12}, {10}, {10}")
		fixedHalfScale(f, s, i, scaleOffset, sumOffset)
	}
	fixedHalfEnd(f, s, rows, fixedBlock)
}

var halfResult = []string{"(DI)", "(DI)(DX*1)"}

var halfActivation = []string{"(SI)", "(SI)(R8*1)"}

// fixedHalfBytes loads the low or the high halves of a block of Q8_0, offset to be unsigned.
func fixedHalfBytes(f *file, high bool) {
	for g := range 8 {
		f.op("VMOVDQU %d(BX), {%d}", g*64, g)
		f.op("VPXOR topBits<>(SB), {%d}, {%d}", g, g)
		if high {
			f.op("VPSRLW $4, {%d}, {%d}", g, g)
		}
		f.op("VPAND nibbleMask<>(SB), {%d}, {%d}", g, g)
	}
}

// fixedHalfSum leaves the products of Y0…Y7 with activation row i, summed, in Y10.
func fixedHalfSum(f *file, i int) {
	for g := range 8 {
		for plane := range 2 {
			at := fmt.Sprintf("%d%s", 32*plane+4*g, halfActivation[i])
			if g == 0 {
				f.op("VPBROADCASTD %s, {%d}", at, 10+plane)
				f.op("VPMADDUBSW {%d}, {0}, {%d}", 10+plane, 10+plane)
				continue
			}
			f.op("VPBROADCASTD %s, {12}", at)
			f.op("VPMADDUBSW {12}, {%d}, {12}", g)
			f.op("VPADDW {12}, {%d}, {%d}", 10+plane, 10+plane)
		}
	}
	f.op("VPMADDWD ones<>(SB), {10}, {10}")
	f.op("VPMADDWD ones<>(SB), {11}, {11}")
	f.op("VPSLLD $8, {10}, {10}")
	f.op("VPADDD {11}, {10}, {10}")
}

// quantiseAVX2 is quantiseAVX512 with four registers for a block.
func quantiseAVX2(f *file) {
	quantiseStart(f, "quantiseBlocksAVX2")
	f.op("VMOVDQU wordOrder<>(SB), {15}")
	f.mark("block")
	quantiseIntegersAVX2(f, "fixedMax", "fixedInverse")
	for _, at := range []int{0, 32} { // high bytes, then low ones with their sign
		for i := range 4 {
			if at == 0 {
				f.op("VPADDD rounding<>(SB), {%d}, {%d}", 6+i, 10+i)
				f.op("VPSRAD $8, {%d}, {%d}", 10+i, 10+i)
			} else {
				f.op("VPSLLD $24, {%d}, {%d}", 6+i, 10+i)
				f.op("VPSRAD $24, {%d}, {%d}", 10+i, 10+i)
			}
		}
		f.op("VPACKSSDW {11}, {10}, {10}")
		f.op("VPACKSSDW {13}, {12}, {12}")
		f.op("VPACKSSWB {12}, {10}, {10}")
		f.op("VPERMD {10}, {15}, {10}")
		f.op("VMOVDQU {10}, %d(DI)", at)
	}
	f.op("VPADDD {6}, {7}, {6}")
	f.op("VPADDD {8}, {9}, {8}")
	f.op("VPADDD {6}, {8}, {2}")
	reduce(f, "VPADDD", 2, 3)
	quantiseEnd(f, fixedBlock, scaleOffset, func() {
		f.op("VPXOR {0}, {0}, {0}")
		f.op("VMOVDQU {0}, (DI)")
		f.op("VMOVDQU {0}, 32(DI)")
		f.op("VMOVDQU X0, 64(DI)")
	})
}

// quantiseIntegersAVX2 loads a block and leaves its integers in Y6…Y9, as quantiseIntegersAVX512 does.
func quantiseIntegersAVX2(f *file, greatest, inverse string) {
	quantiseLargestAVX2(f)
	quantiseBranches(f, greatest, inverse)
	f.op("VBROADCASTSS X4, {4}")
	for i := range 4 {
		f.op("VMULPS {4}, {%d}, {%d}", 6+i, 6+i)
		f.op("VCVTPS2DQ {%d}, {%d}", 6+i, 6+i)
	}
}

// quantiseLargestAVX2 loads a block into Y6…Y9 and leaves the bits of its largest magnitude in X2 and AX.
func quantiseLargestAVX2(f *file) {
	for i := range 4 {
		f.op("VMOVUPS %d(SI), {%d}", 32*i, 6+i)
		f.op("VPAND magnitude<>(SB), {%d}, {%d}", 6+i, 10+i)
	}
	f.op("VPMAXUD {10}, {11}, {10}")
	f.op("VPMAXUD {12}, {13}, {12}")
	f.op("VPMAXUD {10}, {12}, {2}")
	reduce(f, "VPMAXUD", 2, 3)
	f.op("VMOVD X2, AX")
}
