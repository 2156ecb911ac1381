package main

import (
	"fmt"
	"math"
)

// attention writes what happens to a block of scores, rows of 64 under masks of 64 bits.
func attention(f *file) {
	maskTable(f)
	constants(f)
	constant(f, "absolute", "0x7fffffff")
	constant(f, "two", "0x40000000")
	// tanh(z) = z + z³·P(z²) up to |z| = 0.65, with an error of 1e-8 of it; beyond, 1 − 2/(exp(2z)+1).
	constant(f, "nearZero", "0x3f266666")
	for i, t := range []float32{-0.33333256, 0.13330747, -0.05368245, 0.02045442, -0.00550106} {
		constant(f, fmt.Sprintf("t%d", i), fmt.Sprintf("0x%08x", math.Float32bits(t)))
	}
	fmt.Fprintln(f)
	for i := range 32 { // bit i of a word, for AVX2's masks
		fmt.Fprintf(f, "DATA maskBits<>+%d(SB)/4, $0x%08x\n", i*4, uint32(1)<<i)
	}
	fmt.Fprint(f, "GLOBL maskBits<>(SB), RODATA|NOPTR, $128\n")
	for _, f.isa = range []isa{avx2, avx512} {
		softmaxRows(f)
		softmaxBackRows(f)
		softcap(f)
	}
}

// rowMask loads a row's mask from R8.
func rowMask(f *file) {
	if f.reg == "Z" {
		f.op("MOVQ (R8), AX")
		for i := range 4 {
			f.op("KMOVW AX, K%d", 1+i)
			if i < 3 {
				f.op("SHRQ $16, AX")
			}
		}
		return
	}
	f.op("VPBROADCASTD (R8), Y14")
	f.op("VPBROADCASTD 4(R8), Y15")
}

// vectorMask makes ones of AVX2's lanes of the i-th register that the mask keeps, in Y13.
func vectorMask(f *file, i int) {
	f.op("VMOVDQU maskBits<>+%d(SB), Y13", i%4*32)
	f.op("VPAND Y%d, Y13, Y12", 14+i/4)
	f.op("VPCMPEQD Y13, Y12, Y13")
}

// keep zeroes the lanes of reg, the i-th register of a row, that the mask hides.
func keep(f *file, i, reg int) {
	if f.reg == "Z" {
		f.op("VMOVAPS.Z {%d}, K%d, {%d}", reg, 1+i, reg)
		return
	}
	vectorMask(f, i)
	f.op("VANDPS {13}, {%d}, {%d}", reg, reg)
}

// foldTo reduces a register to its lowest element, pairing lanes half a vector apart.
func foldTo(f *file, op string, reg, spare int) {
	if f.reg == "Z" {
		f.op("VEXTRACTF64X4 $1, Z%d, Y%d", reg, spare)
		f.op("%s Y%d, Y%d, Y%d", op, spare, reg, reg)
		f.op("VEXTRACTF32X4 $1, Y%d, X%d", reg, spare)
	} else {
		f.op("VEXTRACTF128 $1, Y%d, X%d", reg, spare)
	}
	for _, shuffle := range []string{"", "$0x4e", "$0xb1"} {
		if shuffle != "" {
			f.op("VPERMILPS %s, X%d, X%d", shuffle, reg, spare)
		}
		f.op("%s X%d, X%d, X%d", op, spare, reg, reg)
	}
}

// tree joins the row's n registers from 0 on pairwise into register to.
func tree(f *file, op string, n, to int) {
	f.op("%s {1}, {0}, {%d}", op, to)
	for i := 2; i < n; i += 2 {
		f.op("%s {%d}, {%d}, {%d}", op, i+1, i, to+1)
		f.op("%s {%d}, {%d}, {%d}", op, to+1, to, to)
	}
}

// softmaxRows finds each row's new maximum, exponentials and their sum. The row is in registers 0… throughout.
func softmaxRows(f *file) {
	f.function("softmaxRows"+f.name, "s *float32, masks *uint64, m *float32, top *float32, sums *float32, rows int", "")
	n := 64 / f.lanes
	f.op("MOVQ s+0(FP), DI")
	f.op("MOVQ masks+8(FP), R8")
	f.op("MOVQ m+16(FP), SI")
	f.op("MOVQ top+24(FP), DX")
	f.op("MOVQ sums+32(FP), BX")
	f.op("MOVQ rows+40(FP), CX")
	f.mark("row")
	rowMask(f)
	f.op("VMOVUPS minusInf<>(SB), {8}")
	for i := range n {
		if f.reg == "Z" {
			f.op("VMOVAPS {8}, {%d}", i)
			f.op("VMOVUPS %d(DI), K%d, {%d}", i*64, 1+i, i)
			continue
		}
		vectorMask(f, i)
		f.op("VBLENDVPS {13}, %d(DI), {8}, {%d}", i*32, i)
	}
	tree(f, "VMAXPS", n, 9)
	foldTo(f, "VMAXPS", 9, 10)
	f.op("VMAXSS (SI), X9, X9")
	f.op("VMOVSS X9, (DX)")
	f.op("VBROADCASTSS X9, {9}")
	for i := range n {
		f.op("VSUBPS {9}, {%d}, {%d}", i, i)
	}
	for i := range n {
		if f.reg == "Z" {
			exp(f, i, 16+2*i, 17+2*i)
		} else {
			exp(f, i, 10, 11)
		}
		keep(f, i, i)
		f.op("VMOVUPS {%d}, %d(DI)", i, i*f.lanes*4)
	}
	tree(f, "VADDPS", n, 9)
	foldTo(f, "VADDPS", 9, 10)
	f.op("VMOVSS X9, (BX)")
	f.op("ADDQ $256, DI")
	f.op("ADDQ $8, R8")
	for _, r := range []string{"SI", "DX", "BX"} {
		f.op("ADDQ $4, %s", r)
	}
	f.op("DECQ CX")
	f.op("JNE row")
	f.end()
}

// softmaxBackRows makes probabilities and gradients of scores, a register at a time.
func softmaxBackRows(f *file) {
	f.function("softmaxBackRows"+f.name, "p *float32, d *float32, masks *uint64, lse *float32, delta *float32, rows int", "")
	f.op("MOVQ p+0(FP), DI")
	f.op("MOVQ d+8(FP), SI")
	f.op("MOVQ masks+16(FP), R8")
	f.op("MOVQ lse+24(FP), DX")
	f.op("MOVQ delta+32(FP), BX")
	f.op("MOVQ rows+40(FP), CX")
	f.mark("row")
	rowMask(f)
	f.op("VBROADCASTSS (DX), {8}")
	f.op("VBROADCASTSS (BX), {9}")
	for i := range 64 / f.lanes {
		x := i % 2 * 4 // two sets of registers, so that one chain waits for no other
		at := i * f.lanes * 4
		f.op("VMOVUPS %d(DI), {%d}", at, x)
		f.op("VSUBPS {8}, {%d}, {%d}", x, x)
		exp(f, x, x+1, x+2)
		keep(f, i, x)
		f.op("VMOVUPS {%d}, %d(DI)", x, at)
		f.op("VMOVUPS %d(SI), {%d}", at, x+1)
		f.op("VSUBPS {9}, {%d}, {%d}", x+1, x+1)
		f.op("VMULPS {%d}, {%d}, {%d}", x, x+1, x+1)
		keep(f, i, x+1)
		f.op("VMOVUPS {%d}, %d(SI)", x+1, at)
	}
	f.op("ADDQ $256, DI")
	f.op("ADDQ $256, SI")
	f.op("ADDQ $8, R8")
	f.op("ADDQ $4, DX")
	f.op("ADDQ $4, BX")
	f.op("DECQ CX")
	f.op("JNE row")
	f.end()
}

// softcap writes limit·tanh(x/limit), and the multiplication with its derivative.
func softcap(f *file) {
	f.function("softcap"+f.name, "x []float32, limit float32, inverse float32", "")
	slices(f, "x")
	f.op("VBROADCASTSS %s, {8}", f.where["limit"])
	f.op("VBROADCASTSS %s, {9}", f.where["inverse"])
	run(f, func(l loop) {
		l.load(0, 0)
		l.op("VMULPS {9}, {0}, {0}") // z
		l.op("VMOVUPS absolute<>(SB), {6}")
		l.op("VANDPS {6}, {0}, {1}") // |z|
		l.op("VADDPS {1}, {1}, {2}")
		exp(f, 2, 3, 4)
		l.op("VMOVUPS one<>(SB), {5}")
		l.op("VADDPS {5}, {2}, {2}")
		l.op("VMOVUPS two<>(SB), {3}")
		l.op("VDIVPS {2}, {3}, {2}")
		l.op("VSUBPS {2}, {5}, {2}")  // tanh |z|
		l.op("VANDNPS {0}, {6}, {7}") // the sign of z
		l.op("VORPS {7}, {2}, {2}")
		l.op("VMULPS {0}, {0}, {3}") // z²
		l.op("VMOVUPS t4<>(SB), {4}")
		for i := 3; i >= 0; i-- {
			l.op("VFMADD213PS t%d<>(SB), {3}, {4}", i)
		}
		l.op("VMULPS {3}, {4}, {4}")
		l.op("VFMADD213PS {0}, {0}, {4}") // z + z·z²P
		l.op("VMOVUPS nearZero<>(SB), {5}")
		if f.reg == "Z" {
			l.op("VCMPPS $1, {5}, {1}, K2")
			l.op("VBLENDMPS {4}, {2}, K2, {2}")
		} else {
			l.op("VCMPPS $1, {5}, {1}, {5}")
			l.op("VBLENDVPS {5}, {4}, {2}, {2}")
		}
		l.op("VMULPS {8}, {2}, {2}")
		l.store(2, 0)
	})
	f.end()

	f.function("softcapBack"+f.name, "d []float32, y []float32, inverse float32", "")
	slices(f, "d", "y")
	f.op("VBROADCASTSS %s, {8}", f.where["inverse"])
	f.op("VMOVUPS one<>(SB), {9}")
	run(f, func(l loop) {
		l.load(0, 0)
		l.load(1, 1)
		l.op("VMULPS {8}, {1}, {1}")
		l.op("VMOVAPS {9}, {2}")
		l.op("VFNMADD231PS {1}, {1}, {2}")
		l.op("VMULPS {2}, {0}, {0}")
		l.store(0, 0)
	})
	f.end()
}
