package tokenizer

import "fmt"

// buildModel makes the model and the pre-tokenisers, which depend on each other: a byte-pair model that no option
// keeps from it reads the raw bytes where ByteLevel comes last.
func (t *Tokenizer) buildModel(doc *document) (err error) {
	m := doc.model
	if m.vocab == nil {
		return m.node.errorf("no vocab")
	}
	t.vocab = m.vocab
	if t.ids, err = newIDTable(m.vocab); err != nil {
		return m.node.errorf("vocab: %v", err)
	}
	s := m.settings
	bytesOK := m.kind == "BPE" && !s.ByteFallback && deref(s.SubwordPrefix) == "" && deref(s.WordSuffix) == "" && s.UnkToken == nil
	if t.splits, t.byteLevel, err = parseSplitters(doc.splitter, nil, true, bytesOK); err != nil {
		return err
	}
	if m.list != (m.kind == "Unigram") {
		return m.node.errorf("vocab: a %s model wants %s", m.kind, map[bool]string{true: `a list of [token, score]`, false: `an object {"token": id}`}[m.kind == "Unigram"])
	}
	switch m.kind {
	case "BPE":
		return t.buildBPE(m)
	case "Unigram":
		return t.buildUnigram(m)
	case "WordPiece":
		return t.buildWordPiece(m)
	case "WordLevel":
		unk, ok := m.vocab[derefOr(s.UnkToken, "<unk>")]
		if !ok {
			unk = -1
		}
		t.model = &wordLevel{vocab: m.vocab, unk: unk}
		return nil
	}
	return m.node.errorf("type %q is not supported; supported are BPE, Unigram, WordLevel, WordPiece", m.kind)
}

func deref(s *string) string { return derefOr(s, "") }

func derefOr(s *string, or string) string {
	if s == nil {
		return or
	}
	return *s
}

func (t *Tokenizer) buildBPE(m *modelSpec) error {
	s := m.settings
	if s.Dropout != nil && *s.Dropout != 0 {
		return m.node.errorf("dropout is %v: ids would be random; set it to null", *s.Dropout)
	}
	b := &bpe{vocab: m.vocab, fallback: s.ByteFallback, unk: -1, fuseUnk: s.FuseUnk, prefix: deref(s.SubwordPrefix),
		suffix: deref(s.WordSuffix), ignoreMerges: s.IgnoreMerges, cache: newWordCache()}
	if s.UnkToken != nil {
		id, ok := m.vocab[*s.UnkToken]
		if !ok {
			return m.node.errorf("unk_token: the vocabulary lacks %.100q", *s.UnkToken)
		}
		b.unk = id
	}
	if b.fallback {
		b.byteID = byteTokens(m.vocab)
	}
	if t.byteLevel {
		b.readBytes()
	}
	if err := b.addMerges(m.merges, func(i int) string {
		return fmt.Sprintf("%s: byte %d: model.merges[%d]", m.node.file, m.mergeAt[i], i)
	}); err != nil {
		return err
	}
	t.model = b
	return nil
}

func (t *Tokenizer) buildWordPiece(m *modelSpec) error {
	s := m.settings
	w := &wordPiece{vocab: m.vocab, unk: -1, prefix: derefOr(s.SubwordPrefix, "##"), maxChars: 100, longest: longestToken(m.vocab)}
	if s.MaxCharsPerWord != nil {
		w.maxChars = *s.MaxCharsPerWord
	}
	if w.maxChars > maxWordPieceChars {
		return m.node.errorf("max_input_chars_per_word: %d is over the limit of %d", w.maxChars, maxWordPieceChars)
	}
	if id, ok := m.vocab[derefOr(s.UnkToken, "[UNK]")]; ok {
		w.unk = id
	}
	t.model = w
	return nil
}

// maxWordPieceChars bounds a word, whose cutting takes steps by the square of its length.
const maxWordPieceChars = 10000

func (t *Tokenizer) buildUnigram(m *modelSpec) error {
	s := m.settings
	if len(m.pieces) != len(m.scores) {
		return m.node.errorf("vocab: %d tokens but %d scores", len(m.pieces), len(m.scores))
	}
	u := &unigram{vocab: m.vocab, scores: m.scores, unk: -1, fallback: s.ByteFallback}
	if s.UnkID != nil {
		if *s.UnkID < 0 || int(*s.UnkID) >= len(m.pieces) {
			return m.node.errorf("unk_id: %d is not the place of one of %d tokens", *s.UnkID, len(m.pieces))
		}
		u.unk = *s.UnkID
	}
	if u.fallback {
		u.byteID = byteTokens(m.vocab)
	}
	if err := u.index(m.pieces); err != nil {
		return fmt.Errorf("%s: %w", m.node.file, err)
	}
	t.model = u
	return nil
}
