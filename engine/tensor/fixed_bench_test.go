package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkFixedDecode is BenchmarkDecode at precision Fixed, activations quantised once for q, k and v and for
// gate and up, as a model does.
func BenchmarkFixedDecode(b *testing.B) {
	const hidden, kv, mlp, vocabulary, layers = 576, 192, 1536, 49152, 30
	shapes := [][2]int{{hidden, hidden}, {kv, hidden}, {kv, hidden}, {hidden, hidden}, {mlp, hidden}, {mlp, hidden}, {hidden, mlp}}
	fresh := []bool{true, false, false, true, true, false, true} // products with an input of their own
	r := rand.New(rand.NewPCG(1, 1))
	var weights []*Matrix
	for range layers {
		for _, s := range shapes {
			w, _ := newMatrix(b, r, Q4_1, s[0], s[1])
			weights = append(weights, w)
		}
	}
	head, _ := newMatrix(b, r, Q8_0, vocabulary, hidden)
	for _, M := range []int{1, 2, 4, 8, 16} {
		x, y := randomF32(r, M*mlp), make([]float32, M*vocabulary)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("streams=%d/threads=%d", M, threads), func(b *testing.B) {
				p := NewPool(threads)
				defer p.Close()
				var ws Workspace
				for b.Loop() {
					var a Activations
					mark := ws.Mark()
					for i, w := range weights {
						if fresh[i%len(fresh)] {
							ws.Release(mark)
							a = Quantise(p, &ws, x, M, w.Cols)
						}
						MulTQ(p, &ws, y, a, w, false)
					}
					ws.Release(mark)
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

func BenchmarkQuantise(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var ws Workspace
	x := randomF32(r, 8*576)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		mark := ws.Mark()
		Quantise(nil, &ws, x, 8, 576)
		ws.Release(mark)
	}
}
