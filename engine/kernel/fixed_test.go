package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// activationFormats are the two ways in which activations are held.
var activationFormats = []struct {
	name     string
	words    int
	greatest int32
	run      func(dst []int32, x []float32)
	slow     func(dst []int32, x []float32)
	unpack   func(q *[32]int32, block []int32)
}{
	{"fixed", FixedWords, fixedMax, QuantiseFixed, quantiseGeneric, unpackFixed},
	{"pairs", PairWords, pairsMax, QuantisePairs, quantisePairsGeneric, unpackPairs},
}

var fixedFormats = []struct {
	name        string
	size        int
	run         fixedFunc
	slow        fixedFunc
	expand      func(dst []float32, src []byte)
	activations int
}{
	{"Q4_1", PanelBlockQ41, FixedQ41, fixedQ41Generic, expandQ41Generic, 1},
	{"Q4_0", PanelBlockQ40, FixedQ40, fixedQ40Generic, expandQ40Generic, 1},
	{"Q8_0", PanelBlockQ80, FixedQ80, fixedQ80Generic, expandQ80Generic, 0},
}

// randomPanel makes blocks of random bits with moderate, finite scales.
func randomPanel(r *rand.Rand, blocks, size int) []byte {
	panel := make([]byte, 1+blocks*size)[1:]
	for i := range panel {
		panel[i] = byte(r.IntN(256))
		if i%size < 64 && i%2 == 1 && (i%size < 32 || size == PanelBlockQ41) {
			panel[i] &= 0xbf
		}
	}
	return panel
}

// hostileBlocks makes activations whose blocks differ by powers of ten, with zeros, extremes, subnormals, and,
// if wild, NaN and infinities.
func hostileBlocks(r *rand.Rand, blocks int, wild bool) []float32 {
	x := make([]float32, blocks*32)
	for b := range blocks {
		scale := math.Pow(10, float64(r.IntN(20)-10))
		for i := range 32 {
			x[b*32+i] = float32(r.NormFloat64() * scale)
		}
		at := b*32 + r.IntN(32)
		switch r.IntN(9) {
		case 0:
			clear(x[b*32 : b*32+32])
		case 1:
			x[at] = math.MaxFloat32
		case 2:
			clear(x[b*32 : b*32+32])
			x[at] = math.SmallestNonzeroFloat32
		case 3:
			for i := range 32 {
				x[b*32+i] = []float32{-1, 1}[i%2]
			}
		case 4:
			clear(x[b*32 : b*32+32])
			x[at] = -0x1p-100
		case 5:
			if wild {
				x[at] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[r.IntN(3)]
			}
		}
	}
	return x
}

func TestQuantiseFixedEqualsGeneric(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 7))
		for round := range 400 {
			f := activationFormats[round%2]
			blocks := r.IntN(40)
			x := append([]float32{0}, hostileBlocks(r, blocks, true)...)[1:]
			got, want := make([]int32, blocks*f.words+1), make([]int32, blocks*f.words+1)
			got[len(got)-1], want[len(want)-1] = 77, 77
			f.run(got, x)
			f.slow(want, x)
			if i := firstDifference(got, want); i >= 0 {
				t.Fatalf("%s, round %d: word %d of block %d is %08x, want %08x", f.name, round, i%f.words, i/f.words, got[i], want[i])
			}
		}
	})
}

// Every pair of integers splits into signed bytes that give it back.
func TestSplitPair(t *testing.T) {
	for x := int32(-pairsMax); x <= pairsMax; x++ {
		for y := int32(-pairsMax); y <= pairsMax; y++ {
			a, b, g := splitPair(x, y)
			if a != int32(int8(a)) || b != int32(int8(b)) || g != int32(int8(g)) || x != 16*a+g || y != 16*g+b {
				t.Fatalf("%d and %d split into %d, %d, %d", x, y, a, b, g)
			}
		}
	}
}

// The assembly splits pairs as splitPair does: blocks of integers whose scale is one, each with one extreme.
func TestQuantisePairsSplits(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		x, got, want := make([]float32, 32), make([]int32, PairWords), make([]int32, PairWords)
		for first := -pairsMax; first <= pairsMax; first += 7 {
			for from := -pairsMax; from <= pairsMax; from += 15 {
				for k := range 15 {
					x[k], x[k+16] = float32(first), float32(min(from+k, pairsMax))
				}
				x[15], x[31] = float32(from), pairsMax
				QuantisePairs(got, x)
				quantisePairsGeneric(want, x)
				if i := firstDifference(got, want); i >= 0 {
					t.Fatalf("%d with %d…: word %d is %08x, want %08x", first, from, i, got[i], want[i])
				}
			}
		}
	})
}

func firstDifference(a, b []int32) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// An activation is off by at most half a step, and a step is the block's largest magnitude over the greatest integer.
func TestQuantiseFixedError(t *testing.T) {
	for _, f := range activationFormats {
		r := rand.New(rand.NewPCG(8, 8))
		x := hostileBlocks(r, 500, false)
		words := make([]int32, 500*f.words)
		f.run(words, x)
		for b := range 500 {
			block := words[b*f.words:][:f.words]
			tail := block[f.words-tailWords:]
			scale := float64(math.Float32frombits(uint32(tail[scaleWord])))
			largest, sum := 0.0, int32(0)
			for _, v := range x[b*32 : b*32+32] {
				largest = max(largest, math.Abs(float64(v)))
			}
			var qs [32]int32
			f.unpack(&qs, block)
			for k, q := range qs {
				sum += q
				if d := math.Abs(float64(x[b*32+k]) - scale*float64(q)); d > largest*(0.5/float64(f.greatest)+0x1p-22)+0x1p-100 || q > f.greatest || q < -f.greatest {
					t.Fatalf("%s, block %d: %v became %d·%v", f.name, b, x[b*32+k], q, scale)
				}
			}
			if tail[eightWord] != -8*sum || tail[offsetWord] != -128*sum || math.Float32frombits(uint32(tail[sumWord])) != float32(scale)*float32(sum) {
				t.Fatalf("%s, block %d: words %v for a sum of %d", f.name, b, tail, sum)
			}
		}
	}
}

// All implementations give the bits of the generic form, for every number of rows, and a row's bits depend on
// the row alone.
func TestFixedEqualsGeneric(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 9))
		for _, f := range fixedFormats {
			for rows := 1; rows <= FixedRows; rows++ {
				for _, blocks := range []int{1, 2, 3, 18} {
					for _, add := range []bool{false, true} {
						panel := randomPanel(r, blocks, f.size)
						a := activationFormats[f.activations]
						stride, ldy := blocks*a.words+3, PanelRows+5
						x := make([]int32, rows*stride)
						for i := range rows {
							a.run(x[i*stride:], hostileBlocks(r, blocks, rows == 3))
						}
						y, check := guarded(t, r, (rows-1)*ldy+PanelRows, 1)
						want := slices.Clone(y)
						f.run(y, ldy, x, stride, panel, rows, add)
						for i := range rows { // each row by itself
							f.slow(want[i*ldy:], 0, x[i*stride:], 0, panel, 1, add)
						}
						for i := range y {
							if math.Float32bits(y[i]) != math.Float32bits(want[i]) && (y[i] == y[i] || want[i] == want[i]) {
								t.Fatalf("%s, %d rows, %d blocks, add %v: element %d is %v, want %v", f.name, rows, blocks, add, i, y[i], want[i])
							}
						}
						check()
					}
				}
			}
		}
	})
}

// The extreme integers: all weights and activations at their bounds, with either sign.
func TestFixedExtremes(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		for _, f := range fixedFormats {
			a := activationFormats[f.activations]
			for _, fill := range []byte{0, 0x7f, 0x80, 0x81, 0xff, 0x0f, 0xf0} {
				for _, sign := range []float32{-1, 1} {
					panel := make([]byte, f.size)
					for i := range panel {
						panel[i] = fill
					}
					for i := range f.size % 256 {
						panel[i] = []byte{0, 0x3c}[i%2] // scales of one
					}
					x, w := make([]float32, 32), make([]float32, 512)
					for i := range x {
						x[i] = sign * float32(a.greatest)
					}
					x[31] = -x[31] // so that low bytes of both signs occur
					words := make([]int32, a.words)
					a.run(words, x)
					f.expand(w, panel)
					y := make([]float32, PanelRows)
					f.run(y, 0, words, 0, panel, 1, false)
					for j := range y {
						var want, size float64
						for k := range 32 {
							want += float64(x[k]) * float64(w[k*16+j])
							size += math.Abs(float64(x[k]) * float64(w[k*16+j]))
						}
						near(t, fmt.Sprintf("%s, bytes %02x, sign %v, row %d", f.name, fill, sign, j), y[j], want, 4, size*0x1p-22)
					}
				}
			}
		}
	})
}

// FuzzFixed multiplies arbitrary activations with arbitrary panels, scales of any bits included.
func FuzzFixed(f *testing.F) {
	f.Add([]byte{}, []byte{}, uint8(0))
	f.Add([]byte{0, 0, 0x80, 0x3f, 1, 0, 0, 0, 0, 0, 0xc0, 0x7f}, []byte{0, 0x3c, 0xff, 0x7b, 1, 0, 0, 0x7c}, uint8(9))
	f.Add([]byte("some activations"), []byte("and the weights of a panel"), uint8(23))
	f.Fuzz(func(t *testing.T, activations, weights []byte, shape uint8) {
		rows, blocks := 1+int(shape%8), 1+int(shape/8%3)
		x := make([]float32, rows*blocks*32)
		for i := range min(len(x), len(activations)/4) {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(activations[4*i:]))
		}
		for _, format := range fixedFormats {
			a := activationFormats[format.activations]
			stride := blocks * a.words
			words, want := make([]int32, rows*stride), make([]int32, rows*stride)
			a.slow(want, x)
			panel := make([]byte, blocks*format.size)
			for i := range panel {
				if len(weights) > 0 {
					panel[i] = weights[i%len(weights)]
				}
			}
			slow := make([]float32, rows*PanelRows)
			format.slow(slow, PanelRows, want, stride, panel, rows, false)
			was := active
			for _, active = range supported() {
				a.run(words, x)
				if i := firstDifference(words, want); i >= 0 {
					t.Errorf("%s: word %d is %08x, want %08x", active.name, i, words[i], want[i])
				}
				y := make([]float32, rows*PanelRows)
				format.run(y, PanelRows, words, stride, panel, rows, false)
				for i := range y {
					if math.Float32bits(y[i]) != math.Float32bits(slow[i]) && (y[i] == y[i] || slow[i] == slow[i]) {
						t.Errorf("%s %s: element %d is %v, want %v", active.name, format.name, i, y[i], slow[i])
					}
				}
			}
			active = was
		}
	})
}
