package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sameBits fails unless got and want are equal bit for bit, or both NaN.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: element %d is %v (%08x), want %v (%08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestRoundBF16(t *testing.T) {
	for _, c := range []struct{ in, want uint32 }{
		{0, 0}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82},
		{0x3f80ffff, 0x3f81}, {0x7f7fffff, 0x7f80}, {0x7f7f7fff, 0x7f7f}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0x7f800001, 0x7fc0}, {0xffc12345, 0xffc1}, {0x007fffff, 0}, {0x807fffff, 0x8000}, {0x00800000, 0x0080},
	} {
		if got := RoundBF16(math.Float32frombits(c.in)); uint32(got) != c.want {
			t.Errorf("RoundBF16(%08x) = %04x, want %04x", c.in, got, c.want)
		}
	}
}

// Packing is exact by RoundBF16, for any bits, at every level.
func TestPackBF16(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, width := range []int{1, 2, 3, 4, 5, 6, 7, 8, 16} {
			for rows := 0; rows <= width; rows++ {
				for _, k := range []int{0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 48, 67, 97} {
					for mode := range 3 {
						checkPackBF16(t, r, width, rows, k, mode, []float32{1, -0.75}[(rows+k)%2])
					}
				}
			}
		}
	})
}

func checkPackBF16(t *testing.T, r *rand.Rand, width, rows, k, mode int, alpha float32) {
	t.Helper()
	rowStride, kStride := k+2, 1
	switch mode {
	case 1:
		rowStride, kStride = 1, width+1
	case 2:
		rowStride, kStride = 2, 2*width+1
	}
	src, _ := guarded(t, r, max(0, (rows-1)*rowStride)+max(0, (k-1)*kStride)+1, 1)
	for i := range src {
		if r.IntN(4) == 0 {
			src[i] = anyFloat(r)
		}
	}
	dst, check := guarded(t, r, (k+1)/2*width, 3)
	PackBF16(dst, width, src, rowStride, kStride, rows, k, alpha)
	want := make([]float32, len(dst))
	at := func(i, kk int) uint32 {
		if i >= rows || kk >= k {
			return 0
		}
		return uint32(RoundBF16(alpha * src[i*rowStride+kk*kStride]))
	}
	for i := range dst {
		row, kk := i%width, i/width*2
		want[i] = math.Float32frombits(at(row, kk) | at(row, kk+1)<<16)
	}
	for i := range dst {
		if math.Float32bits(dst[i]) != math.Float32bits(want[i]) {
			t.Fatalf("width %d rows %d k %d mode %d: pair %d is %08x, want %08x", width, rows, k, mode, i, math.Float32bits(dst[i]), math.Float32bits(want[i]))
		}
	}
	check()
}

// anyFloat favours the places where rounding, flushing and overflow differ: subnormals, ties, infinities, NaN.
func anyFloat(r *rand.Rand) float32 {
	b := r.Uint32()
	switch r.IntN(6) {
	case 0:
		b &= 0x80ffffff
	case 1:
		b |= 0x7f000000
	case 2:
		b = b&0xffff0000 | 0x8000
	case 3:
		b = []uint32{0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 1, 0x00800000, 0x7f7fffff}[r.IntN(8)]
	}
	return math.Float32frombits(b)
}

// Every level's tile has the generic tile's bits, and those are a product's by float64.
func TestTileBF16(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for mr := 1; mr <= BF16Rows(); mr++ {
			for panels := 1; panels <= TilePanels; panels++ {
				for _, pairs := range []int{0, 1, 2, 3, 4, 5, 7, 8, 33} {
					for _, add := range []bool{false, true} {
						checkTileBF16(t, r, mr, panels, pairs, add)
					}
				}
			}
		}
	})
}

func checkTileBF16(t *testing.T, r *rand.Rand, mr, panels, pairs int, add bool) {
	t.Helper()
	n, name := panels*PanelRows, fmt.Sprintf("%d×%d, %d pairs, add %v", mr, panels, pairs, add)
	ldc, stride := n+5, pairs*PanelRows+3
	c, check := guarded(t, r, (mr-1)*ldc+n, 1)
	a, b := make([]float32, pairs*mr+1)[1:], make([]float32, (panels-1)*stride+pairs*PanelRows+3)[3:]
	for _, s := range [][]float32{a, b} {
		for i := range s {
			lo, hi := RoundBF16(float32(r.NormFloat64())), RoundBF16(float32(r.NormFloat64()))
			s[i] = math.Float32frombits(uint32(lo) | uint32(hi)<<16)
		}
	}
	was := slices.Clone(c)
	TileBF16(c, ldc, a, b, stride, mr, panels, pairs, add)
	for i := range mr {
		for j := range n {
			want, size := 0.0, 0.0
			if add {
				want = float64(was[i*ldc+j])
			}
			for p := range pairs {
				x, w := math.Float32bits(a[p*mr+i]), math.Float32bits(b[j/PanelRows*stride+p*PanelRows+j%PanelRows])
				even, odd := float64(bf16Value(x<<16))*float64(bf16Value(w<<16)), float64(bf16Value(x))*float64(bf16Value(w))
				want, size = want+even+odd, size+math.Abs(even)+math.Abs(odd)
			}
			near(t, fmt.Sprintf("%s [%d,%d]", name, i, j), c[i*ldc+j], want, 2, 2e-7*size)
		}
	}
	check()
	if pairs == 0 {
		return
	}
	slow := slices.Clone(was)
	tileBF16Generic(slow, ldc, a, b, stride, mr, panels, pairs, add)
	sameBits(t, name+" against generic, between rows included", c, slow)
	if !add || pairs < 2 {
		return
	}
	split := slices.Clone(was)
	TileBF16(split, ldc, a[:mr], b, stride, mr, panels, 1, true)
	TileBF16(split, ldc, a[mr:], b[PanelRows:], stride, mr, panels, pairs-1, true)
	sameBits(t, name+" in two calls", split, c)
	for i := range mr {
		row, one := slices.Clone(was[i*ldc:i*ldc+n]), make([]float32, pairs)
		for p := range pairs {
			one[p] = a[p*mr+i]
		}
		TileBF16(row, n, one, b, stride, 1, panels, pairs, true)
		sameBits(t, fmt.Sprintf("%s, row %d alone", name, i), row, c[i*ldc:i*ldc+n])
	}
}

// Random bits near the limits of the exponent: subnormals, overflow, cancellation, NaN.
func TestTileBF16Specials(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		rounds := 20000
		if testing.Short() {
			rounds = 2000
		}
		for round := range rounds {
			a, b := make([]float32, 2), make([]float32, 2*PanelRows)
			c := make([]float32, PanelRows)
			lift := uint32(r.IntN(3))
			for _, s := range [][]float32{a, b, c} {
				for i := range s {
					bits := r.Uint32()
					switch lift { // products about the smallest normal number, about the largest, and anything
					case 0:
						bits = bits&0x87ff87ff | 0x18001800
						if &s[0] == &c[0] {
							bits &= 0x81ffffff
						}
					case 1:
						bits = bits&0x83ff83ff | 0x5c005c00
						if &s[0] == &c[0] {
							bits |= 0x7c000000
						}
					case 2:
						if r.IntN(8) == 0 {
							bits = math.Float32bits(anyFloat(r))
						}
					}
					s[i] = math.Float32frombits(bits)
				}
			}
			want := slices.Clone(c)
			tileBF16Generic(want, 0, a, b, 0, 1, 1, 2, true)
			got := slices.Clone(c)
			TileBF16(got, 0, a, b, 0, 1, 1, 2, true)
			sameBits(t, fmt.Sprintf("round %d", round), got, want)
		}
	})
}

// A single row's product has the bits of expansion, packing and a tile.
func TestRowPairs(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 6))
		for _, pairs := range []int{1, 2, 7, 31, 32, 33, 70} {
			for panels := 1; panels < 6; panels++ {
				for _, add := range []bool{false, true} {
					checkRowProducts(t, r, pairs, panels, add)
				}
			}
		}
	})
}

func checkRowProducts(t *testing.T, r *rand.Rand, pairs, panels int, add bool) {
	t.Helper()
	values := 2 * pairs * PanelRows
	stride := values + 3
	f32, halves := make([]float32, panels*stride), make([]byte, 2*panels*stride+1)[1:]
	for i := range f32 {
		f32[i] = float32(r.NormFloat64())
	}
	for i := range halves {
		halves[i] = byte(r.IntN(256)) & 0xbf // finite, moderate, subnormals among them
	}
	row, x := make([]float32, 2*pairs), make([]float32, pairs)
	for i := range row {
		row[i] = float32(r.NormFloat64())
	}
	PackBF16(x, 1, row, 0, 1, 1, 2*pairs, 1)
	wide, narrow := make([]float32, values), make([]float32, values/2)
	for _, f := range []struct {
		name   string
		run    func(y []float32)
		expand func(p int)
	}{
		{"F32", func(y []float32) { RowPairsF32(y, x, f32, stride, panels, add) }, func(p int) { copy(wide, f32[p*stride:]) }},
		{"F16", func(y []float32) { RowPairsF16(y, x, halves, 2*stride, panels, add) },
			func(p int) { ExpandF16(wide, halves[2*p*stride:][:2*values]) }},
		{"BF16", func(y []float32) { RowPairsBF16(y, x, halves, 2*stride, panels, add) },
			func(p int) { ExpandBF16(wide, halves[2*p*stride:][:2*values]) }},
	} {
		y, check := guarded(t, r, panels*PanelRows, 1)
		want := slices.Clone(y)
		f.run(y)
		for p := range panels {
			f.expand(p)
			PackBF16(narrow, PanelRows, wide, 1, PanelRows, PanelRows, 2*pairs, 1)
			TileBF16(want[p*PanelRows:], 0, x, narrow, 0, 1, 1, pairs, add)
		}
		sameBits(t, fmt.Sprintf("%s, %d pairs, %d panels, add %v", f.name, pairs, panels, add), y, want)
		check()
	}
}

// FuzzBF16 gives every implementation arbitrary bits to pack and to multiply, and asks for the generic form's.
func FuzzBF16(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0}, uint8(9))
	f.Add([]byte("arbitrary text of more than sixty-four bytes, so that whole vectors and a tail take part"), uint8(30))
	f.Fuzz(func(t *testing.T, data []byte, shape uint8) {
		was := active
		defer func() { active = was }()
		n := min(len(data)/4, 300)
		values := make([]float32, n+1)[1:]
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		width := 1 + int(shape%8)
		k := n / width
		active = &generic
		rows, columns := make([]float32, (k+1)/2*width), make([]float32, (k+1)/2*width)
		PackBF16(rows, width, values, k, 1, width, k, 1)
		PackBF16(columns, width, values, 1, width, width, k, 1)
		mr, pairs := 1+int(shape/8)%4, n/(PanelRows+4)
		a, b, start := values[:mr*pairs], values[4*pairs:][:pairs*PanelRows], values[:min(n, mr*PanelRows)]
		sums := make([]float32, mr*PanelRows)
		copy(sums, start)
		TileBF16(sums, PanelRows, a, b, 0, mr, 1, pairs, true)
		for _, active = range supported()[1:] {
			got := make([]float32, len(rows))
			PackBF16(got, width, values, k, 1, width, k, 1)
			samePairs(t, active.name+" by rows", got, rows)
			PackBF16(got, width, values, 1, width, width, k, 1)
			samePairs(t, active.name+" by columns", got, columns)
			c := make([]float32, mr*PanelRows)
			copy(c, start)
			TileBF16(c, PanelRows, a, b, 0, mr, 1, pairs, true)
			sameBits(t, active.name, c, sums)
		}
	})
}

// samePairs fails unless got and want are equal bit for bit, NaN or not.
func samePairs(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: pair %d is %08x, want %08x", what, i, math.Float32bits(got[i]), math.Float32bits(want[i]))
		}
	}
}
