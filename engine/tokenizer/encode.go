package tokenizer

import "unicode/utf8"

// run is the state of one encoding.
type run struct {
	track  bool // keep offsets
	ids    []int32
	starts []int
	err    error // the first thing that went wrong
	word   wordScratch
}

// add appends a token that begins at byte i of p.
func (r *run) add(id int32, p piece, i int) {
	r.ids = append(r.ids, id)
	if r.track {
		r.starts = append(r.starts, p.origin(i))
	}
}

// Encode returns the ids of text. It has no error to give: where a pattern of the tokenizer runs out of its time
// the rest of that text stays one word, and a word that the model has no token for is left out; EncodeChecked
// reports both.
func (t *Tokenizer) Encode(text string, o Options) []int32 {
	ids, _ := t.EncodeChecked(text, o)
	return ids
}

// EncodeChecked is Encode that also reports what kept it from being exact.
func (t *Tokenizer) EncodeChecked(text string, o Options) ([]int32, error) {
	r := &run{}
	if o.AddSpecial {
		r.ids = append(r.ids, t.before...)
	}
	allowed := func(tok *addedToken, _, _ int) bool { return o.Control || !tok.guarded() }
	t.encode(r, text, allowed)
	if o.AddSpecial {
		r.ids = append(r.ids, t.after...)
	}
	return r.ids, r.err
}

// EncodeSpans tokenises text once, as a whole. Special tokens, and tokens that look like them (<|…|>), are matched
// only where no byte of them lies in one of the literal spans, which ascend; all other text is tokenised as if the
// spans were not there, so a word may cross a border. starts[i] is the offset in text of the first byte of token i,
// within a character where the token begins there; starts never fall, so where a normaliser swaps two marks both
// count from the later one. No BOS or EOS is added.
func (t *Tokenizer) EncodeSpans(text string, literal []Span) (ids []int32, starts []int) {
	r := &run{track: true}
	allowed := func(tok *addedToken, i, j int) bool { return !tok.guarded() || !touches(literal, i, j) }
	t.encode(r, text, allowed)
	for i := 1; i < len(r.starts); i++ {
		r.starts[i] = max(r.starts[i], r.starts[i-1])
	}
	return r.ids, r.starts
}

// touches says whether one of the ascending spans has a byte in [i,j).
func touches(spans []Span, i, j int) bool {
	lo, hi := 0, len(spans)
	for lo < hi { // the first span that ends after i
		m := (lo + hi) / 2
		if spans[m].End > i {
			hi = m
		} else {
			lo = m + 1
		}
	}
	for ; lo < len(spans) && spans[lo].Start < j; lo++ {
		if spans[lo].Start < spans[lo].End {
			return true
		}
	}
	return false
}

// encode runs text through the pipeline into r. allowed decides by the token and the bytes of text it would take.
func (t *Tokenizer) encode(r *run, text string, allowed func(tok *addedToken, i, j int) bool) {
	emit := t.chain(r)
	token := func(id int32, at int) {
		r.ids = append(r.ids, id)
		if r.track {
			r.starts = append(r.starts, at)
		}
	}
	inPiece := func(p piece) func(tok *addedToken, i, j int) bool {
		if !r.track {
			return allowed
		}
		return func(tok *addedToken, i, j int) bool { return allowed(tok, p.origin(i), p.origin(j)) }
	}
	if text == "" {
		return
	}
	whole := wellFormed(text, r.track)
	t.added.raw.split(whole, inPiece(whole), func(p piece) {
		if t.normalize != nil {
			p = t.normalize(r, p)
		}
		t.added.normalized.split(p, inPiece(p), emit, token)
	}, token)
}

// chain links the pre-tokenisers and the model.
func (t *Tokenizer) chain(r *run) func(piece) {
	next := func(p piece) {
		if p.s != "" {
			t.model.tokenize(r, p)
		}
	}
	for i := len(t.splits) - 1; i >= 0; i-- {
		split, rest := t.splits[i], next
		next = func(p piece) {
			if p.s != "" {
				split(r, p, rest)
			}
		}
	}
	return next
}

// model turns one pre-token into ids.
type model interface {
	tokenize(r *run, p piece)
}

// charLen returns the width of the character of s at i: of a byte in byte-level text.
func charLen(s string, i int) int {
	_, n := utf8.DecodeRuneInString(s[i:])
	return n
}
