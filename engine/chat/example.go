package chat

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"hone/engine/chat/jinja"
	"hone/engine/tokenizer"
)

// maxDerived bounds how many generation prompts one example derives by rendering; the further assistant messages of
// a very long conversation reuse the last.
const maxDerived = 32

// rendering is a tokenised conversation.
type rendering struct {
	text   string
	spans  []jinja.Span
	ids    []int32
	starts []int
}

// Example renders a whole conversation for training and says which tokens are learnt. It renders once and tokenises
// once, with control tokens matched in the template's own text alone. trained[i] is true for the tokens whose first
// byte lies in what an assistant message of weight other than 0 wrote: from the end of the generation prompt (from
// its first byte of content where the template has none there) to the end of the control token that ends its turn,
// and no further; if the template ends turns with none, to the end of the content. Tool calls count with their
// wrapping. A template with generation blocks decides with these alone.
func (t *Template) Example(tok *tokenizer.Tokenizer, msgs []Message, tools json.RawMessage, now time.Time) (ids []int32, trained []bool, text string, err error) {
	req := request{msgs: msgs, tools: tools, now: now}
	out, err := t.render(req)
	if err != nil {
		return nil, nil, "", err
	}
	r := rendering{text: out.Text, spans: out.Spans}
	r.ids, r.starts = tok.EncodeSpans(out.Text, literal(out.Spans))
	var learnt []jinja.Range
	if t.parsed.HasGeneration() {
		learnt = generationRanges(msgs, out)
	} else {
		learnt = t.assistantRanges(tok, req, &r)
	}
	trained = make([]bool, len(r.ids))
	k := 0
	for i, at := range r.starts {
		for k < len(learnt) && learnt[k].End <= at {
			k++
		}
		trained[i] = k < len(learnt) && at >= learnt[k].Start
	}
	return r.ids, trained, out.Text, nil
}

// learns reports whether a message is trained.
func (m *Message) learns() bool {
	return m.Role == "assistant" && (m.Weight == nil || *m.Weight != 0)
}

// generationRanges are the generation blocks but those with text of a message of weight 0.
func generationRanges(msgs []Message, out jinja.Output) []jinja.Range {
	return slices.DeleteFunc(slices.Clone(out.Generation), func(g jinja.Range) bool {
		return slices.ContainsFunc(out.Spans, func(s jinja.Span) bool {
			inside := s.Start < g.End && s.End > g.Start
			return inside && s.Message >= 0 && msgs[s.Message].Role == "assistant" && !msgs[s.Message].learns()
		})
	})
}

// assistantRanges finds what each trained assistant message wrote, ascending and without overlap.
func (t *Template) assistantRanges(tok *tokenizer.Tokenizer, req request, r *rendering) []jinja.Range {
	ends := t.EndOfTurn(tok)
	var out []jinja.Range
	prompt, derived := "", 0
	for i := range req.msgs {
		if !req.msgs[i].learns() {
			continue
		}
		if derived < maxDerived {
			prompt = t.generationPrompt(req, i)
			derived++
		}
		g, ok := r.turn(tok, i, prompt, ends)
		if !ok {
			continue
		}
		if len(req.msgs[i].ToolCalls) > 0 {
			g = t.wrapping(req, i, r, g, prompt)
		}
		if n := len(out); n > 0 && g.Start < out[n-1].End {
			g.Start = out[n-1].End
		}
		if g.Start < g.End {
			out = append(out, g)
		}
	}
	return out
}

// generationPrompt is what add_generation_prompt appends to the messages before message i; where these alone do not
// render (a template may refuse an empty conversation or one that ends so), to the whole conversation.
func (t *Template) generationPrompt(req request, i int) string {
	for _, msgs := range [][]Message{req.msgs[:i], req.msgs} {
		req.msgs, req.generation = msgs, false
		without, err := t.render(req)
		if err != nil {
			continue
		}
		req.generation = true
		with, err := t.render(req)
		if err != nil {
			continue
		}
		if p, ok := strings.CutPrefix(with.Text, without.Text); ok {
			return p
		}
		return ""
	}
	return ""
}

// wrapping widens the range of a message that calls tools to what the template writes round the calls, where neither
// a generation prompt nor a control token bounds it: from the end of the messages before it, to the end of the
// messages up to it, blanks excepted, if the conversation indeed begins with these. A header that names the role is
// not what the model writes, so it leaves the start alone.
func (t *Template) wrapping(req request, i int, r *rendering, g jinja.Range, prompt string) jinja.Range {
	_, last, calls := r.extent(i)
	header := slices.ContainsFunc(r.spans, func(s jinja.Span) bool { return s.Message == i && s.Field == "role" && s.Start < g.Start })
	if prompt == "" && calls && !header {
		req.msgs = req.msgs[:i]
		if before, err := t.render(req); err == nil && len(before.Text) < g.Start && strings.HasPrefix(r.text, before.Text) {
			g.Start = len(before.Text)
		}
	}
	if g.End == last {
		req.msgs = req.msgs[:i+1]
		if upTo, err := t.render(req); err == nil && strings.HasPrefix(r.text, upTo.Text) {
			g.End = max(g.End, len(strings.TrimRight(upTo.Text, " \t\r\n")))
		}
	}
	return g
}

// extent is where the text of message i begins and ends, its role aside (-1: nowhere), and whether it begins with a
// tool call.
func (r *rendering) extent(i int) (first, last int, calls bool) {
	first, last = -1, -1
	for _, s := range r.spans {
		if s.Message != i || s.Field == "role" {
			continue
		}
		if first < 0 {
			first, calls = s.Start, s.Field == "tool_calls"
		}
		last = s.End
	}
	return first, last, calls
}

// turn is the range that message i wrote.
func (r *rendering) turn(tok *tokenizer.Tokenizer, i int, prompt string, ends []int32) (jinja.Range, bool) {
	first, last, _ := r.extent(i)
	role := slices.IndexFunc(r.spans, func(s jinja.Span) bool { return s.Message == i && s.Field == "role" })
	if role >= 0 {
		role = r.spans[role].Start
	}
	var g jinja.Range
	switch {
	case first >= 0:
		g.Start = first
		from := r.endBefore(i, first)
		if k := strings.LastIndex(r.text[from:first], prompt); prompt != "" && k >= 0 {
			g.Start = from + k + len(prompt)
		}
	case role >= 0 && prompt != "": // a message without text: its turn begins where the prompt round its role ends
		from := r.endBefore(i, role)
		k := strings.Index(r.text[from:], prompt)
		if k < 0 || from+k > role || from+k+len(prompt) < role {
			return g, false
		}
		g.Start = from + k + len(prompt)
		last = g.Start
	default:
		return g, false
	}
	g.End = r.turnEnd(tok, i, last, ends)
	return g, true
}

// endBefore is where the last text of the messages before i ends, looking no further than limit.
func (r *rendering) endBefore(i, limit int) int {
	end := 0
	for _, s := range r.spans {
		if s.Message < i && s.Start < limit {
			end = max(end, min(s.End, limit))
		}
	}
	return end
}

// turnEnd is the end of the first token of ends after byte from and before the next message; from if there is none.
func (r *rendering) turnEnd(tok *tokenizer.Tokenizer, i, from int, ends []int32) int {
	limit := len(r.text)
	for _, s := range r.spans {
		if s.Message > i && s.Start >= from {
			limit = min(limit, s.Start)
		}
	}
	k, _ := slices.BinarySearch(r.starts, from)
	for ; k < len(r.ids) && r.starts[k] < limit; k++ {
		if tok.IsSpecial(r.ids[k]) && slices.Contains(ends, r.ids[k]) {
			if k+1 < len(r.starts) {
				return r.starts[k+1]
			}
			return len(r.text)
		}
	}
	return from
}
