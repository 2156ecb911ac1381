package main

import "fmt"

const tileParams = "c *float32, ldc int, a *float32, b *float32, bStride int, k int, accumulate bool, a2 *float32, b2 *float32, bStride2 int, k2 int"

// tiles writes a product tile for every number of rows and panels that fits the registers.
func tiles(f *file) {
	f.isa = avx512
	for rows := 1; rows <= 8; rows++ {
		for panels := 1; panels <= 3; panels++ {
			tile(f, rows, panels)
		}
	}
	f.isa = avx2
	for rows := 1; rows <= 6; rows++ {
		for panels := 1; panels <= 3; panels++ {
			if panels == 1 || rows <= 2 {
				tile(f, rows, panels)
			}
		}
	}
	pack8(f)
	columns(f)
	transpose(f)
	fmt.Fprint(f, "\n// func Pause(n int)\nTEXT ·Pause(SB), NOSPLIT, $0-8\n\tMOVQ n+0(FP), CX\npause:\n\tTESTQ CX, CX\n\tJLE done\n\tPAUSE\n\tDECQ CX\n\tJMP pause\ndone:\n\tRET\n")
	fmt.Fprint(f.stubs, "\n// Pause waits a few nanoseconds, n times.\nfunc Pause(n int)\n")
}

// tile keeps rows × panels·16 accumulators in registers while k runs. Strides are in bytes. The right operand's
// vectors are loaded once a step and each activation is broadcast once a step.
func tile(f *file, rows, panels int) {
	f.function(fmt.Sprintf("tile%s_%dx%d", f.name, rows, panels), tileParams, "")
	vectors := panels * 16 / f.lanes
	perPanel := 16 / f.lanes
	accs := rows * vectors
	first := 32 - accs
	if f.reg == "Y" {
		first = 16 - accs
	}
	acc := func(i, j int) int { return first + i*vectors + j }
	step := func(u int) {
		operand := func(j int) string {
			base := []string{"(BX)", "(BX)(R8*1)", "(BX)(R8*2)"}[j/perPanel]
			return fmt.Sprintf("%d%s", u*64+j%perPanel*f.lanes*4, base)
		}
		// Enough registers: load the right operand's vectors once, then run over the rows. Else hold the
		// broadcast activations and run over the vectors.
		if rows > 1 && first >= vectors+1 {
			spare := min(4, first-vectors)
			for j := range vectors {
				f.op("VMOVUPS %s, {%d}", operand(j), j)
			}
			for i := range rows {
				x := vectors + i%spare
				f.op("VBROADCASTSS %d(SI), {%d}", (u*rows+i)*4, x)
				for j := range vectors {
					f.op("VFMADD231PS {%d}, {%d}, {%d}", j, x, acc(i, j))
				}
			}
			return
		}
		for i := range rows {
			f.op("VBROADCASTSS %d(SI), {%d}", (u*rows+i)*4, i)
		}
		for j := range vectors {
			if rows == 1 {
				f.op("VFMADD231PS %s, {0}, {%d}", operand(j), acc(0, j))
				continue
			}
			f.op("VMOVUPS %s, {%d}", operand(j), rows)
			for i := range rows {
				f.op("VFMADD231PS {%d}, {%d}, {%d}", rows, i, acc(i, j))
			}
		}
	}
	tileFrame(f, rows, vectors, first, step)
	f.end()
}

// turn8 transposes the 8×8 block whose rows row(i, half) addresses, into Y8…Y15. The two halves of a register
// hold rows i and i+4, which leaves only shuffles within halves.
func turn8(f *file, row func(i, half int) string) {
	for half := range 2 {
		for i := range 4 {
			f.op("VMOVUPS %s, X%d", row(i, half), i)
			f.op("VINSERTF128 $1, %s, Y%d, Y%d", row(i+4, half), i, i)
		}
		f.op("VUNPCKLPS Y1, Y0, Y4")
		f.op("VUNPCKHPS Y1, Y0, Y5")
		f.op("VUNPCKLPS Y3, Y2, Y6")
		f.op("VUNPCKHPS Y3, Y2, Y7")
		for c, pair := range [][2]int{{4, 6}, {4, 6}, {5, 7}, {5, 7}} {
			f.op("VSHUFPS $0x%x, Y%d, Y%d, Y%d", []int{0x44, 0xee}[c%2], pair[1], pair[0], 8+half*4+c)
		}
	}
}

// pack8 writes 8·blocks columns of up to 8 rows, column by column: dst[k·dstStride + i] = row i at k. Rows past
// last repeat it. With a stride under 8 values, columns overlap and each is completed by the next one.
func pack8(f *file) {
	f.function("pack8AVX2", "dst *float32, dstStride int, src *float32, rowStride int, last int, blocks int", "")
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
	f.op("XORQ AX, AX")
	f.mark("loop")
	turn8(f, func(i, half int) string { return fmt.Sprintf("%d(%s)(AX*1)", 16*half, rows[i]) })
	for c := range 8 {
		f.op("VMOVUPS Y%d, (DI)", 8+c)
		f.op("ADDQ BX, DI")
	}
	f.op("ADDQ $32, AX")
	f.op("DECQ CX")
	f.op("JNE loop")
	f.end()
}

// columns copies k runs of 8 or 16 values, stride bytes apart, to adjacent places.
func columns(f *file) {
	for _, width := range []int{8, 16} {
		f.function(fmt.Sprintf("columns%dAVX2", width), "dst *float32, src *float32, stride int, k int", "")
		f.op("MOVQ dst+0(FP), DI")
		f.op("MOVQ src+8(FP), SI")
		f.op("MOVQ stride+16(FP), AX")
		f.op("MOVQ k+24(FP), CX")
		f.mark("loop")
		for i := range width / 8 {
			f.op("VMOVUPS %d(SI), Y%d", 32*i, i)
			f.op("VMOVUPS Y%d, %d(DI)", i, 32*i)
		}
		f.op("ADDQ AX, SI")
		f.op("ADDQ $%d, DI", 4*width)
		f.op("DECQ CX")
		f.op("JNE loop")
		f.end()
	}
}

func transpose(f *file) {
	f.function("transpose16AVX2", "dst []float32, src []float32", "")
	f.op("MOVQ dst_base+0(FP), DI")
	f.op("MOVQ src_base+24(FP), SI")
	for r := 0; r < 16; r += 8 {
		for c := 0; c < 16; c += 8 {
			turn8(f, func(i, half int) string { return fmt.Sprintf("%d(SI)", (r+i)*64+c*4+16*half) })
			for i := range 8 {
				f.op("VMOVUPS Y%d, %d(DI)", 8+i, (c+i)*64+r*4)
			}
		}
	}
	f.end()
}
