package tokenizer

import (
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestNewerMarksStay: marks younger than the reference's normalisation are letters to it: nothing moves past them,
// and nothing composes across them. The wanted texts are the reference's.
func TestNewerMarksStay(t *testing.T) {
	for _, c := range []struct{ in, composed, apart string }{
		{"\u1acb\u0348", "\u1acb\u0348", "\u1acb\u0348"},    // x/text: U+0348 first
		{"a\u1ac3\u0301", "a\u1ac3\u0301", "a\u1ac3\u0301"}, // x/text: U+00E1 U+1AC3
		{"a\u08cf\u0348\u0316", "a\u08cf\u0348\u0316", "a\u08cf\u0348\u0316"},
		{"a\U0001e4ef\u0301", "a\U0001e4ef\u0301", "a\U0001e4ef\u0301"},
		{"a\u0348\u0301\u0316", "\u00e1\u0348\u0316", "a\u0348\u0316\u0301"}, // marks it knows
	} {
		for _, compatible := range []bool{false, true} {
			if got := normalForm(piece{s: c.in}, false, compatible, true).s; got != c.composed {
				t.Errorf("%+q composed: %+q, want %+q", c.in, got, c.composed)
			}
			if got := normalForm(piece{s: c.in}, false, compatible, false).s; got != c.apart {
				t.Errorf("%+q taken apart: %+q, want %+q", c.in, got, c.apart)
			}
		}
	}
}

// TestNewerMarksTable: the ranges ascend, and x/text takes every code point in them for a mark.
func TestNewerMarksTable(t *testing.T) {
	last := rune(0)
	for _, m := range marksSince {
		if m[0] <= last || m[1] < m[0] || m[1] > utf8.MaxRune {
			t.Fatalf("range %X after %X", m, last)
		}
		for r := m[0]; r <= m[1]; r++ {
			if norm.NFD.PropertiesString(string(r)).CCC() == 0 {
				t.Errorf("%X is no mark", r)
			}
		}
		last = m[1]
	}
}
