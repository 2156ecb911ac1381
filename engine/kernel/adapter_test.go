package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomPairs fills s with pairs of bfloat16; sometimes any, where wild is set.
func randomPairs(r *rand.Rand, s []float32, wild bool) {
	value := func() uint32 {
		if wild && r.IntN(8) == 0 {
			return uint32(RoundBF16(anyFloat(r)))
		}
		return uint32(RoundBF16(float32(r.NormFloat64())))
	}
	for i := range s {
		s[i] = math.Float32frombits(value() | value()<<16)
	}
}

// Every level has the generic form's bits, and those are the sums by float64.
func TestRankDots(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for rows := 0; rows <= RankRows; rows += RankStep {
			for _, lines := range []int{0, 1, 2, 3, 4, 5, 18, 48, 130} {
				for _, wild := range []bool{false, true} {
					checkRankDots(t, r, rows, lines, wild)
				}
			}
		}
	})
}

func checkRankDots(t *testing.T, r *rand.Rand, rows, lines int, wild bool) {
	t.Helper()
	name := fmt.Sprintf("%d rows, %d lines, wild %v", rows, lines, wild)
	stride := rows*linePairs + 5*lines%3*linePairs
	u, check := guarded(t, r, rows, rows%3)
	x, a := make([]float32, lines*linePairs+1)[1:], make([]float32, lines*stride+3)[3:]
	randomPairs(r, x, wild)
	randomPairs(r, a, wild)
	RankDots(u, x, a, rows, stride)
	want := make([]float32, rows)
	if lines > 0 {
		rankDotsGeneric(want, x, a, rows, stride)
	}
	sameBits(t, name, u, want)
	check()
	for j := 0; j < rows && !wild; j++ {
		sum, size := 0.0, 0.0
		for i, pair := range x {
			x, w := math.Float32bits(pair), math.Float32bits(a[i/linePairs*stride+j*linePairs+i%linePairs])
			even, odd := float64(bf16Value(x<<16))*float64(bf16Value(w<<16)), float64(bf16Value(x))*float64(bf16Value(w))
			sum, size = sum+even+odd, size+math.Abs(even)+math.Abs(odd)
		}
		near(t, name, u[j], sum, 0, size*float64(2*lines+4)*0x1p-24)
	}
}

// rankDots is the contract of that name. Shapes: lines, rows, pairs between the lines of a row.
var rankDots = &contract{field: "rankDots", shapes: upTo(1, 20, 6, []int{4, 8, 12, 16}, span(0, 3)),
	slots: func(s []int) []slot {
		pairs := func(n int) slot { return slot{n: n, fill: fillPairs, plant: plantWord(&specialPairs)} }
		return []slot{out(s[1]), pairs(s[0] * linePairs), pairs((s[0]-1)*(s[1]*linePairs+s[2]) + s[1]*linePairs)}
	},
	run: func(s []int, o operands) { active.rankDots(o.f(0), o.f(1), o.f(2), s[1], s[1]*linePairs+s[2]) },
}

func TestPrefetch(*testing.T) {
	for n := range 40 {
		Prefetch(make([]float32, n))
	}
}

func BenchmarkRankDots(b *testing.B) {
	for _, c := range []struct{ rows, lines int }{{16, 18}, {16, 48}, {8, 18}, {4, 18}} {
		b.Run(fmt.Sprintf("%dx%d", c.rows, c.lines*LineColumns), func(b *testing.B) {
			u, x, a := make([]float32, c.rows), make([]float32, c.lines*linePairs), make([]float32, c.lines*c.rows*linePairs)
			b.SetBytes(int64(4 * len(a)))
			for range b.N {
				RankDots(u, x, a, c.rows, c.rows*linePairs)
			}
		})
	}
}
