package main

import "fmt"

// caches writes the products of one query with the rows of a cache, for decoding's attention.
func caches(f *file) {
	for _, f.isa = range []isa{avx2, avx512} {
		dotCache(f)
		addCache(f, 4)
		addCache(f, 1)
	}
}

// dotCache is dot for rows of whole passes of four registers, n bytes each, in the same order of summation.
func dotCache(f *file) {
	f.function("dotCache"+f.name, "s *float32, q *float32, n int, k *float32, stride int, rows int", "")
	f.op("MOVQ s+0(FP), DI")
	f.op("MOVQ q+8(FP), SI")
	f.op("MOVQ n+16(FP), DX")
	f.op("MOVQ k+24(FP), BX")
	f.op("MOVQ stride+32(FP), R8")
	f.op("MOVQ rows+40(FP), CX")
	f.mark("row")
	f.op("XORQ AX, AX")
	for i := range 4 {
		zero(f, i)
	}
	f.mark("pass")
	for i := range 4 {
		f.op("VMOVUPS %d(SI)(AX*1), {%d}", i*f.lanes*4, 4+i)
		f.op("VFMADD231PS %d(BX)(AX*1), {%d}, {%d}", i*f.lanes*4, 4+i, i)
	}
	f.op("ADDQ $%d, AX", 16*f.lanes)
	f.op("CMPQ AX, DX")
	f.op("JLT pass")
	f.where["ret"] = "(DI)"
	sumFour(f)
	f.op("ADDQ $4, DI")
	f.op("ADDQ R8, BX")
	f.op("DECQ CX")
	f.op("JNE row")
	f.end()
}

// sumFour joins four registers of partial sums as dot does.
func sumFour(f *file) {
	f.op("VADDPS {1}, {0}, {0}")
	f.op("VADDPS {3}, {2}, {2}")
	f.op("VADDPS {2}, {0}, {0}")
	fold(f, "VADDPS")
}

// addCache keeps some columns of the sum in registers while it runs over the rows.
func addCache(f *file, registers int) {
	f.function(fmt.Sprintf("addCache%s_%d", f.name, registers), "y *float32, p *float32, v *float32, stride int, rows int", "")
	f.op("MOVQ y+0(FP), DI")
	f.op("MOVQ p+8(FP), SI")
	f.op("MOVQ v+16(FP), BX")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ rows+32(FP), CX")
	for i := range registers {
		f.op("VMOVUPS %d(DI), {%d}", i*f.lanes*4, i)
	}
	f.mark("row")
	f.op("VBROADCASTSS (SI), {4}")
	for i := range registers {
		f.op("VFMADD231PS %d(BX), {4}, {%d}", i*f.lanes*4, i)
	}
	f.op("ADDQ $4, SI")
	f.op("ADDQ R8, BX")
	f.op("DECQ CX")
	f.op("JNE row")
	for i := range registers {
		f.op("VMOVUPS {%d}, %d(DI)", i, i*f.lanes*4)
	}
	f.end()
}
