package openai

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"hone/engine/chat"
)

// wireMessage is a checked message on its way to the chat package, in the order templates expect.
type wireMessage struct {
	Role             string          `json:"role"`
	Content          *string         `json:"content"`
	ReasoningContent *string         `json:"reasoning_content,omitempty"`
	Name             string          `json:"name,omitempty"`
	ToolCalls        json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID       string          `json:"tool_call_id,omitempty"`
}

// messages reads the conversation.
func (o *object) messages() []chat.Message {
	elements, ok := o.array("messages")
	if !ok {
		o.fail(invalid("messages", "missing_required_parameter", "Missing required parameter: 'messages'."))
		return nil
	}
	if len(elements) == 0 {
		o.fail(invalid("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."))
		return nil
	}
	messages := make([]chat.Message, len(elements))
	for i, raw := range elements {
		path := fmt.Sprintf("messages[%d]", i)
		wire, err := parseMessage(path, raw)
		if err != nil {
			o.fail(err)
			return nil
		}
		data, fault := json.Marshal(wire)
		if fault == nil {
			fault = json.Unmarshal(data, &messages[i])
		}
		if fault != nil {
			o.fail(invalid(path, "invalid_value", "Invalid '%s': %v.", path, fault))
			return nil
		}
	}
	return messages
}

func parseMessage(path string, raw json.RawMessage) (wireMessage, *Error) {
	m, err := parseObject(path, raw)
	if err != nil {
		return wireMessage{}, err
	}
	role, ok := m.text("role")
	if !ok {
		m.fail(invalid(m.at("role"), "missing_required_parameter", "Missing required parameter: '%s'.", m.at("role")))
		return wireMessage{}, m.err
	}
	w := wireMessage{Role: role, Content: m.content(role)}
	w.Name, _ = m.text("name")
	switch role {
	case "system", "user":
	case "developer":
		w.Role = "system" // the same thing under its newer name, which templates do not know
	case "assistant":
		m.assistant(&w)
	case "tool":
		if w.ToolCallID, ok = m.text("tool_call_id"); !ok {
			m.fail(invalid(m.at("tool_call_id"), "missing_required_parameter", "Missing required parameter: '%s'.", m.at("tool_call_id")))
		}
	default:
		m.err = invalid(m.at("role"), "invalid_value", "Invalid value: %s. Supported values are: 'system', 'developer', 'user', 'assistant', and 'tool'.", quote(role))
	}
	if w.Content == nil && (role != "assistant" || w.ToolCalls == nil) {
		m.fail(invalid(m.at("content"), "missing_required_parameter", "Missing required parameter: '%s'.", m.at("content")))
	}
	return w, m.finish()
}

// assistant reads what only an assistant's message has. A client may hand back a message as it came, so what our
// own responses hold is accepted.
func (m *object) assistant(w *wireMessage) {
	if s, ok := m.text("reasoning_content"); ok {
		w.ReasoningContent = &s
	}
	w.ToolCalls = m.toolCalls()
	if notes, ok := m.array("annotations"); ok && len(notes) > 0 {
		m.fail(invalid(m.at("annotations"), "unsupported_parameter", "Unsupported parameter: '%s' is not supported by this server. Leave it out.", m.at("annotations")))
	}
	m.refuse("refusal", "audio", "function_call")
}

// content reads a message's text: a string, or an array of text parts, which are joined by line breaks.
func (m *object) content(role string) *string {
	raw, ok := m.take("content")
	if !ok {
		return nil
	}
	path := m.at("content")
	switch kind(raw) {
	case "a string":
		s := unquote(raw)
		return &s
	case "an array":
	default:
		m.fail(wrongType(path, "a string or an array of text parts", raw))
		return nil
	}
	var parts []json.RawMessage
	_ = json.Unmarshal(raw, &parts)
	if len(parts) == 0 {
		m.fail(invalid(path, "empty_array", "Invalid '%s': empty array. Expected at least one part.", path))
		return nil
	}
	texts := make([]string, len(parts))
	for i, raw := range parts {
		part, err := parseObject(fmt.Sprintf("%s[%d]", path, i), raw)
		if err != nil {
			m.fail(err)
			return nil
		}
		if kind, ok := part.text("type"); part.err == nil && (!ok || kind != "text") {
			m.fail(invalid(part.at("type"), "unsupported_value", "Invalid '%s': %s parts are not supported by this server; only \"text\" parts are.", part.at("type"), quote(kind)))
			return nil
		}
		if texts[i], ok = part.text("text"); !ok {
			part.fail(invalid(part.at("text"), "missing_required_parameter", "Missing required parameter: '%s'.", part.at("text")))
		}
		if err := part.finish(); err != nil {
			m.fail(err)
			return nil
		}
	}
	s := strings.Join(texts, "\n")
	return &s
}

// toolCalls checks the calls of an assistant's message and returns them as they were written.
func (m *object) toolCalls() json.RawMessage {
	whole := m.fields["tool_calls"]
	calls, ok := m.array("tool_calls")
	if !ok || len(calls) == 0 {
		return nil
	}
	for i, raw := range calls {
		c, err := parseObject(fmt.Sprintf("%s[%d]", m.at("tool_calls"), i), raw)
		if err != nil {
			m.fail(err)
			return nil
		}
		c.require("id", "a string")
		c.oneOf("type", "function")
		if f := c.child("function"); f != nil {
			f.require("name", "a string")
			f.require("arguments", "a string")
			if err := f.finish(); err != nil {
				c.fail(err)
			}
		} else {
			c.fail(invalid(c.at("function"), "missing_required_parameter", "Missing required parameter: '%s'.", c.at("function")))
		}
		if err := c.finish(); err != nil {
			m.fail(err)
			return nil
		}
	}
	return whole
}

// require reads and drops a field that must be there.
func (o *object) require(name, want string) {
	if _, ok := o.typed(name, want); !ok {
		o.fail(invalid(o.at(name), "missing_required_parameter", "Missing required parameter: '%s'.", o.at(name)))
	}
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// tools checks the tool definitions and tool_choice, and returns the array for the template.
func (o *object) tools() json.RawMessage {
	whole := o.fields["tools"]
	tools, ok := o.array("tools")
	if len(tools) > MaxTools {
		o.fail(invalid("tools", "array_above_max_length", "Invalid 'tools': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", MaxTools, len(tools)))
		return nil
	}
	for i, raw := range tools {
		if err := checkTool(fmt.Sprintf("tools[%d]", i), raw); err != nil {
			o.fail(err)
			return nil
		}
	}
	_, parallel := o.typed("parallel_tool_calls", "a boolean")
	if parallel && len(tools) == 0 {
		o.fail(invalid("parallel_tool_calls", "invalid_value", "'parallel_tool_calls' is only allowed when 'tools' are given."))
	}
	choice := ""
	if raw, given := o.take("tool_choice"); given {
		if kind(raw) == "a string" {
			choice = unquote(raw)
		}
		if choice != "none" && choice != "auto" {
			o.fail(invalid("tool_choice", "unsupported_value", "Unsupported value: 'tool_choice' may only be \"none\" or \"auto\" on this server."))
		}
		if choice == "auto" && len(tools) == 0 {
			o.fail(invalid("tool_choice", "invalid_value", "'tool_choice' is only allowed when 'tools' are given."))
		}
	}
	if !ok || len(tools) == 0 || choice == "none" {
		return nil
	}
	return whole
}

func checkTool(path string, raw json.RawMessage) *Error {
	tool, err := parseObject(path, raw)
	if err != nil {
		return err
	}
	if kind, ok := tool.text("type"); !ok || kind != "function" {
		tool.fail(invalid(tool.at("type"), "unsupported_value", "Unsupported value: '%s' may only be \"function\".", tool.at("type")))
	}
	f := tool.child("function")
	if f == nil {
		tool.fail(invalid(tool.at("function"), "missing_required_parameter", "Missing required parameter: '%s'.", tool.at("function")))
		return tool.err
	}
	if name, _ := f.text("name"); !toolName.MatchString(name) {
		f.fail(invalid(f.at("name"), "invalid_value", "Invalid '%s': a name has 1 to 64 letters, digits, '_' and '-', this one is %s.", f.at("name"), quote(name)))
	}
	f.text("description")
	f.child("parameters")
	f.boolean("strict")
	if err := f.finish(); err != nil {
		tool.fail(err)
	}
	return tool.finish()
}
