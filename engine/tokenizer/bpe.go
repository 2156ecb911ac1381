package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// bpe is byte-pair encoding: characters, or bytes, merged by rank.
type bpe struct {
	vocab        map[string]int32
	merges       *pairTable
	bytes        bool       // pre-tokens are raw bytes, the vocabulary is spelt in the byte alphabet
	byteID       [256]int32 // bytes: the symbol of each byte; else with fallback: its <0xNN>; -1: none
	fallback     bool
	unk          int32 // -1: unknown characters are dropped
	fuseUnk      bool
	prefix       string // before every symbol but the first of a word
	suffix       string // after the last
	ignoreMerges bool   // a word that is a token is taken whole
	byWord       bool   // nothing merges over the front of a space mark, and no unknown characters fuse over it
	cache        *wordCache
}

func (m *bpe) tokenize(r *run, p piece) {
	if m.byWord {
		eachMarked(p.s, func(i, j int) { m.word(r, p.slice(i, j)) })
		return
	}
	m.word(r, p)
}

func (m *bpe) word(r *run, p piece) {
	if m.cache.replay(r, p) {
		return
	}
	w := &r.word
	w.syms = w.syms[:0]
	if id, ok := m.whole(w, p.s); ok {
		w.symbol(id, 0, len(p.s))
	} else {
		m.symbols(w, p.s)
		m.merge(w)
	}
	for _, s := range w.syms {
		r.add(s.id, p, int(s.start))
	}
	m.cache.put(p.s, w.syms)
}

// whole looks a word up as one token where the file asks for that.
func (m *bpe) whole(w *wordScratch, s string) (int32, bool) {
	if !m.ignoreMerges {
		return 0, false
	}
	if !m.bytes {
		id, ok := m.vocab[s]
		return id, ok
	}
	w.buf = w.buf[:0]
	a := alphabet()
	for i := range len(s) {
		if c := a.char[s[i]]; c < 0x80 {
			w.buf = append(w.buf, byte(c))
		} else {
			w.buf = append(w.buf, 0xC0|byte(c>>6), 0x80|byte(c&0x3F))
		}
	}
	id, ok := m.vocab[string(w.buf)]
	return id, ok
}

// merge leaves the final symbols in w.syms, side by side.
func (m *bpe) merge(w *wordScratch) {
	if len(w.syms) <= shortWord {
		w.mergeShort(m.merges)
		return
	}
	w.merge(func(a, b *symbol) (float64, int32, bool) {
		rank, id := m.merges.get(a.id, b.id)
		return float64(rank), id, rank != noRank
	})
	w.compact()
}

// compact drops the dead symbols.
func (w *wordScratch) compact() {
	live := w.syms[:0]
	for _, s := range w.syms {
		if !s.dead {
			live = append(live, s)
		}
	}
	w.syms = live
}

// symbols cuts a word into the symbols that merging begins with.
func (m *bpe) symbols(w *wordScratch, s string) {
	unk := symbol{id: -1} // unknown characters not yet added
	flush := func() {
		if unk.id >= 0 {
			w.symbol(unk.id, int(unk.start), int(unk.end))
			unk.id = -1
		}
	}
	for i := 0; i < len(s); {
		n := 1
		if !m.bytes {
			n = charLen(s, i)
		}
		id, ok := m.symbol(w, s, i, i+n)
		switch {
		case ok:
			flush()
			w.symbol(id, i, i+n)
		case m.fallback && m.fallBack(w, s, i, i+n):
			// The unknown characters before stay pending, so they come after these bytes: the reference's way.
		case m.unk >= 0:
			if !m.fuseUnk {
				flush()
			}
			if unk.id < 0 {
				unk = symbol{id: m.unk, start: int32(i)}
			}
			unk.end = int32(i + n)
		}
		i += n
	}
	flush()
}

// symbol looks up the character s[i:j] as it stands in its word.
func (m *bpe) symbol(w *wordScratch, s string, i, j int) (int32, bool) {
	if m.bytes {
		id := m.byteID[s[i]]
		return id, id >= 0
	}
	if (m.prefix == "" || i == 0) && (m.suffix == "" || j < len(s)) {
		id, ok := m.vocab[s[i:j]]
		return id, ok
	}
	w.buf = m.dress(w.buf[:0], s, i, j)
	id, ok := m.vocab[string(w.buf)]
	return id, ok
}

// dress appends s[i:j] with the prefix and suffix of its place.
func (m *bpe) dress(dst []byte, s string, i, j int) []byte {
	if i > 0 {
		dst = append(dst, m.prefix...)
	}
	dst = append(dst, s[i:j]...)
	if j == len(s) {
		dst = append(dst, m.suffix...)
	}
	return dst
}

// fallBack adds a character as its bytes, all or none.
func (m *bpe) fallBack(w *wordScratch, s string, i, j int) bool {
	dressed := s[i:j]
	if m.prefix != "" || m.suffix != "" {
		dressed = string(m.dress(nil, s, i, j))
	}
	for k := range len(dressed) {
		if m.byteID[dressed[k]] < 0 {
			return false
		}
	}
	for k := range len(dressed) {
		at := min(i+k, j-1)
		w.symbol(m.byteID[dressed[k]], at, min(at+1, j))
	}
	return true
}

// byteTokens fills the ids of the tokens <0x00> to <0xFF>.
func byteTokens(vocab map[string]int32) (ids [256]int32) {
	for b := range ids {
		ids[b] = -1
		if id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]; ok {
			ids[b] = id
		}
	}
	return ids
}

// addMerges fills the table; place names merge i for errors.
func (m *bpe) addMerges(merges [][2]string, place func(i int) string) error {
	m.merges = newPairTable(len(merges))
	m.byWord = m.fallback && !slices.Contains(m.byteID[:], -1) && !m.ignoreMerges && m.prefix == "" && m.suffix == ""
	for i, pair := range merges {
		a, okA := m.vocab[pair[0]]
		b, okB := m.vocab[pair[1]]
		for k, ok := range []bool{okA, okB} {
			if !ok {
				return fmt.Errorf("%s: the merge of %.100q and %.100q needs the token %.100q, which the vocabulary lacks", place(i), pair[0], pair[1], pair[k])
			}
		}
		rest, ok := strings.CutPrefix(pair[1], m.prefix)
		if !ok {
			if len(pair[1]) < len(m.prefix) {
				return fmt.Errorf("%s: %.100q is shorter than the continuing_subword_prefix", place(i), pair[1])
			}
			rest = pair[1][len(m.prefix):]
		}
		id, ok := m.vocab[pair[0]+rest]
		if !ok {
			return fmt.Errorf("%s: %.100q and %.100q merge to %.100q, which the vocabulary lacks", place(i), pair[0], pair[1], pair[0]+rest)
		}
		m.merges.set(a, b, int32(i), id)
		m.byWord = m.byWord && marksLead(pair[0]+rest)
	}
	return nil
}

// readBytes switches the model to raw bytes.
func (m *bpe) readBytes() {
	m.bytes = true
	for b, c := range alphabet().char {
		m.byteID[b] = -1
		if id, ok := m.vocab[string(c)]; ok {
			m.byteID[b] = id
		}
	}
}
