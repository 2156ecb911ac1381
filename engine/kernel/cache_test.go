package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Products over a cache have the bits of the operations row by row.
func TestRowsOfACache(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 1))
		for _, n := range []int{0, 1, 7, 8, 16, 31, 32, 40, 48, 63, 64, 80, 96, 100, 128, 192, 256} {
			for _, rows := range []int{0, 1, 2, 3, 50} {
				stride := n + r.IntN(9)
				k, _ := guarded(t, r, max(0, (rows-1)*stride+n), 3)
				q, _ := guarded(t, r, n, 1)
				s, check := guarded(t, r, rows, 7)
				DotRows(s, q, k, stride)
				for j := range s {
					if want := Dot(q, k[j*stride:j*stride+n]); s[j] != want {
						t.Fatalf("DotRows of %d: row %d is %v, want %v", n, j, s[j], want)
					}
				}
				check()
				y, check := guarded(t, r, n, 5)
				want := slices.Clone(y)
				AddRows(y, s, k, stride)
				for j := range s {
					Axpy(want, s[j], k[j*stride:j*stride+n])
				}
				if !slices.Equal(y, want) {
					t.Fatalf("AddRows of %d: %v, want %v", n, y, want)
				}
				check()
			}
		}
	})
}

func BenchmarkCache(b *testing.B) {
	const n, rows, stride = 64, 128, 192
	r := rand.New(rand.NewPCG(21, 1))
	q, s, k := make([]float32, n), make([]float32, rows), make([]float32, rows*stride)
	for i := range k {
		k[i] = float32(r.NormFloat64())
	}
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"DotRows", func() { DotRows(s, q, k, stride) }},
		{"AddRows", func() { AddRows(q, s, k, stride) }},
		{"Dot", func() {
			for j := range s {
				s[j] = Dot(q, k[j*stride:j*stride+n])
			}
		}},
		{"Axpy", func() {
			for j := range s {
				Axpy(q, s[j], k[j*stride:j*stride+n])
			}
		}},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d", c.name, rows, n), func(b *testing.B) {
			for b.Loop() {
				c.run()
			}
		})
	}
}
