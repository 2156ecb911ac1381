package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// wordPiece cuts a word into the longest tokens from the left; a word with a hole is unknown as a whole.
type wordPiece struct {
	vocab    map[string]int32
	unk      int32 // -1: the file's unk_token is not in its vocabulary
	prefix   string
	maxChars int
	longest  int // bytes of the longest token
}

func (m *wordPiece) tokenize(r *run, p piece) {
	unknown := func() {
		if m.unk < 0 {
			r.fail(p.s)
			return
		}
		r.add(m.unk, p, 0)
	}
	if utf8.RuneCountInString(p.s) > m.maxChars {
		unknown()
		return
	}
	first := len(r.ids)
	firstStart := len(r.starts)
	for i := 0; i < len(p.s); {
		id, j := m.match(r, p.s, i)
		if j == i {
			r.ids, r.starts = r.ids[:first], r.starts[:firstStart]
			unknown()
			return
		}
		r.add(id, p, i)
		i = j
	}
}

// match returns the longest token at s[i:], or j == i.
func (m *wordPiece) match(r *run, s string, i int) (id int32, j int) {
	buf := r.word.buf[:0]
	if i > 0 {
		buf = append(buf, m.prefix...)
	}
	n := len(buf)
	j = min(len(s), i+max(0, m.longest-n))
	for ; j > i; j-- {
		if j < len(s) && !utf8.RuneStart(s[j]) {
			continue
		}
		buf = append(buf[:n], s[i:j]...)
		if id, ok := m.vocab[string(buf)]; ok {
			r.word.buf = buf
			return id, j
		}
	}
	r.word.buf = buf
	return 0, i
}

// wordLevel takes each word as one token.
type wordLevel struct {
	vocab map[string]int32
	unk   int32
}

func (m *wordLevel) tokenize(r *run, p piece) {
	id, ok := m.vocab[p.s]
	if !ok {
		id = m.unk
	}
	if id < 0 {
		r.fail(p.s)
		return
	}
	r.add(id, p, 0)
}

// fail notes a word that has no token.
func (r *run) fail(word string) {
	if r.err == nil {
		r.err = fmt.Errorf("no token for %.60q: the vocabulary lacks the model's unk_token", strings.ToValidUTF8(word, "\uFFFD"))
	}
}
