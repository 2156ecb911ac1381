package data

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"hone/engine/chat"
	"hone/engine/tokenizer"
)

// Encoder turns rows into token ids as one model reads them. The zero value encodes Tokens rows alone.
type Encoder struct {
	Tokenizer *tokenizer.Tokenizer // nil: text of any kind is refused
	Template  *chat.Template       // nil: chat rows are refused
	EOS       []int32              // ids that end a text; the first is appended to plain completions
	Vocab     int                  // ids must be below it; 0 = not checked
	Now       time.Time            // what templates that print a date print
}

// Example is a row in tokens.
type Example struct {
	Tokens  []int32
	Weights []float32 // 1 where predicting Tokens[i] is trained, else 0; Weights[0] is 0, nothing predicts the first token
	Trained int       // positions with a weight
	Text    string    // what the tokens say; "" for Tokens rows
}

var errNoTokenizer = errors.New("the model has no tokenizer: train on input_ids rows, or put tokenizer.json beside the weights")

// Encode turns one row into tokens. The errors say what is wrong without the row's place, which the caller knows.
func (e *Encoder) Encode(r Row) (Example, error) {
	switch {
	case r.Kind == Tokens:
		return e.tokens(r)
	case e.Tokenizer == nil:
		return Example{}, errNoTokenizer
	case r.Messages != nil:
		return e.chat(r)
	case r.Kind == Prompt:
		return e.prompt(r)
	}
	return e.text(r)
}

func (e *Encoder) chat(r Row) (Example, error) {
	if e.Template == nil {
		return Example{}, errors.New("the model has no chat template: train on prompt/completion or text rows, or put chat_template.jinja beside the weights")
	}
	ids, trained, text, err := e.Template.Example(e.Tokenizer, r.Messages, r.Tools, e.Now)
	if err != nil {
		return Example{}, err
	}
	return e.finish(ids, text, func(i int) bool { return trained[i] })
}

// prompt joins prompt and completion before it tokenises, so that the tokens are those the model will meet, and
// trains every token whose first byte is the completion's, and the end of text after it.
func (e *Encoder) prompt(r Row) (Example, error) {
	if len(e.EOS) == 0 {
		return Example{}, errors.New("the model names no end-of-text token, which a plain completion is trained to end with: set eos_token_id in its config.json")
	}
	text := r.Prompt + r.Completion
	ids, starts := e.Tokenizer.EncodeSpans(text, nil)
	before, after := e.affixes()
	all := append(append([]int32{}, before...), ids...)
	first := len(all)
	for i, start := range starts {
		if start >= len(r.Prompt) {
			first = len(before) + i
			break
		}
	}
	all = append(all, e.EOS[0])
	if len(after) > 0 && after[0] == e.EOS[0] {
		after = after[1:]
	}
	all = append(all, after...)
	end := len(all) - len(after)
	return e.finish(all, text, func(i int) bool { return i >= first && i < end })
}

func (e *Encoder) text(r Row) (Example, error) {
	ids := e.Tokenizer.Encode(r.Text, tokenizer.Options{Control: true, AddSpecial: true})
	return e.finish(ids, r.Text, func(int) bool { return true })
}

func (e *Encoder) tokens(r Row) (Example, error) {
	return e.finish(r.InputIDs, "", func(i int) bool { return r.Labels == nil || r.Labels[i] != Ignore })
}

// affixes returns what the model's tokenizer puts before and after a text of its own.
func (e *Encoder) affixes() (before, after []int32) {
	const probe = "a"
	plain := e.Tokenizer.Encode(probe, tokenizer.Options{})
	whole := e.Tokenizer.Encode(probe, tokenizer.Options{AddSpecial: true})
	for at := 0; at+len(plain) <= len(whole); at++ {
		if equal(whole[at:at+len(plain)], plain) {
			return whole[:at], whole[at+len(plain):]
		}
	}
	return nil, nil
}

func equal(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (e *Encoder) finish(ids []int32, text string, trained func(i int) bool) (Example, error) {
	if len(ids) == 0 {
		return Example{}, errors.New("the row has no tokens")
	}
	x := Example{Tokens: ids, Weights: make([]float32, len(ids)), Text: text}
	for i, id := range ids {
		if id < 0 || e.Vocab > 0 && int(id) >= e.Vocab {
			return Example{}, fmt.Errorf("token %d at position %d is outside the model's vocabulary of %d", id, i, e.Vocab)
		}
		if i > 0 && trained(i) {
			x.Weights[i] = 1
			x.Trained++
		}
	}
	return x, nil
}

// specials returns the texts of the tokenizer's control tokens.
func (e *Encoder) specials() []string {
	if e == nil || e.Tokenizer == nil {
		return nil
	}
	var out []string
	for id := range int32(e.Tokenizer.Size()) {
		// Shorter ones than three letters ("<", "[", "</") would be found in ordinary text.
		if text, ok := e.Tokenizer.Token(id); ok && len(text) > 2 && e.Tokenizer.IsSpecial(id) {
			out = append(out, text)
		}
	}
	return out
}

// controlText warns of text in a row that looks like one of the control tokens in specials.
func controlText(r Row, specials []string) (field, token string, found bool) {
	find := func(s string) bool {
		if !strings.ContainsAny(s, "<[|") { // what nearly all control tokens are written with
			return false
		}
		for _, t := range specials {
			if strings.Contains(s, t) {
				token = t
				return true
			}
		}
		return false
	}
	for i, m := range r.Messages {
		if find(m.Content) {
			return fmt.Sprintf("messages[%d].content", i), token, true
		}
	}
	for _, f := range []struct{ name, text string }{{"prompt", r.Prompt}, {"completion", r.Completion}, {"text", r.Text}} {
		if find(f.text) {
			return f.name, token, true
		}
	}
	return "", "", false
}

// LossMask names the rule that says which tokens Encode trains. Adapters record it, so that a later version with
// another rule can tell.
const LossMask = "v1: chat = assistant content with tool calls and the end-of-turn token; completion with its end of text; every token of text; labels that are not -100"
