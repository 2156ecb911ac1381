package data

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"hone/engine/chat"
)

// Kind is the form of a row.
type Kind string

const (
	// Chat is {"messages": […], "tools": […]}: assistant turns are trained.
	Chat Kind = "chat"
	// Prompt is {"prompt": …, "completion": …}: the completion is trained.
	Prompt Kind = "prompt"
	// Text is {"text": …}: every token is trained.
	Text Kind = "text"
	// Tokens is {"input_ids": […], "labels": […]}: already tokenised.
	Tokens Kind = "tokens"
)

// Ignore is the label of a position that is not trained.
const Ignore = -100

// Row is one line of a file. Which fields are set follows Kind.
type Row struct {
	Line int // in its file, from 1
	Kind Kind

	// Chat, and Prompt where prompt or completion is a list of messages (Messages != nil): the messages of prompt and
	// completion one after the other, those of the prompt with weight 0.
	Messages []chat.Message
	Tools    json.RawMessage // the list as the file has it; nil if none

	Prompt, Completion string // Prompt rows of plain text
	Text               string // Text rows

	InputIDs []int32 // Tokens rows
	Labels   []int32 // Tokens rows: InputIDs[i], or Ignore; nil = every token is trained

	sum [8]byte // of the line, to find equal rows
}

// parser turns lines into rows of its file.
type parser struct {
	file   *File
	at     int             // line being read; 0 = the file
	bad    bool            // the line being read has an error
	warned map[string]bool // said once a file
	kinds  [4]int          // rows of each kind, in the order of kindOrder
}

var kindOrder = [4]Kind{Chat, Prompt, Text, Tokens}

func (p *parser) problem(s Severity, field, message, fix string) {
	p.bad = p.bad || s == Error
	p.file.Problems.Add(Problem{File: p.file.Path, Line: p.at, Field: field, Message: message, Fix: fix, Severity: s})
}

func (p *parser) fail(field, message, fix string) { p.problem(Error, field, message, fix) }

// once warns of something the first time it is seen in the file.
func (p *parser) once(key, field, message, fix string) {
	if !p.warned[key] {
		p.warned[key] = true
		p.problem(Warning, field, message, fix)
	}
}

// line reads one line of the file and appends its row, if it has a usable one.
func (p *parser) line(line []byte, length, most int) {
	p.at, p.bad = p.file.Lines, false
	if len(line) > most {
		p.fail("", fmt.Sprintf("the line is %d bytes long, more than the %d that are read", length, most), "split the row")
		p.file.Skipped++
		return
	}
	line = line[skipSpace(line, 0):]
	for len(line) > 0 && isSpace(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	if len(line) == 0 {
		return
	}
	row := Row{Line: p.at}
	if f := checkJSON(line); f != nil {
		if p.at == 1 && line[0] == '[' {
			f.fix = "the file looks like one JSON array; write one object a line"
		}
		p.fail(f.field, f.message, f.fix)
	} else {
		p.row(&row, line)
	}
	if p.bad {
		p.file.Skipped++
		return
	}
	digest := sha256.Sum256(line)
	copy(row.sum[:], digest[:])
	for i, kind := range kindOrder {
		if kind == row.Kind {
			p.kinds[i]++
		}
	}
	p.file.Rows = append(p.file.Rows, row)
}

// finish says what is wrong with the file as a whole.
func (p *parser) finish() {
	p.at = 0
	if len(p.file.Rows) == 0 && p.file.Skipped == 0 {
		p.fail("", "the file has no rows", "write one JSON object a line")
	}
	var mixed []string
	for i, n := range p.kinds {
		if n > 0 {
			mixed = append(mixed, fmt.Sprintf("%d %s", n, kindOrder[i]))
		}
	}
	if len(mixed) > 1 {
		p.problem(Warning, "", "the file mixes kinds of rows: "+strings.Join(mixed, ", "), "keep one kind a file, unless this is meant")
	}
}

// row fills r from an object that checkJSON has passed.
func (p *parser) row(r *Row, line []byte) {
	if kindOf(line) != "object" {
		fix := "each line must be an object, as {\"messages\": […]}"
		if kindOf(line) == "array" && p.at == 1 {
			fix = "the file looks like one JSON array; write one object a line"
		}
		p.fail("", "the row is "+article(kindOf(line))+", not an object", fix)
		return
	}
	fields := map[string][]byte{}
	for key, value := range members(line) {
		fields[key] = value
	}
	forms := 0
	for _, key := range []string{"messages", "completion", "text", "input_ids"} {
		if _, ok := fields[key]; ok {
			forms++
		}
	}
	if forms > 1 {
		p.fail("", "the row is of more than one kind (messages, completion, text, input_ids)", "keep one of these keys")
		return
	}
	switch {
	case fields["messages"] != nil:
		r.Kind = Chat
		p.chatRow(r, fields)
		p.unused(line, "messages", "tools", "parallel_tool_calls")
	case fields["completion"] != nil:
		r.Kind = Prompt
		p.promptRow(r, fields)
		p.unused(line, "prompt", "completion", "tools", "parallel_tool_calls")
	case fields["text"] != nil:
		r.Kind = Text
		r.Text = p.text("text", fields["text"])
		p.unused(line, "text")
	case fields["input_ids"] != nil:
		r.Kind = Tokens
		p.tokensRow(r, fields)
		p.unused(line, "input_ids", "labels", "attention_mask")
	default:
		p.unknown(line, fields)
	}
}

// unknown explains a row without any of the keys that make one.
func (p *parser) unknown(line []byte, fields map[string][]byte) {
	fix := `a row is {"messages": […]}, {"prompt": …, "completion": …}, {"text": …} or {"input_ids": […]}`
	switch {
	case fields["prompt"] != nil:
		p.fail("completion", "the row has a prompt and no completion", `add "completion"`)
		return
	case fields["conversations"] != nil:
		fix = `turn "conversations" of "from" and "value" into "messages" of "role" and "content"`
	case fields["instruction"] != nil:
		fix = `turn "instruction", "input" and "output" into "prompt" and "completion"`
	case fields["chosen"] != nil:
		fix = `preference pairs do not fit this method; it trains on "messages" or "completion"`
	default:
		for key := range members(line) {
			if near := Nearest(key, []string{"messages", "completion", "text", "input_ids"}); near != "" {
				p.fail(key, "unknown key "+clip(key), "did you mean "+strconv.Quote(near)+"?")
				return
			}
		}
	}
	p.fail("", "the row has none of the keys messages, completion, text, input_ids", fix)
}

// unused warns once a file of each key that is not read.
func (p *parser) unused(line []byte, used ...string) {
next:
	for key := range members(line) {
		for _, u := range used {
			if key == u {
				continue next
			}
		}
		if len(p.warned) < 1000 {
			p.once("key "+key, key, "key "+clip(key)+" is not read", "leave it out, or ignore this")
		}
	}
}

// text reads a string that may not be empty.
func (p *parser) text(field string, raw []byte) string {
	if kindOf(raw) != "string" {
		p.fail(field, "must be a string, not "+article(kindOf(raw)), "write it in double quotes")
		return ""
	}
	s := unquote(raw)
	if s == "" {
		p.fail(field, "is empty", "write text, or leave the row out")
	}
	return s
}

// promptRow reads prompt and completion, each a string or a list of messages.
func (p *parser) promptRow(r *Row, fields map[string][]byte) {
	prompt, completion := fields["prompt"], fields["completion"]
	if prompt == nil {
		p.fail("prompt", "the row has a completion and no prompt", `add "prompt", or name the completion "text"`)
		return
	}
	if kindOf(prompt) == "string" && kindOf(completion) == "string" {
		r.Prompt = unquote(prompt) // may be empty: the completion then follows the beginning-of-text token
		r.Completion = p.text("completion", completion)
		return
	}
	r.Tools = p.tools(fields)
	before := p.side("prompt", prompt, "user")
	for i := range before {
		zero := 0.0
		before[i].Weight = &zero
	}
	r.Messages = append(before, p.side("completion", completion, "assistant")...)
	if p.bad {
		return
	}
	for _, m := range r.Messages[len(before):] {
		if m.Role == "assistant" {
			return
		}
	}
	p.fail("completion", "has no assistant message", "the completion is what the model learns to say: role assistant")
}

// side reads one of prompt and completion: messages, or a string that stands for one message of role.
func (p *parser) side(field string, raw []byte, role string) []chat.Message {
	if kindOf(raw) == "string" {
		return []chat.Message{{Role: role, Content: p.text(field, raw)}}
	}
	return p.messages(field, raw)
}

// tokensRow reads input_ids and labels.
func (p *parser) tokensRow(r *Row, fields map[string][]byte) {
	r.InputIDs = p.ids("input_ids", fields["input_ids"], 0)
	if !p.bad && len(r.InputIDs) == 0 {
		p.fail("input_ids", "is empty", "write token ids, or leave the row out")
	}
	if mask := fields["attention_mask"]; mask != nil {
		for i, v := range p.ids("attention_mask", mask, 0) {
			if v != 1 {
				p.fail(fmt.Sprintf("attention_mask[%d]", i), "is not 1", "leave padding tokens and the mask out of the row")
				return
			}
		}
	}
	labels := fields["labels"]
	if labels == nil || kindOf(labels) == "null" {
		return
	}
	r.Labels = p.ids("labels", labels, Ignore)
	if p.bad {
		return
	}
	if len(r.Labels) != len(r.InputIDs) {
		p.fail("labels", fmt.Sprintf("has %d entries, input_ids has %d", len(r.Labels), len(r.InputIDs)), "give one label for each token")
		return
	}
	for i, label := range r.Labels {
		if label != Ignore && label != r.InputIDs[i] {
			p.fail(fmt.Sprintf("labels[%d]", i), fmt.Sprintf("is %d where input_ids has %d", label, r.InputIDs[i]),
				"labels are not shifted: each is the token of its own position, or -100")
			return
		}
	}
}

// ids reads a list of whole numbers that are 0 or more, or equal to also.
func (p *parser) ids(field string, raw []byte, also int32) []int32 {
	if kindOf(raw) != "array" {
		p.fail(field, "must be a list of whole numbers, not "+article(kindOf(raw)), "as [1, 2, 3]")
		return nil
	}
	var out []int32
	for i, item := range elements(raw) {
		n, err := strconv.ParseInt(string(item), 10, 32)
		if err != nil || n < 0 && int32(n) != also {
			p.fail(fmt.Sprintf("%s[%d]", field, i), "is not a token id", "token ids are whole numbers from 0; -100 in labels is not trained")
			return nil
		}
		out = append(out, int32(n))
	}
	return out
}

func article(kind string) string {
	switch kind[0] {
	case 'a', 'o':
		return "an " + kind
	case 'n':
		if kind == "null" || kind == "nothing" {
			return kind
		}
	}
	return "a " + kind
}
