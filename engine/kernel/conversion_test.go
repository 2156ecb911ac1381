package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// plainHalf decodes a half float by its definition; of a NaN, which it makes quiet, the bits are kept.
func plainHalf(h uint16) float32 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)/1024
	if h>>15 != 0 {
		sign = -1
	}
	switch {
	case exponent == 31 && fraction != 0:
		return math.Float32frombits(uint32(h>>15)<<31 | 0x7fc00000 | uint32(h&1023)<<13)
	case exponent == 31:
		return float32(math.Inf(int(sign)))
	case exponent == 0:
		return float32(sign * fraction * 0x1p-14)
	}
	return float32(sign * math.Ldexp(1+fraction, exponent-15))
}

// All 65,536 half floats and bfloat16 values become f32 as they are defined, NaN's bits included.
func TestEveryHalf(t *testing.T) {
	every := make([]byte, 1<<17)
	for h := range 1 << 16 {
		binary.LittleEndian.PutUint16(every[2*h:], uint16(h))
		if got, want := HalfToFloat(uint16(h)), plainHalf(uint16(h)); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("half %04x is %v, want %v", h, got, want)
		}
	}
	eachImpl(t, func(t *testing.T) {
		values := make([]float32, 1<<16)
		ExpandF16(values, every)
		for h, got := range values {
			if want := plainHalf(uint16(h)); math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("half %04x is %08x, want %08x", h, math.Float32bits(got), math.Float32bits(want))
			}
		}
		ExpandBF16(values, every)
		for h, got := range values {
			if want := uint32(h) << 16; math.Float32bits(got) != want {
				t.Fatalf("bfloat16 %04x is %08x, want %08x", h, math.Float32bits(got), want)
			}
		}
		pairs, wide := make([]float32, 1<<15), make([]float32, 1<<16)
		for i := range pairs {
			pairs[i] = math.Float32frombits(binary.LittleEndian.Uint32(every[4*i:]))
		}
		WidenBF16(wide, pairs)
		for h, got := range wide {
			if want := uint32(h) << 16; math.Float32bits(got) != want {
				t.Fatalf("bfloat16 %04x is widened to %08x, want %08x", h, math.Float32bits(got), want)
			}
		}
	})
}

// plainBF16 rounds by comparing distances in f64, where all f32 and the number that comes after them are exact.
func plainBF16(bits uint32) uint16 {
	below := uint16(bits >> 16)
	switch exponent := bits >> 23 & 255; {
	case exponent == 0:
		return below & 0x8000
	case exponent == 255 && bits&0x7fffff != 0:
		return below | 0x40
	case exponent == 255:
		return below
	}
	magnitude := func(b uint32) float64 {
		return math.Ldexp(1+float64(b&0x7fffff)/(1<<23), int(b>>23&255)-127)
	}
	x := magnitude(bits)
	down, up := x-magnitude(uint32(below)<<16), magnitude(uint32(below+1)<<16)-x
	if down < up || down == up && below%2 == 0 {
		return below
	}
	return below + 1
}

// Rounding to bfloat16, around every value: exactly it, just above, just below the tie with the next, at the tie, past it
// and just below the next. Packing, by rows, by columns and in
// one row, and narrowing round the same at every level.
func TestRoundAroundEveryBF16(t *testing.T) {
	lows := []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff}
	src := make([]float32, 0, len(lows)<<16)
	want := make([]uint16, 0, len(lows)<<16)
	for high := range uint32(1 << 16) {
		for _, low := range lows {
			b := high<<16 | low
			src, want = append(src, math.Float32frombits(b)), append(want, plainBF16(b))
			if got := RoundBF16(math.Float32frombits(b)); got != want[len(want)-1] {
				t.Fatalf("%08x rounds to %04x, want %04x", b, got, want[len(want)-1])
			}
		}
	}
	eachImpl(t, func(t *testing.T) {
		for _, width := range []int{1, 8, 16} {
			for _, byRows := range []bool{true, false} {
				k := len(src) / width
				dst := make([]float32, len(src)/2)
				rowStride, kStride := k, 1
				if !byRows {
					rowStride, kStride = 1, width
				}
				PackBF16(dst, width, src, rowStride, kStride, width, k, 1)
				for i, pair := range dst {
					at := i%width*rowStride + i/width*2*kStride
					if b := math.Float32bits(pair); uint16(b) != want[at] || uint16(b>>16) != want[at+kStride] {
						t.Fatalf("width %d, by rows %v: %08x and %08x round to %08x, want %04x and %04x", width, byRows,
							math.Float32bits(src[at]), math.Float32bits(src[at+kStride]), b, want[at], want[at+kStride])
					}
				}
			}
		}
		pairs := make([]float32, len(src)/2)
		NarrowBF16(pairs, src)
		for i, pair := range pairs {
			if b := math.Float32bits(pair); uint16(b) != want[2*i] || uint16(b>>16) != want[2*i+1] {
				t.Fatalf("%08x and %08x are narrowed to %08x, want %04x and %04x",
					math.Float32bits(src[2*i]), math.Float32bits(src[2*i+1]), b, want[2*i], want[2*i+1])
			}
		}
	})
}

// A fileFormat is a quantised format as files hold it: the block of one row.
type fileFormat struct {
	name   string
	scales int // of 16 bits, first in a block
	bytes  int // of weights, after them
	decode func(block []byte, k int) float64
	expand func(dst []float32, src []byte)
}

func (f fileFormat) size() int { return 2*f.scales + f.bytes }

// nibble is weight k of a row's block of 4-bit weights: low halves first.
func nibble(weights []byte, k int) float64 { return float64(weights[k%16] >> (k / 16 * 4) & 15) }

func scale(block []byte, i int) float64 {
	return float64(plainHalf(binary.LittleEndian.Uint16(block[2*i:])))
}

// In f64 d·q + m is exact, so that rounding it to f32 is the only rounding.
var fileFormats = []fileFormat{
	{"Q4_1", 2, 16, func(b []byte, k int) float64 { return scale(b, 0)*nibble(b[4:], k) + scale(b, 1) }, ExpandQ41},
	{"Q4_0", 1, 16, func(b []byte, k int) float64 { return scale(b, 0) * (nibble(b[2:], k) - 8) }, ExpandQ40},
	{"Q8_0", 1, 32, func(b []byte, k int) float64 { return scale(b, 0) * float64(int8(b[2+k])) }, ExpandQ80},
}

// panel lays out the blocks of 16 rows as a panel's block.
func (f fileFormat) panel(rows [PanelRows][]byte) []byte {
	var p []byte
	for unit, at := 2, 0; at < f.size(); at += unit {
		if at >= 2*f.scales {
			unit = 4
		}
		for _, row := range rows {
			p = append(p, row[at:at+unit]...)
		}
	}
	return p
}

// Expansion against a decoder of the formats as files hold them: every byte of weights under every kind of scale, and
// blocks of random bits.
func TestExpandAgainstDecoder(t *testing.T) {
	scales := []uint16{0, 0x8000, 1, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x3c00, 0xbc00, 0x3555, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfd01}
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	eachImpl(t, func(t *testing.T) {
		for _, f := range fileFormats {
			for i, d := range scales {
				for _, m := range scales {
					f.check(t, fmt.Sprintf("scale %04x, offset %04x", d, m), func(row, at int) byte {
						switch {
						case at < 2:
							return byte(d >> (8 * at))
						case at < 2*f.scales:
							return byte(m >> (8 * (at - 2)))
						}
						return byte(row*16 + at + i) // each of 256 values
					})
				}
			}
			r := rand.New(rand.NewPCG(3, 3))
			for round := range rounds {
				f.check(t, fmt.Sprint("random block ", round), func(_, _ int) byte { return byte(r.Uint32()) })
			}
		}
	})
}

func (f fileFormat) check(t *testing.T, what string, value func(row, at int) byte) {
	t.Helper()
	var rows [PanelRows][]byte
	for row := range rows {
		for at := range f.size() {
			rows[row] = append(rows[row], value(row, at))
		}
	}
	got := make([]float32, 512)
	f.expand(got, f.panel(rows))
	for i, g := range got {
		want := float32(f.decode(rows[i%PanelRows], i/PanelRows))
		if math.Float32bits(g) != math.Float32bits(want) && (g == g || want == want) {
			t.Fatalf("%s, %s: row %d column %d is %v, want %v", f.name, what, i%PanelRows, i/PanelRows, g, want)
		}
	}
}
