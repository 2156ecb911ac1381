package chat

import (
	"slices"
	"time"

	"hone/engine/tokenizer"
)

// Texts of the probes; any that a template would not write itself do.
const (
	probeQuestion = "a first question"
	probeAnswer   = "its answer"
)

// probeTime keeps the probes the same on every day.
var probeTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// EndOfTurn gives the control tokens that end an assistant's turn, found by rendering small conversations: the first
// control token after an answer, and the last one after a tool call. It is empty if the template ends turns with
// text alone. If the template renders no such conversation it is the model's eos token.
func (t *Template) EndOfTurn(tok *tokenizer.Tokenizer) []int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ids, ok := t.ends[tok]; ok {
		return ids
	}
	ids := t.findEnds(tok)
	t.ends[tok] = ids
	return ids
}

func (t *Template) findEnds(tok *tokenizer.Tokenizer) []int32 {
	var ids []int32
	ask := Message{Role: "user", Content: probeQuestion}
	answer := Message{Role: "assistant", Content: probeAnswer}
	tail, ok := t.tail(tok, []Message{ask, answer})
	switch {
	case !ok:
		if id, known := tok.ID(t.eos); known && t.eos != "" && tok.IsSpecial(id) {
			return []int32{id}
		}
		return nil
	case len(tail) > 0:
		ids = append(ids, tail[0])
	default:
		ids = t.betweenTurns(tok, ask, answer)
	}
	call := Message{Role: "assistant", NullContent: true, ToolCalls: []ToolCall{{ID: "call00001", Type: "function",
		Function: FunctionCall{Name: "look_up", Arguments: `{"word": "hone"}`}}}}
	if tail, ok := t.tail(tok, []Message{ask, call}); ok && len(tail) > 0 && !slices.Contains(ids, tail[len(tail)-1]) {
		ids = append(ids, tail[len(tail)-1])
	}
	return ids
}

// tail gives the control tokens after the last text of the last message; ok is false if the conversation does not
// render or the message left no text.
func (t *Template) tail(tok *tokenizer.Tokenizer, msgs []Message) (ids []int32, ok bool) {
	groups, ok := t.controls(tok, msgs)
	if !ok {
		return nil, false
	}
	return groups[len(msgs)], true
}

// betweenTurns is for templates that end a turn only when another follows: the first control token after the answer,
// unless it is the one that opens the turns of users.
func (t *Template) betweenTurns(tok *tokenizer.Tokenizer, ask, answer Message) []int32 {
	g, ok := t.controls(tok, []Message{ask, answer, ask})
	if !ok || len(g[2]) == 0 {
		return nil
	}
	end := g[2][0]
	for _, opening := range [][]int32{g[0], g[1]} {
		if n := len(opening); n > 0 && opening[n-1] == end {
			return nil
		}
	}
	return []int32{end}
}

// controls gives the control tokens before the text of each message, and those after the last.
func (t *Template) controls(tok *tokenizer.Tokenizer, msgs []Message) ([][]int32, bool) {
	out, err := t.render(request{msgs: msgs, now: probeTime})
	if err != nil {
		return nil, false
	}
	ids, starts := tok.EncodeSpans(out.Text, literal(out.Spans))
	groups := make([][]int32, len(msgs)+1)
	k := 0
	until := func(limit int) (found []int32) {
		for ; k < len(ids) && starts[k] < limit; k++ {
			if tok.IsSpecial(ids[k]) {
				found = append(found, ids[k])
			}
		}
		return found
	}
	for i := range msgs {
		first, last := -1, -1
		for _, s := range out.Spans {
			if s.Message == i && s.Field != "role" {
				if first < 0 {
					first = s.Start
				}
				last = s.End
			}
		}
		if first < 0 {
			return nil, false
		}
		groups[i] = until(first)
		until(last)
	}
	groups[len(msgs)] = until(len(out.Text) + 1)
	return groups, true
}
