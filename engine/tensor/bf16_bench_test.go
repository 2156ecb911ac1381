package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// best runs f under b and reports the rate of its fastest run: on a machine that other work shares, the figure
// that says most about f.
func best(b *testing.B, flop float64, f func()) {
	b.Helper()
	f()
	least := time.Duration(1 << 62)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(flop/least.Seconds()/1e9, "best-GFLOP/s")
}

// BenchmarkPrecision has both precisions side by side:
//
//	go test ./engine/tensor -run '^$' -bench Precision -benchtime 0.3s
func BenchmarkPrecision(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const K, N = 576, 1536
	x, y := randomF32(r, 2048*K), randomF32(r, 2048*N)
	for _, d := range []DType{F32, Q4_1} {
		w, _ := newMatrix(b, r, d, N, K)
		for _, M := range []int{2048, 512, 64, 16, 8, 1} {
			for _, backward := range []bool{false, true} {
				name := fmt.Sprintf("%s/M=%d/%s", d, M, map[bool]string{false: "forward", true: "backward"}[backward])
				eachPrecision(b, name, func(b *testing.B, prec Precision, p *Pool, ws *Workspace) {
					best(b, 2*float64(M)*K*N, func() {
						if backward {
							MulAt(prec, p, ws, x, y, M, w, false)
						} else {
							MulTAt(prec, p, ws, y, x, M, w, false)
						}
					})
				})
			}
		}
	}
}

// BenchmarkLoRA has the products of a rank-16 adapter of a 576×1536 layer, over T tokens.
func BenchmarkLoRA(b *testing.B) {
	const rank, in, out = 16, 576, 1536
	for _, T := range []int{2048, 256, 8} {
		r := rand.New(rand.NewPCG(1, 1))
		x, h, y := randomF32(r, T*in), randomF32(r, T*rank), randomF32(r, T*out)
		A, B := randomF32(r, rank*in), randomF32(r, out*rank)
		flopA, flopB := 2*float64(T)*rank*in, 2*float64(T)*rank*out
		for _, c := range []struct {
			name string
			flop float64
			f    func(prec Precision, p *Pool, ws *Workspace)
		}{
			{"h=xA'", flopA, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, T, rank, in, 1, x, in, 1, A, 1, in, 0, h, rank)
			}},
			{"y+=hB'", flopB, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, T, out, rank, 1e-3, h, rank, 1, B, 1, rank, 1, y, out)
			}},
			{"dh=dyB", flopB, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, T, rank, out, 1e-3, y, out, 1, B, rank, 1, 0, h, rank)
			}},
			{"dx+=dhA", flopA, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, T, in, rank, 1e-3, h, rank, 1, A, in, 1, 1, x, in)
			}},
			{"dA+=dh'x", flopA, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, rank, in, T, 1e-3, h, 1, rank, x, in, 1, 0.5, A, in)
			}},
			{"dB+=dy'h", flopB, func(prec Precision, p *Pool, ws *Workspace) {
				GemmAt(prec, p, ws, out, rank, T, 1e-3, y, 1, out, h, rank, 1, 0.5, B, rank)
			}},
		} {
			eachPrecision(b, fmt.Sprintf("T=%d/%s", T, c.name), func(b *testing.B, prec Precision, p *Pool, ws *Workspace) {
				best(b, c.flop, func() { c.f(prec, p, ws) })
			})
		}
	}
}

func eachPrecision(b *testing.B, name string, f func(b *testing.B, prec Precision, p *Pool, ws *Workspace)) {
	for _, threads := range []int{1, 2} {
		for _, prec := range []Precision{Single, Half} {
			b.Run(fmt.Sprintf("%s/threads=%d/%s", name, threads, prec), func(b *testing.B) {
				p := NewPool(threads)
				defer p.Close()
				var ws Workspace
				f(b, prec, p, &ws)
			})
		}
	}
}
