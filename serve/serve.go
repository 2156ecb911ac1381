// Package serve turns one model into text for many callers at once. A Scheduler owns the model's decode loop:
// requests join the batch between two steps and leave it when they finish, so a short answer never waits for a
// long one. The package decides who runs and when a text ends; what the next token is, is the engine's business,
// and it depends on the request alone, never on the requests beside it.
package serve

import (
	"errors"
	"fmt"

	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
)

// Model is what a Scheduler serves. Base is shared by every adapter; Tokenizer may be nil, and then events carry
// token ids and no text; Template may be nil and is not used by the Scheduler, only handed on by its Model method.
type Model struct {
	Base      *engine.Base
	Tokenizer *tokenizer.Tokenizer
	Template  *chat.Template
	EOS       []int32 // any of these ids ends a text
}

// Request is one text to generate.
type Request struct {
	Adapter   *engine.Adapter // nil: the base alone
	Prompt    []int32         // at least one token, and fewer than the context holds
	MaxTokens int             // most tokens to generate; 0, or more than the context has left: all it has left
	Stop      []string        // the text ends before the first of these to be complete; none may be empty
	EOS       []int32         // ids that end this text besides Model.EOS, as Scheduler.EndOfTurn for a chat
	IgnoreEOS bool            // go on past all of them until MaxTokens
	Continues bool            // the text goes on from the prompt's last token instead of opening a new message, which decides whether a SentencePiece model's first space is kept
	Sampling  engine.Sampling
}

// Token is one generated token whose text has been emitted. The Text of all tokens of a request, joined, is the
// text of the request; a token that ends inside a character has an empty Text, and the token that completes the
// character carries it. Bytes are the token's own bytes, cut where a stop string cut the text.
type Token struct {
	ID      int32
	Text    string
	Bytes   []byte
	LogProb float64
	Top     []Candidate // the Sampling.TopLogProbs most likely tokens at this place, best first
}

// Candidate is a token that could have stood at a place, with its log-probability.
type Candidate struct {
	ID      int32
	Text    string // the bytes as UTF-8, U+FFFD where they are not
	Bytes   []byte
	LogProb float64
}

// Usage counts the tokens a request has cost so far, the end-of-text token included.
type Usage struct {
	Prompt     int
	Completion int
}

// Finish reasons of an Event.
const (
	FinishStop   = "stop"   // the model ended the text, or a stop string did
	FinishLength = "length" // MaxTokens or the context ended it
)

// Event is a piece of a request's text. The last event of a request has either Finish or Err set, and its Usage
// is final even when Err is set. A reader slower than the model gets fewer, longer events: while an event waits
// to be read, later ones are added to it.
type Event struct {
	Text   string
	Tokens []Token
	Finish string
	Usage  Usage
	Err    error
}

// ErrBusy says that the waiting line is full; trying again later may succeed.
var ErrBusy = errors.New("the waiting line is full")

// ErrClosed says that the scheduler is shutting down or has shut down.
var ErrClosed = errors.New("the scheduler is shutting down")

// ErrEngine marks failures of the engine that are not the request's fault.
var ErrEngine = errors.New("the engine failed")

// PromptTooLongError is returned for a prompt that leaves no room for a single generated token.
type PromptTooLongError struct {
	Prompt  int // tokens in the prompt
	Context int // positions the model has
}

// Error says how long the prompt is and how long it may be.
func (e *PromptTooLongError) Error() string {
	return fmt.Sprintf("the prompt has %d tokens, and the model's context of %d leaves room for at most %d; shorten the prompt", e.Prompt, e.Context, max(e.Context-1, 0))
}

// RequestError is returned for a request that no model could run as it is.
type RequestError struct {
	Field  string // the Request field at fault, as "Prompt"
	Reason string
}

// Error names the field and the reason.
func (e *RequestError) Error() string { return e.Field + ": " + e.Reason }

// ChoiceSeed derives the seed of the choice-th of several answers to one request. Choice 0 keeps the seed, so
// that asking for more answers does not change the first; the others are spread by the splitmix64 finaliser.
func ChoiceSeed(seed uint64, choice int) uint64 {
	if choice == 0 {
		return seed
	}
	z := seed + uint64(choice)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
