package tokenizer

import (
	"fmt"
	"os"
)

// Tokenizer turns text into ids and back. It is immutable once made and safe for concurrent use.
type Tokenizer struct {
	name      string
	hash      string
	ids       idTable          // id -> token, added tokens over the model's
	vocab     map[string]int32 // token -> id of the model
	added     added
	normalize normalizer // nil: none
	splits    []splitter
	model     model
	byteLevel bool // the model works on bytes; its vocabulary has been spelt back from the byte alphabet
	before    []int32
	after     []int32 // ids that AddSpecial puts around the text
	decoder   []decodeStep
}

// Options say what Encode does beside the plain text.
type Options struct {
	Control    bool // match special added tokens in the text
	AddSpecial bool // add BOS and EOS as the model does
}

// Span is a range of bytes [Start,End) of a text.
type Span struct{ Start, End int }

// Load reads a tokenizer.json.
func Load(path string) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return Parse(path, data)
}

// Token returns the token of an id as its vocabulary spells it (GPT-2 kinds spell bytes by their own alphabet).
func (t *Tokenizer) Token(id int32) (string, bool) {
	if tok, ok := t.added.byID[id]; ok {
		return tok.content, true
	}
	return t.ids.get(id)
}

// ID returns the id of a token spelt as Token spells it; added tokens come before the model's.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added.ids[token]; ok {
		return id, true
	}
	id, ok := t.vocab[token]
	return id, ok
}

// Size returns one more than the highest id.
func (t *Tokenizer) Size() int {
	n := t.ids.size()
	for id := range t.added.byID {
		n = max(n, int(id)+1)
	}
	return n
}

// IsSpecial says whether id is a special token: a control token, which skipSpecial leaves out of decoded text.
func (t *Tokenizer) IsSpecial(id int32) bool {
	tok, ok := t.added.byID[id]
	return ok && tok.special
}

// Hash returns the SHA-256, in hexadecimal, of what defines the tokenizer: the bytes of its tokenizer.json, or
// every field of its vocabulary.
func (t *Tokenizer) Hash() string { return t.hash }

// idTable maps ids to tokens: a slice where the ids are dense, a map where they are not, so that a few huge ids
// cost nothing.
type idTable struct {
	dense  []string
	have   []uint64
	sparse map[int32]string
	top    int32
}

// newIDTable inverts a vocabulary and reports two tokens of one id.
func newIDTable(vocab map[string]int32) (idTable, error) {
	t := idTable{top: -1}
	for _, id := range vocab {
		t.top = max(t.top, id)
	}
	if int(t.top) < 2*len(vocab)+1024 {
		t.dense = make([]string, t.top+1)
		t.have = make([]uint64, (int(t.top)+64)/64)
	} else {
		t.sparse = make(map[int32]string, len(vocab))
	}
	for token, id := range vocab {
		if old, ok := t.get(id); ok {
			return t, fmt.Errorf("id %d belongs to two tokens, %q and %q", id, min(old, token), max(old, token))
		}
		if t.dense != nil {
			t.dense[id] = token
			t.have[id/64] |= 1 << (id % 64)
		} else {
			t.sparse[id] = token
		}
	}
	return t, nil
}

func (t *idTable) get(id int32) (string, bool) {
	if id < 0 || id > t.top {
		return "", false
	}
	if t.dense != nil {
		return t.dense[id], t.have[id/64]>>(id%64)&1 == 1
	}
	s, ok := t.sparse[id]
	return s, ok
}

func (t *idTable) size() int { return int(t.top) + 1 }
