package tokenizer

import "strings"

// sentencePiece is the byte-pair half of SentencePiece as "llama" vocabularies want it: neighbours merge where
// their joined text is a token, the highest score first, the leftmost of equal ones; what is left that is no token
// becomes bytes.
type sentencePiece struct {
	vocab   map[string]int32
	scores  []float32
	byteID  [256]int32
	unk     int32
	longest int
	byWord  bool // nothing merges over the front of a mark
	cache   *wordCache
}

// marked returns the vocabulary with its spaces as marks. llama2.c's files spell them as plain spaces, others as
// marks already; the two control tokens keep their text.
func (v Vocab) marked() Vocab {
	spaces := false
	for id, token := range v.Tokens {
		if k := v.kind(int32(id)); k == typeControl || k == typeUserDefined {
			continue
		}
		if strings.Contains(token, spaceMark) {
			return v
		}
		spaces = spaces || strings.Contains(token, " ")
	}
	if !spaces {
		return v
	}
	tokens := make([]string, len(v.Tokens))
	for id, token := range v.Tokens {
		if k := v.kind(int32(id)); k != typeControl && k != typeUserDefined {
			token = strings.ReplaceAll(token, " ", spaceMark)
		}
		tokens[id] = token
	}
	v.Tokens = tokens
	return v
}

// fromLlama builds the pipeline: a space before the text and after every control token, then marks for spaces.
func (t *Tokenizer) fromLlama(v Vocab) {
	m := &sentencePiece{vocab: t.vocab, scores: v.Scores, unk: v.UNK, longest: longestToken(t.vocab), byteID: byteTokens(t.vocab), byWord: true, cache: newWordCache()}
	for token := range t.vocab {
		m.byWord = m.byWord && marksLead(token)
	}
	if len(v.Types) != 0 {
		for id, kind := range v.Types {
			if b, ok := isByteToken(v.Tokens[id]); ok && kind == typeByte {
				m.byteID[b] = int32(id)
			}
		}
	}
	t.model = m
	t.normalize = func(r *run, p piece) piece {
		if v.AddSpacePrefix {
			p = prepend(p, r.track, " ")
		}
		return replaceAll(p, r.track, " ", spaceMark)
	}
	unmark := perToken{f: func(s string, _ bool) string { return strings.ReplaceAll(s, spaceMark, " ") }}
	t.decoder = []decodeStep{unmark, byteFallback{}, fuse{}}
	if v.AddSpacePrefix {
		t.decoder = append(t.decoder, stripEnds{" ", 1, 0})
	}
}

func (m *sentencePiece) tokenize(r *run, p piece) {
	if m.byWord {
		eachMarked(p.s, func(i, j int) { m.word(r, p.slice(i, j)) })
		return
	}
	m.word(r, p)
}

func (m *sentencePiece) word(r *run, p piece) {
	if m.cache.replay(r, p) {
		return
	}
	w := &r.word
	w.syms = w.syms[:0]
	for i := 0; i < len(p.s); {
		n := charLen(p.s, i)
		w.symbol(-1, i, i+n)
		i += n
	}
	w.merge(func(a, b *symbol) (float64, int32, bool) {
		if int(b.end-a.start) > m.longest {
			return 0, 0, false
		}
		id, ok := m.vocab[p.s[a.start:b.end]]
		if !ok {
			return 0, 0, false
		}
		return -float64(m.scores[id]), id, true
	})
	w.compact()
	known := true
	for i := range w.syms {
		s := &w.syms[i]
		id, ok := m.vocab[p.s[s.start:s.end]]
		if ok {
			s.id = id
			r.add(id, p, int(s.start))
			continue
		}
		known = false
		m.spell(r, p, int(s.start), int(s.end))
	}
	if known {
		m.cache.put(p.s, w.syms)
	}
}

// spell appends a character that is no token as its bytes, or as the unknown token.
func (m *sentencePiece) spell(r *run, p piece, i, j int) {
	for k := i; k < j; k++ {
		id := m.byteID[p.s[k]]
		switch {
		case id >= 0:
			r.add(id, p, k)
		case m.unk >= 0:
			r.add(m.unk, p, k)
		default:
			r.fail(p.s[i:j])
		}
	}
}
