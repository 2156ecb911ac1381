package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Narrowing is exact by RoundBF16 for any bits, widening exact, at every level; neither writes beside its output.
func TestNarrowAndWidenBF16(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for n := range 131 {
			src, _ := guarded(t, r, n, n%5)
			for i := range src {
				if r.IntN(2) == 0 {
					src[i] = anyFloat(r)
				}
			}
			narrow, checkNarrow := guarded(t, r, (n+1)/2, n%3)
			wide, checkWide := guarded(t, r, n, n%7)
			NarrowBF16(narrow, src)
			WidenBF16(wide, narrow)
			for i, x := range src {
				want := uint32(RoundBF16(x)) << 16
				if got := math.Float32bits(wide[i]); got != want {
					t.Fatalf("%d values: element %d, %08x, became %08x, want %08x", n, i, math.Float32bits(x), got, want)
				}
			}
			if n%2 == 1 && math.Float32bits(narrow[n/2])>>16 != 0 {
				t.Fatalf("%d values: the last is paired with %08x", n, math.Float32bits(narrow[n/2]))
			}
			checkNarrow()
			checkWide()
		}
	})
}

func FuzzNarrowBF16(f *testing.F) {
	f.Add(uint32(0x3f808000), uint32(0x7f800001), 17)
	f.Fuzz(func(t *testing.T, a, b uint32, n int) {
		src := make([]float32, uint(n)%100)
		for i := range src {
			src[i] = math.Float32frombits([]uint32{a, b, a ^ b, a + uint32(i)*b}[i%4])
		}
		want := make([]float32, (len(src)+1)/2)
		narrowBF16Generic(want, src)
		eachImpl(t, func(t *testing.T) {
			got := make([]float32, len(want))
			NarrowBF16(got, src)
			for i := range want {
				if g, w := math.Float32bits(got[i]), math.Float32bits(want[i]); g != w {
					t.Fatalf("pair %d is %08x, want %08x", i, g, w)
				}
			}
		})
	})
}

func BenchmarkNarrowBF16(b *testing.B) {
	for _, impl := range supported() {
		src, dst := make([]float32, 1<<14), make([]float32, 1<<13)
		b.Run("narrow/"+impl.name, func(b *testing.B) {
			b.SetBytes(6 * 1 << 14)
			for b.Loop() {
				impl.narrowBF16(dst, src)
			}
		})
		b.Run("widen/"+impl.name, func(b *testing.B) {
			b.SetBytes(6 * 1 << 14)
			for b.Loop() {
				impl.widenBF16(src, dst)
			}
		})
	}
}
