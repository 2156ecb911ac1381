package main

import (
	"fmt"
	"math"
)

var pointers = []string{"DI", "SI", "DX", "BX", "R8"}

// vectors writes the element-wise loops and reductions.
func vectors(f *file) {
	maskTable(f)
	constants(f)
	for _, f.isa = range []isa{avx2, avx512} {
		elementwise(f)
		normBackward(f)
		reductions(f)
		exponentials(f)
		adamW(f)
	}
}

// maskTable holds 8 words of ones, then 8 of zeros: AVX2's masks for n elements start at word 8−n.
func maskTable(f *file) {
	fmt.Fprintln(f)
	for i := range 16 {
		word := "0xffffffff"
		if i >= 8 {
			word = "0"
		}
		fmt.Fprintf(f, "DATA masks<>+%d(SB)/4, $%s\n", i*4, word)
	}
	fmt.Fprint(f, "GLOBL masks<>(SB), RODATA|NOPTR, $64\n")
}

func constants(f *file) {
	for _, c := range []struct {
		name  string
		value float64
	}{
		{"expMax", 89}, {"expMin", -105}, // beyond these the result is Inf and 0
		{"log2e", math.Log2E},
		{"ln2High", 0x1.63p-1}, {"ln2Low", math.Ln2 - 0x1.63p-1},
		// Taylor's series of exp: on |r| ≤ ln2/2 the first term left out is below 6e-9.
		{"c7", 1.0 / 5040}, {"c6", 1.0 / 720}, {"c5", 1.0 / 120}, {"c4", 1.0 / 24}, {"c3", 1.0 / 6}, {"c2", 0.5},
		{"one", 1}, {"minusInf", math.Inf(-1)},
		{"geluA", geluA}, {"geluB", geluB}, {"gelu3B", 3 * geluB}, {"minusGeluA", -geluA}, {"minusGeluB", -geluB},
	} {
		constant(f, c.name, fmt.Sprintf("0x%08x", math.Float32bits(float32(c.value))))
	}
	constant(f, "bias", fmt.Sprintf("0x%08x", 127))
}

// gelu(x) = x·sigmoid(x·(geluA + geluB·x²)).
const (
	geluA = 1.5957691216057308
	geluB = geluA * 0.044715
)

// loop is the frame of every element-wise kernel: full vectors, then one partial vector under a mask.
type loop struct {
	*file
	masked bool
}

// load fetches the next elements of slice p; lanes past the end read as zero.
func (l loop) load(p, reg int) {
	switch {
	case !l.masked:
		l.op("VMOVUPS (%s)(AX*1), {%d}", pointers[p], reg)
	case l.reg == "Z":
		l.op("VMOVUPS.Z (%s)(AX*1), K1, {%d}", pointers[p], reg)
	default:
		l.op("VMASKMOVPS (%s)(AX*1), Y15, {%d}", pointers[p], reg)
	}
}

func (l loop) store(reg, p int) {
	switch {
	case !l.masked:
		l.op("VMOVUPS {%d}, (%s)(AX*1)", reg, pointers[p])
	case l.reg == "Z":
		l.op("VMOVUPS {%d}, K1, (%s)(AX*1)", reg, pointers[p])
	default:
		l.op("VMASKMOVPS {%d}, Y15, (%s)(AX*1)", reg, pointers[p])
	}
}

// fill replaces lanes past the end by those of other.
func (l loop) fill(reg, other int) {
	switch {
	case !l.masked:
	case l.reg == "Z":
		l.op("VBLENDMPS {%d}, {%d}, K1, {%d}", reg, other, reg)
	default:
		l.op("VBLENDVPS Y15, {%d}, {%d}, {%d}", reg, other, reg)
	}
}

// slices loads the slices' pointers and the first one's length.
func slices(f *file, names ...string) {
	for i, n := range names {
		f.op("MOVQ %s, %s", f.where[n+"_base"], pointers[i])
	}
	f.op("MOVQ %s, CX", f.where[names[0]+"_len"])
	f.op("XORQ AX, AX")
}

// run emits body for full vectors, then for the rest.
func run(f *file, body func(l loop)) {
	f.op("SUBQ $%d, CX", f.lanes)
	f.op("JLT tail")
	f.mark("loop")
	body(loop{f, false})
	f.op("ADDQ $%d, AX", f.lanes*4)
	f.op("SUBQ $%d, CX", f.lanes)
	f.op("JGE loop")
	f.mark("tail")
	f.op("ADDQ $%d, CX", f.lanes)
	f.op("JE done")
	if f.reg == "Z" {
		f.op("MOVL $1, R9")
		f.op("SHLL CX, R9")
		f.op("DECL R9")
		f.op("KMOVW R9, K1")
	} else {
		f.op("LEAQ masks<>+32(SB), R9")
		f.op("SHLQ $2, CX")
		f.op("SUBQ CX, R9")
		f.op("VMOVUPS (R9), Y15")
	}
	body(loop{f, true})
	f.mark("done")
}

func elementwise(f *file) {
	simple := func(name, params, scalar string, args []string, body func(l loop)) {
		f.function(name+f.name, params, "")
		slices(f, args...)
		if scalar != "" {
			f.op("VBROADCASTSS %s, {8}", f.where[scalar])
		}
		run(f, body)
		f.end()
	}
	simple("axpy", "y []float32, alpha float32, x []float32", "alpha", []string{"y", "x"}, func(l loop) {
		l.load(0, 0)
		l.load(1, 1)
		l.op("VFMADD231PS {1}, {8}, {0}")
		l.store(0, 0)
	})
	simple("scale", "y []float32, alpha float32", "alpha", []string{"y"}, func(l loop) {
		l.load(0, 0)
		l.op("VMULPS {8}, {0}, {0}")
		l.store(0, 0)
	})
	for _, op := range []struct{ name, instruction string }{{"add", "VADDPS"}, {"mul", "VMULPS"}} {
		simple(op.name, "y []float32, x []float32", "", []string{"y", "x"}, func(l loop) {
			l.load(0, 0)
			l.load(1, 1)
			l.op("%s {1}, {0}, {0}", op.instruction)
			l.store(0, 0)
		})
	}
	simple("mulAdd", "y []float32, a []float32, b []float32", "", []string{"y", "a", "b"}, func(l loop) {
		l.load(0, 0)
		l.load(1, 1)
		l.load(2, 2)
		l.op("VFMADD231PS {1}, {2}, {0}")
		l.store(0, 0)
	})
	simple("scaleMul", "y []float32, x []float32, w []float32, s float32", "s", []string{"y", "x", "w"}, func(l loop) {
		l.load(1, 1)
		l.load(2, 2)
		l.op("VMULPS {8}, {1}, {1}")
		l.op("VMULPS {2}, {1}, {1}")
		l.store(1, 0)
	})
}

// normBackward writes dx = dy·s·w − k·x, and the same added to dx.
func normBackward(f *file) {
	for _, name := range []string{"normBack", "normAdd"} {
		f.function(name+f.name, "dx []float32, dy []float32, x []float32, w []float32, s float32, k float32", "")
		slices(f, "dx", "dy", "x", "w")
		f.op("VBROADCASTSS %s, {8}", f.where["s"])
		f.op("VBROADCASTSS %s, {9}", f.where["k"])
		run(f, func(l loop) {
			l.load(1, 1)
			l.load(2, 2)
			l.load(3, 3)
			l.op("VMULPS {8}, {1}, {1}")
			l.op("VMULPS {3}, {1}, {1}")
			l.op("VFNMADD231PS {2}, {9}, {1}")
			if name == "normAdd" {
				l.load(0, 0)
				l.op("VADDPS {0}, {1}, {1}")
			}
			l.store(1, 0)
		})
		f.end()
	}
}

// fold reduces register 0 to one float in X0 by op, pairing lanes half a vector apart.
func fold(f *file, op string) {
	if f.reg == "Z" {
		f.op("VEXTRACTF64X4 $1, Z0, Y1")
		f.op("%s Y1, Y0, Y0", op)
	}
	f.op("VEXTRACTF128 $1, Y0, X1")
	f.op("%s X1, X0, X0", op)
	f.op("VPERMILPS $0x4e, X0, X1")
	f.op("%s X1, X0, X0", op)
	f.op("VPERMILPS $0xb1, X0, X1")
	f.op("%s X1, X0, X0", op)
	f.op("VMOVSS X0, %s", f.where["ret"])
}

func zero(f *file, reg int) { f.op("VXORPS {%d}, {%d}, {%d}", reg, reg, reg) }

func reductions(f *file) {
	f.function("dot"+f.name, "a []float32, b []float32", "float32")
	slices(f, "a", "b")
	four(f, func(i int) {
		f.op("VMOVUPS %d(DI)(AX*1), {4}", i*f.lanes*4)
		f.op("VFMADD231PS %d(SI)(AX*1), {4}, {%d}", i*f.lanes*4, i)
	})
	run(f, func(l loop) {
		l.load(0, 4)
		l.load(1, 5)
		l.op("VFMADD231PS {5}, {4}, {0}")
	})
	join(f, "VADDPS")

	f.function("dotMul"+f.name, "a []float32, b []float32, c []float32", "float32")
	slices(f, "a", "b", "c")
	four(f, func(i int) {
		f.op("VMOVUPS %d(DI)(AX*1), {4}", i*f.lanes*4)
		f.op("VMULPS %d(SI)(AX*1), {4}, {4}", i*f.lanes*4)
		f.op("VFMADD231PS %d(DX)(AX*1), {4}, {%d}", i*f.lanes*4, i)
	})
	run(f, func(l loop) {
		l.load(0, 4)
		l.load(1, 5)
		l.load(2, 6)
		l.op("VMULPS {5}, {4}, {4}")
		l.op("VFMADD231PS {6}, {4}, {0}")
	})
	join(f, "VADDPS")

	f.function("sum"+f.name, "x []float32", "float32")
	slices(f, "x")
	four(f, func(i int) { f.op("VADDPS %d(DI)(AX*1), {%d}, {%d}", i*f.lanes*4, i, i) })
	run(f, func(l loop) {
		l.load(0, 4)
		l.op("VADDPS {4}, {0}, {0}")
	})
	join(f, "VADDPS")

	f.function("max"+f.name, "x []float32", "float32")
	slices(f, "x")
	f.op("VMOVUPS minusInf<>(SB), {0}")
	f.op("VMOVAPS {0}, {5}")
	run(f, func(l loop) {
		l.load(0, 4)
		l.fill(4, 5)
		l.op("VMAXPS {0}, {4}, {0}") // keeps the maximum beside a NaN
	})
	fold(f, "VMAXPS")
	f.end()
}

// four is the first loop of a reduction, over four vectors in accumulators of their own.
func four(f *file, body func(i int)) {
	for i := range 4 {
		zero(f, i)
	}
	f.op("SUBQ $%d, CX", 4*f.lanes)
	f.op("JLT one")
	f.mark("four")
	for i := range 4 {
		body(i)
	}
	f.op("ADDQ $%d, AX", 16*f.lanes)
	f.op("SUBQ $%d, CX", 4*f.lanes)
	f.op("JGE four")
	f.mark("one")
	f.op("ADDQ $%d, CX", 4*f.lanes)
}

// join adds the four accumulators and ends the function.
func join(f *file, op string) {
	f.op("%s {1}, {0}, {0}", op)
	f.op("%s {3}, {2}, {2}", op)
	f.op("%s {2}, {0}, {0}", op)
	fold(f, op)
	f.end()
}

// exp replaces x by exp(x) with temporaries t and u: x = n·ln2 + r, and 2ⁿ times the series at r. NaN stays
// NaN because MINPS and MAXPS return their second source, here x, when a comparison fails.
func exp(f *file, x, t, u int) {
	f.op("VMOVUPS expMax<>(SB), {%d}", t)
	f.op("VMINPS {%d}, {%d}, {%d}", x, t, x)
	f.op("VMOVUPS expMin<>(SB), {%d}", t)
	f.op("VMAXPS {%d}, {%d}, {%d}", x, t, x)
	f.op("VMULPS log2e<>(SB), {%d}, {%d}", x, t)
	if f.reg == "Z" {
		f.op("VRNDSCALEPS $8, {%d}, {%d}", t, t)
	} else {
		f.op("VROUNDPS $8, {%d}, {%d}", t, t)
	}
	f.op("VFNMADD231PS ln2High<>(SB), {%d}, {%d}", t, x)
	f.op("VFNMADD231PS ln2Low<>(SB), {%d}, {%d}", t, x)
	f.op("VMOVUPS c7<>(SB), {%d}", u)
	for _, c := range []string{"c6", "c5", "c4", "c3", "c2", "one", "one"} {
		f.op("VFMADD213PS %s<>(SB), {%d}, {%d}", c, x, u)
	}
	if f.reg == "Z" {
		f.op("VSCALEFPS {%d}, {%d}, {%d}", t, u, x)
		return
	}
	// 2ⁿ in two factors, so that n = 128 gives Inf and n < −126 rounds into the subnormals.
	f.op("VCVTPS2DQ {%d}, {%d}", t, t)
	f.op("VPSRAD $1, {%d}, {%d}", t, x)
	f.op("VPSUBD {%d}, {%d}, {%d}", x, t, t)
	for _, half := range []int{x, t} {
		f.op("VPADDD bias<>(SB), {%d}, {%d}", half, half)
		f.op("VPSLLD $23, {%d}, {%d}", half, half)
	}
	f.op("VMULPS {%d}, {%d}, {%d}", x, u, u)
	f.op("VMULPS {%d}, {%d}, {%d}", t, u, x)
}

func exponentials(f *file) {
	for _, write := range []bool{true, false} {
		if write {
			f.function("expShift"+f.name, "y []float32, x []float32, shift float32", "float32")
			slices(f, "y", "x")
		} else {
			f.function("sumExp"+f.name, "x []float32, shift float32", "float32")
			slices(f, "x")
		}
		f.op("VBROADCASTSS %s, {8}", f.where["shift"])
		zero(f, 0)
		zero(f, 5)
		run(f, func(l loop) {
			if write {
				l.load(1, 4)
			} else {
				l.load(0, 4)
			}
			l.op("VSUBPS {8}, {4}, {4}")
			exp(f, 4, 6, 7)
			if write {
				l.store(4, 0)
			}
			l.fill(4, 5)
			l.op("VADDPS {4}, {0}, {0}")
		})
		fold(f, "VADDPS")
		f.end()
	}
	gated(f, "silu", func(l loop) { // {1} = −g
		zero(l.file, 1)
		l.op("VSUBPS {0}, {1}, {1}")
	}, func(l loop) { l.op("VMOVAPS {0}, {7}") })
	gated(f, "gelu", func(l loop) { // {1} = −g·(A + B·g²)
		l.op("VMULPS {0}, {0}, {1}")
		l.op("VMOVUPS minusGeluB<>(SB), {2}")
		l.op("VFMADD213PS minusGeluA<>(SB), {2}, {1}")
		l.op("VMULPS {0}, {1}, {1}")
	}, func(l loop) { // {7} = g·(A + 3B·g²), the derivative of −{1} times g
		l.op("VMULPS {0}, {0}, {7}")
		l.op("VMOVUPS gelu3B<>(SB), {4}")
		l.op("VFMADD213PS geluA<>(SB), {4}, {7}")
		l.op("VMULPS {0}, {7}, {7}")
	})
}

// gated writes y = g·sigmoid(z)·up and its gradients, given −z in {1} and g·dz/dg in {7} from g in {0}.
func gated(f *file, name string, minusZ, slope func(l loop)) {
	sigmoid := func(l loop) { // {1} = sigmoid(z)
		l.load(1, 0)
		minusZ(l)
		exp(l.file, 1, 2, 3)
		l.op("VMOVUPS one<>(SB), {2}")
		l.op("VADDPS {2}, {1}, {1}")
		l.op("VDIVPS {1}, {2}, {1}")
	}
	f.function(name+"Mul"+f.name, "y []float32, gate []float32, up []float32", "")
	slices(f, "y", "gate", "up")
	run(f, func(l loop) {
		sigmoid(l)
		l.op("VMULPS {1}, {0}, {0}")
		l.load(2, 1)
		l.op("VMULPS {1}, {0}, {0}")
		l.store(0, 0)
	})
	f.end()

	// Slices in the order of pointers: dgate, gate, up, dy, dup.
	f.function(name+"Back"+f.name, "dgate []float32, dup []float32, gate []float32, up []float32, dy []float32", "")
	slices(f, "dgate", "gate", "up", "dy", "dup")
	run(f, func(l loop) {
		sigmoid(l)
		slope(l)
		l.load(2, 5)
		l.load(3, 6)
		l.op("VMULPS {1}, {0}, {0}")
		l.op("VMULPS {6}, {0}, {0}") // dy·g·s
		l.op("VSUBPS {1}, {2}, {3}") // 1−s
		l.op("VFMADD213PS {2}, {7}, {3}")
		l.op("VMULPS {1}, {3}, {3}") // s·(1 + slope·(1−s))
		l.op("VMULPS {6}, {5}, {5}")
		l.op("VMULPS {5}, {3}, {3}")
		l.store(0, 4)
		l.store(3, 0)
	})
	f.end()
}

// adamW reads the fields of adamConstants in order into registers 6…14.
func adamW(f *file) {
	f.function("adamW"+f.name, "w []float32, g []float32, m []float32, v []float32, c *adamConstants", "")
	f.op("MOVQ %s, R9", f.where["c"])
	for i := range 9 {
		f.op("VBROADCASTSS %d(R9), {%d}", i*4, 6+i)
	}
	slices(f, "w", "g", "m", "v")
	run(f, func(l loop) {
		l.load(1, 1)
		l.op("VMULPS {6}, {1}, {1}") // g·gscale
		l.load(2, 2)
		l.op("VMULPS {8}, {2}, {2}")
		l.op("VFMADD231PS {9}, {1}, {2}") // m
		l.store(2, 2)
		l.op("VMULPS {1}, {1}, {1}")
		l.load(3, 3)
		l.op("VMULPS {10}, {3}, {3}")
		l.op("VFMADD231PS {11}, {1}, {3}") // v
		l.store(3, 3)
		l.op("VSQRTPS {3}, {3}")
		l.op("VFMADD213PS {13}, {12}, {3}") // √v/√bc2 + eps
		l.op("VDIVPS {3}, {2}, {2}")
		l.load(0, 0)
		l.op("VMULPS {7}, {0}, {0}")
		l.op("VFNMADD231PS {14}, {2}, {0}")
		l.store(0, 0)
	})
	f.end()
}
