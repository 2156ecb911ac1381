package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// Classes of a code point that pre-tokenisers ask for, one bit each. A letter has one of the first three.
const (
	classUpper  = 1 << iota // Lu, Lt
	classLower              // Ll
	classLetter             // Lm, Lo
	classMark               // M
	classNumber             // N
	classPunct              // P
	classSymbol             // S
	classSpace              // White_Space

	classL = classUpper | classLower | classLetter
)

// classTable maps a code point to its class bits: 256 pages are shared where they are equal, as most are.
type classTable struct {
	page  [(unicode.MaxRune + 1) >> 8]uint16
	pages [][256]uint8
}

// classes returns the table of the Unicode version that the reference knows: Go's own tables and the code
// points that are newer than them. It is built on first use and never changes.
var classes = sync.OnceValue(func() *classTable {
	flat := make([]uint8, unicode.MaxRune+1)
	mark := func(t *unicode.RangeTable, bit uint8) {
		for _, r := range t.R16 {
			for c := uint32(r.Lo); c <= uint32(r.Hi); c += uint32(r.Stride) {
				flat[c] |= bit
			}
		}
		for _, r := range t.R32 {
			for c := r.Lo; c <= r.Hi; c += r.Stride {
				flat[c] |= bit
			}
		}
	}
	mark(unicode.Lu, classUpper)
	mark(unicode.Lt, classUpper)
	mark(unicode.Ll, classLower)
	mark(unicode.Lm, classLetter)
	mark(unicode.Lo, classLetter)
	mark(unicode.M, classMark)
	mark(unicode.N, classNumber)
	mark(unicode.P, classPunct)
	mark(unicode.S, classSymbol)
	mark(unicode.White_Space, classSpace)
	for _, r := range newerRanges {
		for c := r.lo; c <= r.hi; c += rune(r.stride) {
			flat[c] |= categoryBit(r.category)
		}
	}
	t := &classTable{}
	known := map[[256]uint8]uint16{}
	for p := range t.page {
		page := [256]uint8(flat[p<<8:])
		n, ok := known[page]
		if !ok {
			n = uint16(len(t.pages))
			known[page] = n
			t.pages = append(t.pages, page)
		}
		t.page[p] = n
	}
	return t
})

// categoryBit returns the class bit of a two-letter general category, zero for the ones nobody asks for.
func categoryBit(category string) uint8 {
	switch category {
	case "Lu", "Lt":
		return classUpper
	case "Ll":
		return classLower
	}
	switch category[0] {
	case 'L':
		return classLetter
	case 'M':
		return classMark
	case 'N':
		return classNumber
	case 'P':
		return classPunct
	case 'S':
		return classSymbol
	}
	return 0
}

// of returns the class bits of r.
func (t *classTable) of(r rune) uint8 {
	return t.pages[t.page[uint32(r)>>8]][uint8(r)]
}

// at returns the class bits and the width in bytes of the code point of s at i, and zeros at the end.
func (t *classTable) at(s string, i int) (class uint8, width int) {
	if i >= len(s) {
		return 0, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return t.pages[0][c], 1
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	return t.of(r), w
}

func isSpace(r rune) bool { return classes().of(r)&classSpace != 0 }

// isWord says whether r is a word character of the reference's own regular expressions: alphabetic, a mark, a
// decimal number, a connector or a joiner.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
	}
	if classes().of(r)&(classL|classMark) != 0 || unicode.In(r, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Join_Control, unicode.Other_Alphabetic) {
		return true
	}
	for _, n := range newerRanges {
		if n.category == "Nd" && n.lo <= r && r <= n.hi {
			return true
		}
	}
	return false
}

// isPunct says whether r is punctuation as the reference's Punctuation and Bert steps see it: ASCII symbols
// count, and only what Unicode 8 knew as punctuation does.
func isPunct(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	}
	return r == 0x166D || r == 0x111C9 || unicode.Is(unicode.P, r) && !unicode.Is(punctuationSinceUnicode8, r)
}

// isNumeric is the number test of the Digits step, which knows a few numbers more than the class table.
func isNumeric(r rune) bool {
	return classes().of(r)&classNumber != 0 || 0x11DE0 <= r && r <= 0x11DE9 || 0x16FF4 <= r && r <= 0x16FF6
}

// lower is the full lower-casing of one code point, which is a single other one save for U+0130.
func lower(r rune) rune {
	for _, n := range newerLower {
		if n.lo <= r && r <= n.hi && (r-n.lo)%rune(n.stride) == 0 {
			return r + n.delta
		}
	}
	return unicode.ToLower(r)
}

// appendLossy appends b to dst with each maximal ill-formed part replaced by U+FFFD, as WHATWG and Unicode
// (chapter 3, "U+FFFD substitution of maximal subparts") have it; Go's own loops replace byte by byte.
func appendLossy(dst []byte, b []byte) []byte {
	for len(b) > 0 {
		n := illFormed(b)
		if n == 0 {
			_, w := utf8.DecodeRune(b)
			dst = append(dst, b[:w]...)
			b = b[w:]
			continue
		}
		dst = append(dst, "\uFFFD"...)
		b = b[n:]
	}
	return dst
}

// illFormed returns 0 if b begins with a well-formed character, else the length of the maximal subpart that one
// U+FFFD stands for.
func illFormed(b []byte) int {
	if r, w := utf8.DecodeRune(b); r != utf8.RuneError || w != 1 {
		return 0
	}
	return leadLength(b)
}

// leadLength returns how many bytes at the start of b, which does not begin with a whole character, could be the
// beginning of one; at least 1.
func leadLength(b []byte) int {
	lo, hi, want := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case 0xC2 <= c && c <= 0xDF:
		want = 2
	case c == 0xE0:
		lo, want = 0xA0, 3
	case c == 0xED:
		hi, want = 0x9F, 3
	case 0xE1 <= c && c <= 0xEF:
		want = 3
	case c == 0xF0:
		lo, want = 0x90, 4
	case c == 0xF4:
		hi, want = 0x8F, 4
	case 0xF1 <= c && c <= 0xF3:
		want = 4
	default:
		return 1
	}
	n := 1
	for n < want && n < len(b) && lo <= b[n] && b[n] <= hi {
		n++
		lo, hi = 0x80, 0xBF
	}
	return n
}

// incompleteTail returns how many bytes at the end of b begin a character that more bytes may complete.
func incompleteTail(b []byte) int {
	for n := 1; n <= 3 && n <= len(b); n++ {
		tail := b[len(b)-n:]
		c := tail[0]
		if c < 0x80 {
			return 0
		}
		if c >= 0xC0 {
			if !utf8.FullRune(tail) && leadLength(tail) == n {
				return n
			}
			return 0
		}
	}
	return 0
}
