package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// collect gathers the parts of a token for a step that wants it whole.
type collect struct {
	inner decodeState
	buf   strings.Builder
	any   bool
}

func (c *collect) push(s string, begins bool) {
	if begins {
		c.send()
	}
	c.any = true
	c.buf.WriteString(s)
}

func (c *collect) send() {
	if c.any {
		c.inner.push(c.buf.String(), true)
	}
	c.buf.Reset()
	c.any = false
}

func (c *collect) flush() {
	c.send()
	c.inner.flush()
}

// spaced stands for no decoder: tokens with spaces between.
type spaced struct{}

func (spaced) joins() bool           { return true }
func (spaced) bytes(s string) string { return s }
func (spaced) start(emit emitText) decodeState {
	return &spacedState{emit: emit}
}

type spacedState struct {
	emit emitText
	any  bool
}

func (d *spacedState) push(s string, begins bool) {
	if begins && d.any {
		d.emit(" ", false)
	}
	d.emit(s, !d.any)
	d.any = true
}
func (d *spacedState) flush() {}

// fuse makes one token of all.
type fuse struct{}

func (fuse) joins() bool           { return true }
func (fuse) bytes(s string) string { return s }
func (fuse) start(emit emitText) decodeState {
	return &fuseState{emit: emit}
}

type fuseState struct {
	emit emitText
	any  bool
}

func (d *fuseState) push(s string, _ bool) {
	d.emit(s, !d.any)
	d.any = true
}
func (d *fuseState) flush() {}

// byteLevelDecoder turns the byte alphabet back into bytes and those into text; a token with a character that is
// not of the alphabet counts as its own bytes.
type byteLevelDecoder struct{}

func (byteLevelDecoder) joins() bool { return true }
func (byteLevelDecoder) bytes(s string) string {
	if b, ok := alphabet().bytes(nil, s); ok {
		return string(b)
	}
	return s
}
func (byteLevelDecoder) start(emit emitText) decodeState {
	return &byteLevelState{emit: emit, alphabet: alphabet()}
}

type byteLevelState struct {
	emit     emitText
	alphabet *byteAlphabet
	held     []byte // the beginning of a character
	out      []byte
	any      bool
}

func (d *byteLevelState) push(s string, _ bool) {
	n := len(d.held)
	held, ok := d.alphabet.bytes(d.held, s)
	if !ok {
		held = append(held[:n], s...)
	}
	whole := len(held) - incompleteTail(held)
	d.send(held[:whole])
	d.held = append(held[:0], held[whole:]...)
}

func (d *byteLevelState) send(b []byte) {
	if len(b) == 0 {
		return
	}
	d.out = appendLossy(d.out[:0], b)
	d.emit(string(d.out), !d.any)
	d.any = true
}

func (d *byteLevelState) flush() {
	d.send(d.held)
	d.held = nil
}

// byteFallback turns each run of <0xNN> tokens into the text of its bytes; where they are not UTF-8 every one of
// them becomes U+FFFD.
type byteFallback struct{}

func (byteFallback) joins() bool { return false }
func (byteFallback) bytes(s string) string {
	if b, ok := isByteToken(s); ok {
		return string([]byte{b})
	}
	return s
}
func (byteFallback) start(emit emitText) decodeState {
	return &byteFallbackState{emit: emit}
}

type byteFallbackState struct {
	emit emitText
	held []byte
}

func (d *byteFallbackState) push(s string, _ bool) {
	if b, ok := isByteToken(s); ok {
		d.held = append(d.held, b)
		return
	}
	d.flush()
	d.emit(s, true)
}

func (d *byteFallbackState) flush() {
	if len(d.held) == 0 {
		return
	}
	if utf8.Valid(d.held) {
		d.emit(string(d.held), true)
	} else {
		for range d.held {
			d.emit("\uFFFD", true)
		}
	}
	d.held = d.held[:0]
}

// stripEnds takes up to front copies of a character from the start of each token and up to back from its end.
type stripEnds struct {
	content     string
	front, back int
}

func (stripEnds) joins() bool           { return false }
func (stripEnds) bytes(s string) string { return s }
func (d stripEnds) start(emit emitText) decodeState {
	return &stripState{stripEnds: d, emit: emit}
}

type stripState struct {
	stripEnds
	emit emitText
	left int // how many may still go from the front of this token
}

func (d *stripState) push(s string, begins bool) {
	if begins {
		d.left = d.front
	}
	for d.left > 0 && s != "" {
		rest, ok := strings.CutPrefix(s, d.content)
		if !ok {
			d.left = 0
			break
		}
		s = rest
		d.left--
	}
	for range d.back {
		rest, ok := strings.CutSuffix(s, d.content)
		if !ok {
			break
		}
		s = rest
	}
	d.emit(s, begins)
}
func (d *stripState) flush() {}

// perToken maps each token by itself; first tells the first token of all.
type perToken struct {
	f func(s string, first bool) string
}

func (perToken) joins() bool             { return false }
func (d perToken) bytes(s string) string { return d.f(s, false) }
func (d perToken) start(emit emitText) decodeState {
	return &perTokenState{f: d.f, emit: emit, first: true}
}

type perTokenState struct {
	f     func(s string, first bool) string
	emit  emitText
	first bool
}

func (d *perTokenState) push(s string, _ bool) {
	d.emit(d.f(s, d.first), true)
	d.first = false
}
func (d *perTokenState) flush() {}

// metaspaceDecoder turns marks into spaces; those of the first token go unless keep is set.
func metaspaceDecoder(mark string, keep bool) decodeStep {
	return perToken{f: func(s string, first bool) string {
		if first && !keep {
			return strings.ReplaceAll(s, mark, "")
		}
		return strings.ReplaceAll(s, mark, " ")
	}}
}

// wordPieceDecoder joins continuations to what is before them and puts a space before the rest.
func wordPieceDecoder(prefix string, clean bool) decodeStep {
	return perToken{f: func(s string, first bool) string {
		if !first {
			if rest, ok := strings.CutPrefix(s, prefix); ok {
				s = rest
			} else {
				s = " " + s
			}
		}
		if clean {
			s = cleanUp(s)
		}
		return s
	}}
}

// cleanUp draws punctuation and English contractions to the word before them.
func cleanUp(s string) string {
	for _, r := range [][2]string{{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	return s
}

// suffixDecoder turns the end-of-word suffix into a space, and into nothing at the end of the text.
type suffixDecoder struct{ suffix string }

func (suffixDecoder) joins() bool             { return false }
func (d suffixDecoder) bytes(s string) string { return strings.ReplaceAll(s, d.suffix, " ") }
func (d suffixDecoder) start(emit emitText) decodeState {
	return &suffixState{suffix: d.suffix, emit: emit}
}

type suffixState struct {
	suffix string
	emit   emitText
	held   string
	any    bool
}

func (d *suffixState) push(s string, _ bool) {
	if d.any {
		d.emit(strings.ReplaceAll(d.held, d.suffix, " "), true)
	}
	d.held, d.any = s, true
}

func (d *suffixState) flush() {
	if d.any {
		d.emit(strings.ReplaceAll(d.held, d.suffix, ""), true)
	}
	d.any = false
}

// ctc drops repeated tokens and padding and turns the word delimiter into a space.
type ctc struct {
	pad, delimiter string
	clean          bool
}

func (ctc) joins() bool { return false }
func (d ctc) bytes(s string) string {
	s = strings.ReplaceAll(s, d.pad, "")
	if d.clean {
		s = strings.ReplaceAll(cleanUp(s), d.delimiter, " ")
	}
	return s
}
func (d ctc) start(emit emitText) decodeState { return &ctcState{ctc: d, emit: emit} }

type ctcState struct {
	ctc
	emit emitText
	last string
	any  bool
}

func (d *ctcState) push(s string, _ bool) {
	if d.any && s == d.last {
		return
	}
	d.last, d.any = s, true
	if s = d.ctc.bytes(s); s != "" {
		d.emit(s, true)
	}
}
func (d *ctcState) flush() {}
