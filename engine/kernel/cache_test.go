package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTileF16 holds the product with halves to that with the same values in f32, bit for bit.
func TestTileF16(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 1))
		for _, k := range []int{0, 1, 2, 3, 4, 5, 7, 8, 31, 64, 65, 80, 130} {
			for mr := 1; mr <= TileRows(); mr++ {
				for panels := 1; panels <= TilePanels; panels++ {
					stride, ldc := k*PanelRows+16*r.IntN(2), panels*PanelRows+r.IntN(5)
					wide, _ := guarded(t, r, panels*stride, 3)
					b := make([]byte, 2*len(wide)+2)[2*r.IntN(2):][:2*len(wide)]
					NarrowF16(b, wide)
					for i := range wide {
						wide[i] = HalfToFloat(binary.LittleEndian.Uint16(b[2*i:]))
					}
					a, _ := guarded(t, r, k*mr, 1)
					c, check := guarded(t, r, (mr-1)*ldc+panels*PanelRows, 7)
					want := slices.Clone(c)
					for _, accumulate := range []bool{true, false} {
						TileF16(c, ldc, a, b, [][]byte{nil, b[len(b)/2:], make([]byte, 1)}[r.IntN(3)], stride, mr, panels, k, accumulate)
						Tile(want, ldc, a, wide, stride, mr, panels, k, accumulate)
						check()
						if !slices.Equal(c, want) {
							t.Fatalf("k %d, %d rows, %d panels, accumulate %v: differs", k, mr, panels, accumulate)
						}
					}
				}
			}
		}
	})
}

// TestNarrowF16 converts every half, the middle between it and the next, and what lies just beside that.
func TestNarrowF16(t *testing.T) {
	var src []float32
	var want []uint16
	add := func(x float32, h uint16) { src, want = append(src, x, -x), append(want, h, h|0x8000) }
	for h := range uint16(0x7bff) {
		x, next := HalfToFloat(h), HalfToFloat(h+1)
		middle := (x + next) / 2
		add(x, h)
		add(middle, h+h&1)
		add(math.Nextafter32(middle, x), h)
		add(math.Nextafter32(middle, next), h+1)
	}
	inf := float32(math.Inf(1))
	for _, x := range []float32{65504, 65505, 65519.99, 65520, 1e9, math.MaxFloat32, inf} {
		add(x, 0x7bff)
	}
	add(math.SmallestNonzeroFloat32, 0)
	src, want = append(src, float32(math.NaN())), append(want, 0x7e00)
	eachImpl(t, func(t *testing.T) {
		for _, off := range []int{0, 1, 2, 3, 5, len(src) - 7} {
			dst := make([]byte, 2*(len(src)-off)+2)
			dst[len(dst)-2], dst[len(dst)-1] = 17, 18
			NarrowF16(dst, src[off:])
			for i, h := range want[off:] {
				if got := binary.LittleEndian.Uint16(dst[2*i:]); got != h && !(src[off+i] != src[off+i] && HalfToFloat(got) != HalfToFloat(got)) {
					t.Fatalf("%v (%08x) became %04x, want %04x", src[off+i], math.Float32bits(src[off+i]), got, h)
				}
			}
			if dst[len(dst)-2] != 17 || dst[len(dst)-1] != 18 {
				t.Fatal("wrote past the end")
			}
		}
	})
}

func BenchmarkTileF16(b *testing.B) {
	const k = 64
	for _, mr := range []int{1, 3, 7} {
		b.Run(fmt.Sprintf("%dx%d", mr, k), func(b *testing.B) {
			a, c, panels := make([]float32, mr*k), make([]float32, mr*48), make([]byte, 2*3*16*k)
			for b.Loop() {
				TileF16(c, 48, a, panels, nil, 16*k, mr, 3, k, false)
			}
			b.ReportMetric(2*48*float64(mr*k*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
