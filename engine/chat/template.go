// Package chat turns conversations into the text and tokens a model was made for, through the model's own chat
// template, and says which of the tokens a training run learns.
package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"hone/engine/chat/jinja"
	"hone/engine/tokenizer"
)

// Template is a model's chat template with the names of its first and last token. It is safe for concurrent use.
type Template struct {
	source   string
	bos, eos string
	parsed   *jinja.Template

	mu   sync.Mutex
	ends map[*tokenizer.Tokenizer][]int32 // EndOfTurn, found once for each tokenizer
}

// NewTemplate parses a template. bos and eos are what it sees as bos_token and eos_token; "" leaves them undefined.
func NewTemplate(src, bos, eos string) (*Template, error) {
	p, err := jinja.Parse(src)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{source: src, bos: bos, eos: eos, parsed: p, ends: map[*tokenizer.Tokenizer][]int32{}}, nil
}

// Source is the template as given to NewTemplate.
func (t *Template) Source() string { return t.source }

// Hash is the SHA-256 of the source, in hex.
func (t *Template) Hash() string {
	sum := sha256.Sum256([]byte(t.source))
	return hex.EncodeToString(sum[:])
}

// PromptOptions are what a prompt may be given beyond its messages and tools.
type PromptOptions struct {
	Now time.Time // for templates that write the date; zero = now
	// Vars are further variables of the template, a JSON object such as {"enable_thinking": false}.
	Vars json.RawMessage
}

// request is one rendering: a conversation and the variables around it.
type request struct {
	msgs       []Message
	tools      json.RawMessage
	vars       json.RawMessage
	now        time.Time
	generation bool
}

// form is a way of giving the same conversation to a template.
type form struct {
	objects bool // arguments that are strings holding a JSON object become the object
	absent  bool // tools and documents that were not given are undefined, not None
}

// render renders a conversation. Where a tool call's arguments are a string that holds a JSON object, the template
// is given the object, which is what most templates are written for; one that fails on it gets the string. Tools and
// documents that are not there are None, as transformers passes them; a template that fails on that gets undefined.
func (t *Template) render(r request) (jinja.Output, error) {
	out, err := t.renderAs(r, form{objects: true})
	if err == nil {
		return out, nil
	}
	var forms []form
	if holdsObjects(r.msgs) {
		forms = append(forms, form{})
	}
	if len(r.tools) == 0 {
		forms = append(forms, form{objects: true, absent: true})
	}
	if len(forms) == 2 {
		forms = append(forms, form{absent: true})
	}
	for _, f := range forms {
		if again, err2 := t.renderAs(r, f); err2 == nil {
			return again, nil
		}
	}
	return out, err
}

func holdsObjects(msgs []Message) bool {
	for i := range msgs {
		for j := range msgs[i].ToolCalls {
			if msgs[i].ToolCalls[j].Function.holdsObject() {
				return true
			}
		}
	}
	return false
}

func (t *Template) renderAs(r request, f form) (jinja.Output, error) {
	vars, err := t.variables(r.vars)
	if err != nil {
		return jinja.Output{}, err
	}
	items := make([]jinja.Value, len(r.msgs))
	for i := range r.msgs {
		if items[i], err = r.msgs[i].value(f.objects); err != nil {
			return jinja.Output{}, fmt.Errorf("messages[%d]: %w", i, err)
		}
	}
	vars.Set("messages", jinja.NewList(items...))
	if !f.absent {
		for _, name := range []string{"tools", "documents"} {
			if _, given := vars.Get(name); !given {
				vars.Set(name, jinja.None{})
			}
		}
	}
	if len(r.tools) > 0 {
		v, err := jinja.DecodeJSON(r.tools)
		if err != nil {
			return jinja.Output{}, fmt.Errorf("tools: %w", err)
		}
		vars.Set("tools", v)
	}
	vars.Set("add_generation_prompt", jinja.Bool(r.generation))
	out, err := t.parsed.Render(vars, jinja.Options{Now: r.now})
	if err != nil {
		return jinja.Output{}, fmt.Errorf("chat template: %w", err)
	}
	return out, nil
}

// variables reads a JSON object and adds bos_token and eos_token where it has none.
func (t *Template) variables(data json.RawMessage) (*jinja.Dict, error) {
	vars := jinja.NewDict()
	if len(data) > 0 {
		v, err := jinja.DecodeJSON(data)
		if err != nil {
			return nil, fmt.Errorf("template variables: %w", err)
		}
		d, ok := v.(*jinja.Dict)
		if !ok {
			return nil, fmt.Errorf("template variables: must be a JSON object")
		}
		vars = d
	}
	for _, tok := range []struct{ name, text string }{{"bos_token", t.bos}, {"eos_token", t.eos}} {
		if _, ok := vars.Get(tok.name); !ok && tok.text != "" {
			vars.Set(tok.name, jinja.String(tok.text))
		}
	}
	return vars, nil
}

// RenderData renders the template over a JSON object of variables (messages, tools, add_generation_prompt, …)
// exactly as given; bos_token and eos_token are the template's own where the object has none.
func (t *Template) RenderData(data json.RawMessage, now time.Time) (string, error) {
	vars, err := t.variables(data)
	if err != nil {
		return "", err
	}
	out, err := t.parsed.Render(vars, jinja.Options{Now: now})
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return out.Text, nil
}

// Prompt renders a conversation up to where the assistant speaks next and tokenises it once. Control tokens are
// matched in the template's own text alone: one written inside a message or a tool stays text. tools is a JSON
// list or nil.
func (t *Template) Prompt(tok *tokenizer.Tokenizer, msgs []Message, tools json.RawMessage, o PromptOptions) ([]int32, error) {
	out, err := t.render(request{msgs: msgs, tools: tools, vars: o.Vars, now: o.Now, generation: true})
	if err != nil {
		return nil, err
	}
	ids, _ := tok.EncodeSpans(out.Text, literal(out.Spans))
	return ids, nil
}

// literal is the spans in which no control token is matched; neighbours become one.
func literal(spans []jinja.Span) []tokenizer.Span {
	var out []tokenizer.Span
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].End >= s.Start {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out = append(out, tokenizer.Span{Start: s.Start, End: s.End})
	}
	return out
}
