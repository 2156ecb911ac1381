package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The figures of ../kernel/README.md come from these:
//
//	go test ./engine/tensor -run '^$' -bench . -benchtime 1s
func BenchmarkProduct(b *testing.B) {
	for _, c := range []struct {
		d        DType
		M        int
		backward bool
	}{
		{F32, 2048, false}, {F32, 2048, true}, {Q4_1, 2048, false}, {Q4_1, 512, false}, {Q4_1, 512, true},
		{Q4_1, 16, false}, {Q4_1, 16, true}, {Q4_1, 8, false}, {Q4_1, 4, false}, {Q4_1, 1, false}, {Q4_1, 1, true},
		{Q8_0, 1, false}, {F32, 1, false},
	} {
		for _, threads := range []int{1, 2} {
			direction := "forward"
			if c.backward {
				direction = "backward"
			}
			b.Run(fmt.Sprintf("%s/%s/M=%d/threads=%d", c.d, direction, c.M, threads), func(b *testing.B) {
				benchmarkProduct(b, c.d, c.M, 576, 1536, threads, c.backward)
			})
		}
	}
}

func benchmarkProduct(b *testing.B, d DType, M, K, N, threads int, backward bool) {
	r := rand.New(rand.NewPCG(1, 1))
	p := NewPool(threads)
	defer p.Close()
	var ws Workspace
	w, _ := newMatrix(b, r, d, N, K)
	x, y := randomF32(r, M*K), randomF32(r, M*N)
	for b.Loop() {
		if backward {
			Mul(p, &ws, x, y, M, w, false)
		} else {
			MulT(p, &ws, y, x, M, w, false)
		}
	}
	b.ReportMetric(2*float64(M)*float64(K)*float64(N)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// BenchmarkDecode runs the products of one token of SmolLM2-135M: 30 layers of Q4_1 and the Q8_0 head.
func BenchmarkDecode(b *testing.B) {
	const hidden, kv, mlp, vocabulary, layers = 576, 192, 1536, 49152, 30
	r := rand.New(rand.NewPCG(1, 1))
	var weights []*Matrix
	for range layers {
		for _, s := range [][2]int{{hidden, hidden}, {kv, hidden}, {kv, hidden}, {hidden, hidden}, {mlp, hidden}, {mlp, hidden}, {hidden, mlp}} {
			w, _ := newMatrix(b, r, Q4_1, s[0], s[1])
			weights = append(weights, w)
		}
	}
	head, _ := newMatrix(b, r, Q8_0, vocabulary, hidden)
	weights = append(weights, head)
	for _, M := range []int{1, 8} {
		x, y := randomF32(r, M*mlp), make([]float32, M*vocabulary)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("streams=%d/threads=%d", M, threads), func(b *testing.B) {
				p := NewPool(threads)
				defer p.Close()
				var ws Workspace
				for b.Loop() {
					for _, w := range weights {
						MulT(p, &ws, y, x, M, w, false)
					}
				}
				b.ReportMetric(float64(M)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

// BenchmarkNewMatrix measures repacking at load.
func BenchmarkNewMatrix(b *testing.B) {
	for _, d := range []DType{F32, BF16, Q8_0, Q4_1} {
		b.Run(d.String(), func(b *testing.B) {
			const rows, cols = 1536, 576
			data, _ := randomWeight(rand.New(rand.NewPCG(1, 1)), d, rows, cols)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := NewMatrix(d, rows, cols, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
