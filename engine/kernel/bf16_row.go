package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
)

// PairsInRegisters reports whether the RowPairs functions are fast at the active level. Where they are not, packing
// and a tile do the same sooner.
func PairsInRegisters() bool { return active.pairsInRegisters }

// RowPairsF32 multiplies one activation row in pairs, as PackBF16 makes them with width 1, with panels of f32
// [k][16] that lie stride values apart in src, rounded to bfloat16: y[p·16 + j] (+)= Σ x·panel p. It has the bits
// of PackBF16 and TileBF16, without writing the pairs of the panels to memory. k is 2·len(x).
func RowPairsF32(y, x, src []float32, stride, panels int, accumulate bool) {
	checkRowPairs("RowPairsF32", y, x, len(src), stride, panels, PanelRows)
	if panels > 0 && len(x) > 0 {
		active.rowPairsF32(y, x, src, stride, panels, accumulate)
	}
}

// RowPairsF16 is RowPairsF32 for panels of half floats; stride is in bytes.
func RowPairsF16(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRowPairs("RowPairsF16", y, x, len(src), stride, panels, 2*PanelRows)
	if panels > 0 && len(x) > 0 {
		active.rowPairsF16(y, x, src, stride, panels, accumulate)
	}
}

// RowPairsBF16 is RowPairsF32 for panels of bfloat16; stride is in bytes.
func RowPairsBF16(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRowPairs("RowPairsBF16", y, x, len(src), stride, panels, 2*PanelRows)
	if panels > 0 && len(x) > 0 {
		active.rowPairsB16(y, x, src, stride, panels, accumulate)
	}
}

func checkRowPairs(op string, y, x []float32, src, stride, panels, column int) {
	if panels < 0 || stride < 0 || len(y) < panels*PanelRows || panels > 0 && src < (panels-1)*stride+2*len(x)*column {
		panic(fmt.Sprintf("kernel.%s: %d panels, stride %d with slices of %d, %d, %d", op, panels, stride, len(y), len(x), src))
	}
}

// rowPairsGeneric is the specification; pair(p, k, j) are row j's values in panel p at columns 2k and 2k+1.
func rowPairsGeneric(y, x []float32, panels int, accumulate bool, pair func(p, k, j int) (even, odd float32)) {
	for i := range y[:panels*PanelRows] {
		sum := float32(0)
		if accumulate {
			sum = flush(y[i])
		}
		for k, bits := range x {
			even, odd := pair(i/PanelRows, k, i%PanelRows)
			b := math.Float32bits(bits)
			sum = mulAddBF16(sum, bf16Value(b), bf16Value(uint32(RoundBF16(odd))<<16))
			sum = mulAddBF16(sum, bf16Value(b<<16), bf16Value(uint32(RoundBF16(even))<<16))
		}
		y[i] = sum
	}
}

func rowPairsF32Generic(y, x, src []float32, stride, panels int, accumulate bool) {
	rowPairsGeneric(y, x, panels, accumulate, func(p, k, j int) (even, odd float32) {
		at := p*stride + 2*k*PanelRows + j
		return src[at], src[at+PanelRows]
	})
}

func rowPairsF16Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowPairsGeneric(y, x, panels, accumulate, func(p, k, j int) (even, odd float32) {
		panel, at := src[p*stride:], 2*k*PanelRows+j
		return half(panel, at), half(panel, at+PanelRows)
	})
}

func rowPairsB16Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowPairsGeneric(y, x, panels, accumulate, func(p, k, j int) (even, odd float32) {
		panel, at := src[p*stride:], 2*k*PanelRows+j
		value := func(i int) float32 {
			return math.Float32frombits(uint32(binary.LittleEndian.Uint16(panel[2*i:])) << 16)
		}
		return value(at), value(at + PanelRows)
	})
}
