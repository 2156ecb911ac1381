package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// operands are a kernel's slices as bytes; f and w give them their types. What the tests themselves do with every byte
// is kept from the race detector: kernels start no goroutine, and the loops would take most of the time.
type operands [][]byte

func (o operands) f(i int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(o[i]))), len(o[i])/4)
}

func (o operands) w(i int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(o[i]))), len(o[i])/4)
}

func (o operands) clone() operands {
	c := make(operands, len(o))
	for i, b := range o {
		c[i] = append(make([]byte, 0, len(b)+4), b...)
	}
	return c
}

// A slot describes one operand: its size, whether the kernel writes it, and what values it may hold.
type slot struct {
	n       int // elements of 4 bytes, or bytes
	written bool
	closed  bool                                      // holds what fill makes; else any bits will do
	bytes   bool                                      // elements are bytes: it may start anywhere
	fill    func(r *rand.Rand, b []byte)              // nil: moderate floats
	plant   func(b []byte, where position, class int) // puts in a special value; nil: a float
}

func (s slot) size() int {
	if s.bytes {
		return s.n
	}
	return 4 * s.n
}

func in(n int) slot  { return slot{n: n} }
func out(n int) slot { return slot{n: n, written: true} }

// A position says which element of an operand becomes special; of a single element all three are the one.
type position int

const (
	first position = iota
	middle
	last
	positions
)

func (p position) of(n int) int { return []int{0, n / 2, n - 1}[p] }

// The classes of special values, in each representation: NaN, the infinities, subnormals, zero of the other sign,
// the largest.
const classes = 7

var (
	specialFloats = [classes]uint32{0x7fc00000, 0x7f800000, 0xff800000, 1, 0x807fffff, 0x80000000, 0x7f7fffff}
	specialPairs  = [classes]uint32{0x7fc03f80, 0xbf807f80, 0xff800000, 0x00010001, 0x3f80807f, 0x80008000, 0x7f7f3f80}
	specialHalves = [classes]uint16{0x7e00, 0x7c00, 0xfc00, 1, 0x83ff, 0x8000, 0xfbff}
	specialB16    = [classes]uint16{0x7fc0, 0x7f80, 0xff80, 1, 0x807f, 0x8000, 0x7f7f}
)

func plantWord(words *[classes]uint32) func(b []byte, where position, class int) {
	return func(b []byte, where position, class int) {
		binary.LittleEndian.PutUint32(b[4*where.of(len(b)/4):], words[class])
	}
}

func plantHalf(halves *[classes]uint16) func(b []byte, where position, class int) {
	return func(b []byte, where position, class int) {
		binary.LittleEndian.PutUint16(b[2*where.of(len(b)/2):], halves[class])
	}
}

// plantScale gives a row of one block a special scale, and with two scales the row after it a special offset.
func plantScale(size int) func(b []byte, where position, class int) {
	return func(b []byte, where position, class int) {
		block, row := b[where.of(len(b)/size)*size:], where.of(PanelRows)
		binary.LittleEndian.PutUint16(block[2*row:], specialHalves[class])
		if size == PanelBlockQ41 {
			binary.LittleEndian.PutUint16(block[2*PanelRows+(row+1)%PanelRows*2:], specialHalves[class])
		}
	}
}

// fillFloats makes values in [−2, 2).
//
//go:norace
func fillFloats(r *rand.Rand, b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(int32(r.Uint32()))*0x1p-30))
	}
}

// fillWide makes values in [−20, 20), where exponentials matter.
//
//go:norace
func fillWide(r *rand.Rand, b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(int32(r.Uint32()))*(10*0x1p-30)))
	}
}

// fillPositive makes values in [0, 2).
func fillPositive(r *rand.Rand, b []byte) {
	fillFloats(r, b)
	for i := 3; i < len(b); i += 4 {
		b[i] &= 0x7f
	}
}

// fillPairs makes pairs of bfloat16 values in [−2, 2).
func fillPairs(r *rand.Rand, b []byte) {
	for ; len(b) >= 2; b = b[2:] {
		binary.LittleEndian.PutUint16(b, RoundBF16(float32(int32(r.Uint32()))*0x1p-30))
	}
}

// fillHalves makes 16 bits of any sign with a magnitude below 2 as half floats and as bfloat16.
func fillHalves(r *rand.Rand, b []byte) {
	for ; len(b) >= 2; b = b[2:] {
		binary.LittleEndian.PutUint16(b, uint16(r.Uint32())&0xbfff)
	}
}

// fillPanel makes blocks of random bits with scales of either sign below 2.
func fillPanel(size int) func(r *rand.Rand, b []byte) {
	return func(r *rand.Rand, b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		for ; len(b) >= size; b = b[size:] {
			fillHalves(r, b[:size%256])
		}
	}
}

// fillBlocks makes activations to quantise: hostile ones, whole blocks of 32.
func fillBlocks(r *rand.Rand, b []byte) {
	for i, v := range hostileBlocks(r, len(b)/128, false) {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
}

// fillQuantised makes quantised activations, and plantQuantised a block of them that holds a special value. words is
// of a block: FixedWords or PairWords.
func fillQuantised(r *rand.Rand, b []byte, words int) {
	for ; len(b) >= 4*words; b = b[4*words:] {
		quantiseBlock(b, hostileBlocks(r, 1, false), words)
	}
}

func plantQuantised(b []byte, where position, class, words int) {
	x := make([]float32, 32)
	for i := range x {
		x[i] = float32(i) - 20
	}
	x[where.of(32)] = math.Float32frombits(specialFloats[class])
	quantiseBlock(b[where.of(len(b)/(4*words))*4*words:], x, words)
}

func quantiseBlock(b []byte, x []float32, n int) {
	words := make([]int32, n)
	if n == PairWords {
		quantisePairsGeneric(words, x)
	} else {
		quantiseGeneric(words, x)
	}
	for i, w := range words {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(w))
	}
}

// A placement decides where the operands of a call start.
type placement int

const (
	aligned  placement = iota
	shifted            // 1 to 3 elements after alignment, each operand elsewhere; bytes at odd addresses
	shifted2           // the same, turned
	shifted3           //
	atEnd              // operands end where a page that nobody may touch begins
	atStart            // operands begin where such a page ends
	placements
)

const guardBytes = 256

// A place is memory for one operand, fenced, with guard bytes where there is room.
type place struct {
	memory []byte
	at, n  int
}

const guardByte = 0xa5

// put copies b to where p wants operand i, and surrounds it with guard bytes.
//
//go:norace
func (m *place) put(b []byte, p placement, i int, bytes bool) []byte {
	m.n = len(b)
	switch p {
	case atEnd:
		m.at = len(m.memory) - len(b)
	case atStart:
		m.at = 0
	default:
		m.at = 2 * guardBytes
		if off := (int(p) + i) % 4; p != aligned && bytes {
			m.at += 2*off + 1
		} else if p != aligned {
			m.at += 4 * off
		}
	}
	s := m.memory[m.at : m.at+m.n : m.at+m.n]
	copy(s, b)
	for _, g := range m.guards() {
		for i := range g {
			g[i] = guardByte
		}
	}
	return s
}

func (m *place) guards() [2][]byte {
	return [2][]byte{m.memory[max(0, m.at-guardBytes):m.at], m.memory[m.at+m.n : min(len(m.memory), m.at+m.n+guardBytes)]}
}

// stands reports whether no guard byte was overwritten.
//
//go:norace
func (m *place) stands() bool {
	for _, g := range m.guards() {
		for _, v := range g {
			if v != guardByte {
				return false
			}
		}
	}
	return true
}

// places are memory for the operands of one call.
func places(t testing.TB) []*place {
	const operands, size = 5, 1 << 17
	p := make([]*place, operands)
	for i := range p {
		p[i] = &place{memory: fencedMemory(t, size)}
	}
	return p
}
