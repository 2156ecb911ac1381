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

// nibbles expands the four groups of a block. A 32-bit lane of a group holds 4 columns of one row in its low
// nibbles and the 4 columns 16 further on in its high ones.
func nibbles(f *file, offset bool) {
	f.op("VMOVDQU%s fifteen<>(SB), {11}", map[string]string{"Y": "", "Z": "32"}[f.reg])
	base := 32
	if offset {
		base = 64
	}
	n := 0
	for g := range 4 {
		for _, h := range halves {
			word := 8 + n/len(halves)%2
			f.op("%s %d(SI), {%d}", f.load(), base+g*64+h*4, word)
			for nibble := range 8 { // in the order of their shifts: low and high of byte 0, of byte 1, …
				q := n % 8
				n++
				f.field(word, q, 4*nibble, 11)
				f.op("VCVTDQ2PS {%d}, {%d}", q, q)
				if offset {
					f.op("VFMADD213PS {%d}, {%d}, {%d}", scaleRegister(h, 1), scaleRegister(h, 0), q)
				} else {
					f.op("VADDPS minusEight<>(SB), {%d}, {%d}", q, q)
					f.op("VMULPS {%d}, {%d}, {%d}", scaleRegister(h, 0), q, q)
				}
				f.op("VMOVUPS {%d}, %d(DI)", q, (4*g+nibble/2+nibble%2*16)*64+h*4)
			}
		}
	}
}

// field sets each lane of q to the bits of the word from shift on that mask keeps.
func (f *file) field(word, q, shift, mask int) {
	switch shift {
	case 0:
		f.op("%s {%d}, {%d}, {%d}", f.and(), mask, word, q)
	case 28:
		f.op("VPSRLD $28, {%d}, {%d}", word, q)
	default:
		f.op("VPSRLD $%d, {%d}, {%d}", shift, word, q)
		f.op("%s {%d}, {%d}, {%d}", f.and(), mask, q, q)
	}
}

// int8s expands the eight groups of a block, whose lanes hold 4 columns of one row.
func int8s(f *file) {
	for g := range 8 {
		for i, h := range halves {
			word := 8 + i
			f.op("%s %d(SI), {%d}", f.load(), 32+g*64+h*4, word)
			for b := range 4 {
				q := 4*i + b
				f.signed(word, q, b)
				f.op("VCVTDQ2PS {%d}, {%d}", q, q)
				f.op("VMULPS {%d}, {%d}, {%d}", scaleRegister(h, 0), q, q)
				f.op("VMOVUPS {%d}, %d(DI)", q, (4*g+b)*64+h*4)
			}
		}
	}
}

// signed sets each lane of q to byte b of the word, with its sign.
func (f *file) signed(word, q, b int) {
	if b < 3 {
		f.op("VPSLLD $%d, {%d}, {%d}", 24-8*b, word, q)
		word = q
	}
	f.op("VPSRAD $24, {%d}, {%d}", word, q)
}

// load is the move of whole integer registers.
func (f *file) load() string {
	if f.reg == "Z" {
		return "VMOVDQU32"
	}
	return "VMOVDQU"
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
