package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A sweep is a product of random shape: M rows of activations times rows [r0,r1) of a weight.
type sweep struct {
	d                   DType
	prec                Precision
	M, rows, cols       int
	r0, r1              int
	add                 bool
	threads             int
	special, row, where int // the class of a special value, and which row and column of an operand gets it
}

func randomSweep(r *rand.Rand) sweep {
	odd := func(most int) int { // small ones as often as all others
		if r.IntN(2) == 0 {
			return 1 + r.IntN(min(most, 20))
		}
		return 1 + r.IntN(most)
	}
	s := sweep{d: weightTypes[r.IntN(len(weightTypes))], prec: Precision(r.IntN(3)), M: odd(130), rows: odd(130), cols: odd(130),
		add: r.IntN(2) == 0, threads: 1 + r.IntN(3), special: r.IntN(len(specials))}
	if s.d.Quantised() {
		s.cols = 32 * (1 + r.IntN(4))
	}
	s.r0 = r.IntN(s.rows)
	s.r1 = s.r0 + 1 + r.IntN(s.rows-s.r0)
	s.row, s.where = r.IntN(s.M), r.IntN(s.cols)
	return s
}

var specials = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}

// within is n floats that start off elements after an allocation does, between guards that check looks at.
func within(t *testing.T, r *rand.Rand, n int) (s []float32, check func(what string)) {
	const guard = 3.25
	off := 4 + r.IntN(4)
	all := slices.Repeat([]float32{guard}, off+n+8)
	s = all[off : off+n : off+n]
	copy(s, randomF32(r, n))
	return s, func(what string) {
		t.Helper()
		for i, v := range all {
			if (i < off || i >= off+n) && v != guard {
				t.Fatalf("%s: wrote at %d of %d values", what, i-off, n)
			}
		}
	}
}

// sameFloats reports whether a and b have the same bits, any NaN for a NaN.
func sameFloats(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool {
		return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
	})
}

// Products of any shape, forward and backward, at every precision and level: at Single within rounding of float64, at
// the others with the generic level's bits; nothing written around the outputs; a NaN or an infinity in a row of
// activations changes that row alone, one in a weight that weight's outputs alone.
func TestSweep(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 60
	}
	r := rand.New(rand.NewPCG(31, 1))
	for range rounds {
		sweepLevels(t, r.Uint64())
	}
}

// FuzzSweep looks for shapes and values that break what TestSweep checks.
func FuzzSweep(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(sweepLevels)
}

// sweepLevels checks the product that seed stands for at every level.
func sweepLevels(t *testing.T, seed uint64) {
	s := randomSweep(rand.New(rand.NewPCG(seed, 1)))
	var ws Workspace
	var bits [2][]float32 // of forward and backward at the first level
	eachLevelQuietly(t, func(level string) {
		name := fmt.Sprintf("seed %d at %s, %+v", seed, level, s)
		y, dx := s.check(t, name, rand.New(rand.NewPCG(seed, 2)), &ws)
		switch {
		case bits[0] == nil:
			bits = [2][]float32{y, dx}
		case s.prec != Single && !sameFloats(y, bits[0]):
			t.Fatalf("%s: other bits than another level", name)
		case s.prec != Single && !sameFloats(dx, bits[1]):
			t.Fatalf("%s: other bits backward than another level", name)
		}
	})
}

// check runs one product both ways, as it is and with special values, and returns the results of ordinary ones.
func (s sweep) check(t *testing.T, name string, r *rand.Rand, ws *Workspace) (y, dx []float32) {
	t.Helper()
	var p *Pool
	if s.threads > 1 {
		p = NewPool(s.threads)
		defer p.Close()
	}
	data, values := randomWeight(r, s.d, s.rows, s.cols)
	w := s.matrix(t, data)
	n := s.r1 - s.r0
	x, checkX := within(t, r, s.M*s.cols)
	dy, checkDy := within(t, r, s.M*n)
	oldY, oldX := randomF32(r, s.M*n), randomF32(r, s.M*s.cols)
	wasX, wasDy := slices.Clone(x), slices.Clone(dy)
	forward := func(w *Matrix) []float32 {
		y, check := within(t, r, s.M*n)
		copy(y, oldY)
		MulTRowsAt(s.prec, p, ws, y, x, s.M, w, s.r0, s.r1, s.add)
		check(name)
		return y
	}
	backward := func(w *Matrix) []float32 {
		dx, check := within(t, r, s.M*s.cols)
		copy(dx, oldX)
		MulRowsAt(s.prec, p, ws, dx, dy, s.M, w, s.r0, s.r1, s.add)
		check(name)
		return dx
	}
	y, dx = forward(w), backward(w)
	if s.prec == Single {
		s.compare(t, name, y, dx, x, dy, values, oldY, oldX)
	}

	x[s.row*s.cols+s.where] = specials[s.special]
	dy[s.row*n+s.where%n] = specials[s.special]
	others(t, name+", special activation", forward(w), y, n, func(row, _ int) bool { return row == s.row })
	others(t, name+", special gradient", backward(w), dx, s.cols, func(row, _ int) bool { return row == s.row })
	copy(x, wasX)
	copy(dy, wasDy)

	bad := s.r0 + s.row%n
	w = s.matrix(t, s.spoil(data, bad))
	others(t, name+", special weight", forward(w), y, n, func(_, col int) bool { return col == bad-s.r0 })
	block := s.d.BlockSize()
	others(t, name+", special weight, backward", backward(w), dx, s.cols, func(_, col int) bool { return col/block == s.where/block })
	checkX(name)
	checkDy(name)
	if !slices.Equal(x, wasX) || !slices.Equal(dy, wasDy) {
		t.Fatalf("%s: inputs changed", name)
	}
	return y, dx
}

// matrix makes the weight from data at an odd address.
func (s sweep) matrix(t *testing.T, data []byte) *Matrix {
	t.Helper()
	w, err := NewMatrix(s.d, s.rows, s.cols, append([]byte{0}, data...)[1:])
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// spoil returns data with a NaN for one value of a row, or for a block's scale.
func (s sweep) spoil(data []byte, row int) []byte {
	data = slices.Clone(data)
	at := data[(row*s.cols+s.where)/s.d.BlockSize()*s.d.BlockBytes():]
	switch s.d {
	case F32:
		binary.LittleEndian.PutUint32(at, 0x7fc00000)
	case BF16:
		binary.LittleEndian.PutUint16(at, 0x7fc0)
	default:
		binary.LittleEndian.PutUint16(at, 0x7e00)
	}
	return data
}

// others fails unless the outputs that spoilt picks are not finite, and all others as they were.
func others(t *testing.T, what string, got, was []float32, width int, spoilt func(row, col int) bool) {
	t.Helper()
	for i, v := range got {
		row, col := i/width, i%width
		if spoilt(row, col) == (v-v == 0) {
			t.Fatalf("%s: [%d,%d] is %v, was %v", what, row, col, v, was[i])
		}
		if v-v == 0 && math.Float32bits(v) != math.Float32bits(was[i]) {
			t.Fatalf("%s: [%d,%d] became %v from %v", what, row, col, v, was[i])
		}
	}
}

// compare holds both results to sums in float64.
func (s sweep) compare(t *testing.T, name string, y, dx, x, dy, values, oldY, oldX []float32) {
	t.Helper()
	n := s.r1 - s.r0
	xs, dys, weights := exact(x, 1), exact(dy, 1), exact(values, 1)
	start := func(old float32) float64 {
		if s.add {
			return float64(old)
		}
		return 0
	}
	for i := range s.M {
		for j := range n {
			want, size := sum(xs, i*s.cols, 1, weights, (s.r0+j)*s.cols, 1, s.cols)
			old := start(oldY[i*n+j])
			if want += old; far(y[i*n+j], want, size+math.Abs(old), s.cols) {
				t.Fatalf("%s: y[%d,%d] is %v, want %v", name, i, j, y[i*n+j], want)
			}
		}
		for k := range s.cols {
			want, size := sum(dys, i*n, 1, weights, s.r0*s.cols+k, s.cols, n)
			old := start(oldX[i*s.cols+k])
			if want += old; far(dx[i*s.cols+k], want, size+math.Abs(old), n) {
				t.Fatalf("%s: dx[%d,%d] is %v, want %v", name, i, k, dx[i*s.cols+k], want)
			}
		}
	}
}
