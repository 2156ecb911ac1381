package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"hone/engine/kernel"
)

// eachLevel runs a test once for every kernel implementation that this machine has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	eachLevelQuietly(t, func(level string) { t.Run(level, f) })
}

// eachLevelQuietly is eachLevel without a subtest for each.
func eachLevelQuietly(t *testing.T, f func(level string)) {
	t.Helper()
	was := kernel.Level()
	defer func() {
		if err := kernel.SetLevel(was); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range kernel.Levels() {
		if err := kernel.SetLevel(name); err != nil {
			t.Fatal(err)
		}
		f(name)
	}
}

var weightTypes = []DType{F32, F16, BF16, Q8_0, Q4_0, Q4_1}

func randomF32(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

// randomWeight makes stored bytes of a matrix and the f32 values they stand for, by the formats' definitions.
func randomWeight(r *rand.Rand, d DType, rows, cols int) (data []byte, values []float32) {
	half := func() (uint16, float32) {
		h := uint16(r.IntN(0x0400)) | uint16(8+r.IntN(8))<<10 | uint16(r.IntN(2))<<15
		return h, kernel.HalfToFloat(h)
	}
	for range rows * cols / d.BlockSize() {
		switch d {
		case F32:
			v := float32(r.NormFloat64())
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
			values = append(values, v)
		case BF16:
			b := math.Float32bits(float32(r.NormFloat64())) &^ 0xffff
			data = binary.LittleEndian.AppendUint16(data, uint16(b>>16))
			values = append(values, math.Float32frombits(b))
		case F16:
			h, v := half()
			data = binary.LittleEndian.AppendUint16(data, h)
			values = append(values, v)
		case Q8_0:
			h, scale := half()
			data = binary.LittleEndian.AppendUint16(data, h)
			for range 32 {
				q := int8(r.IntN(256) - 128)
				data = append(data, byte(q))
				values = append(values, scale*float32(q))
			}
		case Q4_0, Q4_1:
			h, scale := half()
			data = binary.LittleEndian.AppendUint16(data, h)
			shift := -8 * scale
			if d == Q4_1 {
				h, shift = half()
				data = binary.LittleEndian.AppendUint16(data, h)
			}
			var high []float32
			for range 16 {
				b := byte(r.IntN(256))
				data = append(data, b)
				values = append(values, float32(scale*float32(b&15))+shift)
				high = append(high, float32(scale*float32(b>>4))+shift)
			}
			values = append(values, high...)
		}
	}
	return data, values
}

func newMatrix(t testing.TB, r *rand.Rand, d DType, rows, cols int) (*Matrix, []float32) {
	t.Helper()
	data, values := randomWeight(r, d, rows, cols)
	m, err := NewMatrix(d, rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return m, values
}

// far reports whether got is not want within the error of a sum of n rounded products of total size.
func far(got float32, want, size float64, n int) bool {
	return !(math.Abs(float64(got)-want) <= 1e-7*math.Sqrt(float64(n)+4)*(size+1))
}

// exact are the values of s in f64, times alpha in f32.
func exact(s []float32, alpha float32) []float64 {
	wide := make([]float64, len(s))
	for i, v := range s {
		wide[i] = float64(alpha * v)
	}
	return wide
}

// sum is Σ a·b and Σ |a·b| over n elements of each, from aAt and bAt on, strides apart. References take most of these tests'
// time, and nobody writes to their operands.
//
//go:norace
func sum(a []float64, aAt, aStride int, b []float64, bAt, bStride, n int) (total, size float64) {
	for k := range n {
		v := a[aAt+k*aStride] * b[bAt+k*bStride]
		total, size = total+v, size+math.Abs(v)
	}
	return total, size
}

func TestRowIsExact(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, d := range weightTypes {
			m, values := newMatrix(t, r, d, 37, 96)
			row := make([]float32, 96)
			for i := range 37 {
				m.Row(i, row)
				if !slices.Equal(row, values[i*96:(i+1)*96]) {
					t.Fatalf("%s row %d: got %v, want %v", d, i, row, values[i*96:(i+1)*96])
				}
			}
		}
	})
}

func TestProductsAgainstFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		if testing.Short() && kernel.Level() == "generic" {
			t.Skip("the reference of every element takes a while")
		}
		r := rand.New(rand.NewPCG(2, 3))
		p := NewPool(2)
		defer p.Close()
		var ws Workspace
		for _, d := range weightTypes {
			for _, s := range []struct{ M, rows, cols, r0, r1 int }{
				{1, 1, 32, 0, 1}, {1, 50, 64, 0, 50}, {3, 16, 96, 0, 16}, {7, 100, 160, 0, 100}, {37, 75, 192, 0, 75},
				{5, 130, 64, 17, 101}, {9, 64, 32, 16, 48}, {2, 40, 64, 5, 9}, {5, 290, 1056, 3, 280}, {4, 8, 32, 8, 8},
			} {
				for _, add := range []bool{false, true} {
					name := fmt.Sprintf("%s %+v add %v", d, s, add)
					w, values := newMatrix(t, r, d, s.rows, s.cols)
					checkForward(t, name, p, &ws, r, w, values, s.M, s.r0, s.r1, add)
					checkBackward(t, name, p, &ws, r, w, values, s.M, s.r0, s.r1, add)
				}
			}
		}
		// Plain types take any number of columns.
		for _, d := range []DType{F32, F16, BF16} {
			for cols := 1; cols < 70; cols += 7 {
				w, values := newMatrix(t, r, d, 33, cols)
				checkForward(t, fmt.Sprint(d, cols), p, &ws, r, w, values, 6, 0, 33, false)
				checkBackward(t, fmt.Sprint(d, cols), p, &ws, r, w, values, 6, 0, 33, true)
			}
		}
	})
}

func checkForward(t *testing.T, name string, p *Pool, ws *Workspace, r *rand.Rand, w *Matrix, values []float32, M, r0, r1 int, add bool) {
	t.Helper()
	n := r1 - r0
	x, y := randomF32(r, M*w.Cols), randomF32(r, M*n+1)
	old := slices.Clone(y)
	MulTRows(p, ws, y[:M*n], x, M, w, r0, r1, add)
	xs, weights := exact(x, 1), exact(values, 1)
	for i := range M {
		for j := range n {
			want, size := sum(xs, i*w.Cols, 1, weights, (r0+j)*w.Cols, 1, w.Cols)
			if add {
				want += float64(old[i*n+j])
			}
			if far(y[i*n+j], want, size, w.Cols) {
				t.Fatalf("MulT %s y[%d,%d]: got %v, want %v", name, i, j, y[i*n+j], want)
			}
		}
	}
	if y[M*n] != old[M*n] {
		t.Fatalf("MulT %s wrote past its output", name)
	}
}

func checkBackward(t *testing.T, name string, p *Pool, ws *Workspace, r *rand.Rand, w *Matrix, values []float32, M, r0, r1 int, add bool) {
	t.Helper()
	n := r1 - r0
	dy, dx := randomF32(r, M*n), randomF32(r, M*w.Cols+1)
	old := slices.Clone(dx)
	MulRows(p, ws, dx[:M*w.Cols], dy, M, w, r0, r1, add)
	dys, weights := exact(dy, 1), exact(values, 1)
	for i := range M {
		for k := range w.Cols {
			want, size := sum(dys, i*n, 1, weights, r0*w.Cols+k, w.Cols, n)
			if add {
				want += float64(old[i*w.Cols+k])
			}
			if far(dx[i*w.Cols+k], want, size, n) {
				t.Fatalf("Mul %s dx[%d,%d]: got %v, want %v", name, i, k, dx[i*w.Cols+k], want)
			}
		}
	}
	if dx[M*w.Cols] != old[M*w.Cols] {
		t.Fatalf("Mul %s wrote past its output", name)
	}
}

func TestGemmAgainstFloat64(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		var ws Workspace
		p := NewPool(2)
		defer p.Close()
		for _, s := range [][3]int{{1, 1, 1}, {5, 7, 9}, {33, 50, 70}, {8, 48, 16}, {17, 3, 1100}, {3, 4, 0}, {130, 16, 70}, {100, 70, 16}} {
			M, N, K := s[0], s[1], s[2]
			for mode := range 4 {
				ars, acs, brs, bcs := K, 1, N, 1
				if mode&1 != 0 {
					ars, acs = 1, M
				}
				if mode&2 != 0 {
					brs, bcs = 1, K
				}
				for _, ab := range [][2]float32{{1, 0}, {1, 1}, {0.5, -2}, {-1, 0}} {
					a, b, c := randomF32(r, M*K), randomF32(r, K*N), randomF32(r, M*(N+3))
					if ab[1] == 0 {
						c[0] = float32(math.NaN()) // must not be read
					}
					old := slices.Clone(c)
					Gemm(p, &ws, M, N, K, ab[0], a, ars, acs, b, brs, bcs, ab[1], c, N+3)
					as, bs := exact(a, 1), exact(b, 1)
					for i := range M {
						for j := range N {
							want, size := sum(as, i*ars, acs, bs, j*bcs, brs, K)
							want *= float64(ab[0])
							if ab[1] != 0 {
								want += float64(ab[1]) * float64(old[i*(N+3)+j])
							}
							if at := i*(N+3) + j; far(c[at], want, size, K) {
								t.Fatalf("Gemm %v mode %d %v [%d,%d]: got %v, want %v", s, mode, ab, i, j, c[at], want)
							}
						}
						for j := N; j < N+3; j++ {
							if c[i*(N+3)+j] != old[i*(N+3)+j] {
								t.Fatalf("Gemm %v wrote between rows", s)
							}
						}
					}
				}
			}
		}
	})
}

// A row's bits must not depend on the other rows, the threads, or how weight rows are split.
func TestBitsDependOnKAlone(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		const M, rows, cols = 70, 50, 1056
		r := rand.New(rand.NewPCG(5, 6))
		two := NewPool(2)
		defer two.Close()
		three := NewPool(3)
		defer three.Close()
		var ws Workspace
		for _, d := range weightTypes {
			w, _ := newMatrix(t, r, d, rows, cols)
			x, dy := randomF32(r, M*cols), randomF32(r, M*rows)
			y, dx := make([]float32, M*rows), make([]float32, M*cols)
			MulT(nil, &ws, y, x, M, w, false)
			Mul(nil, &ws, dx, dy, M, w, false)
			for _, p := range []*Pool{two, three} {
				y2, dx2 := make([]float32, M*rows), make([]float32, M*cols)
				MulT(p, &ws, y2, x, M, w, false)
				Mul(p, &ws, dx2, dy, M, w, false)
				if !slices.Equal(y, y2) || !slices.Equal(dx, dx2) {
					t.Fatalf("%s: %d threads differ from one", d, p.Threads())
				}
			}
			for _, i := range []int{0, 1, 5, 33, 61} {
				for _, m := range []int{1, 2, 3, 5, 8, 9} {
					y2, dx2 := make([]float32, m*rows), make([]float32, m*cols)
					MulT(two, &ws, y2, x[i*cols:(i+m)*cols], m, w, false)
					if !slices.Equal(y[i*rows:(i+m)*rows], y2) {
						t.Fatalf("%s: rows [%d,%d) alone differ from the same rows among %d", d, i, i+m, M)
					}
					if m > 2 {
						continue
					}
					Mul(two, &ws, dx2, dy[i*rows:(i+m)*rows], m, w, false)
					if !slices.Equal(dx[i*cols:(i+m)*cols], dx2) {
						t.Fatalf("%s: backward rows [%d,%d) differ", d, i, i+m)
					}
				}
			}
			clear(dx)
			dx2 := make([]float32, M*cols)
			Mul(two, &ws, dx2, dy, M, w, true)
			for _, c := range [][2]int{{0, 5}, {5, 16}, {16, 40}, {40, 50}} {
				part, yPart := make([]float32, 0, M*(c[1]-c[0])), make([]float32, M*(c[1]-c[0]))
				for i := range M {
					part = append(part, dy[i*rows+c[0]:i*rows+c[1]]...)
				}
				MulRows(two, &ws, dx, part, M, w, c[0], c[1], true)
				MulTRows(two, &ws, yPart, x, M, w, c[0], c[1], false)
				for i := range M {
					if !slices.Equal(yPart[i*(c[1]-c[0]):(i+1)*(c[1]-c[0])], y[i*rows+c[0]:i*rows+c[1]]) {
						t.Fatalf("%s: MulTRows %v differs from MulT", d, c)
					}
				}
			}
			if !slices.Equal(dx, dx2) {
				t.Fatalf("%s: MulRows in chunks differs from Mul", d)
			}
		}
	})
}

func TestProductsAllocateNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	p := NewPool(2)
	defer p.Close()
	var ws Workspace
	w, _ := newMatrix(t, r, Q4_1, 100, 64)
	x, y := randomF32(r, 20*64), make([]float32, 20*100)
	once := func() {
		m := ws.Mark()
		MulT(p, &ws, y, x, 20, w, false)
		Mul(p, &ws, x, y, 20, w, true)
		Gemm(p, &ws, 20, 20, 64, 1, x, 64, 1, x, 1, 64, 0, y, 20)
		ws.Release(m)
	}
	once()
	if n := testing.AllocsPerRun(20, once); n != 0 {
		t.Fatalf("%v allocations a round", n)
	}
}

func TestNewMatrixRefuses(t *testing.T) {
	for _, c := range []struct {
		d          DType
		rows, cols int
		bytes      int
	}{
		{I32, 1, 32, 128}, {F32, 0, 4, 0}, {F32, 4, -1, 0}, {Q4_1, 1, 33, 20}, {Q4_1, 1, 32, 19}, {F32, 2, 2, 17},
		{F32, math.MaxInt / 8, 64, 256}, {F16, math.MaxInt, math.MaxInt, 2},
	} {
		if _, err := NewMatrix(c.d, c.rows, c.cols, make([]byte, c.bytes)); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}
