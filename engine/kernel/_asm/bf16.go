package main

import "fmt"

// bf16 writes the bfloat16 products and conversions. Go's assembler does not know the AVX512_BF16 instructions,
// so they are written as bytes; evex makes them.
func bf16(f *file) {
	constant(f, "highHalves", "0xffff0000")
	interleave(f)
	f.isa = isa{"AVX512", "Z", 16}
	for rows := 1; rows <= 8; rows++ {
		for panels := 1; panels <= 3; panels++ {
			tileBF16(f, rows, panels)
		}
	}
	packBF16(f)
	columnsBF16(f)
	narrowRow(f)
	for _, format := range []string{"F32", "F16", "B16"} {
		for panels := 1; panels <= 3; panels++ {
			rowPairs(f, format, panels)
		}
	}
	f.isa = avx2
	narrowRowAVX2(f)
	for rows := 1; rows <= 4; rows++ {
		tileBF16AVX2(f, rows)
	}
}

// Prefixes and opcodes of the EVEX.512.….0F38.W0 instructions with three registers.
const (
	prefixF3, prefixF2 = 2, 3
	opDot, opConvert   = 0x52, 0x72
)

// encode makes a 512-bit EVEX instruction of map 0F38 with W = 0 on registers: reg is the destination, vvvv the
// first source and rm the second, in Intel's order. Unused vvvv is 0.
func encode(prefix, opcode, reg, vvvv, rm int) [6]byte {
	not := func(n, bit int) int { return ^n >> bit & 1 }
	return [6]byte{
		0x62,
		byte(not(reg, 3)<<7 | not(rm, 4)<<6 | not(rm, 3)<<5 | not(reg, 4)<<4 | 2),
		byte(^vvvv&15<<3 | 4 | prefix),
		byte(2<<5 | not(vvvv, 4)<<3),
		byte(opcode),
		byte(0xc0 | reg&7<<3 | rm&7),
	}
}

// evex writes an encoded instruction, with what it is as a comment.
func (f *file) evex(comment string, prefix, opcode, reg, vvvv, rm int) {
	c := encode(prefix, opcode, reg, vvvv, rm)
	fmt.Fprintf(f, "\tLONG $0x%02x%02x%02x%02x; WORD $0x%02x%02x // %s\n", c[3], c[2], c[1], c[0], c[5], c[4], comment)
}

// dot adds to acc the products of the pairs in a and b, the odd elements' first.
func (f *file) dot(b, a, acc int) {
	f.evex(fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", b, a, acc), prefixF3, opDot, acc, a, b)
}

// narrow converts 16 floats of Zsrc to bfloat16 in Ydst.
func (f *file) narrow(src, dst int) {
	f.evex(fmt.Sprintf("VCVTNEPS2BF16 Z%d, Y%d", src, dst), prefixF3, opConvert, dst, 0, src)
}

// narrow2 converts 16 floats each of Zlow and Zhigh to bfloat16 in the halves of Zdst.
func (f *file) narrow2(low, high, dst int) {
	f.evex(fmt.Sprintf("VCVTNE2PS2BF16 Z%d, Z%d, Z%d", low, high, dst), prefixF2, opConvert, dst, high, low)
}

// interleave is the index of VPERMW that pairs element i of a register's low half with that of its high half.
func interleave(f *file) {
	fmt.Fprintln(f)
	for i := range 16 {
		fmt.Fprintf(f, "DATA interleave<>+%d(SB)/4, $0x%04x%04x\n", i*4, 16+i, i)
	}
	fmt.Fprint(f, "GLOBL interleave<>(SB), RODATA|NOPTR, $64\n")
}

// tileFrame is what the tiles share: arguments, accumulators loaded or zeroed, k unrolled by 4, then the second part
// of the sums where k2 is not 0, and stores. step(u) is the body at the u-th step ahead.
func tileFrame(f *file, rows, vectors, first int, step func(u int)) {
	acc := func(i, j int) int { return first + i*vectors + j }
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ ldc+8(FP), R10")
	f.op("MOVQ a+16(FP), SI")
	f.op("MOVQ b+24(FP), BX")
	f.op("MOVQ bStride+32(FP), R8")
	f.op("MOVQ k+40(FP), CX")
	f.op("MOVBLZX accumulate+48(FP), AX")
	f.op("TESTL AX, AX")
	f.op("JE zero")
	f.op("MOVQ DI, R11")
	for i := range rows {
		for j := range vectors {
			f.op("VMOVUPS %d(R11), {%d}", j*f.lanes*4, acc(i, j))
		}
		if i+1 < rows {
			f.op("ADDQ R10, R11")
		}
	}
	f.op("JMP start")
	f.mark("zero")
	for i := range rows * vectors {
		zero(f, first+i)
	}
	prefetchTile(f, rows, vectors)
	f.mark("start")
	f.op("SUBQ $4, CX")
	f.op("JLT rest")
	f.mark("loop")
	for u := range 4 {
		step(u)
	}
	f.op("ADDQ $%d, SI", 4*rows*4)
	f.op("ADDQ $256, BX")
	f.op("SUBQ $4, CX")
	f.op("JGE loop")
	f.mark("rest")
	f.op("ADDQ $4, CX")
	f.op("JE store")
	f.mark("single")
	step(0)
	f.op("ADDQ $%d, SI", 4*rows)
	f.op("ADDQ $64, BX")
	f.op("DECQ CX")
	f.op("JNE single")
	f.mark("store")
	f.op("MOVQ k2+80(FP), CX")
	f.op("TESTQ CX, CX")
	f.op("JE write")
	f.op("MOVQ $0, k2+80(FP)")
	f.op("MOVQ a2+56(FP), SI")
	f.op("MOVQ b2+64(FP), BX")
	f.op("MOVQ bStride2+72(FP), R8")
	f.op("JMP start")
	f.mark("write")
	for i := range rows {
		for j := range vectors {
			f.op("VMOVUPS {%d}, %d(DI)", acc(i, j), j*f.lanes*4)
		}
		if i+1 < rows {
			f.op("ADDQ R10, DI")
		}
	}
}

// prefetchTile asks for the output's cache lines, to have them when the sums are done.
func prefetchTile(f *file, rows, vectors int) {
	f.op("MOVQ DI, R11")
	for i := range rows {
		for j := 0; j < vectors; j += 16 / f.lanes {
			f.op("PREFETCHT0 %d(R11)", j*f.lanes*4)
		}
		if i+1 < rows {
			f.op("ADDQ R10, R11")
		}
	}
}

// tileBF16 keeps rows × panels accumulators in registers; a step is one pair of k.
func tileBF16(f *file, rows, panels int) {
	f.function(fmt.Sprintf("tileBF16AVX512_%dx%d", rows, panels), tileParams, "")
	first := 32 - rows*panels
	spare := min(4, first-panels)
	tileFrame(f, rows, panels, first, func(u int) {
		for j := range panels {
			f.op("VMOVUPS %d(BX)%s, {%d}", u*64, []string{"", "(R8*1)", "(R8*2)"}[j], j)
		}
		for i := range rows {
			x := panels + i%spare
			f.op("VBROADCASTSS %d(SI), {%d}", (u*rows+i)*4, x)
			for j := range panels {
				f.dot(j, x, first+i*panels+j)
			}
		}
	})
	f.end()
}

// tileBF16AVX2 does what VDPBF16PS does on rows × one panel: a multiply-add of the pairs' odd elements, then one
// of the even, with subnormals flushed, for which it sets bits of MXCSR while it runs.
func tileBF16AVX2(f *file, rows int) {
	f.frame = 16
	f.function(fmt.Sprintf("tileBF16AVX2_%dx1", rows), tileParams, "")
	f.op("STMXCSR saved-8(SP)")
	f.op("MOVL saved-8(SP), AX")
	f.op("ORL $0x8040, AX") // flush to zero, denormals are zero
	f.op("MOVL AX, changed-16(SP)")
	f.op("LDMXCSR changed-16(SP)")
	f.op("VMOVUPS highHalves<>(SB), {15}")
	const first = 6
	tileFrame(f, rows, 2, first, func(u int) {
		for j := range 2 {
			f.op("VMOVUPS %d(BX), {%d}", u*64+j*32, 2+j)
			f.op("VPAND {15}, {%d}, {%d}", 2+j, j)
			f.op("VPSLLD $16, {%d}, {%d}", 2+j, 2+j)
		}
		for i := range rows {
			f.op("VBROADCASTSS %d(SI), {5}", (u*rows+i)*4)
			f.op("VPAND {15}, {5}, {4}")
			f.op("VPSLLD $16, {5}, {5}")
			for half := range 2 {
				for j := range 2 {
					f.op("VFMADD231PS {%d}, {%d}, {%d}", 2*half+j, 4+half, first+2*i+j)
				}
			}
		}
	})
	f.op("LDMXCSR saved-8(SP)")
	f.end()
}

// packBF16 is pack8 for pairs: 16·blocks columns of up to 8 rows, times alpha, become 8·blocks steps of pairs.
func packBF16(f *file) {
	f.function("pack8BF16AVX512", "dst *float32, dstStride int, src *float32, rowStride int, last int, blocks int, alpha float32", "")
	rows := []string{"SI", "DX", "R8", "R9", "R10", "R11", "R12", "R13"}
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ dstStride+8(FP), BX")
	f.op("MOVQ src+16(FP), SI")
	f.op("MOVQ rowStride+24(FP), AX")
	f.op("MOVQ last+32(FP), CX")
	for i := 1; i < 8; i++ {
		f.op("LEAQ (%s)(AX*1), %s", rows[i-1], rows[i])
		f.op("CMPQ CX, $%d", i)
		f.op("CMOVQLT %s, %s", rows[i-1], rows[i])
	}
	f.op("MOVQ blocks+40(FP), CX")
	f.op("VBROADCASTSS alpha+48(FP), Z31")
	f.op("XORQ AX, AX")
	f.mark("loop")
	for i := range 8 {
		f.op("VMULPS (%s)(AX*1), Z31, Z%d", rows[i], 16+i)
		f.narrow(16+i, i)
	}
	turn8Registers(f)
	for c := range 8 {
		f.op("VMOVUPS Y%d, (DI)", c)
		f.op("ADDQ BX, DI")
	}
	f.op("ADDQ $64, AX")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
}

// turn8Registers transposes the 8×8 block of 32-bit elements in Y0…Y7, using Y8…Y15.
func turn8Registers(f *file) {
	for i := 0; i < 8; i += 4 {
		for h := range 2 {
			f.op("VUNPCKLPS Y%d, Y%d, Y%d", i+2*h+1, i+2*h, 8+i+2*h)
			f.op("VUNPCKHPS Y%d, Y%d, Y%d", i+2*h+1, i+2*h, 9+i+2*h)
		}
		for c := range 4 {
			f.op("VSHUFPS $0x%x, Y%d, Y%d, Y%d", []int{0x44, 0xee}[c%2], 10+i+c/2, 8+i+c/2, i+c)
		}
	}
	for c := range 4 {
		f.op("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+c, c, 8+c)
		f.op("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+c, c, 4+c)
		f.op("VMOVAPS Y%d, Y%d", 8+c, c)
	}
}

// columnsBF16 makes pairs of two successive runs of values, stride bytes apart: whole runs of 16, or under
// masks as many as there are and as the destination is wide.
func columnsBF16(f *file) {
	f.function("columnsBF16AVX512", "dst *float32, width int, src *float32, stride int, mask int, wideMask int, pairs int, alpha float32", "")
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ width+8(FP), BX")
	f.op("MOVQ src+16(FP), SI")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ mask+32(FP), AX")
	f.op("KMOVW AX, K1")
	f.op("MOVQ wideMask+40(FP), DX")
	f.op("KMOVW DX, K2")
	f.op("MOVQ pairs+48(FP), CX")
	f.op("VBROADCASTSS alpha+56(FP), Z4")
	f.op("VMOVUPS interleave<>(SB), Z5")
	f.op("ANDL DX, AX")
	f.op("CMPL AX, $0xffff")
	f.op("JNE masked")
	f.mark("loop")
	f.op("VMULPS (SI), Z4, Z0")
	f.op("VMULPS (SI)(R8*1), Z4, Z1")
	f.narrow2(0, 1, 2)
	f.op("VPERMW Z2, Z5, Z2")
	f.op("VMOVUPS Z2, (DI)")
	f.op("LEAQ (SI)(R8*2), SI")
	f.op("ADDQ BX, DI")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
	f.mark("masked")
	f.op("VMULPS.Z (SI), Z4, K1, Z0")
	f.op("VMULPS.Z (SI)(R8*1), Z4, K1, Z1")
	f.narrow2(0, 1, 2)
	f.op("VPERMW Z2, Z5, Z2")
	f.op("VMOVUPS Z2, K2, (DI)")
	f.op("LEAQ (SI)(R8*2), SI")
	f.op("ADDQ BX, DI")
	f.op("DECQ CX")
	f.op("JNE masked")
	f.end()
}

// rowPairs multiplies one activation row with panels of stored values, which become pairs in registers.
func rowPairs(f *file, format string, panels int) {
	f.function(fmt.Sprintf("rowPairs%sAVX512_%d", format, panels), "y *float32, x *float32, src *byte, stride int, pairs int, accumulate bool", "")
	column := map[string]int{"F32": 64, "F16": 32, "B16": 32}[format] // bytes
	f.op("MOVQ y+0(FP), DI")
	f.op("MOVQ x+8(FP), SI")
	f.op("MOVQ src+16(FP), BX")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ pairs+32(FP), CX")
	f.op("MOVBLZX accumulate+40(FP), AX")
	f.op("VMOVUPS interleave<>(SB), Z31")
	for i := range panels {
		zero(f, i)
	}
	f.op("TESTL AX, AX")
	f.op("JE loop")
	for i := range panels {
		f.op("VMOVUPS %d(DI), Z%d", i*64, i)
	}
	f.mark("loop")
	f.op("VBROADCASTSS (SI), Z3")
	for i := range panels {
		low, high := 4+3*i, 5+3*i
		at := func(offset int) string { return fmt.Sprintf("%d(BX)%s", offset, []string{"", "(R8*1)", "(R8*2)"}[i]) }
		switch format {
		case "F32":
			f.op("VMOVUPS %s, Z%d", at(0), low)
			f.op("VMOVUPS %s, Z%d", at(column), high)
		case "F16":
			f.op("VCVTPH2PS %s, Z%d", at(0), low)
			f.op("VCVTPH2PS %s, Z%d", at(column), high)
		}
		if format == "B16" {
			f.op("VPERMW %s, Z31, Z%d", at(0), low)
		} else {
			f.narrow2(low, high, low)
			f.op("VPERMW Z%d, Z31, Z%d", low, low)
		}
		f.dot(low, 3, i)
	}
	f.op("ADDQ $4, SI")
	f.op("ADDQ $%d, BX", 2*column)
	f.op("DECQ CX")
	f.op("JNE loop")
	for i := range panels {
		f.op("VMOVUPS Z%d, %d(DI)", i, i*64)
	}
	f.end()
}

// narrowRow converts 32·blocks floats, times alpha, to bfloat16, which makes pairs of one row.
func narrowRow(f *file) {
	f.function("narrowRowAVX512", "dst *float32, src *float32, blocks int, alpha float32", "")
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ src+8(FP), SI")
	f.op("MOVQ blocks+16(FP), CX")
	f.op("VBROADCASTSS alpha+24(FP), Z3")
	f.mark("loop")
	f.op("VMULPS (SI), Z3, Z0")
	f.op("VMULPS 64(SI), Z3, Z1")
	f.narrow2(0, 1, 2)
	f.op("VMOVUPS Z2, (DI)")
	f.op("ADDQ $128, SI")
	f.op("ADDQ $64, DI")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
}

// narrowRowAVX2 is narrowRow in integer arithmetic, 16·blocks floats: to nearest even by adding 0x7fff and the last
// bit that stays; NaN becomes quiet instead, and what has no exponent zero.
func narrowRowAVX2(f *file) {
	constant(f, "oneWord", "0x00000001")
	constant(f, "nearlyHalf", "0x00007fff")
	constant(f, "quietBit", "0x00400000")
	constant(f, "exponentBits", "0x7f800000")
	constant(f, "signBit", "0x80000000")
	f.function("narrowRowAVX2", "dst *float32, src *float32, blocks int", "")
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ src+8(FP), SI")
	f.op("MOVQ blocks+16(FP), CX")
	f.op("VPXOR {15}, {15}, {15}")
	f.mark("loop")
	for half := range 2 {
		x, sum, t, m := 4*half, 4*half+1, 4*half+2, 4*half+3
		f.op("VMOVUPS %d(SI), {%d}", 32*half, x)
		f.op("VPSRLD $16, {%d}, {%d}", x, sum)
		f.op("VPAND oneWord<>(SB), {%d}, {%d}", sum, sum)
		f.op("VPADDD nearlyHalf<>(SB), {%d}, {%d}", sum, sum)
		f.op("VPADDD {%d}, {%d}, {%d}", x, sum, sum)
		f.op("VCMPPS $3, {%d}, {%d}, {%d}", x, x, m)
		f.op("VPOR quietBit<>(SB), {%d}, {%d}", x, t)
		f.op("VBLENDVPS {%d}, {%d}, {%d}, {%d}", m, t, sum, sum)
		f.op("VPAND exponentBits<>(SB), {%d}, {%d}", x, m)
		f.op("VPCMPEQD {15}, {%d}, {%d}", m, m)
		f.op("VPAND signBit<>(SB), {%d}, {%d}", x, t)
		f.op("VBLENDVPS {%d}, {%d}, {%d}, {%d}", m, t, sum, sum)
		f.op("VPSRLD $16, {%d}, {%d}", sum, sum)
	}
	f.op("VPACKUSDW {5}, {1}, {1}") // of each half register in turn
	f.op("VPERMQ $0xd8, {1}, {1}")
	f.op("VMOVUPS {1}, (DI)")
	f.op("ADDQ $64, SI")
	f.op("ADDQ $32, DI")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
}
