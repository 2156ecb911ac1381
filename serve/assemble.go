package serve

import (
	"bytes"
	"math"
	"strings"

	"hone/engine"
	"hone/engine/tokenizer"
)

// assembler turns one request's tokens into the text that may be emitted: whole characters only, and nothing that
// may still become a stop string.
type assembler struct {
	tok     *tokenizer.Tokenizer // nil: no text
	pieces  *tokenizer.Stream
	stops   stopMatcher
	held    []byte // text made and not yet emitted
	emitted int    // bytes of text emitted before held
	pending []pendingToken
}

// pendingToken is a token whose text is made and not yet emitted; it covers bytes [start, end) of the text.
type pendingToken struct {
	Token
	start, end int
}

func newAssembler(tok *tokenizer.Tokenizer, r Request) assembler {
	a := assembler{tok: tok, stops: newStopMatcher(r.Stop)}
	if tok == nil {
		return a
	}
	a.pieces = tok.NewStream()
	if last := r.Prompt[len(r.Prompt)-1]; r.Continues && !tok.IsSpecial(last) {
		a.pieces.Push(last) // only so that the next token is not taken for the first of a text
	}
	return a
}

// push takes a generated token and returns what may be emitted now; stopped says that a stop string is complete.
func (a *assembler) push(t engine.Token) (text string, tokens []Token, stopped bool) {
	token := Token{ID: t.ID, LogProb: Finite(t.LogProb), Top: a.candidates(t.Top)}
	if a.tok == nil {
		return "", []Token{token}, false
	}
	if a.tok.IsSpecial(t.ID) {
		return "", nil, false // control tokens are no text
	}
	partial := a.endsInsideCharacter()
	token.Text = a.pieces.Push(t.ID)
	token.Bytes = a.tok.Bytes(t.ID)
	if n := len(token.Text); !partial && n > 0 && len(token.Bytes) > n && bytes.HasSuffix(token.Bytes, []byte(token.Text)) {
		token.Bytes = token.Bytes[len(token.Bytes)-n:] // the space a SentencePiece text does not start with
	}
	start := a.emitted + len(a.held)
	a.pending = append(a.pending, pendingToken{token, start, start + len(token.Text)})
	return a.add(token.Text, false)
}

// flush returns what is left when the text ends for another reason than a stop string. Bytes that never became a
// character come out as U+FFFD.
func (a *assembler) flush() (text string, tokens []Token, stopped bool) {
	if a.tok == nil {
		return "", nil, false
	}
	rest := a.pieces.Flush()
	if n := len(a.pending); n > 0 {
		a.pending[n-1].Text += rest
		a.pending[n-1].end += len(rest)
	}
	return a.add(rest, true)
}

// add appends a piece to the held text and emits what can no longer belong to a stop string; final: all of it.
func (a *assembler) add(piece string, final bool) (string, []Token, bool) {
	for i := range len(piece) {
		if n := a.stops.feed(piece[i]); n > 0 {
			a.held = append(a.held, piece[:i+1]...)
			return a.cut(len(a.held) - n)
		}
	}
	a.held = append(a.held, piece...)
	n := len(a.held)
	if !final {
		n -= a.stops.held()
	}
	text := string(a.held[:n])
	a.held = a.held[:copy(a.held, a.held[n:])]
	a.emitted += n
	return text, a.release(final), false
}

// cut ends the text after the first n held bytes, where a stop string begins.
func (a *assembler) cut(n int) (string, []Token, bool) {
	text, end := string(a.held[:n]), a.emitted+n
	var tokens []Token
	for _, p := range a.pending {
		if p.start >= end {
			break
		}
		if over := p.end - end; over > 0 {
			p.Text = p.Text[:len(p.Text)-over]
			p.Bytes = p.Bytes[:max(len(p.Bytes)-over, 0)]
		}
		tokens = append(tokens, p.Token)
	}
	a.held, a.pending, a.emitted = nil, nil, end
	return text, tokens, true
}

// release returns the pending tokens whose text has been emitted. A token that ends inside a character waits for
// the one that completes it, unless the text is final.
func (a *assembler) release(final bool) []Token {
	n := 0
	for i, p := range a.pending {
		if p.end > a.emitted {
			break
		}
		if final || p.end > p.start {
			n = i + 1
		}
	}
	if n == 0 {
		return nil
	}
	tokens := make([]Token, n)
	for i, p := range a.pending[:n] {
		tokens[i] = p.Token
	}
	a.pending = append(a.pending[:0], a.pending[n:]...)
	return tokens
}

// endsInsideCharacter says whether the tokens so far end with an incomplete character.
func (a *assembler) endsInsideCharacter() bool {
	n := len(a.pending)
	return n > 0 && a.pending[n-1].Text == ""
}

// candidates describes the engine's most likely tokens.
func (a *assembler) candidates(top []engine.TokenLogProb) []Candidate {
	return Candidates(a.tok, top)
}

// Candidates gives the most likely tokens of a place their text; tok may be nil.
func Candidates(tok *tokenizer.Tokenizer, top []engine.TokenLogProb) []Candidate {
	if len(top) == 0 {
		return nil
	}
	out := make([]Candidate, len(top))
	for i, t := range top {
		out[i] = Candidate{ID: t.ID, LogProb: Finite(t.LogProb)}
		if tok != nil {
			out[i].Bytes = tok.Bytes(t.ID)
			out[i].Text = strings.ToValidUTF8(string(out[i].Bytes), "\ufffd")
		}
	}
	return out
}

// Finite keeps a log-probability inside what JSON can carry: a token ruled out has −∞, written as OpenAI does.
func Finite(lp float32) float64 {
	if v := float64(lp); v >= -9999 && !math.IsNaN(v) {
		return v
	}
	return -9999
}
