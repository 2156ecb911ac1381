package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A cache of keys and values in half floats: the product that reads them and the conversion that writes them. A
// cache keeps its keys and values as panels (see Tile), so that one query's products, for all heads of a group at
// once, load each of them once. Halves become f32 in registers, which is exact, and are multiplied and summed in
// f32, in the order of Tile: a cache expanded by ExpandF16 gives the same bits.
//
// TileF16 keeps rows × panels accumulators as Tile does, AVX2 one panel at a time, and asks for a later block while it
// works on one: a cache is read once a step, in pieces that lie apart. Eight streams of SmolLM2 at 2,048 positions take
// 35 ms a step with it, 41 without, and took 88 when each head read an f32 cache by itself (Zen 4, two threads).

// TileF16 is Tile with the right operand in little-endian half floats; bStride counts values. next, where it is not
// empty, is what a later call will read as this one reads b: memory is asked for it on the way.
func TileF16(c []float32, ldc int, a []float32, b, next []byte, bStride, mr, panels, k int, accumulate bool) {
	if mr < 1 || mr > active.tileRows || panels < 1 || panels > TilePanels || k < 0 ||
		len(c) < (mr-1)*ldc+panels*PanelRows || len(a) < k*mr || len(b) < 2*((panels-1)*bStride+k*PanelRows) {
		panic(fmt.Sprintf("kernel.TileF16: mr %d, panels %d, k %d, ldc %d, stride %d with slices of %d, %d, %d",
			mr, panels, k, ldc, bStride, len(c), len(a), len(b)))
	}
	if k == 0 {
		Tile(c, ldc, a, nil, 0, mr, panels, 0, accumulate)
		return
	}
	active.tileF16(c, ldc, a, b, next, bStride, mr, panels, k, accumulate)
}

// NarrowF16 converts to little-endian half floats, to nearest even. What lies beyond ±65504, the largest of them,
// becomes that; NaN stays NaN.
func NarrowF16(dst []byte, src []float32) {
	dst = dst[:2*len(src)]
	if len(src) > 0 {
		active.narrowF16(dst, src)
	}
}

func tileF16Generic(c []float32, ldc int, a []float32, b, _ []byte, bStride, mr, panels, k int, accumulate bool) {
	for p := range panels {
		for i := range mr {
			ci := c[i*ldc+p*PanelRows:][:PanelRows]
			if !accumulate {
				clear(ci)
			}
			for kk := range k {
				x := a[kk*mr+i]
				row := b[2*(p*bStride+kk*PanelRows):]
				for j := range ci {
					ci[j] += float32(x * half(row, j))
				}
			}
		}
	}
}

func narrowF16Generic(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], FloatToHalf(v))
	}
}

// FloatToHalf is NarrowF16 for one value, and gives its bits.
func FloatToHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000) //nolint:gosec // one bit
	magnitude := math.Float32frombits(b & 0x7fffffff)
	switch {
	case x != x:
		return sign | 0x7e00 | uint16(b>>13&0x1ff) //nolint:gosec // nine bits
	case magnitude >= 65504:
		return sign | 0x7bff
	case magnitude < 0x1p-14: // subnormal: in units of 2⁻²⁴, which adding 2⁻¹ rounds to
		return sign | uint16(math.Float32bits(magnitude+0.5)&0x7ff) //nolint:gosec // eleven bits
	}
	b &= 0x7fffffff
	b += 0xfff + b>>13&1
	return sign | uint16(b>>13-112<<10) //nolint:gosec // below 65504
}
