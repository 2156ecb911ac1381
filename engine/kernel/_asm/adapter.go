package main

import "fmt"

// adapters writes the inner products of low-rank adapters.
func adapters(f *file) {
	constant(f, "oddHalves", "0xffff0000")
	f.isa = avx512
	for rows := 4; rows <= 16; rows += 4 {
		rankDots(f, rows)
	}
	f.isa = avx2
	rankDotsAVX2(f)
	prefetchLines(f)
}

const rankParams = "u *float32, x *float32, a *float32, stride int, lines int"

// rankAhead is how far ahead of its use a line is asked for, in bytes: what memory takes to answer.
const rankAhead = 2048

func rankArguments(f *file) {
	f.op("MOVQ u+0(FP), DI")
	f.op("MOVQ x+8(FP), SI")
	f.op("MOVQ a+16(FP), BX")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ lines+32(FP), CX")
}

// rankDots keeps 16 sums of each row in Z0…Z15, reads 16 pairs of x to Z16, and the lines of the rows to the others.
func rankDots(f *file, rows int) {
	f.function(fmt.Sprintf("rankDotsAVX512_%d", rows), rankParams, "")
	rankArguments(f)
	for j := range rows {
		zero(f, j)
	}
	f.mark("loop")
	f.op("VMOVUPS (SI), Z16")
	for j := range rows {
		f.op("VMOVUPS %d(BX), Z%d", j*64, 17+j%15)
		f.op("PREFETCHT0 %d(BX)", j*64+rankAhead)
		f.dot(17+j%15, 16, j)
	}
	f.op("ADDQ $64, SI")
	f.op("ADDQ R8, BX")
	f.op("DECQ CX")
	f.op("JNE loop")
	for j := range rows {
		f.op("VEXTRACTF64X4 $1, Z%d, Y%d", j, 17+j%15)
		f.op("VADDPS Y%d, Y%d, Y%d", 17+j%15, j, j)
	}
	for j := 0; j < rows; j += 4 {
		addLanes(f, j, 4*j)
	}
	f.end()
}

// addLanes adds the 8 lanes of each of four registers, from the first on, and stores the four sums.
func addLanes(f *file, first, offset int) {
	f.op("VHADDPS Y%d, Y%d, Y%d", first+1, first, first)
	f.op("VHADDPS Y%d, Y%d, Y%d", first+3, first+2, first+2)
	f.op("VHADDPS Y%d, Y%d, Y%d", first+2, first, first)
	f.op("VEXTRACTF128 $1, Y%d, X%d", first, first+1)
	f.op("VADDPS X%d, X%d, X%d", first+1, first, first)
	f.op("VMOVUPS X%d, %d(DI)", first, offset)
}

// rankDotsAVX2 does what VDPBF16PS does on four rows, as tileBF16AVX2: Y0…Y3 hold the first 8 lanes of a row's sums,
// Y4…Y7 the others; Y8…Y11 hold x, odd and even elements of its first lanes, then of the others.
func rankDotsAVX2(f *file) {
	f.frame = 16
	f.function("rankDotsAVX2_4", rankParams, "")
	f.op("STMXCSR saved-8(SP)")
	f.op("MOVL saved-8(SP), AX")
	f.op("ORL $0x8040, AX") // flush to zero, denormals are zero
	f.op("MOVL AX, changed-16(SP)")
	f.op("LDMXCSR changed-16(SP)")
	rankArguments(f)
	f.op("VMOVUPS oddHalves<>(SB), Y15")
	for j := range 8 {
		zero(f, j)
	}
	f.mark("loop")
	for h := range 2 {
		f.op("VMOVUPS %d(SI), Y%d", 32*h, 9+2*h)
		f.op("VPAND Y15, Y%d, Y%d", 9+2*h, 8+2*h)
		f.op("VPSLLD $16, Y%d, Y%d", 9+2*h, 9+2*h)
	}
	for j := range 4 {
		for h := range 2 {
			f.op("VMOVUPS %d(BX), Y13", 64*j+32*h)
			f.op("VPAND Y15, Y13, Y12")
			f.op("VPSLLD $16, Y13, Y13")
			f.op("VFMADD231PS Y12, Y%d, Y%d", 8+2*h, 4*h+j)
			f.op("VFMADD231PS Y13, Y%d, Y%d", 9+2*h, 4*h+j)
		}
	}
	f.op("ADDQ $64, SI")
	f.op("ADDQ R8, BX")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.op("LDMXCSR saved-8(SP)")
	for j := range 4 {
		f.op("VADDPS Y%d, Y%d, Y%d", 4+j, j, j)
	}
	addLanes(f, 0, 0)
	f.end()
}

// prefetchLines asks for lines of 64 bytes.
func prefetchLines(f *file) {
	f.function("prefetchAMD64", "a *float32, lines int", "")
	f.op("MOVQ a+0(FP), SI")
	f.op("MOVQ lines+8(FP), CX")
	f.mark("loop")
	f.op("PREFETCHT0 (SI)")
	f.op("ADDQ $64, SI")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.op("RET")
}
