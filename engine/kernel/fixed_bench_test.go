package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkFixed multiplies with one panel of 576 columns in the first-level cache, and says what a block of 32
// columns of its 16 rows takes.
func BenchmarkFixed(b *testing.B) {
	const blocks = 18
	for _, f := range fixedFormats {
		for _, rows := range []int{1, 2, 3, 4, 5, 6, 8} {
			b.Run(fmt.Sprintf("%s/rows=%d", f.name, rows), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				a := activationFormats[f.activations]
				panel := make([]byte, blocks*f.size)
				copy(panel, randomPanel(r, blocks, f.size))
				x, y := make([]int32, rows*blocks*a.words), make([]float32, rows*PanelRows)
				a.run(x, hostileBlocks(r, rows*blocks, false))
				for b.Loop() {
					f.run(y, PanelRows, x, blocks*a.words, panel, rows, false)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blocks, "ns/block")
			})
		}
	}
}

func BenchmarkQuantise(b *testing.B) {
	for _, f := range activationFormats {
		b.Run(f.name, func(b *testing.B) {
			x, words := hostileBlocks(rand.New(rand.NewPCG(1, 1)), 18, false), make([]int32, 18*f.words)
			for b.Loop() {
				f.run(words, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/18, "ns/block")
		})
	}
}
