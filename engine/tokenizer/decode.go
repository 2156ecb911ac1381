package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decoding is a chain of steps. Each takes the tokens one after the other and passes text on as soon as it is
// settled, so that a stream and a whole decode are the same thing. A step may join tokens into one; what it passes
// on is then a part of a token, and begins tells where one begins.

// decodeStep is the immutable description of a step.
type decodeStep interface {
	// start returns a fresh state that passes text on to emit.
	start(emit emitText) decodeState
	// bytes is what the step makes of one token taken by itself.
	bytes(s string) string
	// joins says whether the step makes one token of all.
	joins() bool
}

// emitText takes text; begins says whether a new token begins with it.
type emitText func(s string, begins bool)

type decodeState interface {
	push(s string, begins bool)
	flush()
}

// decoderSpec is the union of the fields of every decoder of tokenizer.json.
type decoderSpec struct {
	Type          string
	Decoders      []rawNode
	Pattern       *patternSpec
	Content       string
	Start, Stop   int
	Replacement   string
	PrependScheme string `json:"prepend_scheme"`
	AddPrefix     *bool  `json:"add_prefix_space"`
	Prefix        *string
	Cleanup       *bool
	Suffix        *string
	PadToken      *string `json:"pad_token"`
	WordDelimiter *string `json:"word_delimiter_token"`
}

// parseDecoder returns the steps in order; none means that tokens are joined with spaces.
func parseDecoder(n node) ([]decodeStep, error) {
	if n.null() {
		return []decodeStep{spaced{}}, nil
	}
	steps, err := appendDecoder(nil, n)
	if err == nil && len(steps) == 0 {
		steps = append(steps, fuse{}) // an empty sequence: tokens are joined as they are
	}
	return steps, err
}

func appendDecoder(steps []decodeStep, n node) ([]decodeStep, error) {
	var s decoderSpec
	if err := n.decode(&s); err != nil {
		return nil, err
	}
	yes := func(b *bool) bool { return b == nil || *b }
	switch s.Type {
	case "Sequence":
		for i, raw := range s.Decoders {
			var err error
			if steps, err = appendDecoder(steps, n.child("decoders", i, raw)); err != nil {
				return nil, err
			}
		}
		return steps, nil
	case "ByteLevel":
		return append(steps, byteLevelDecoder{}), nil
	case "ByteFallback":
		return append(steps, byteFallback{}), nil
	case "Fuse":
		return append(steps, fuse{}), nil
	case "Strip":
		if utf8.RuneCountInString(s.Content) != 1 || s.Start < 0 || s.Stop < 0 {
			return nil, n.errorf("want one character as content and counts from 0, have %q, %d, %d", s.Content, s.Start, s.Stop)
		}
		return append(steps, stripEnds{s.Content, s.Start, s.Stop}), nil
	case "Replace":
		pat, err := s.Pattern.compile(n)
		if err != nil {
			return nil, err
		}
		return append(steps, perToken{f: func(t string, _ bool) string { return pat.replace(t, s.Content) }}), nil
	case "Metaspace":
		keep := s.PrependScheme == "never" || s.PrependScheme == "" && !yes(s.AddPrefix)
		return append(steps, metaspaceDecoder(cmpOr(s.Replacement, "▁"), keep)), nil
	case "WordPiece":
		return append(steps, wordPieceDecoder(derefOr(s.Prefix, "##"), yes(s.Cleanup))), nil
	case "BPEDecoder":
		return append(steps, suffixDecoder{derefOr(s.Suffix, "</w>")}), nil
	case "CTC":
		return append(steps, ctc{derefOr(s.PadToken, "<pad>"), derefOr(s.WordDelimiter, "|"), yes(s.Cleanup)}), nil
	}
	return nil, n.errorf("decoder type %q is not supported; supported are BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece", s.Type)
}

// replace puts content in place of every match in s.
func (p *pattern) replace(s, content string) string {
	var b strings.Builder
	from := 0
	p.each(&run{}, s, func(i, j int) {
		b.WriteString(s[from:i])
		b.WriteString(content)
		from = j
	})
	if from == 0 && b.Len() == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}

// Decode returns the text of ids; ids that the tokenizer does not have are left out, and with skipSpecial special
// tokens too. Bytes that are not UTF-8 become U+FFFD as the reference does it.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var b strings.Builder
	s := t.newStream(skipSpecial, func(text string, _ bool) { b.WriteString(text) })
	for _, id := range ids {
		s.push(id)
	}
	s.flush()
	return b.String()
}

// Bytes returns the raw bytes that one token stands for in the midst of a text, nil for an unknown id.
func (t *Tokenizer) Bytes(id int32) []byte {
	s, ok := t.Token(id)
	if !ok {
		return nil
	}
	for _, step := range t.decoder {
		s = step.bytes(s)
	}
	return []byte(s)
}

// Stream decodes ids one at a time.
type Stream struct {
	// KeepSpecial says that special tokens are to be part of the text; set it before the first Push.
	KeepSpecial bool

	t      *Tokenizer
	states []decodeState
	out    []byte
}

// NewStream returns a stream whose pieces add up to what Decode returns for the same ids, special tokens left out
// unless KeepSpecial is set.
func (t *Tokenizer) NewStream() *Stream {
	var s *Stream
	s = t.newStream(true, func(text string, _ bool) { s.out = append(s.out, text...) })
	return s
}

func (t *Tokenizer) newStream(skipSpecial bool, emit emitText) *Stream {
	s := &Stream{t: t, KeepSpecial: !skipSpecial, states: make([]decodeState, len(t.decoder))}
	for i := len(t.decoder) - 1; i >= 0; i-- {
		s.states[i] = t.decoder[i].start(emit)
		if i > 0 && joinedBefore(t.decoder[:i]) && needsWhole(t.decoder[i]) {
			s.states[i] = &collect{inner: s.states[i]}
		}
		emit = s.states[i].push
	}
	return s
}

// joinedBefore says whether one of the steps makes one token of all.
func joinedBefore(steps []decodeStep) bool {
	for _, s := range steps {
		if s.joins() {
			return true
		}
	}
	return false
}

// needsWhole says whether a step must see whole tokens.
func needsWhole(s decodeStep) bool {
	switch s := s.(type) {
	case fuse, spaced:
		return false
	case stripEnds:
		return s.back > 0
	}
	return true
}

func (s *Stream) push(id int32) {
	token, ok := s.t.Token(id)
	if ok && (s.KeepSpecial || !s.t.IsSpecial(id)) {
		s.states[0].push(token, true)
	}
}

func (s *Stream) flush() {
	for _, state := range s.states {
		state.flush()
	}
}

// Push takes the next id and returns the text that is settled by it: whole characters, nothing that a later id
// could change. A run of <0xNN> byte tokens is held until it ends, because one bad byte spoils the run.
func (s *Stream) Push(id int32) string {
	s.push(id)
	return s.take()
}

// Flush returns what was held back; the stream is then done.
func (s *Stream) Flush() string {
	s.flush()
	return s.take()
}

func (s *Stream) take() string {
	text := string(s.out)
	s.out = s.out[:0]
	return text
}
