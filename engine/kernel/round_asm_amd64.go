//go:build !purego

package kernel

import "unsafe"

func narrowBF16AVX2(dst, src []float32) {
	done := 0
	if blocks := len(src) / 16; blocks > 0 {
		narrowRowAVX2(&dst[0], &src[0], blocks)
		done = 16 * blocks
	}
	narrowBF16Generic(dst[done/2:], src[done:])
}

func narrowBF16AVX512(dst, src []float32) {
	done := 0
	if blocks := len(src) / 32; blocks > 0 {
		narrowRowAVX512(&dst[0], &src[0], blocks, 1)
		done = 32 * blocks
	}
	narrowBF16Generic(dst[done/2:], src[done:])
}

func widenBF16AVX2(dst, src []float32)   { widenBlocks(dst, src, expandB16AVX2) }
func widenBF16AVX512(dst, src []float32) { widenBlocks(dst, src, expandB16AVX512) }

// widenBlocks widens whole blocks of 16 values by the kernel that expands stored bfloat16.
func widenBlocks(dst, src []float32, expand func(dst []float32, src []byte)) {
	n := len(dst) &^ 15
	if n > 0 {
		expand(dst[:n], unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), 2*n))
	}
	widenBF16Generic(dst[n:], src[n/2:])
}
