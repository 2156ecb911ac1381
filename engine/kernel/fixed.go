package kernel

import (
	"fmt"
	"math"
)

// Fixed-point products multiply quantised weights with activations held as integers, a block of 32 columns at a
// time: exactly within the block, and in f32 between blocks. An activation is x ≈ s·q, with s of the block its
// largest magnitude over the greatest |q|, so its error is at most s/2.
//
// Weights of 8 bits meet q of 16, |q| ≤ 32639, as 256·hi + lo in two signed bytes: the work of two 8-bit products
// with the accuracy of 15 bits. Weights of 4 bits meet q of 12, |q| ≤ 1919, in pairs whose work is one and a half
// 8-bit products; see QuantisePairs.
//
// For output row j, blocks ascending, each operation rounded to f32 on its own:
//
//	I = Σ q·w                            exact, |I| < 2²⁸
//	y += f32(I)·(d·s)                    all formats
//	y += m·σ, σ = s·f32(Σ q)             Q4_1, w = d·nibble + m
//
// where w counts from 0 (Q4_1), −8 (Q4_0) or is the int8 (Q8_0). Multiplication and addition are not fused: all
// levels give the same bits.

const (
	// FixedWords is the number of words that QuantiseFixed makes of a block of 32 activations: 8 words of 4 high
	// bytes, 8 of 4 low ones, the bits of s and of σ, then −8·Σq and −128·Σq, which turn sums over unsigned
	// weights into those over signed ones.
	FixedWords = 20
	// FixedRows is the largest number of activation rows that one fixed-point product takes.
	FixedRows = 8

	fixedMax  = 127*256 + 127
	fixedTiny = (127 - 100) << 23 // 2⁻¹⁰⁰: a block of smaller values counts as zeros
	notFinite = 0xff << 23
	highBytes = 0
	lowBytes  = 8
	fixedTail = 16 // the first of the four words after the integers

	// The words after the integers.
	scaleWord  = 0
	sumWord    = 1
	eightWord  = 2
	offsetWord = 3
	tailWords  = 4
)

// A fixedFunc multiplies rows of quantised activations, stride words apart, with one panel.
type fixedFunc func(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool)

// QuantiseFixed converts activations, whole blocks of 32, for products with Q8_0; dst takes FixedWords words a
// block. A block with a NaN or an infinity makes every product NaN.
func QuantiseFixed(dst []int32, x []float32) {
	if len(x)%32 != 0 || len(dst) < len(x)/32*FixedWords {
		panic(fmt.Sprintf("kernel.QuantiseFixed: %d words for %d values", len(dst), len(x)))
	}
	if len(x) > 0 {
		active.quantise(dst, x)
	}
}

// FixedQ41 multiplies rows of activations from QuantisePairs with a panel of Q4_1 of as many columns:
// y[i·ldy + j] (+)= Σ_k x[i][k]·w[j][k] for i < rows ≤ FixedRows, j < 16; row i of x starts at x[i·stride].
func FixedQ41(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	checkFixed("FixedQ41", y, ldy, x, stride, panel, rows, PanelBlockQ41, PairWords)
	active.fixedQ41(y, ldy, x, stride, panel, rows, accumulate)
}

// FixedQ40 is FixedQ41 for a panel of Q4_0.
func FixedQ40(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	checkFixed("FixedQ40", y, ldy, x, stride, panel, rows, PanelBlockQ40, PairWords)
	active.fixedQ40(y, ldy, x, stride, panel, rows, accumulate)
}

// FixedQ80 is FixedQ41 for a panel of Q8_0, and activations from QuantiseFixed.
func FixedQ80(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	checkFixed("FixedQ80", y, ldy, x, stride, panel, rows, PanelBlockQ80, FixedWords)
	active.fixedQ80(y, ldy, x, stride, panel, rows, accumulate)
}

func checkFixed(op string, y []float32, ldy int, x []int32, stride int, panel []byte, rows, size, words int) {
	blocks := len(panel) / size
	if rows < 1 || rows > FixedRows || blocks < 1 || blocks*size != len(panel) || ldy < 0 || stride < 0 ||
		len(y) < (rows-1)*ldy+PanelRows || len(x) < (rows-1)*stride+blocks*words {
		panic(fmt.Sprintf("kernel.%s: y %d by %d, x %d by %d, panel %d, rows %d", op, len(y), ldy, len(x), stride, len(panel), rows))
	}
}

func quantiseGeneric(dst []int32, x []float32) {
	var q [32]int32
	for ; len(x) > 0; dst, x = dst[FixedWords:], x[32:] {
		block := dst[:FixedWords]
		clear(block)
		blockIntegers(&q, block[fixedTail:], x[:32], fixedMax)
		for k, v := range q {
			block[highBytes+k/4] |= (v + 128) >> 8 & 255 << (k % 4 * 8)
			block[lowBytes+k/4] |= v & 255 << (k % 4 * 8)
		}
	}
}

// blockIntegers sets q to the integers of a block, at most greatest in magnitude, and writes its last four words.
func blockIntegers(q *[32]int32, tail []int32, x []float32, greatest float32) {
	clear(q[:])
	clear(tail)
	largest := uint32(0)
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&^(1<<31))
	}
	if largest < fixedTiny {
		return
	}
	if largest >= notFinite {
		tail[scaleWord], tail[sumWord] = nanWord, nanWord
		return
	}
	scale := math.Float32frombits(largest) * (1 / greatest)
	inverse := greatest / math.Float32frombits(largest)
	sum := int32(0)
	for k, v := range x {
		q[k] = int32(math.RoundToEven(float64(v * inverse)))
		sum += q[k]
	}
	tail[scaleWord] = int32(math.Float32bits(scale))
	tail[sumWord] = int32(math.Float32bits(scale * float32(sum)))
	tail[eightWord], tail[offsetWord] = -8*sum, -128*sum
}

// nanWord is the quiet NaN of a block that has no scale.
const nanWord = 0x7fc00000

// unpackFixed sets q to the integers of a block.
func unpackFixed(q *[32]int32, block []int32) {
	for k := range q {
		shift := 24 - k%4*8
		q[k] = block[highBytes+k/4]<<shift>>24<<8 + block[lowBytes+k/4]<<shift>>24
	}
}

// fixedGeneric computes one format's product. Unpacking is called by name, so that the weights stay on the stack.
func fixedGeneric(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool, f storedFormat) {
	var w [32]int32
	var q [FixedRows][32]int32
	for i := 0; i < rows && !accumulate; i++ {
		clear(y[i*ldy : i*ldy+PanelRows])
	}
	size, xWords := f.panelBlock(), PairWords
	if f == q80 {
		xWords = FixedWords
	}
	for ; len(panel) > 0; panel, x = panel[size:], x[xWords:] {
		for i := range rows {
			if f == q80 {
				unpackFixed(&q[i], x[i*stride:])
			} else {
				unpackPairs(&q[i], x[i*stride:])
			}
		}
		for j := range PanelRows {
			var d, m float32
			switch f {
			case q41:
				d, m = unpackQ41(&w, panel, j)
			case q40:
				d = unpackQ40(&w, panel, j)
			case q80:
				d = unpackQ80(&w, panel, j)
			}
			for i := range rows {
				total := int32(0)
				for k, v := range w {
					total += q[i][k] * v
				}
				tail := x[i*stride:][xWords-tailWords : xWords]
				scale, sum := math.Float32frombits(uint32(tail[scaleWord])), math.Float32frombits(uint32(tail[sumWord]))
				y[i*ldy+j] += float32(float32(total) * float32(d*scale))
				if f == q41 {
					y[i*ldy+j] += float32(m * sum)
				}
			}
		}
	}
}

func fixedQ41Generic(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedGeneric(y, ldy, x, stride, panel, rows, accumulate, q41)
}

func fixedQ40Generic(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedGeneric(y, ldy, x, stride, panel, rows, accumulate, q40)
}

func fixedQ80Generic(y []float32, ldy int, x []int32, stride int, panel []byte, rows int, accumulate bool) {
	fixedGeneric(y, ldy, x, stride, panel, rows, accumulate, q80)
}

// The unpackings set w to the integers of a row's weights in the first block of a panel, and return its scales.
func unpackQ41(w *[32]int32, block []byte, row int) (d, m float32) {
	for k := range 16 {
		b := block[64+word(k, row)]
		w[k], w[k+16] = int32(b&15), int32(b>>4)
	}
	return half(block, row), half(block, 16+row)
}

func unpackQ40(w *[32]int32, block []byte, row int) (d float32) {
	for k := range 16 {
		b := block[32+word(k, row)]
		w[k], w[k+16] = int32(b&15)-8, int32(b>>4)-8
	}
	return half(block, row)
}

func unpackQ80(w *[32]int32, block []byte, row int) (d float32) {
	for k := range w {
		w[k] = int32(int8(block[32+word(k, row)]))
	}
	return half(block, row)
}
