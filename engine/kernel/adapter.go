package kernel

import (
	"fmt"
	"math"
)

// The inner products of a low-rank adapter, u = A·x for a few rows of A, in bfloat16 with f32 sums: what decoding
// reads once for each token and stream, so that memory bounds it. A lies in lines of 32 columns of one row, 64 bytes
// as 16 pairs, the lines of up to 16 rows one after the other, and then those of the next 32 columns: one run
// through memory from end to end. The levels with 512-bit registers keep a sum of 16 lanes for each row, and read x
// once for all of them; AVX2 takes four rows at a time. Other products with such a matrix pad it to 16 rows and wait
// for one chain of sums; this waits for none and pads to four.
//
// Each lane adds its pairs in ascending order as TileBF16 does, and the 16 lanes are added in one order that all
// levels share: l and l+8, then neighbours, three times. So the bits depend on the values and the number of columns
// alone, and are the same at every level.

const (
	// RankRows is the largest number of rows of one RankDots.
	RankRows = 16
	// RankStep is the number of rows that RankDots takes at a time.
	RankStep = 4
	// LineColumns is the number of columns of a line.
	LineColumns = 32

	linePairs = LineColumns / 2
)

// RankDots writes u[j] = Σ x·row j for j < rows, a multiple of RankStep and at most RankRows. x is one activation row
// as PackBF16 makes it with width 1, whole lines of it. Line k of row j is a[k·stride+16j:], in pairs.
func RankDots(u, x, a []float32, rows, stride int) {
	lines := len(x) / linePairs
	if rows < 0 || rows > RankRows || rows%RankStep != 0 || stride < 0 || len(x)%linePairs != 0 || len(u) < rows ||
		rows > 0 && lines > 0 && len(a) < (lines-1)*stride+rows*linePairs {
		panic(fmt.Sprintf("kernel.RankDots: %d rows, stride %d with slices of %d, %d, %d", rows, stride, len(u), len(x), len(a)))
	}
	if rows == 0 || lines == 0 {
		clear(u[:rows])
		return
	}
	active.rankDots(u, x, a, rows, stride)
}

// Prefetch asks for the cache lines that a begins in, every 64 bytes, and returns at once. It changes no value.
func Prefetch(a []float32) {
	if len(a) > 0 {
		prefetch(a)
	}
}

func rankDotsGeneric(u, x, a []float32, rows, stride int) {
	for j := range u[:rows] {
		var s [linePairs]float32
		for k := 0; k < len(x)/linePairs; k++ {
			line := a[k*stride+j*linePairs:][:linePairs]
			for l, pair := range x[k*linePairs:][:linePairs] {
				x, w := math.Float32bits(pair), math.Float32bits(line[l])
				s[l] = mulAddBF16(mulAddBF16(s[l], bf16Value(x), bf16Value(w)), bf16Value(x<<16), bf16Value(w<<16))
			}
		}
		for l := range 8 {
			s[l] += s[l+8]
		}
		for n := 8; n > 1; n /= 2 {
			for l := range n / 2 {
				s[l] = s[2*l] + s[2*l+1]
			}
		}
		u[j] = s[0]
	}
}
