package weights

import (
	"encoding/binary"
	"fmt"
	"math"

	"hone/engine/tensor"
)

// AsF32 converts a whole tensor to float32, row-major as stored. Quantised blocks give exactly what their
// format defines, each product and sum rounded once to float32. It panics if Data does not hold what DType and
// Shape say, which the readers of this package guarantee.
func AsF32(t Tensor) []float32 {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	block, bytes := t.DType.BlockSize(), t.DType.BlockBytes()
	if n%block != 0 || len(t.Data) != n/block*bytes {
		panic(fmt.Sprintf("weights: tensor %q %v %v has %d bytes", t.Name, t.DType, t.Shape, len(t.Data)))
	}
	out := make([]float32, n)
	src := t.Data
	switch t.DType {
	case tensor.F32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case tensor.F16:
		for i := range out {
			out[i] = f16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case tensor.BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case tensor.I32:
		for i := range out {
			out[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case tensor.I64:
		for i := range out {
			out[i] = float32(int64(binary.LittleEndian.Uint64(src[8*i:])))
		}
	default:
		for b := range n / block {
			dequantise(t.DType, out[b*block:(b+1)*block], src[b*bytes:(b+1)*bytes])
		}
	}
	return out
}

// dequantise expands one block of 32 elements. In the 4-bit types byte i holds element i in its low half and
// element i+16 in its high half.
func dequantise(d tensor.DType, out []float32, src []byte) {
	scale := f16(binary.LittleEndian.Uint16(src))
	switch d {
	case tensor.Q8_0:
		for i, q := range src[2:34] {
			out[i] = scale * float32(int8(q))
		}
	case tensor.Q4_0:
		for i, q := range src[2:18] {
			out[i] = scale * float32(int(q&15)-8)
			out[i+16] = scale * float32(int(q>>4)-8)
		}
	case tensor.Q4_1:
		low := f16(binary.LittleEndian.Uint16(src[2:]))
		for i, q := range src[4:20] {
			// The conversion keeps the compiler from fusing the product into the sum on machines with FMA.
			out[i] = float32(scale*float32(q&15)) + low
			out[i+16] = float32(scale*float32(q>>4)) + low
		}
	default:
		panic(fmt.Sprintf("weights: no conversion from %v", d))
	}
}

// f16 converts an IEEE 754 half, subnormals, infinities and NaN included.
func f16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10)&31, uint32(h&0x3ff)
	switch exp {
	case 0:
		f := float32(frac) * (1.0 / (1 << 24)) // exact: a small integer times a power of two
		return math.Float32frombits(sign | math.Float32bits(f))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
