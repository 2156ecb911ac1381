package main

import "fmt"

// caches writes the products of a cache in half floats, and the conversion to them.
func caches(f *file) {
	constant(f, "halfMax", "0x477fe000") // 65504
	constant(f, "halfMin", "0xc77fe000")
	for _, f.isa = range []isa{avx2, avx512} {
		most := map[string]int{"Y": 6, "Z": 8}[f.reg]
		for rows := 1; rows <= most; rows++ {
			for panels := 1; panels <= 3; panels++ {
				if panels == 1 || f.reg == "Z" {
					tileF16(f, rows, panels)
				}
			}
		}
		narrowHalves(f)
	}
}

// tileF16 is tile for a right operand in half floats, which become f32 as they are loaded. What lies ahead bytes further
// on is asked for, line by line: of a cache, the next block's panels.
func tileF16(f *file, rows, panels int) {
	f.function(fmt.Sprintf("tileF16%s_%dx%d", f.name, rows, panels), "c *float32, ldc int, a *float32, b *byte, bStride int, k int, accumulate bool, ahead int", "")
	vectors := panels * 16 / f.lanes
	perPanel := 16 / f.lanes
	first := map[string]int{"Y": 16, "Z": 32}[f.reg] - rows*vectors
	spare := min(4, first-vectors)
	acc := func(i, j int) int { return first + i*vectors + j }
	// Each row's accumulators, from or to memory.
	move := func(one func(offset, reg int)) {
		f.op("MOVQ DI, R11")
		for i := range rows {
			for j := range vectors {
				one(j*f.lanes*4, acc(i, j))
			}
			if i+1 < rows {
				f.op("ADDQ R10, R11")
			}
		}
	}
	step := func(u int) {
		for j := 0; u%2 == 0 && j < vectors; j += perPanel { // a panel's line of two steps
			f.op("PREFETCHT0 %d(%s)%s", u*32, []string{"R9", "R9", "R12"}[j/perPanel], []string{"", "(R8*1)", ""}[j/perPanel])
		}
		for j := range vectors {
			f.op("VCVTPH2PS %d(BX)%s, {%d}", u*32+j%perPanel*f.lanes*2, []string{"", "(R8*1)", "(R8*2)"}[j/perPanel], j)
		}
		for i := range rows {
			x := vectors + i%spare
			f.op("VBROADCASTSS %d(SI), {%d}", (u*rows+i)*4, x)
			for j := range vectors {
				f.op("VFMADD231PS {%d}, {%d}, {%d}", j, x, acc(i, j))
			}
		}
	}
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ ldc+8(FP), R10")
	f.op("MOVQ a+16(FP), SI")
	f.op("MOVQ b+24(FP), BX")
	f.op("MOVQ bStride+32(FP), R8")
	f.op("MOVQ k+40(FP), CX")
	f.op("MOVQ ahead+56(FP), R9")
	f.op("ADDQ BX, R9")
	f.op("LEAQ (R9)(R8*2), R12")
	f.op("MOVBLZX accumulate+48(FP), AX")
	f.op("TESTL AX, AX")
	f.op("JE zero")
	move(func(offset, reg int) { f.op("VMOVUPS %d(R11), {%d}", offset, reg) })
	f.op("JMP start")
	f.mark("zero")
	for i := range rows * vectors {
		zero(f, first+i)
	}
	f.mark("start")
	f.op("SUBQ $4, CX")
	f.op("JLT rest")
	f.mark("loop")
	for u := range 4 {
		step(u)
	}
	f.op("ADDQ $%d, SI", 4*rows*4)
	for _, r := range []string{"BX", "R9", "R12"} {
		f.op("ADDQ $128, %s", r)
	}
	f.op("SUBQ $4, CX")
	f.op("JGE loop")
	f.mark("rest")
	f.op("ADDQ $4, CX")
	f.op("JE store")
	f.mark("single")
	step(0)
	f.op("ADDQ $%d, SI", 4*rows)
	f.op("ADDQ $32, BX")
	f.op("ADDQ $32, R9")
	f.op("ADDQ $32, R12")
	f.op("DECQ CX")
	f.op("JNE single")
	f.mark("store")
	move(func(offset, reg int) { f.op("VMOVUPS {%d}, %d(R11)", reg, offset) })
	f.end()
}

// narrowHalves converts whole registers to half floats after clamping, which a NaN passes as it passes exp's.
func narrowHalves(f *file) {
	f.function("narrowHalves"+f.name, "dst *byte, src *float32, registers int", "")
	f.op("MOVQ dst+0(FP), DI")
	f.op("MOVQ src+8(FP), SI")
	f.op("MOVQ registers+16(FP), CX")
	f.op("VMOVUPS halfMax<>(SB), {1}")
	f.op("VMOVUPS halfMin<>(SB), {2}")
	f.mark("loop")
	f.op("VMOVUPS (SI), {0}")
	f.op("VMINPS {0}, {1}, {0}")
	f.op("VMAXPS {0}, {2}, {0}")
	f.op("VCVTPS2PH $0, {0}, (DI)")
	f.op("ADDQ $%d, SI", 4*f.lanes)
	f.op("ADDQ $%d, DI", 2*f.lanes)
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
}
