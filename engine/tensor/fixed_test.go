package tensor

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"hone/engine/kernel"
)

var fixedTypes = []DType{Q8_0, Q4_0, Q4_1}

// An activation is off by at most 2⁻¹⁶ of its block's largest magnitude, or half of 1/1919 for 4-bit weights, so a product is off by that times the
// sum of its weights' magnitudes, besides the rounding of f32.
func TestFixedAgainstFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 1))
		p := NewPool(2)
		defer p.Close()
		var ws Workspace
		for _, d := range fixedTypes {
			for _, c := range []struct{ M, rows, cols, r0, r1 int }{
				{1, 16, 32, 0, 16}, {1, 50, 96, 0, 50}, {3, 50, 96, 5, 44}, {9, 33, 64, 16, 33}, {20, 7, 160, 2, 3}, {7, 40, 32, 20, 20},
			} {
				w, values := newMatrix(t, r, d, c.rows, c.cols)
				for _, add := range []bool{false, true} {
					n := c.r1 - c.r0
					x, y := randomF32(r, c.M*c.cols), randomF32(r, c.M*n+1)
					x[r.IntN(len(x))] = 100 // an outlier
					old := slices.Clone(y)
					MulTRowsAt(Fixed, p, &ws, y[:c.M*n], x, c.M, w, c.r0, c.r1, add)
					for i := range c.M {
						for j := range n {
							checkFixed(t, d, y[i*n+j], old[i*n+j], x[i*c.cols:(i+1)*c.cols], values[(c.r0+j)*c.cols:(c.r0+j+1)*c.cols], add)
						}
					}
					if y[c.M*n] != old[c.M*n] {
						t.Fatalf("%s %+v: wrote past the output", d, c)
					}
				}
			}
		}
	})
}

// multiplyEach is MulTEach with x quantised for it.
func multiplyEach(p *Pool, ws *Workspace, x []float32, M, K int, add bool, products ...Product) {
	mark := ws.Mark()
	MulTEach(p, ws, QuantiseFor(p, ws, x, M, K, products...), add, products...)
	ws.Release(mark)
}

func checkFixed(t *testing.T, d DType, got, old float32, x, w []float32, add bool) {
	t.Helper()
	var want, size, tolerance float64
	if add {
		want, size = float64(old), math.Abs(float64(old))
	}
	for b := 0; b < len(x); b += 32 {
		var largest, weights float64
		for k := b; k < b+32; k++ {
			v := float64(x[k]) * float64(w[k])
			want, size = want+v, size+math.Abs(v)
			largest, weights = max(largest, math.Abs(float64(x[k]))), weights+math.Abs(float64(w[k]))
		}
		step := 1.0 / 1919
		if d == Q8_0 {
			step = 0x1p-15
		}
		tolerance += largest * weights * step / 2
		if d == Q4_1 { // its two terms may cancel, so their rounding shows
			size += 32 * 32 * largest * weights / 32
		}
	}
	if diff := math.Abs(float64(got) - want); !(diff <= tolerance+size*0x1p-22) {
		t.Fatalf("%s: got %v, want %v within %v", d, got, want, tolerance+size*0x1p-22)
	}
}

// A row's bits depend on its values, K and the matrix: not on M, threads, the split of weight rows, the sharing
// of quantised activations, nor the level.
func TestFixedBitsDependOnTheRowAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 5))
	const M, rows, cols = 210, 50, 160
	for _, d := range fixedTypes {
		w, _ := newMatrix(t, r, d, rows, cols)
		x := randomF32(r, M*cols)
		var want []float32
		eachLevel(t, func(t *testing.T) {
			var ws Workspace
			y := make([]float32, M*rows)
			MulTAt(Fixed, nil, &ws, y, x, M, w, false)
			if want == nil {
				want = y
			}
			if !slices.Equal(y, want) {
				t.Fatalf("%s: level %s differs", d, kernel.Level())
			}
			for threads := 2; threads < 4; threads++ {
				p := NewPool(threads)
				defer p.Close()
				clear(y)
				multiplyEach(p, &ws, x, M, cols, false, Product{Y: y, W: w})
				if !slices.Equal(y, want) {
					t.Fatalf("%s: %d threads differ", d, threads)
				}
			}
			for _, m := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 16} {
				i := r.IntN(M - m)
				for _, c := range [][2]int{{0, rows}, {3, 21}, {16, 32}, {40, 50}} {
					n := c[1] - c[0]
					y := make([]float32, m*n)
					MulTRowsAt(Fixed, nil, &ws, y, x[i*cols:(i+m)*cols], m, w, c[0], c[1], false)
					for j := range m {
						if !slices.Equal(y[j*n:(j+1)*n], want[(i+j)*rows+c[0]:(i+j)*rows+c[1]]) {
							t.Fatalf("%s: row %d among %d, weight rows %v, differs", d, i+j, m, c)
						}
					}
				}
			}
		})
	}
}

// Weights that fixed point cannot take are multiplied at the precision that At names.
func TestFixedFallsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 5))
	var ws Workspace
	for _, d := range []DType{F32, F16, BF16} {
		for _, cols := range []int{33, 64} {
			w, _ := newMatrix(t, r, d, 20, cols)
			if w.At(Fixed) == Fixed || w.At(Fixed) != w.At(Half) || w.At(Single) != Single {
				t.Errorf("%s: precisions %s, %s, %s", d, w.At(Single), w.At(Half), w.At(Fixed))
			}
			x, y, want := randomF32(r, 3*cols), make([]float32, 60), make([]float32, 60)
			multiplyEach(nil, &ws, x, 3, cols, false, Product{Y: y, W: w})
			MulTAt(w.At(Fixed), nil, &ws, want, x, 3, w, false)
			if !slices.Equal(y, want) {
				t.Errorf("%s, %d columns: MulTEach differs from MulTAt", d, cols)
			}
		}
	}
}

func TestFixedAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 7))
	p := NewPool(2)
	defer p.Close()
	var ws Workspace
	w, _ := newMatrix(t, r, Q4_1, 100, 64)
	v, _ := newMatrix(t, r, Q8_0, 10, 64)
	x, y := randomF32(r, 200*64), make([]float32, 200*100)
	once := func() {
		MulTAt(Fixed, p, &ws, y, x, 200, w, false)
		MulTAt(Fixed, p, &ws, y, x, 1, w, false)
		multiplyEach(p, &ws, x, 10, 64, false, Product{Y: y, W: w}, Product{Y: y[1000:], W: v})
	}
	once()
	if n := testing.AllocsPerRun(20, once); n != 0 {
		t.Fatalf("%v allocations a round", n)
	}
}

// A NaN or infinity makes its own row NaN, and no other.
func TestFixedNotFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 7))
		var ws Workspace
		w, _ := newMatrix(t, r, Q8_0, 20, 64)
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x, y := randomF32(r, 3*64), make([]float32, 60)
			x[64+40] = float32(v)
			MulTAt(Fixed, nil, &ws, y, x, 3, w, false)
			for i, got := range y {
				if (got != got) != (i/20 == 1) {
					t.Fatalf("%v: element %d of row %d is %v", v, i%20, i/20, got)
				}
			}
		}
	})
}

// Several products in one pass are the products one by one, whatever their types.
func TestMulTEach(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 7))
	p := NewPool(3)
	defer p.Close()
	var ws Workspace
	for _, M := range []int{0, 1, 3, 9, 200} {
		const cols = 96
		x := randomF32(r, M*cols)
		var products []Product
		var want [][]float32
		for i, d := range []DType{Q4_1, Q8_0, F32, Q4_0, BF16, Q4_1} {
			w, _ := newMatrix(t, r, d, 17*(i+1), cols)
			y := randomF32(r, M*w.Rows)
			products = append(products, Product{Y: y, W: w})
			want = append(want, slices.Clone(y))
			MulTAt(Fixed, p, &ws, want[i], x, M, w, true)
		}
		multiplyEach(p, &ws, x, M, cols, true, products...)
		for i, each := range products {
			if !slices.Equal(each.Y, want[i]) {
				t.Errorf("%d rows: product %d differs from MulTAt", M, i)
			}
		}
		multiplyEach(p, &ws, x, M, cols, true)
	}
}
