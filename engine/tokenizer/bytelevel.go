package tokenizer

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// GPT-2 spells each byte as a printable character: the printable ones of Latin-1 as themselves, the others as the
// characters from U+0100 on, in order.

// byteAlphabet holds the spelling both ways.
type byteAlphabet struct {
	char [256]rune
	byt  [0x144]int16 // character -> byte, -1 for none
}

var alphabet = sync.OnceValue(func() *byteAlphabet {
	a := &byteAlphabet{}
	for i := range a.byt {
		a.byt[i] = -1
	}
	next := rune(0x100)
	for b := range 256 {
		c := rune(b)
		if !('!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b && b <= 0xFF) {
			c = next
			next++
		}
		a.char[b] = c
		a.byt[c] = int16(b)
	}
	return a
})

// bytes turns a spelling back; ok is false where a character is not of the alphabet.
func (a *byteAlphabet) bytes(dst []byte, s string) (out []byte, ok bool) {
	for _, c := range s {
		if int(c) >= len(a.byt) || a.byt[c] < 0 {
			return dst, false
		}
		dst = append(dst, byte(a.byt[c]))
	}
	return dst, true
}

// toByteLevel rewrites p in the alphabet; every character keeps the offset of its byte.
func toByteLevel(p piece, track bool) piece {
	a := alphabet()
	w := rewrite(p, track)
	var b [utf8.UTFMax]byte
	for i := range len(p.s) {
		w.put(string(b[:utf8.EncodeRune(b[:], a.char[p.s[i]])]), i)
	}
	return w.done()
}

// byteLevelSplit is the ByteLevel pre-tokeniser: a space in front, GPT-2's split, then the alphabet, which is left
// out where the model reads bytes.
func byteLevelSplit(s splitterSpec, bytes bool) splitter {
	prefix := s.AddPrefixSpace == nil || *s.AddPrefixSpace
	useRegex := s.UseRegex == nil || *s.UseRegex
	scan := &pattern{scan: classes().scanGPT2}
	return func(r *run, p piece, emit func(piece)) {
		if prefix && !strings.HasPrefix(p.s, " ") {
			p = prepend(p, r.track, " ")
		}
		out := emit
		if !bytes {
			out = func(q piece) { emit(toByteLevel(q, r.track)) }
		}
		if !useRegex {
			out(p)
			return
		}
		splitBy(p, isolated, false, func(f func(i, j int)) { scan.each(r, p.s, f) }, out)
	}
}
