package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"hone/engine/kernel"
)

// rounded are the values of alpha·s at Half.
func rounded(s []float32, alpha float32) []float64 {
	wide := make([]float64, len(s))
	for i, v := range s {
		wide[i] = float64(math.Float32frombits(uint32(kernel.RoundBF16(alpha*v)) << 16))
	}
	return wide
}

// someTypes are the weight types, or in short tests the two that differ most.
func someTypes() []DType {
	if testing.Short() {
		return []DType{F32, Q4_1}
	}
	return weightTypes
}

// Products at Half are those of operands rounded to bfloat16, within the rounding of an f32 sum.
func TestHalfProductsAgainstFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		if testing.Short() && kernel.Level() == "generic" {
			t.Skip("the reference of every element takes a while")
		}
		r := rand.New(rand.NewPCG(2, 3))
		p := NewPool(2)
		defer p.Close()
		var ws Workspace
		for _, d := range someTypes() {
			for _, s := range []struct{ M, rows, cols, r0, r1 int }{
				{1, 1, 32, 0, 1}, {1, 50, 64, 0, 50}, {3, 16, 96, 0, 16}, {7, 100, 160, 0, 100}, {37, 75, 192, 0, 75},
				{5, 130, 64, 17, 101}, {9, 64, 32, 16, 48}, {2, 40, 64, 5, 9}, {5, 290, 1056, 3, 280}, {4, 8, 32, 8, 8},
				{3, 700, 96, 1, 640}, {70, 40, 64, 3, 40}, {150, 20, 32, 0, 20},
			} {
				for _, add := range []bool{false, true} {
					w, values := newMatrix(t, r, d, s.rows, s.cols)
					checkHalf(t, fmt.Sprintf("%s %+v add %v", d, s, add), p, &ws, r, w, values, s.M, s.r0, s.r1, add)
				}
			}
		}
		for _, d := range []DType{F32, F16, BF16} {
			for cols := 1; cols < 70; cols += 7 {
				w, values := newMatrix(t, r, d, 33, cols)
				checkHalf(t, fmt.Sprint(d, cols), p, &ws, r, w, values, 6, 0, 33, cols%2 == 0)
			}
		}
	})
}

// checkHalf compares MulTRowsAt and MulRowsAt with sums in float64.
func checkHalf(t *testing.T, name string, p *Pool, ws *Workspace, r *rand.Rand, w *Matrix, values []float32, M, r0, r1 int, add bool) {
	t.Helper()
	n := r1 - r0
	x, y := randomF32(r, M*w.Cols), randomF32(r, M*n+1)
	dy, dx := randomF32(r, M*n), randomF32(r, M*w.Cols+1)
	oldY, oldX := slices.Clone(y), slices.Clone(dx)
	MulTRowsAt(Half, p, ws, y[:M*n], x, M, w, r0, r1, add)
	MulRowsAt(Half, p, ws, dx[:M*w.Cols], dy, M, w, r0, r1, add)
	start := func(old float32) float64 {
		if add {
			return float64(old)
		}
		return 0
	}
	xs, dys, weights := rounded(x, 1), rounded(dy, 1), rounded(values, 1)
	for i := range M {
		for j := range n {
			want, size := sum(xs, i*w.Cols, 1, weights, (r0+j)*w.Cols, 1, w.Cols)
			if want += start(oldY[i*n+j]); far(y[i*n+j], want, size, w.Cols) {
				t.Fatalf("MulT %s y[%d,%d]: got %v, want %v", name, i, j, y[i*n+j], want)
			}
		}
		for k := range w.Cols {
			want, size := sum(dys, i*n, 1, weights, r0*w.Cols+k, w.Cols, n)
			if want += start(oldX[i*w.Cols+k]); far(dx[i*w.Cols+k], want, size, n) {
				t.Fatalf("Mul %s dx[%d,%d]: got %v, want %v", name, i, k, dx[i*w.Cols+k], want)
			}
		}
	}
	if y[M*n] != oldY[M*n] || dx[M*w.Cols] != oldX[M*w.Cols] {
		t.Fatalf("%s wrote past its output", name)
	}
}

func TestHalfGemmAgainstFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		var ws Workspace
		p := NewPool(2)
		defer p.Close()
		for _, s := range [][3]int{{1, 1, 1}, {5, 7, 9}, {33, 50, 70}, {8, 48, 16}, {17, 3, 1100}, {3, 4, 0}, {130, 16, 70}, {100, 70, 16}} {
			for mode := range 4 {
				for _, ab := range [][2]float32{{1, 0}, {1, 1}, {0.5, -2}} {
					checkHalfGemm(t, p, &ws, r, s[0], s[1], s[2], mode, ab[0], ab[1])
				}
			}
		}
	})
}

func checkHalfGemm(t *testing.T, p *Pool, ws *Workspace, r *rand.Rand, M, N, K, mode int, alpha, beta float32) {
	t.Helper()
	ars, acs, brs, bcs := K, 1, N, 1
	if mode&1 != 0 {
		ars, acs = 1, M
	}
	if mode&2 != 0 {
		brs, bcs = 1, K
	}
	a, b, c := randomF32(r, M*K), randomF32(r, K*N), randomF32(r, M*(N+3))
	if beta == 0 {
		c[0] = float32(math.NaN()) // must not be read
	}
	old := slices.Clone(c)
	GemmAt(Half, p, ws, M, N, K, alpha, a, ars, acs, b, brs, bcs, beta, c, N+3)
	as, bs := rounded(a, alpha), rounded(b, 1)
	for i := range M {
		for j := range N {
			want, size := sum(as, i*ars, acs, bs, j*bcs, brs, K)
			if beta != 0 {
				want += float64(beta) * float64(old[i*(N+3)+j])
			}
			if at := i*(N+3) + j; far(c[at], want, size, K) {
				t.Fatalf("Gemm %d×%d×%d mode %d [%d,%d]: got %v, want %v", M, N, K, mode, i, j, c[at], want)
			}
		}
		for j := N; j < N+3; j++ {
			if c[i*(N+3)+j] != old[i*(N+3)+j] {
				t.Fatalf("Gemm %d×%d×%d wrote between rows", M, N, K)
			}
		}
	}
}

// A row's bits depend on its values and K: not on other rows, threads, how weight rows are split, or the level.
func TestHalfBits(t *testing.T) {
	const M, rows, cols = 70, 50, 1056
	levels := map[DType][2][]float32{}
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		three := NewPool(3)
		defer three.Close()
		var ws Workspace
		for _, d := range someTypes() {
			w, _ := newMatrix(t, r, d, rows, cols)
			x, dy := randomF32(r, M*cols), randomF32(r, M*rows)
			y, dx := make([]float32, M*rows), make([]float32, M*cols)
			MulTAt(Half, nil, &ws, y, x, M, w, false)
			MulAt(Half, nil, &ws, dx, dy, M, w, false)
			if first, ok := levels[d]; !ok {
				levels[d] = [2][]float32{y, dx}
			} else if !slices.Equal(first[0], y) || !slices.Equal(first[1], dx) {
				t.Fatalf("%s: this level differs from another", d)
			}
			if testing.Short() && kernel.Level() == "generic" {
				continue // the same code cuts all levels' products
			}
			y2, dx2 := make([]float32, M*rows), make([]float32, M*cols)
			MulTAt(Half, three, &ws, y2, x, M, w, false)
			MulAt(Half, three, &ws, dx2, dy, M, w, false)
			if !slices.Equal(y, y2) || !slices.Equal(dx, dx2) {
				t.Fatalf("%s: three threads differ from one", d)
			}
			for _, i := range []int{0, 1, 33, 61} {
				for _, m := range []int{1, 2, 3, 8, 9} {
					MulTAt(Half, three, &ws, y2, x[i*cols:(i+m)*cols], m, w, false)
					MulAt(Half, three, &ws, dx2, dy[i*rows:(i+m)*rows], m, w, false)
					if !slices.Equal(y[i*rows:(i+m)*rows], y2[:m*rows]) || !slices.Equal(dx[i*cols:(i+m)*cols], dx2[:m*cols]) {
						t.Fatalf("%s: rows [%d,%d) alone differ from the same rows among %d", d, i, i+m, M)
					}
				}
			}
			clear(dx2)
			for _, c := range [][2]int{{0, 6}, {6, 16}, {16, 40}, {40, 50}} {
				n := c[1] - c[0]
				part, yPart := make([]float32, 0, M*n), make([]float32, M*n)
				for i := range M {
					part = append(part, dy[i*rows+c[0]:i*rows+c[1]]...)
				}
				MulRowsAt(Half, three, &ws, dx2, part, M, w, c[0], c[1], true)
				MulTRowsAt(Half, three, &ws, yPart, x, M, w, c[0], c[1], false)
				for i := range M {
					if !slices.Equal(yPart[i*n:(i+1)*n], y[i*rows+c[0]:i*rows+c[1]]) {
						t.Fatalf("%s: MulTRowsAt %v differs from MulTAt", d, c)
					}
				}
			}
			if !slices.Equal(dx, dx2) {
				t.Fatalf("%s: MulRowsAt in chunks differs from MulAt", d)
			}
		}
	})
}

func TestHalfAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	p := NewPool(2)
	defer p.Close()
	var ws Workspace
	w, _ := newMatrix(t, r, Q4_1, 100, 64)
	x, y := randomF32(r, 20*64), make([]float32, 20*100)
	once := func() {
		m := ws.Mark()
		MulTAt(Half, p, &ws, y, x, 20, w, false)
		MulAt(Half, p, &ws, x, y, 20, w, true)
		GemmAt(Half, p, &ws, 20, 20, 64, 1, x, 64, 1, x, 1, 64, 0, y, 20)
		ws.Release(m)
	}
	once()
	if n := testing.AllocsPerRun(20, once); n != 0 {
		t.Fatalf("%v allocations a round", n)
	}
}
