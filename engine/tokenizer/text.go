package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// piece is a part of the text on its way through the pipeline: always valid UTF-8, perhaps already changed.
type piece struct {
	s    string
	off  []int32 // caller's byte offset of each byte of s and of its end; nil: byte i stands at base+i
	base int
	head bool // begins where the caller's text begins
}

// origin returns the offset in the caller's text of byte i, 0 <= i <= len(s).
func (p piece) origin(i int) int {
	if p.off != nil {
		return int(p.off[i])
	}
	return p.base + i
}

// slice returns the part [i,j) of p.
func (p piece) slice(i, j int) piece {
	q := piece{s: p.s[i:j], base: p.base + i, head: p.head && i == 0}
	if p.off != nil {
		q.off = p.off[i : j+1]
	}
	return q
}

// rewriter makes a changed piece out of another, carrying the offsets where they are asked for.
type rewriter struct {
	src   piece
	track bool
	buf   []byte
	off   []int32
	first int // where in the source the first byte came from, -1 before there is one
}

func rewrite(p piece, track bool) *rewriter {
	w := &rewriter{src: p, track: track, buf: make([]byte, 0, len(p.s)+len(p.s)/8+8), first: -1}
	if track {
		w.off = make([]int32, 0, cap(w.buf)+1)
	}
	return w
}

// from notes where the first byte comes from.
func (w *rewriter) from(i, n int) {
	if w.first < 0 && n > 0 {
		w.first = i
	}
}

// keep appends the bytes [i,j) of the source as they are.
func (w *rewriter) keep(i, j int) {
	w.from(i, j-i)
	w.buf = append(w.buf, w.src.s[i:j]...)
	if w.track {
		for ; i < j; i++ {
			w.off = append(w.off, int32(w.src.origin(i)))
		}
	}
}

// put appends s, all of which stands where byte i of the source stands.
func (w *rewriter) put(s string, i int) {
	w.from(i, len(s))
	w.buf = append(w.buf, s...)
	if w.track {
		o := int32(w.src.origin(i))
		for range len(s) {
			w.off = append(w.off, o)
		}
	}
}

// putRune appends r, which came from the bytes [i,j) of the source: the same bytes keep their own offsets.
func (w *rewriter) putRune(r rune, i, j int) {
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	if j-i == n && w.src.s[i:j] == string(b[:n]) {
		w.keep(i, j)
		return
	}
	w.put(string(b[:n]), i)
}

// done returns the new piece; what follows it in the caller's text is what followed the source.
func (w *rewriter) done() piece {
	p := piece{s: string(w.buf), base: w.src.base, head: w.src.head && w.first <= 0}
	if w.track {
		p.off = append(w.off, int32(w.src.origin(len(w.src.s))))
	}
	return p
}

// wellFormed returns the caller's text as a piece, ill-formed parts replaced by U+FFFD.
func wellFormed(text string, track bool) piece {
	p := piece{s: text, head: true}
	if utf8.ValidString(text) {
		return p
	}
	w := rewrite(p, track)
	from := 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r != utf8.RuneError || n != 1 {
			i += n
			continue
		}
		w.keep(from, i)
		w.put("\uFFFD", i)
		i += leadLength([]byte(text[i:min(i+utf8.UTFMax, len(text))]))
		from = i
	}
	w.keep(from, len(text))
	return w.done()
}

// replaceAll rewrites every occurrence of the literal old in p.
func replaceAll(p piece, track bool, old, content string) piece {
	if old == "" || !strings.Contains(p.s, old) {
		return p
	}
	w := rewrite(p, track)
	from := 0
	for {
		i := strings.Index(p.s[from:], old)
		if i < 0 {
			break
		}
		w.keep(from, from+i)
		w.put(content, from+i)
		from += i + len(old)
	}
	w.keep(from, len(p.s))
	return w.done()
}

// prepend puts s before a piece that is not empty.
func prepend(p piece, track bool, s string) piece {
	if p.s == "" {
		return p
	}
	w := rewrite(p, track)
	w.put(s, 0)
	w.keep(0, len(p.s))
	return w.done()
}
