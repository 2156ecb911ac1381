package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkFixedDecode is BenchmarkDecode at precision Fixed: q, k and v in one pass, and so gate and up.
func BenchmarkFixedDecode(b *testing.B) {
	const hidden, kv, mlp, vocabulary, layers = 576, 192, 1536, 49152, 30
	r := rand.New(rand.NewPCG(1, 1))
	weight := func(d DType, rows, cols int) *Matrix {
		w, _ := newMatrix(b, r, d, rows, cols)
		return w
	}
	type layer struct{ q, k, v, o, gate, up, down *Matrix }
	var model []layer
	for range layers {
		model = append(model, layer{
			weight(Q4_1, hidden, hidden), weight(Q4_1, kv, hidden), weight(Q4_1, kv, hidden), weight(Q4_1, hidden, hidden),
			weight(Q4_1, mlp, hidden), weight(Q4_1, mlp, hidden), weight(Q4_1, hidden, mlp),
		})
	}
	head := weight(Q8_0, vocabulary, hidden)
	for _, M := range []int{1, 2, 4, 8, 16} {
		x, y, y2, y3 := randomF32(r, M*mlp), make([]float32, M*vocabulary), make([]float32, M*mlp), make([]float32, M*mlp)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("streams=%d/threads=%d", M, threads), func(b *testing.B) {
				p := NewPool(threads)
				defer p.Close()
				var ws Workspace
				for b.Loop() {
					for _, l := range model {
						multiplyEach(p, &ws, x, M, hidden, false, Product{Y: y, W: l.q}, Product{Y: y2, W: l.k}, Product{Y: y3, W: l.v})
						MulTAt(Fixed, p, &ws, y, x, M, l.o, false)
						multiplyEach(p, &ws, x, M, hidden, false, Product{Y: y2, W: l.gate}, Product{Y: y3, W: l.up})
						MulTAt(Fixed, p, &ws, y, x, M, l.down, false)
					}
					MulTAt(Fixed, p, &ws, y, x, M, head, false)
				}
				b.ReportMetric(float64(M)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

func BenchmarkFixedProduct(b *testing.B) {
	for _, d := range fixedTypes {
		for _, M := range []int{1, 8, 512, 2048} {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/M=%d/threads=%d", d, M, threads), func(b *testing.B) {
					const K, N = 576, 1536
					r := rand.New(rand.NewPCG(1, 1))
					p := NewPool(threads)
					defer p.Close()
					var ws Workspace
					w, _ := newMatrix(b, r, d, N, K)
					x, y := randomF32(r, M*K), make([]float32, M*N)
					for b.Loop() {
						MulTAt(Fixed, p, &ws, y, x, M, w, false)
					}
					b.ReportMetric(2*float64(M)*K*N*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
				})
			}
		}
	}
}
