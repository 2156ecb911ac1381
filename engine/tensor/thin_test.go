package tensor

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The ways for thin operands change no bit: rows of a product equal the same rows computed alone, and an A given
// by columns equals one given by rows.
func TestThinProductsChangeNoBits(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 8))
		p := NewPool(3)
		defer p.Close()
		var ws Workspace
		for _, s := range [][3]int{{64, 16, 33}, {150, 7, 100}, {203, 48, 65}, {97, 130, 16}, {130, 1, 1300}, {66, 40, 1}} {
			M, N, K := s[0], s[1], s[2]
			rows, columns := randomF32(r, M*K), make([]float32, M*K)
			for i := range M {
				for k := range K {
					columns[k*M+i] = rows[i*K+k]
				}
			}
			b, c := randomF32(r, K*N), randomF32(r, M*N)
			for _, prec := range []Precision{Single, Half} {
				whole, turned, alone := slices.Clone(c), slices.Clone(c), slices.Clone(c)
				GemmAt(prec, p, &ws, M, N, K, 0.7, rows, K, 1, b, N, 1, 0.5, whole, N)
				GemmAt(prec, p, &ws, M, N, K, 0.7, columns, 1, M, b, N, 1, 0.5, turned, N)
				for i := 0; i < M; i += 11 {
					m := min(11, M-i)
					GemmAt(prec, p, &ws, m, N, K, 0.7, rows[i*K:], K, 1, b, N, 1, 0.5, alone[i*N:], N)
				}
				if !slices.Equal(whole, turned) {
					t.Errorf("%s %v: A by columns differs", prec, s)
				}
				if !slices.Equal(whole, alone) {
					t.Errorf("%s %v: rows alone differ", prec, s)
				}
			}
		}
	})
}

// A thin weight is kept whole too, wherever in its panels the rows in use start.
func TestThinWeightRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		const M, rows, cols = 70, 60, 64
		r := rand.New(rand.NewPCG(9, 9))
		var ws Workspace
		x := randomF32(r, M*cols)
		for _, d := range weightTypes {
			w, _ := newMatrix(t, r, d, rows, cols)
			for _, prec := range []Precision{Single, Half} {
				for _, c := range [][2]int{{0, 60}, {3, 59}, {16, 48}, {17, 20}} {
					n := c[1] - c[0]
					whole, alone := make([]float32, M*n), make([]float32, M*n)
					MulTRowsAt(prec, nil, &ws, whole, x, M, w, c[0], c[1], false)
					for i := 0; i < M; i += 10 {
						MulTRowsAt(prec, nil, &ws, alone[i*n:], x[i*cols:], 10, w, c[0], c[1], false)
					}
					if !slices.Equal(whole, alone) {
						t.Errorf("%s %s rows %v: rows alone differ", d, prec, c)
					}
				}
			}
		}
	})
}
