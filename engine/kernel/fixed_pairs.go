package kernel

import "fmt"

// A byte of 4-bit weights is raw = low + 16·high, low the weight of a block's column k < 16 and high that of column
// k+16. Activations for such weights are integers X, |X| ≤ 1919, written in pairs of the same columns as
//
//	X[k] = 16·a + g,  X[k+16] = 16·g + b
//
// with a, b and g signed bytes, so that X[k]·low + X[k+16]·high = 16·a·low + b·high + g·raw: three products of bytes,
// of which the last takes the weights as they are stored, where two numbers of 16 bits need four. g is the one integer
// of the 16 up to m = ⌊(X[k+16]+128)/16⌋ that equals X[k] modulo 16. Then b is within −128…127, g within ±127, and a,
// (X[k]−g)/16, too: 1919 is the largest bound for which that holds.

const (
	// PairWords is the number of words that QuantisePairs makes of a block of 32 activations: 4 words each of the
	// bytes a, b and g of pairs 0…15, then the four that QuantiseFixed ends with.
	PairWords = 16

	pairsMax  = 1919
	pairsA    = 0
	pairsB    = 4
	pairsG    = 8
	pairsTail = 12
)

// QuantisePairs converts activations, whole blocks of 32, for products with Q4_1 and Q4_0; dst takes PairWords words
// a block. A block with a NaN or an infinity makes every product NaN.
func QuantisePairs(dst []int32, x []float32) {
	if len(x)%32 != 0 || len(dst) < len(x)/32*PairWords {
		panic(fmt.Sprintf("kernel.QuantisePairs: %d words for %d values", len(dst), len(x)))
	}
	if len(x) > 0 {
		active.quantisePairs(dst, x)
	}
}

func quantisePairsGeneric(dst []int32, x []float32) {
	var q [32]int32
	for ; len(x) > 0; dst, x = dst[PairWords:], x[32:] {
		block := dst[:PairWords]
		clear(block)
		blockIntegers(&q, block[pairsTail:], x[:32], pairsMax)
		for k := range 16 {
			a, b, g := splitPair(q[k], q[k+16])
			block[pairsA+k/4] |= a & 255 << (k % 4 * 8)
			block[pairsB+k/4] |= b & 255 << (k % 4 * 8)
			block[pairsG+k/4] |= g & 255 << (k % 4 * 8)
		}
	}
}

// splitPair returns the bytes of two integers of magnitude at most pairsMax: x = 16·a + g, y = 16·g + b.
func splitPair(x, y int32) (a, b, g int32) {
	m := (y + 128) >> 4
	g = m - (m-x)&15
	return (x - g) >> 4, y - g<<4, g
}

// unpackPairs sets q to the integers of a block.
func unpackPairs(q *[32]int32, block []int32) {
	for k := range 16 {
		shift := 24 - k%4*8
		a, b, g := block[pairsA+k/4]<<shift>>24, block[pairsB+k/4]<<shift>>24, block[pairsG+k/4]<<shift>>24
		q[k], q[k+16] = a<<4+g, g<<4+b
	}
}
