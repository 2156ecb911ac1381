package jinja

import (
	"strings"
	"unicode/utf8"
)

// Span is a byte range of a text that came from the data.
type Span struct {
	Start, End int
	Message    int    // index in messages; -1 = tools
	Field      string // top-level key of the message ("content", "role", "tool_calls", …); "tools" for tools
}

// Text is a string value: its bytes, and which of them came from the data.
type Text struct {
	s     string
	marks []Span // ascending, not overlapping
	safe  bool   // Markup: the safe filter was applied
}

func plain(s string) Text { return Text{s: s} }

// like gives s the provenance of t as a whole: if any part of t came from the data, all of s did.
func (t Text) like(s string) Text {
	if len(t.marks) == 0 || s == "" {
		return Text{s: s, safe: t.safe}
	}
	m := t.marks[0]
	m.Start, m.End = 0, len(s)
	return Text{s: s, marks: []Span{m}, safe: t.safe}
}

// slice is the bytes [i,j) with their provenance.
func (t Text) slice(i, j int) Text {
	out := Text{s: t.s[i:j], safe: t.safe}
	for _, m := range t.marks {
		if m.End <= i || m.Start >= j {
			continue
		}
		m.Start, m.End = max(m.Start, i)-i, min(m.End, j)-i
		out.marks = append(out.marks, m)
	}
	return out
}

// runes is the length in code points.
func (t Text) runes() int { return utf8.RuneCountInString(t.s) }

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// offsets gives the byte offset of every code point and the length, or nil for ASCII, where they are the same.
func offsets(s string) []int {
	if ascii(s) {
		return nil
	}
	at := make([]int, 0, len(s)+1)
	for i := range s {
		at = append(at, i)
	}
	return append(at, len(s))
}

// builder joins texts and keeps their provenance.
type builder struct {
	b     []byte
	marks []Span
	gens  []Span // output of generation blocks
}

func (b *builder) plain(s string) { b.b = append(b.b, s...) }

func (b *builder) text(t Text) {
	at := len(b.b)
	b.b = append(b.b, t.s...)
	for _, m := range t.marks {
		m.Start += at
		m.End += at
		b.mark(m)
	}
}

// like adds s, marked if the bytes [i,j) of t hold data.
func (b *builder) like(s string, t Text, i, j int) {
	at := len(b.b)
	b.b = append(b.b, s...)
	for _, m := range t.marks {
		if s != "" && m.Start < j && m.End > i {
			m.Start, m.End = at, len(b.b)
			b.mark(m)
			return
		}
	}
}

func (b *builder) mark(m Span) {
	if n := len(b.marks); n > 0 {
		if p := &b.marks[n-1]; p.End == m.Start && p.Message == m.Message && p.Field == m.Field {
			p.End = m.End
			return
		}
	}
	b.marks = append(b.marks, m)
}

func (b *builder) take() Text { return Text{s: string(b.b), marks: b.marks} }

func concat(parts ...Text) Text {
	var b builder
	for _, p := range parts {
		b.text(p)
	}
	return b.take()
}

// isSpace is Python's str.isspace for one code point.
func isSpace(r rune) bool {
	switch {
	case r >= 9 && r <= 13, r >= 0x1c && r <= 0x20, r == 0x85, r == 0xa0, r == 0x1680:
		return true
	case r >= 0x2000 && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

// trim cuts code points that match from the left and the right end.
func (t Text) trim(left, right bool, cut func(rune) bool) Text {
	i, j := 0, len(t.s)
	if left {
		i = len(t.s) - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		j = max(i, len(strings.TrimRightFunc(t.s, cut)))
	}
	return t.slice(i, j)
}

// mapRunes replaces every code point by what f says, keeping provenance.
func (t Text) mapRunes(f func(i int, r rune) string) Text {
	var b builder
	b.b = make([]byte, 0, len(t.s))
	k, m := 0, 0
	for i, r := range t.s {
		s := f(k, r)
		k++
		for m < len(t.marks) && t.marks[m].End <= i {
			m++
		}
		at := len(b.b)
		b.b = append(b.b, s...)
		if m < len(t.marks) && t.marks[m].Start <= i && s != "" {
			sp := t.marks[m]
			sp.Start, sp.End = at, len(b.b)
			b.mark(sp)
		}
	}
	out := b.take()
	out.safe = t.safe
	return out
}

// replace is str.replace; n < 0 means all.
func (t Text) replace(old, with Text, n int) Text {
	if n == 0 {
		return t
	}
	var b builder
	at, done := 0, 0
	if old.s == "" { // before every code point and at the end
		for i, r := range t.s {
			if n < 0 || done < n {
				b.text(with)
				done++
			}
			b.text(t.slice(i, i+utf8.RuneLen(r)))
		}
		if n < 0 || done < n {
			b.text(with)
		}
		return b.take()
	}
	for n < 0 || done < n {
		k := strings.Index(t.s[at:], old.s)
		if k < 0 {
			break
		}
		b.text(t.slice(at, at+k))
		b.text(with)
		at += k + len(old.s)
		done++
	}
	if done == 0 {
		return t
	}
	b.text(t.slice(at, len(t.s)))
	return b.take()
}

// splitlines is str.splitlines.
func (t Text) splitlines(keep bool) []Text {
	var out []Text
	start := 0
	for i := 0; i < len(t.s); {
		r, n := utf8.DecodeRuneInString(t.s[i:])
		if !lineEnd(r) {
			i += n
			continue
		}
		if r == '\r' && i+1 < len(t.s) && t.s[i+1] == '\n' {
			n = 2
		}
		end := i
		if keep {
			end = i + n
		}
		out = append(out, t.slice(start, end))
		i += n
		start = i
	}
	if start < len(t.s) {
		out = append(out, t.slice(start, len(t.s)))
	}
	return out
}

func lineEnd(r rune) bool {
	return r >= 10 && r <= 13 || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

// splitSpace is str.split() without a separator; n < 0 means no limit.
func (t Text) splitSpace(n int) []Text {
	var out []Text
	rest := t.trim(true, false, isSpace)
	for rest.s != "" {
		k := strings.IndexFunc(rest.s, isSpace)
		if k < 0 || n >= 0 && len(out) >= n {
			return append(out, rest)
		}
		out = append(out, rest.slice(0, k))
		rest = rest.slice(k, len(rest.s)).trim(true, false, isSpace)
	}
	return out
}

// rsplitSpace is str.rsplit() without a separator.
func (t Text) rsplitSpace(n int) []Text {
	var rev []Text
	rest := t.trim(false, true, isSpace)
	for rest.s != "" {
		k := strings.LastIndexFunc(rest.s, isSpace)
		if k < 0 || n >= 0 && len(rev) >= n {
			rev = append(rev, rest)
			break
		}
		_, w := utf8.DecodeRuneInString(rest.s[k:])
		rev = append(rev, rest.slice(k+w, len(rest.s)))
		rest = rest.slice(0, k).trim(false, true, isSpace)
	}
	return reversed(rev)
}

// split is str.split(sep, n); n < 0 means no limit.
func (t Text) split(sep string, n int) []Text {
	var out []Text
	at := 0
	for n < 0 || len(out) < n {
		k := strings.Index(t.s[at:], sep)
		if k < 0 {
			break
		}
		out = append(out, t.slice(at, at+k))
		at += k + len(sep)
	}
	return append(out, t.slice(at, len(t.s)))
}

// rsplit is str.rsplit(sep, n).
func (t Text) rsplit(sep string, n int) []Text {
	var rev []Text
	end := len(t.s)
	for n < 0 || len(rev) < n {
		k := strings.LastIndex(t.s[:end], sep)
		if k < 0 {
			break
		}
		rev = append(rev, t.slice(k+len(sep), end))
		end = k
	}
	return reversed(append(rev, t.slice(0, end)))
}

func reversed[T any](in []T) []T {
	out := make([]T, len(in))
	for i, v := range in {
		out[len(in)-1-i] = v
	}
	return out
}
