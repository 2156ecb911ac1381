package data

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hone/engine/chat"
)

// roles that a message may have, and those that other formats use for them.
var (
	roles      = []string{"system", "developer", "user", "assistant", "tool"}
	otherRoles = map[string]string{"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
		"chatbot": "assistant", "function": "tool", "observation": "tool", "customer": "user", "agent": "assistant"}
)

// chatRow reads messages, tools and parallel_tool_calls.
func (p *parser) chatRow(r *Row, fields map[string][]byte) {
	r.Tools = p.tools(fields)
	r.Messages = p.messages("messages", fields["messages"])
	if p.bad {
		return
	}
	answers, trained := 0, 0
	for _, m := range r.Messages {
		if m.Role == "assistant" {
			answers++
			if m.Weight == nil || *m.Weight != 0 {
				trained++
			}
		}
	}
	switch last := r.Messages[len(r.Messages)-1]; {
	case answers == 0:
		p.fail("messages", "there is no assistant message, so there is nothing to learn", "add the answer with role assistant")
	case trained == 0:
		p.problem(Warning, "messages", "every assistant message has weight 0, so the row trains nothing", "give one of them weight 1, or leave the row out")
	case last.Role != "assistant":
		p.problem(Warning, fmt.Sprintf("messages[%d].role", len(r.Messages)-1), "the last message is not from the assistant; what follows the last answer trains nothing",
			"end the row with an assistant message")
	}
}

// tools checks the list of tools and parallel_tool_calls, and returns the list.
func (p *parser) tools(fields map[string][]byte) json.RawMessage {
	if v := fields["parallel_tool_calls"]; v != nil && kindOf(v) != "boolean" && kindOf(v) != "null" {
		p.fail("parallel_tool_calls", "must be true or false, not "+article(kindOf(v)), "write true or false")
	}
	raw := fields["tools"]
	switch kindOf(raw) {
	case "nothing", "null":
		return nil
	case "array":
	default:
		p.fail("tools", "must be a list, not "+article(kindOf(raw)), `as [{"type": "function", "function": {"name": …}}]`)
		return nil
	}
	n := 0
	for i, tool := range elements(raw) {
		n++
		field := fmt.Sprintf("tools[%d]", i)
		if kindOf(tool) != "object" {
			p.fail(field, "must be an object, not "+article(kindOf(tool)), `as {"type": "function", "function": {"name": …}}`)
			continue
		}
		function := member(tool, "function")
		if kindOf(function) != "object" {
			p.fail(field+".function", "is missing or not an object", `as {"type": "function", "function": {"name": …}}`)
		} else if name := member(function, "name"); kindOf(name) != "string" || unquote(name) == "" {
			p.fail(field+".function.name", "is missing, empty or not a string", "name the tool")
		}
	}
	if n == 0 {
		return nil
	}
	return slices.Clone(raw)
}

// messages reads a list of messages that may not be empty. It returns what it read only where nothing is wrong.
func (p *parser) messages(field string, raw []byte) []chat.Message {
	if kindOf(raw) != "array" {
		p.fail(field, "must be a list of messages, not "+article(kindOf(raw)), `as [{"role": "user", "content": …}, …]`)
		return nil
	}
	before := p.file.Problems.Errors
	n := 0
	calls := map[string]bool{}
	for i, m := range elements(raw) {
		n++
		p.message(fmt.Sprintf("%s[%d]", field, i), m, calls)
	}
	if n == 0 {
		p.fail(field, "is empty", "give at least a user and an assistant message")
	}
	if p.file.Problems.Errors > before {
		return nil
	}
	out := make([]chat.Message, 0, n)
	for i, m := range elements(raw) {
		var message chat.Message
		if err := json.Unmarshal(m, &message); err != nil {
			p.fail(fmt.Sprintf("%s[%d]", field, i), "is not a message: "+err.Error(), "write it as the OpenAI chat format does")
			return nil
		}
		out = append(out, message)
	}
	return out
}

// message checks one message; calls holds the ids of the tool calls made before it, and gets those it makes.
func (p *parser) message(field string, m []byte, calls map[string]bool) {
	if kindOf(m) != "object" {
		p.fail(field, "must be an object, not "+article(kindOf(m)), `as {"role": "user", "content": …}`)
		return
	}
	role := p.role(field, m)
	toolCalls := member(m, "tool_calls")
	if kindOf(toolCalls) == "null" {
		toolCalls = nil
	}
	if toolCalls != nil {
		if role != "" && role != "assistant" {
			p.fail(field+".tool_calls", "is in a message of role "+role, "only assistant messages call tools")
		}
		p.toolCalls(field+".tool_calls", toolCalls, calls)
	}
	if member(m, "function_call") != nil {
		p.fail(field+".function_call", "is the old form of a tool call", `write "tool_calls": [{"id": …, "type": "function", "function": {…}}]`)
	}
	p.content(field, m, role, toolCalls != nil)
	p.weight(field, m, role)
	if role == "tool" {
		id := member(m, "tool_call_id")
		switch {
		case kindOf(id) == "nothing" || kindOf(id) == "null":
		case kindOf(id) != "string":
			p.fail(field+".tool_call_id", "must be a string, not "+article(kindOf(id)), "give the id of the call it answers")
		case !calls[unquote(id)]:
			p.problem(Warning, field+".tool_call_id", "answers a call that no message before it makes", "give the id of an earlier tool call")
		}
	}
}

func (p *parser) role(field string, m []byte) string {
	raw := member(m, "role")
	switch kindOf(raw) {
	case "nothing":
		fix := "add a role: " + strings.Join(roles, ", ")
		if member(m, "from") != nil {
			fix = `write "role" and "content", not "from" and "value"`
		}
		p.fail(field+".role", "is missing", fix)
		return ""
	case "string":
	default:
		p.fail(field+".role", "must be a string, not "+article(kindOf(raw)), "one of "+strings.Join(roles, ", "))
		return ""
	}
	role := unquote(raw)
	if slices.Contains(roles, role) {
		return role
	}
	fix := "one of " + strings.Join(roles, ", ")
	if near := otherRoles[strings.ToLower(role)]; near != "" {
		fix = "write " + strconv.Quote(near)
	} else if near := Nearest(strings.ToLower(role), roles); near != "" {
		fix = "did you mean " + strconv.Quote(near) + "?"
	}
	p.fail(field+".role", "unknown role "+clip(role), fix)
	return ""
}

// content checks that a message says something: a string, or a list of text parts.
func (p *parser) content(field string, m []byte, role string, hasCalls bool) {
	raw := member(m, "content")
	at := field + ".content"
	switch kindOf(raw) {
	case "nothing", "null":
		if !hasCalls {
			p.fail(at, "is missing", `add "content"`)
		}
	case "string":
		s := unquote(raw)
		if role != "assistant" || hasCalls {
			return
		}
		if s == "" {
			p.fail(at, "is empty in an assistant message", "write the answer, or leave the message out")
		} else if strings.TrimSpace(s) == "" {
			p.problem(Warning, at, "is only white space in an assistant message", "write the answer, or leave the message out")
		}
	case "array":
		p.parts(at, raw, role, hasCalls)
	default:
		p.fail(at, "must be a string or a list of parts, not "+article(kindOf(raw)), "write it in double quotes")
	}
}

func (p *parser) parts(field string, raw []byte, role string, hasCalls bool) {
	length := 0
	for i, part := range elements(raw) {
		at := fmt.Sprintf("%s[%d]", field, i)
		if kindOf(part) != "object" {
			p.fail(at, "must be an object, not "+article(kindOf(part)), `as {"type": "text", "text": …}`)
			continue
		}
		if kind := member(part, "type"); kindOf(kind) != "string" || unquote(kind) != "text" {
			p.fail(at+".type", "is not \"text\"", "hone reads text alone; leave images, audio and files out")
			continue
		}
		text := member(part, "text")
		if kindOf(text) != "string" {
			p.fail(at+".text", "is missing or not a string", `as {"type": "text", "text": …}`)
			continue
		}
		length += len(text) - 2
	}
	if role == "assistant" && !hasCalls && length == 0 && !p.bad {
		p.fail(field, "is empty in an assistant message", "write the answer, or leave the message out")
	}
}

func (p *parser) weight(field string, m []byte, role string) {
	raw := member(m, "weight")
	if raw == nil || kindOf(raw) == "null" {
		return
	}
	w, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case kindOf(raw) != "number" || err != nil || w != 0 && w != 1:
		p.fail(field+".weight", "must be 0 or 1", "0 = this message is not trained")
	case role != "" && role != "assistant" && w != 0:
		p.problem(Warning, field+".weight", "a message of role "+role+" is not trained, whatever its weight", "leave the weight out")
	}
}

func (p *parser) toolCalls(field string, raw []byte, calls map[string]bool) {
	const shape = `as [{"id": "call_1", "type": "function", "function": {"name": …, "arguments": "{…}"}}]`
	if kindOf(raw) != "array" {
		p.fail(field, "must be a list, not "+article(kindOf(raw)), shape)
		return
	}
	n := 0
	for i, call := range elements(raw) {
		n++
		at := fmt.Sprintf("%s[%d]", field, i)
		if kindOf(call) != "object" {
			p.fail(at, "must be an object, not "+article(kindOf(call)), shape)
			continue
		}
		if id := member(call, "id"); kindOf(id) == "string" {
			calls[unquote(id)] = true
		} else if id != nil && kindOf(id) != "null" {
			p.fail(at+".id", "must be a string, not "+article(kindOf(id)), shape)
		}
		function := member(call, "function")
		if kindOf(function) != "object" {
			p.fail(at+".function", "is missing or not an object", shape)
			continue
		}
		if name := member(function, "name"); kindOf(name) != "string" || unquote(name) == "" {
			p.fail(at+".function.name", "is missing, empty or not a string", "name the tool")
		}
		switch args := member(function, "arguments"); kindOf(args) {
		case "nothing", "null", "object": // templates of some models want the object itself
		case "string":
			if s := unquote(args); s != "" && !json.Valid([]byte(s)) {
				p.problem(Warning, at+".function.arguments", "is not JSON", "write the arguments as JSON in a string")
			}
		default:
			p.fail(at+".function.arguments", "must be JSON in a string, not "+article(kindOf(args)), shape)
		}
	}
	if n == 0 {
		p.fail(field, "is empty", "leave it out, or give a call")
	}
}

// member returns the value of key in an object; nil if it has none.
func member(object []byte, key string) []byte {
	for k, v := range members(object) {
		if k == key {
			return v
		}
	}
	return nil
}
