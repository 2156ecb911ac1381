package kernel

// Activations that wait for a backward pass in bfloat16: two values in the 32 bits of a float32, the first in the
// low half, as PackBF16 makes them for one row. Rounding is RoundBF16's; widening is exact. A pass reads 4 bytes and
// writes 2, or the reverse, for each value, so both run at the speed of memory: 32 values a step in three AVX-512
// registers, with VCVTNE2PS2BF16 where the CPU has it; without, 16 values in AVX2's Y0…Y7 by integer arithmetic, which
// has the same bits. One thread, 16,384 values in the second-level cache: 24 values/ns narrowed (AVX2 7, generic 0.6),
// 19 widened (generic 1).

// NarrowBF16 rounds src to pairs in dst, which has ⌈len(src)/2⌉ values; an odd last one is paired with zero.
func NarrowBF16(dst, src []float32) {
	sameLength("NarrowBF16", (len(src)+1)/2, len(dst))
	active.narrowBF16(dst, src)
}

// WidenBF16 undoes NarrowBF16 but for the rounding: dst has as many values as were narrowed.
func WidenBF16(dst, src []float32) {
	sameLength("WidenBF16", (len(dst)+1)/2, len(src))
	active.widenBF16(dst, src)
}

func narrowBF16Generic(dst, src []float32) {
	pairs(dst, 1, src, 0, 1, 1, len(src), 1)
}

func widenBF16Generic(dst, src []float32) {
	for i := range dst {
		dst[i] = pairElement(src[i/2], i%2)
	}
}
