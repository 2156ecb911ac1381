package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Bytes of one 32-column block of a 16-row panel. A panel block holds what 16 row blocks of the file hold,
// reordered so that the 16 rows' 32-bit words of 4 columns are adjacent, which is what VPDPBUSD multiplies:
//
//	Q4_1: d[16] f16, m[16] f16, then for g < 4 a word of each row: byte b has column 4g+b in its low nibble and
//	      column 16+4g+b in its high one
//	Q4_0: d[16] f16, then the nibbles likewise
//	Q8_0: d[16] f16, then for g < 8 a word of each row: byte b is column 4g+b, an int8
const (
	PanelBlockQ41 = 16 * 20
	PanelBlockQ40 = 16 * 18
	PanelBlockQ80 = 16 * 34
)

// blocks checks that src is whole panel blocks and dst has their 32·16 values each.
func blocks(op string, dst []float32, src []byte, size int) ([]float32, []byte) {
	n := len(src) / size
	if n*size != len(src) || len(dst) < n*512 {
		panic(fmt.Sprintf("kernel.%s: %d values for %d bytes", op, len(dst), len(src)))
	}
	return dst[:n*512], src
}

// ExpandQ41 dequantises panel blocks of Q4_1 to dst[k·16 + row] = d·q + m, rounded once.
func ExpandQ41(dst []float32, src []byte) {
	if len(src) > 0 {
		active.expandQ41(blocks("ExpandQ41", dst, src, PanelBlockQ41))
	}
}

// ExpandQ40 dequantises panel blocks of Q4_0 to dst[k·16 + row] = d·(q−8), exact in f32.
func ExpandQ40(dst []float32, src []byte) {
	if len(src) > 0 {
		active.expandQ40(blocks("ExpandQ40", dst, src, PanelBlockQ40))
	}
}

// ExpandQ80 dequantises panel blocks of Q8_0 to dst[k·16 + row] = d·q, exact in f32.
func ExpandQ80(dst []float32, src []byte) {
	if len(src) > 0 {
		active.expandQ80(blocks("ExpandQ80", dst, src, PanelBlockQ80))
	}
}

// ExpandF16 converts little-endian half floats to dst, element by element; len(src) is a multiple of 32 bytes.
func ExpandF16(dst []float32, src []byte) {
	if len(src) > 0 {
		active.expandF16(dst[:len(src)/2], src)
	}
}

// ExpandBF16 converts little-endian bfloat16 to dst, element by element; len(src) is a multiple of 32 bytes.
func ExpandBF16(dst []float32, src []byte) {
	if len(src) > 0 {
		active.expandB16(dst[:len(src)/2], src)
	}
}

// HalfToFloat converts the bits of an IEEE 754 half, exactly, subnormals, infinities and NaN included.
func HalfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 31
	frac := uint32(h & 0x3ff)
	switch {
	case exp == 31:
		if frac != 0 {
			frac |= 0x200 // a quiet NaN, as the hardware conversion makes it
		}
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	f := float32(frac) * (1.0 / (1 << 24))
	return math.Float32frombits(sign | math.Float32bits(f))
}

// word is the place of column k (or nibble pair k) of a row among the words of a block.
func word(k, row int) int { return k/4*64 + row*4 + k%4 }

func half(src []byte, i int) float32 { return HalfToFloat(binary.LittleEndian.Uint16(src[2*i:])) }

func expandQ41Generic(dst []float32, src []byte) {
	for ; len(src) > 0; src, dst = src[PanelBlockQ41:], dst[512:] {
		q := src[64:PanelBlockQ41]
		for row := range 16 {
			d, m := half(src, row), half(src, 16+row)
			for j := range 16 {
				b := q[word(j, row)]
				dst[j*16+row] = float32(d*float32(b&15)) + m
				dst[(j+16)*16+row] = float32(d*float32(b>>4)) + m
			}
		}
	}
}

func expandQ40Generic(dst []float32, src []byte) {
	for ; len(src) > 0; src, dst = src[PanelBlockQ40:], dst[512:] {
		q := src[32:PanelBlockQ40]
		for row := range 16 {
			d := half(src, row)
			for j := range 16 {
				b := q[word(j, row)]
				dst[j*16+row] = d * float32(int(b&15)-8)
				dst[(j+16)*16+row] = d * float32(int(b>>4)-8)
			}
		}
	}
}

func expandQ80Generic(dst []float32, src []byte) {
	for ; len(src) > 0; src, dst = src[PanelBlockQ80:], dst[512:] {
		q := src[32:PanelBlockQ80]
		for row := range 16 {
			d := half(src, row)
			for k := range 32 {
				dst[k*16+row] = d * float32(int8(q[word(k, row)]))
			}
		}
	}
}

func expandF16Generic(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(src, i)
	}
}

func expandB16Generic(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}
