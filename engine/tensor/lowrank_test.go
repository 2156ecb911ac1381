package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"hone/engine/kernel"
)

// lowRankShapes are M, rows, cols and rank: odd ones, those of several tasks, groups and parts of long sums.
var lowRankShapes = [][4]int{
	{1, 50, 64, 1}, {5, 33, 96, 3}, {9, 130, 64, 16}, {70, 100, 160, 17}, {103, 96, 32, 49}, {450, 18, 64, 8},
	{3, 48, 288, 64}, {4, 3700, 288, 5}, {33, 64, 32, 32}, {2, 300, 96, 96},
}

// Products with a low-rank part have the bits of successive adding ones, on any number of threads, and those of a
// row alone. The scale is a power of two, which commutes with rounding.
func TestLowRankIsSeparateProducts(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 11))
		three := NewPool(3)
		defer three.Close()
		var ws Workspace
		for _, d := range someTypes() {
			for _, s := range lowRankShapes {
				if s[1] > 1000 && (kernel.Level() == "generic" || d != F32 && d != Q4_1) {
					continue // slow, and the same code
				}
				for _, prec := range []Precision{Single, Half} {
					w, _ := newMatrix(t, r, d, s[1], s[2])
					low := LowRank{s[3], 0.5, randomF32(r, s[3]*s[2]), randomF32(r, s[1]*s[3])}
					checkProject(t, fmt.Sprintf("%s %s %v", d, prec, s), prec, three, &ws, r, s[0], w, low)
					checkProjectBack(t, fmt.Sprintf("%s %s %v", d, prec, s), prec, three, &ws, r, s[0], w, low)
				}
			}
		}
	})
}

func checkProject(t *testing.T, name string, prec Precision, p *Pool, ws *Workspace, r *rand.Rand, M int, w *Matrix, low LowRank) {
	t.Helper()
	n, k, rank := w.Rows, w.Cols, low.R
	x, bias := randomF32(r, M*k), randomF32(r, n)
	y, u, plain := make([]float32, M*n), make([]float32, M*rank), make([]float32, M*n)
	MulTAt(prec, p, ws, y, x, M, w, false)
	copy(plain, y)
	for i := range M {
		for j, b := range bias {
			y[i*n+j] += b
		}
	}
	GemmAt(prec, p, ws, M, rank, k, 1, x, k, 1, low.A, 1, k, 0, u, rank)
	GemmAt(prec, p, ws, M, n, rank, low.Scale, u, rank, 1, low.B, 1, rank, 1, y, n)
	for _, pool := range []*Pool{nil, p} {
		y2, u2, plain2 := randomF32(r, M*n), randomF32(r, M*rank), randomF32(r, M*n)
		Project(prec, pool, ws, x, M, []Projection{{Y: plain2, W: w}, {Y: y2, W: w, Bias: bias, Low: low, U: u2}})
		if !slices.Equal(y, y2) || !slices.Equal(u, u2) || !slices.Equal(plain, plain2) {
			t.Fatalf("%s: Project on %d threads differs from separate products", name, pool.Threads())
		}
	}
	i := M / 2
	y1, u1 := make([]float32, n), make([]float32, rank)
	Project(prec, p, ws, x[i*k:], 1, []Projection{{Y: y1, W: w, Bias: bias, Low: low, U: u1}})
	if !slices.Equal(y[i*n:(i+1)*n], y1) || !slices.Equal(u[i*rank:(i+1)*rank], u1) {
		t.Fatalf("%s: row %d alone differs", name, i)
	}
}

func checkProjectBack(t *testing.T, name string, prec Precision, p *Pool, ws *Workspace, r *rand.Rand, M int, w *Matrix, low LowRank) {
	t.Helper()
	k, n, rank := w.Rows, w.Cols, low.R
	dy, old := randomF32(r, M*k), randomF32(r, M*n)
	for _, add := range []bool{false, true} {
		dx, du := slices.Clone(old), make([]float32, M*rank)
		MulAt(prec, p, ws, dx, dy, M, w, add)
		GemmAt(prec, p, ws, M, rank, k, low.Scale, dy, k, 1, low.B, rank, 1, 0, du, rank)
		GemmAt(prec, p, ws, M, n, rank, 1, du, rank, 1, low.A, n, 1, 1, dx, n)
		for _, pool := range []*Pool{nil, p} {
			dx2, du2 := slices.Clone(old), randomF32(r, M*rank)
			ProjectBack(prec, pool, ws, dx2, dy, M, w, low, du2, add)
			if !slices.Equal(dx, dx2) || !slices.Equal(du, du2) {
				t.Fatalf("%s: ProjectBack on %d threads, add %v, differs from separate products", name, pool.Threads(), add)
			}
		}
		i := M / 2
		dx1, du1 := slices.Clone(old[i*n:(i+1)*n]), make([]float32, rank)
		ProjectBack(prec, p, ws, dx1, dy[i*k:], 1, w, low, du1, add)
		if !slices.Equal(dx[i*n:(i+1)*n], dx1) || !slices.Equal(du[i*rank:(i+1)*rank], du1) {
			t.Fatalf("%s: row %d alone differs backward", name, i)
		}
	}
}

// A value that is not finite stays in its row.
func TestLowRankKeepsNaNInItsRow(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		const M, rows, cols, rank, bad = 20, 70, 64, 5, 9
		r := rand.New(rand.NewPCG(12, 12))
		var ws Workspace
		w, _ := newMatrix(t, r, Q8_0, rows, cols)
		low := LowRank{rank, 1, randomF32(r, rank*cols), randomF32(r, rows*rank)}
		for _, prec := range []Precision{Single, Half} {
			for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
				x, dy := randomF32(r, M*cols), randomF32(r, M*rows)
				x[bad*cols+3], dy[bad*rows+3] = v, v
				y, u, dx, du := make([]float32, M*rows), make([]float32, M*rank), make([]float32, M*cols), make([]float32, M*rank)
				Project(prec, nil, &ws, x, M, []Projection{{Y: y, W: w, Low: low, U: u}})
				ProjectBack(prec, nil, &ws, dx, dy, M, w, low, du, false)
				for name, out := range map[string][]float32{"y": y, "u": u, "dx": dx, "du": du} {
					for i, got := range out {
						finite := !math.IsNaN(float64(got)) && !math.IsInf(float64(got), 0)
						if row := i / (len(out) / M); finite == (row == bad) {
							t.Fatalf("%s: %s of row %d is %v", prec, name, row, got)
						}
					}
				}
			}
		}
	})
}

func TestLowRankAllocatesNothing(t *testing.T) {
	const M, rows, cols, rank = 40, 100, 64, 8
	r := rand.New(rand.NewPCG(13, 13))
	p := NewPool(2)
	defer p.Close()
	var ws Workspace
	w, _ := newMatrix(t, r, Q4_1, rows, cols)
	low := LowRank{rank, 1, randomF32(r, rank*cols), randomF32(r, rows*rank)}
	x, y, u := randomF32(r, M*cols), make([]float32, M*rows), make([]float32, M*rank)
	ps := []Projection{{Y: y, W: w, Low: low, U: u}}
	once := func() {
		Project(Half, p, &ws, x, M, ps)
		ProjectBack(Half, p, &ws, x, y, M, w, low, u, true)
	}
	once()
	if n := testing.AllocsPerRun(20, once); n != 0 {
		t.Fatalf("%v allocations a round", n)
	}
}
