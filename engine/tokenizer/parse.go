package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"unsafe"
)

// modelSpec is the model of a tokenizer.json as it was read.
type modelSpec struct {
	node     node
	kind     string
	vocab    map[string]int32
	pieces   []string // Unigram's vocabulary is a list
	scores   []float64
	list     bool // the vocabulary is a list
	merges   [][2]string
	mergeAt  []int // byte offset of each merge
	settings modelSettings
}

// modelSettings are the small fields of every model.
type modelSettings struct {
	Type            *string
	UnkToken        *string  `json:"unk_token"`
	UnkID           *int32   `json:"unk_id"`
	Dropout         *float64 `json:"dropout"`
	SubwordPrefix   *string  `json:"continuing_subword_prefix"`
	WordSuffix      *string  `json:"end_of_word_suffix"`
	FuseUnk         bool     `json:"fuse_unk"`
	ByteFallback    bool     `json:"byte_fallback"`
	IgnoreMerges    bool     `json:"ignore_merges"`
	MaxCharsPerWord *int     `json:"max_input_chars_per_word"`
}

// addedSpec is one entry of added_tokens.
type addedSpec struct {
	ID         int64 `json:"id"`
	Content    string
	Special    bool
	Normalized bool
	Lstrip     bool
	Rstrip     bool
	SingleWord bool `json:"single_word"`
}

// document is a tokenizer.json as it was read.
type document struct {
	normalizer, splitter, post, decoder node
	model                               *modelSpec
	added                               []addedToken
}

// Parse reads the bytes of a tokenizer.json; name stands for the file in errors, which also give the place.
// Truncation and padding in the file are ignored. data must not change afterwards.
func Parse(name string, data []byte) (*Tokenizer, error) {
	text := unsafe.String(unsafe.SliceData(data), len(data))
	if err := checkUTF8(name, text); err != nil {
		return nil, err
	}
	doc, err := readDocument(name, text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	t := &Tokenizer{name: name, hash: hex.EncodeToString(sum[:])}
	if t.normalize, err = parseNormalizer(doc.normalizer); err != nil {
		return nil, err
	}
	if err := t.buildModel(doc); err != nil {
		return nil, err
	}
	t.added.assign(doc.added, t.vocab)
	r := &run{}
	t.added.index(r, t.normalize)
	if r.err != nil {
		return nil, fmt.Errorf("%s: normalizer: %w", name, r.err)
	}
	if t.before, t.after, err = parsePost(doc.post); err != nil {
		return nil, err
	}
	if t.decoder, err = parseDecoder(doc.decoder); err != nil {
		return nil, err
	}
	return t, nil
}

// readDocument takes the file apart.
func readDocument(name, text string) (*document, error) {
	doc := &document{}
	r := &reader{file: name, s: text}
	place := func(path string) (node, error) {
		r.peek()
		at := r.i
		raw, err := r.raw()
		return node{name, path, rawNode(raw), at}, err
	}
	err := r.object("tokenizer.json", func(key string) (err error) {
		switch key {
		case "normalizer":
			doc.normalizer, err = place(key)
		case "pre_tokenizer":
			doc.splitter, err = place(key)
		case "post_processor":
			doc.post, err = place(key)
		case "decoder":
			doc.decoder, err = place(key)
		case "added_tokens":
			if r.peek() == 'n' {
				_, err = r.raw()
				return err
			}
			return doc.readAdded(r)
		case "model":
			doc.model, err = readModel(r)
		default:
			_, err = r.raw()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.peek() != 0 || r.i < len(r.s) {
		return nil, r.errorf("want the end of the file, have %s", r.what())
	}
	if doc.model == nil {
		return nil, fmt.Errorf("%s: no model: this is not a tokenizer.json", name)
	}
	return doc, nil
}

func (doc *document) readAdded(r *reader) error {
	return r.list("added_tokens", func(i int) error {
		r.peek()
		at := r.i
		raw, err := r.raw()
		if err != nil {
			return err
		}
		n := node{r.file, fmt.Sprintf("added_tokens[%d]", i), rawNode(raw), at}
		var s addedSpec
		if err := n.decode(&s); err != nil {
			return err
		}
		if len(s.Content) > maxAddedToken {
			return n.errorf("the content is %d bytes long; the limit is %d", len(s.Content), maxAddedToken)
		}
		if s.ID < 0 || s.ID > maxID {
			return n.errorf("id %d is not from 0 to %d", s.ID, maxID)
		}
		doc.added = append(doc.added, addedToken{content: s.Content, special: s.Special, normalized: s.Normalized,
			lstrip: s.Lstrip, rstrip: s.Rstrip, singleWord: s.SingleWord})
		return nil
	})
}

// readModel reads the model; its vocabulary and merges are read in place, the small fields through encoding/json.
func readModel(r *reader) (*modelSpec, error) {
	r.peek()
	m := &modelSpec{node: node{r.file, "model", nil, r.i}}
	small := []byte("{")
	err := r.object("model", func(key string) error {
		switch key {
		case "vocab":
			return m.readVocab(r)
		case "merges":
			return m.readMerges(r)
		}
		raw, err := r.raw()
		if err != nil {
			return err
		}
		if len(small) > 1 {
			small = append(small, ',')
		}
		small = strconv.AppendQuote(small, key)
		small = append(append(small, ':'), raw...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.node.raw = append(small, '}')
	if err := m.node.decode(&m.settings); err != nil {
		return nil, err
	}
	m.kind = m.settings.guess(m)
	return m, nil
}

// guess names the model's type where an old file does not.
func (s modelSettings) guess(m *modelSpec) string {
	switch {
	case s.Type != nil:
		return *s.Type
	case m.merges != nil:
		return "BPE"
	case m.list:
		return "Unigram"
	case s.SubwordPrefix != nil || s.MaxCharsPerWord != nil:
		return "WordPiece"
	}
	return "WordLevel"
}

// readVocab reads {"token": id, …} or Unigram's [["token", score], …].
func (m *modelSpec) readVocab(r *reader) error {
	m.vocab = map[string]int32{}
	if r.peek() == '[' {
		m.list = true
		return r.list("model.vocab", func(i int) error { return m.readPiece(r, i) })
	}
	return r.object("model.vocab", func(token string) error {
		at := r.i
		id, err := r.id("model.vocab." + token)
		if err == nil && id > maxID {
			r.i = at
			err = r.errorf("model.vocab: the id %d of %.100q is over %d", id, token, maxID)
		}
		m.vocab[token] = id
		return err
	})
}

// maxID bounds token ids; the largest vocabularies stay under a million.
const maxID = 1 << 28

func (m *modelSpec) readPiece(r *reader, i int) error {
	place := fmt.Sprintf("model.vocab[%d]", i)
	return r.list(place, func(k int) error {
		switch k {
		case 0:
			token, err := r.str(place)
			m.pieces = append(m.pieces, token)
			m.vocab[token] = int32(i)
			return err
		case 1:
			s, err := r.number(place)
			if err != nil {
				return err
			}
			score, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return r.errorf("%s: score %s is not a number", place, s)
			}
			m.scores = append(m.scores, score)
			return nil
		}
		return r.errorf("%s: want a token and its score, have more", place)
	})
}

// readMerges reads ["a b", …] or [["a", "b"], …].
func (m *modelSpec) readMerges(r *reader) error {
	m.merges = [][2]string{}
	return r.list("model.merges", func(i int) error {
		var pair [2]string
		r.peek()
		m.mergeAt = append(m.mergeAt, r.i)
		if r.peek() == '[' {
			n := 0
			err := r.list("a merge", func(k int) (err error) {
				if n++; k > 1 {
					return r.errorf("model.merges[%d]: want two tokens, have more", i)
				}
				pair[k], err = r.str("a merge")
				return err
			})
			if err == nil && n != 2 {
				err = r.errorf("model.merges[%d]: want two tokens, have %d", i, n)
			}
			m.merges = append(m.merges, pair)
			return err
		}
		s, err := r.str("a merge")
		if err != nil {
			return err
		}
		pair, ok := splitMerge(s)
		if !ok {
			return r.errorf("model.merges[%d]: %.100q is not two tokens with one space between", i, s)
		}
		m.merges = append(m.merges, pair)
		return nil
	})
}

// splitMerge cuts "a b" at its only space.
func splitMerge(s string) (pair [2]string, ok bool) {
	at := -1
	for i := range len(s) {
		if s[i] != ' ' {
			continue
		}
		if at >= 0 {
			return pair, false
		}
		at = i
	}
	if at < 0 {
		return pair, false
	}
	return [2]string{s[:at], s[at+1:]}, true
}
