package main

import "fmt"

const (
	fixedParams = "y *float32, ldy int, x *int32, stride int, panel *byte, blocks int, accumulate bool"
	fixedRows   = 8
	fixedBlock  = 80 // bytes of a quantised block of activations: 32 high bytes, 32 low bytes, four words
	scaleOffset = 64
	sumOffset   = 68
	signOffset  = 76
)

// fixed writes the fixed-point products and the conversion of activations for them.
func fixed(f *file) {
	constant(f, "nibbleMask", "0x0f0f0f0f")
	constant(f, "topBits", "0x80808080")
	constant(f, "magnitude", "0x7fffffff")
	constant(f, "fixedMax", "0x46fefe00")     // 32639
	constant(f, "fixedInverse", "0x38008183") // 1/32639
	constant(f, "pairsMax", "0x44efe000")     // 1919
	constant(f, "pairsInverse", "0x3a089abf") // 1/1919
	constant(f, "rounding", "128")
	constant(f, "lowestBits", "15")
	f.isa = avx512
	for rows := 1; rows <= fixedRows; rows++ {
		fixedAVX512(f, bytesFormat(), rows)
	}
	pairs(f)
	quantiseAVX512(f)
	quantisePairsAVX512(f)
	constant(f, "ones", "0x00010001")
	fmt.Fprintln(f)
	for i, word := range []int{0, 4, 1, 5, 2, 6, 3, 7} { // puts what packing leaves in halves back in order
		fmt.Fprintf(f, "DATA wordOrder<>+%d(SB)/4, $%d\n", i*4, word)
	}
	fmt.Fprintf(f, "GLOBL wordOrder<>(SB), RODATA|NOPTR, $32\n")
	f.isa = avx2
	for rows := 1; rows <= 2; rows++ {
		fixedAVX2(f, bytesFormat(), rows)
	}
	pairs(f)
	quantiseAVX2(f)
	quantisePairsAVX2(f)
}

// bytesFormat is the format of 8-bit weights.
func bytesFormat() stored {
	for _, s := range formats {
		if s.scales > 0 && !s.nibbles {
			return s
		}
	}
	panic("no format of bytes")
}

// fixedStart begins a product of rows of activations with one panel: it loads the arguments, and the results if they
// are added to, into registers from result on. It returns how row i's activations are addressed.
func fixedStart(f *file, s stored, rows, result int) func(row, offset int) string {
	f.function(fixedName(f, s, rows), fixedParams, "")
	f.op("MOVQ y+0(FP), DI")
	f.op("MOVQ ldy+8(FP), DX")
	f.op("MOVQ x+16(FP), SI")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ panel+32(FP), BX")
	f.op("MOVQ blocks+40(FP), CX")
	f.op("MOVBLZX accumulate+48(FP), AX")
	f.op("LEAQ (R8)(R8*2), R9")
	f.op("LEAQ (SI)(R8*1), R10")
	for i := range rows {
		zero(f, result+i)
	}
	f.op("TESTL AX, AX")
	f.op("JE start")
	f.op("MOVQ DI, R11")
	for i := range rows {
		f.op("VMOVUPS (R11), {%d}", result+i)
		if i+1 < rows {
			f.op("ADDQ DX, R11")
		}
	}
	f.mark("start")
	return func(row, offset int) string {
		return fmt.Sprintf("%d%s", offset, []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)",
			"(SI)(R8*4)", "(R10)(R8*4)", "(SI)(R9*2)", "(R10)(R9*2)"}[row])
	}
}

// fixedEnd goes to the next block, size bytes of activations on, and at the last one stores the results.
func fixedEnd(f *file, s stored, rows, result, size int) {
	f.op("ADDQ $%d, BX", 16*s.blockBytes)
	f.op("ADDQ $%d, SI", size)
	if rows > 5 {
		f.op("ADDQ $%d, R10", size)
	}
	f.op("DECQ CX")
	f.op("JNE block")
	for i := range rows {
		f.op("VMOVUPS {%d}, (DI)", result+i)
		if i+1 < rows {
			f.op("ADDQ DX, DI")
		}
	}
	f.end()
}

func fixedName(f *file, s stored, rows int) string {
	return fmt.Sprintf("fixed%s%s_%d", s.name, f.name, rows)
}

// fixedAVX512 multiplies rows of 16-bit activations with one panel of 8-bit weights. Z0…Z7 hold a block's weights, 4
// columns of 16 rows each; Z8… the f32 results; Z16…Z23 the integer sums of up to four rows, apart for high and low
// bytes so that enough chains are in flight; Z24 the scales.
func fixedAVX512(f *file, s stored, rows int) {
	activation := fixedStart(f, s, rows, 8)
	f.op("VMOVDQU32 topBits<>(SB), {26}")
	f.mark("block")
	f.op("VCVTPH2PS (BX), {24}")
	for g := range 8 {
		f.op("VPXORD %d(BX), {26}, {%d}", 32+g*64, g)
	}
	for at := 0; at < 16*s.blockBytes && rows > 4; at += 64 {
		f.op("PREFETCHT0 %d(BX)", prefetchAhead+at)
	}
	batches := (rows + 3) / 4
	for b := range batches {
		from, to := rows*b/batches, rows*(b+1)/batches
		fixedSums(f, from, to, activation)
		for i := from; i < to; i++ {
			total := 16 + 2*(i-from)
			f.op("VCVTDQ2PS {%d}, {%d}", total, total)
			f.op("VMULPS.BCST %s, {24}, {27}", activation(i, scaleOffset))
			f.op("VMULPS {27}, {%d}, {%d}", total, total)
			f.op("VADDPS {%d}, {%d}, {%d}", total, 8+i, 8+i)
		}
	}
	fixedEnd(f, s, rows, 8, fixedBlock)
}

// prefetchAhead is how many bytes before their use weights are asked for. Many rows use a panel so slowly, and read
// so much besides, that the CPU does not do that well by itself: without, rows of 1536 columns take a fifth longer.
// With few rows, which wait for memory alone, prefetches of ours slowed the CPU's own down.
const prefetchAhead = 2560

// fixedSums leaves the integer sums of rows [from,to) in Z16, Z18, …
func fixedSums(f *file, from, to int, activation func(row, offset int) string) {
	split := to-from == 1 // one row alone: even and odd groups apart, for four chains
	for i := from; i < to; i++ {
		high := 16 + 2*(i-from)
		zero(f, high)
		f.op("VPBROADCASTD %s, {%d}", activation(i, signOffset), high+1)
		if split {
			zero(f, high+2)
			zero(f, high+3)
		}
	}
	for g := range 8 {
		for i := from; i < to; i++ {
			high := 16 + 2*(i-from)
			if split && g%2 == 1 {
				high += 2
			}
			f.op("VPDPBUSD.BCST %s, {%d}, {%d}", activation(i, 4*g), g, high)
			f.op("VPDPBUSD.BCST %s, {%d}, {%d}", activation(i, 32+4*g), g, high+1)
		}
	}
	for i := from; i < to; i++ {
		high := 16 + 2*(i-from)
		if split {
			f.op("VPADDD {%d}, {%d}, {%d}", high+2, high, high)
			f.op("VPADDD {%d}, {%d}, {%d}", high+3, high+1, high+1)
		}
		f.op("VPSLLD $8, {%d}, {%d}", high, high)
		f.op("VPADDD {%d}, {%d}, {%d}", high+1, high, high)
	}
}

// quantiseStart begins a conversion of activations.
func quantiseStart(f *file, name string) {
	f.function(name, "dst *int32, x *float32, blocks int", "")
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ x+8(FP), SI")
	f.op("MOVQ blocks+16(FP), CX")
}

// quantiseAVX512 converts a block of 32 activations a pass.
func quantiseAVX512(f *file) {
	quantiseStart(f, "quantiseBlocksAVX512")
	f.op("VMOVDQU32 magnitude<>(SB), {31}")
	f.op("VMOVDQU32 rounding<>(SB), {30}")
	f.mark("block")
	quantiseIntegersAVX512(f, "fixedMax", "fixedInverse")
	for i := range 2 {
		f.op("VPMOVDB {%d}, %d(DI)", i, 32+16*i)
		f.op("VPADDD {30}, {%d}, {%d}", i, 6+i)
		f.op("VPSRAD $8, {%d}, {%d}", 6+i, 6+i)
		f.op("VPMOVDB {%d}, %d(DI)", 6+i, 16*i)
	}
	f.op("VPADDD {0}, {1}, {2}")
	reduce(f, "VPADDD", 2, 3)
	quantiseEnd(f, fixedBlock, scaleOffset, func() {
		f.op("VPXORD {0}, {0}, {0}")
		f.op("VMOVDQU32 {0}, (DI)")
		f.op("VMOVDQU X0, 64(DI)")
	})
}

// quantiseIntegersAVX512 loads a block and leaves its integers in Z0 and Z1; greatest and inverse are constants of the
// format, and Z31 is magnitude.
func quantiseIntegersAVX512(f *file, greatest, inverse string) {
	f.op("VMOVUPS (SI), {0}")
	f.op("VMOVUPS 64(SI), {1}")
	f.op("VPANDD {31}, {0}, {2}")
	f.op("VPANDD {31}, {1}, {3}")
	f.op("VPMAXUD {2}, {3}, {2}")
	reduce(f, "VPMAXUD", 2, 3)
	f.op("VMOVD X2, AX")
	quantiseBranches(f, greatest, inverse)
	f.op("VBROADCASTSS X4, {4}")
	for i := range 2 {
		f.op("VMULPS {4}, {%d}, {%d}", i, i)
		f.op("VCVTPS2DQ {%d}, {%d}", i, i)
	}
}

// quantiseBranches leaves for blocks without a scale; others get the greatest integer/max in X4 and the scale in X5.
func quantiseBranches(f *file, greatest, inverse string) {
	f.op("CMPL AX, $0x0d800000") // 2⁻¹⁰⁰
	f.op("JB none")
	f.op("CMPL AX, $0x7f800000")
	f.op("JAE nan")
	f.op("VMOVSS %s<>(SB), X4", greatest)
	f.op("VDIVSS X2, X4, X4")
	f.op("VMULSS %s<>(SB), X2, X5", inverse)
}

// quantiseEnd stores the words, from offset on, of a block of size bytes whose sum is in X2, then loops; clear zeroes
// a block.
func quantiseEnd(f *file, size, offset int, clear func()) {
	f.op("VMOVD X2, AX")
	f.op("VCVTDQ2PS X2, X2")
	f.op("VMULSS X5, X2, X2")
	f.op("VMOVSS X5, %d(DI)", offset)
	f.op("VMOVSS X2, %d(DI)", offset+4)
	f.op("SHLL $3, AX")
	f.op("NEGL AX")
	f.op("MOVL AX, %d(DI)", offset+8)
	f.op("SHLL $4, AX")
	f.op("MOVL AX, %d(DI)", offset+12)
	f.mark("next")
	f.op("ADDQ $128, SI")
	f.op("ADDQ $%d, DI", size)
	f.op("DECQ CX")
	f.op("JNE block")
	f.end()
	f.mark("none")
	clear()
	f.op("JMP next")
	f.mark("nan")
	clear()
	f.op("MOVL $0x7fc00000, AX")
	f.op("MOVL AX, %d(DI)", offset)
	f.op("MOVL AX, %d(DI)", offset+4)
	f.op("JMP next")
}

// reduce combines all 32-bit lanes of register a into the lowest one (into all of its first four); b is scratch.
func reduce(f *file, op string, a, b int) {
	if f.reg == "Z" {
		f.op("VEXTRACTI64X4 $1, Z%d, Y%d", a, b)
		f.op("%s Y%d, Y%d, Y%d", op, a, b, a)
	}
	f.op("VEXTRACTI128 $1, Y%d, X%d", a, b)
	f.op("%s X%d, X%d, X%d", op, a, b, a)
	for _, order := range []int{0x4e, 0xb1} {
		f.op("VPSHUFD $0x%x, X%d, X%d", order, a, b)
		f.op("%s X%d, X%d, X%d", op, a, b, a)
	}
}
