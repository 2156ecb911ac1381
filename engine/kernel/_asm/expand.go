package main

import "fmt"

// expansions writes the loops that turn stored panels into f32. A pass handles one 32-column block of 16 rows,
// with AVX2 as two halves of 8 rows.
func expansions(f *file) {
	nibbleConstants(f)
	for _, f.isa = range []isa{avx2, avx512} {
		quantised(f, "expandQ41", 20, 2, func() { nibbles(f, true) })
		quantised(f, "expandQ40", 18, 1, func() { nibbles(f, false) })
		quantised(f, "expandQ80", 34, 1, func() { int8s(f) })
		plain(f, "expandF16", func(half int) { f.op("VCVTPH2PS %d(SI), {0}", half*f.lanes*2) })
		plain(f, "expandB16", func(half int) {
			f.op("VPMOVZXWD %d(SI), {0}", half*f.lanes*2)
			f.op("VPSLLD $16, {0}, {0}")
		})
	}
}

func nibbleConstants(f *file) {
	constant(f, "fifteen", "0x0000000f")
	constant(f, "minusEight", "0xc1000000")
}

// constant defines one vector of 16 equal 32-bit values, usable as a memory operand of any length.
func constant(f *file, name, bits string) {
	fmt.Fprintln(f)
	for i := range 16 {
		fmt.Fprintf(f, "DATA %s<>+%d(SB)/4, $%s\n", name, i*4, bits)
	}
	fmt.Fprintf(f, "GLOBL %s<>(SB), RODATA|NOPTR, $64\n", name)
}

// quantised loops over blocks of 16·blockBytes bytes that start with scales vectors of 16 halves each.
func quantised(f *file, name string, blockBytes, scales int, body func()) {
	f.function(name+f.name, "dst []float32, src []byte", "")
	f.op("MOVQ dst_base+0(FP), DI")
	f.op("MOVQ src_base+24(FP), SI")
	f.op("MOVQ src_len+32(FP), CX")
	f.mark("loop")
	halves = halves[:0]
	for h := 0; h < 16; h += f.lanes {
		halves = append(halves, h)
	}
	for _, h := range halves {
		for s := range scales {
			f.op("VCVTPH2PS %d(SI), {%d}", s*32+h*2, scaleRegister(h, s))
		}
	}
	body()
	f.op("ADDQ $2048, DI")
	f.op("ADDQ $%d, SI", 16*blockBytes)
	f.op("SUBQ $%d, CX", 16*blockBytes)
	f.op("JNE loop")
	f.end()
}

var halves []int // first row of each register's share of a panel

// scaleRegister is the register of scale s for rows from h on.
func scaleRegister(h, s int) int { return 12 + h/8*2 + s }

func nibbles(f *file, offset bool) {
	f.op("VMOVDQU%s fifteen<>(SB), {11}", map[string]string{"Y": "", "Z": "32"}[f.reg])
	base := 32
	if offset {
		base = 64
	}
	for j := range 16 {
		for i, h := range halves {
			lo, hi := 4*i+j%2*2, 4*i+j%2*2+1
			f.op("VPMOVZXBD %d(SI), {%d}", base+j*16+h, hi)
			f.op("%s {11}, {%d}, {%d}", f.and(), hi, lo)
			f.op("VPSRLD $4, {%d}, {%d}", hi, hi)
			for n, q := range []int{lo, hi} {
				f.op("VCVTDQ2PS {%d}, {%d}", q, q)
				if offset {
					f.op("VFMADD213PS {%d}, {%d}, {%d}", scaleRegister(h, 1), scaleRegister(h, 0), q)
				} else {
					f.op("VADDPS minusEight<>(SB), {%d}, {%d}", q, q)
					f.op("VMULPS {%d}, {%d}, {%d}", scaleRegister(h, 0), q, q)
				}
				f.op("VMOVUPS {%d}, %d(DI)", q, (j+16*n)*64+h*4)
			}
		}
	}
}

func int8s(f *file) {
	for k := range 32 {
		for i, h := range halves {
			q := 2*i + k%2
			f.op("VPMOVSXBD %d(SI), {%d}", 32+k*16+h, q)
			f.op("VCVTDQ2PS {%d}, {%d}", q, q)
			f.op("VMULPS {%d}, {%d}, {%d}", scaleRegister(h, 0), q, q)
			f.op("VMOVUPS {%d}, %d(DI)", q, k*64+h*4)
		}
	}
}

// plain loops over 16 values of two bytes at a time.
func plain(f *file, name string, load func(half int)) {
	f.function(name+f.name, "dst []float32, src []byte", "")
	f.op("MOVQ dst_base+0(FP), DI")
	f.op("MOVQ src_base+24(FP), SI")
	f.op("MOVQ src_len+32(FP), CX")
	f.mark("loop")
	for half := range 16 / f.lanes {
		load(half)
		f.op("VMOVUPS {0}, %d(DI)", half*f.lanes*4)
	}
	f.op("ADDQ $64, DI")
	f.op("ADDQ $32, SI")
	f.op("SUBQ $32, CX")
	f.op("JNE loop")
	f.end()
}
