package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// eachImpl runs a test once for every implementation that this machine has.
func eachImpl(t *testing.T, f func(t *testing.T)) {
	was := active
	defer func() { active = was }()
	for _, impl := range supported() {
		active = impl
		t.Run(impl.name, f)
	}
}

const guard = -12345.5

// guarded returns n random floats that start off floats past a 64-byte boundary's neighbourhood, with guard
// words on both sides, and a check that the guards stand.
func guarded(t *testing.T, r *rand.Rand, n, off int) (s []float32, check func()) {
	t.Helper()
	all := make([]float32, n+64)
	for i := range all {
		all[i] = guard
	}
	s = all[16+off : 16+off+n : 16+off+n]
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s, func() {
		t.Helper()
		for i, v := range all {
			if (i < 16+off || i >= 16+off+n) && v != guard {
				t.Fatalf("length %d, offset %d: guard word %d was overwritten", n, off, i-16-off)
			}
		}
	}
}

// near fails unless got is within ulps units in the last place of f32 at want, or within abs of it.
func near(t *testing.T, what string, got float32, want, ulps, abs float64) {
	t.Helper()
	if math.IsNaN(want) != math.IsNaN(float64(got)) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
	if math.IsNaN(want) || float64(got) == want || math.Abs(want) > math.MaxFloat32 && math.IsInf(float64(got), int(math.Copysign(1, want))) {
		return
	}
	if d := math.Abs(float64(got) - want); !(d <= ulps*math.Abs(want)*0x1p-23+abs) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

var offsets = []int{0, 1, 3, 7}

func eachLength(f func(n, off int)) {
	for n := range 71 {
		for i, off := range offsets {
			if !testing.Short() || (n+i)%4 == 0 {
				f(n, off)
			}
		}
	}
	f(1000, 1)
}

func TestSetLevel(t *testing.T) {
	was := Level()
	defer func() {
		if err := SetLevel(was); err != nil {
			t.Fatal(err)
		}
	}()
	for _, name := range Levels() {
		if err := SetLevel(name); err != nil || Level() != name {
			t.Errorf("SetLevel(%q): %v, level %s", name, err, Level())
		}
	}
	for _, name := range []string{"", "AVX2", "sse"} {
		if err := SetLevel(name); err == nil {
			t.Errorf("SetLevel(%q): no error", name)
		}
	}
}
