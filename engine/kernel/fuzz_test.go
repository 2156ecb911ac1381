package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
)

// FuzzImplementations gives every implementation arbitrary float bits, lengths and alignments, and compares
// with the generic form: NaN in the same lanes, everything else within rounding.
func FuzzImplementations(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0}, uint8(1))
	f.Add([]byte("arbitrary text of more than sixty-four bytes, so that whole vectors and a tail take part"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, off uint8) {
		n := min(len(data)/8, 200)
		floats := func(data []byte) []float32 {
			s := make([]float32, n+8)[off%8:][:n]
			for i := range s {
				s[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
			return s
		}
		x, y := floats(data[:4*n]), floats(data[4*n:])
		ops := []struct {
			name string
			run  func(impl *implementation, y, x []float32)
			abs  func(y, x float64) float64 // tolerance besides 8 units in the last place
		}{
			{"axpy", func(impl *implementation, y, x []float32) { impl.axpy(y, 0.5, x) },
				func(y, x float64) float64 { return 2e-7*(math.Abs(y)+math.Abs(x)) + 3e-45 }}, // cancellation
			{"add", func(impl *implementation, y, x []float32) { impl.add(y, x) }, nil},
			{"mul", func(impl *implementation, y, x []float32) { impl.mul(y, x) }, nil},
			{"exp", func(impl *implementation, y, x []float32) { impl.expShift(y, x, 0) },
				func(float64, float64) float64 { return 5e-45 }}, // the last subnormal bits
			{"siluMul", func(impl *implementation, y, x []float32) { impl.siluMul(y, x, y) },
				func(y, x float64) float64 { return 1e-37*math.Abs(y*x) + 3e-45*(1+math.Abs(y)) }}, // exp overflows a little early
		}
		for _, op := range ops {
			want := slices.Clone(y)
			op.run(&generic, want, slices.Clone(x))
			for _, impl := range supported()[1:] {
				got := slices.Clone(y)
				op.run(impl, got, x)
				for i := range got {
					yi, xi, w := float64(y[i]), float64(x[i]), float64(want[i])
					if math.Abs(w) > 1e37 || math.Abs(yi)+math.Abs(xi) > 1e37 && op.name != "exp" {
						continue // overflow may come a rounding earlier or later
					}
					abs := 0.0
					if op.abs != nil {
						abs = op.abs(yi, xi)
					}
					near(t, fmt.Sprintf("%s %s(%v, %v)", impl.name, op.name, y[i], x[i]), got[i], w, 8, abs)
				}
			}
		}
	})
}
