package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"hone/engine/chat/jinja"
)

// Message is one message of a conversation as the OpenAI chat API writes it. Read from JSON it keeps the order of
// its keys and the keys it does not know, and templates see them so.
type Message struct {
	Role    string
	Content string
	// Parts is the content where it is a list of parts, as written; Content is then the joined text of its text
	// parts. Templates get the list.
	Parts json.RawMessage
	// NullContent says that content is null, as in messages that only call tools.
	NullContent      bool
	Name             string
	ToolCallID       string
	ToolCalls        []ToolCall
	ReasoningContent string
	// Weight 0 keeps an assistant message out of training; nil counts as 1. Templates do not see it.
	Weight *float64
	// Extra are the keys not named above, in order.
	Extra []Field

	keys []string // all keys in the order read; empty for messages made in Go
}

// Field is a key and its JSON value.
type Field struct {
	Key   string
	Value json.RawMessage
}

// ToolCall is one call of a tool in an assistant message.
type ToolCall struct {
	ID, Type string
	Function FunctionCall
	Extra    []Field

	keys []string
}

// FunctionCall is the function a tool call names and its arguments.
type FunctionCall struct {
	Name string
	// Arguments is a JSON text. OpenAI writes it as a string; ArgumentsValue says it stood as a JSON value instead.
	Arguments      string
	ArgumentsValue bool
	Extra          []Field

	keys []string
}

// readObject reads the members of a JSON object in order; the last of equal keys wins in the first one's place.
func readObject(data []byte) ([]Field, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, fmt.Errorf("must be an object")
	}
	var out []Field
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		key := k.(string)
		if i := slices.IndexFunc(out, func(f Field) bool { return f.Key == key }); i >= 0 {
			out[i].Value = raw
			continue
		}
		out = append(out, Field{key, raw})
	}
	_, err = d.Token()
	return out, err
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// readString reads a string member; null counts as absent.
func readString(f Field, into *string) error {
	if isNull(f.Value) {
		return nil
	}
	if err := json.Unmarshal(f.Value, into); err != nil {
		return fmt.Errorf("%s must be a string", f.Key)
	}
	return nil
}

// UnmarshalJSON reads a message; errors name the field.
func (m *Message) UnmarshalJSON(data []byte) error {
	fields, err := readObject(data)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	*m = Message{}
	for _, f := range fields {
		m.keys = append(m.keys, f.Key)
		if err := m.field(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *Message) field(f Field) error {
	switch f.Key {
	case "role":
		return readString(f, &m.Role)
	case "content":
		return m.content(f)
	case "name":
		return readString(f, &m.Name)
	case "tool_call_id":
		return readString(f, &m.ToolCallID)
	case "reasoning_content":
		return readString(f, &m.ReasoningContent)
	case "weight":
		if err := json.Unmarshal(f.Value, &m.Weight); err != nil {
			return fmt.Errorf("weight must be a number")
		}
		return nil
	case "tool_calls":
		if err := json.Unmarshal(f.Value, &m.ToolCalls); err != nil {
			return fmt.Errorf("tool_calls: %w", err)
		}
		return nil
	}
	m.Extra = append(m.Extra, f)
	return nil
}

func (m *Message) content(f Field) error {
	raw := bytes.TrimSpace(f.Value)
	switch {
	case isNull(raw):
		m.NullContent = true
		return nil
	case raw[0] == '"':
		return json.Unmarshal(raw, &m.Content)
	case raw[0] != '[':
		return fmt.Errorf("content must be a string, a list of parts or null")
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	m.Parts = slices.Clone(raw)
	for i, p := range parts {
		var part struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		if err := json.Unmarshal(p, &part); err != nil {
			return fmt.Errorf("content[%d] must be an object with a type: %w", i, err)
		}
		m.Content += part.Text
	}
	return nil
}

// UnmarshalJSON reads a tool call; errors name the field.
func (c *ToolCall) UnmarshalJSON(data []byte) error {
	fields, err := readObject(data)
	if err != nil {
		return fmt.Errorf("tool call: %w", err)
	}
	*c = ToolCall{}
	for _, f := range fields {
		c.keys = append(c.keys, f.Key)
		switch f.Key {
		case "id":
			err = readString(f, &c.ID)
		case "type":
			err = readString(f, &c.Type)
		case "function":
			err = json.Unmarshal(f.Value, &c.Function)
		default:
			c.Extra = append(c.Extra, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalJSON reads a function call; errors name the field.
func (c *FunctionCall) UnmarshalJSON(data []byte) error {
	fields, err := readObject(data)
	if err != nil {
		return fmt.Errorf("function: %w", err)
	}
	*c = FunctionCall{}
	for _, f := range fields {
		c.keys = append(c.keys, f.Key)
		switch f.Key {
		case "name":
			if err := readString(f, &c.Name); err != nil {
				return err
			}
		case "arguments":
			if json.Unmarshal(f.Value, &c.Arguments) != nil || isNull(f.Value) {
				c.Arguments, c.ArgumentsValue = string(f.Value), true
			}
		default:
			c.Extra = append(c.Extra, f)
		}
	}
	return nil
}

// MarshalJSON writes a message with its keys in the order they were read; made in Go: role, content, then what is set.
func (m Message) MarshalJSON() ([]byte, error) {
	return writeObject(m.order(), m.Extra, func(key string) (any, error) {
		switch key {
		case "role":
			return m.Role, nil
		case "content":
			switch {
			case m.Parts != nil:
				return m.Parts, nil
			case m.NullContent:
				return nil, nil
			}
			return m.Content, nil
		case "name":
			return m.Name, nil
		case "tool_call_id":
			return m.ToolCallID, nil
		case "reasoning_content":
			return m.ReasoningContent, nil
		case "weight":
			return m.Weight, nil
		}
		return m.ToolCalls, nil
	})
}

// MarshalJSON writes a tool call.
func (c ToolCall) MarshalJSON() ([]byte, error) {
	return writeObject(c.order(), c.Extra, func(key string) (any, error) {
		switch key {
		case "id":
			return c.ID, nil
		case "type":
			return c.Type, nil
		}
		return c.Function, nil
	})
}

// MarshalJSON writes a function call.
func (c FunctionCall) MarshalJSON() ([]byte, error) {
	return writeObject(c.order(), c.Extra, func(key string) (any, error) {
		if key == "name" {
			return c.Name, nil
		}
		if c.ArgumentsValue {
			return json.RawMessage(c.Arguments), nil
		}
		return c.Arguments, nil
	})
}

// writeObject writes keys in order; those in extra as they are, the others through known.
func writeObject(keys []string, extra []Field, known func(string) (any, error)) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(k); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
		b.WriteByte(':')
		var v any
		var err error
		if j := slices.IndexFunc(extra, func(f Field) bool { return f.Key == k }); j >= 0 {
			v = extra[j].Value
		} else if v, err = known(k); err != nil {
			return nil, err
		}
		if err := enc.Encode(v); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// order is the keys to write: those read, then those set since.
func order(read []string, extra []Field, set []string) []string {
	keys := slices.Clone(read)
	for _, k := range set {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, f := range extra {
		if !slices.Contains(keys, f.Key) {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

func (m *Message) order() []string {
	set := []string{"role"}
	if m.keys == nil || m.Content != "" || m.Parts != nil {
		set = append(set, "content")
	}
	for _, f := range []struct {
		key string
		is  bool
	}{
		{"reasoning_content", m.ReasoningContent != ""}, {"tool_calls", len(m.ToolCalls) > 0}, {"name", m.Name != ""},
		{"tool_call_id", m.ToolCallID != ""}, {"weight", m.Weight != nil},
	} {
		if f.is {
			set = append(set, f.key)
		}
	}
	return order(m.keys, m.Extra, set)
}

func (c *ToolCall) order() []string {
	var set []string
	if c.ID != "" {
		set = append(set, "id")
	}
	if c.keys == nil || c.Type != "" {
		set = append(set, "type")
	}
	return order(c.keys, c.Extra, append(set, "function"))
}

func (c *FunctionCall) order() []string {
	return order(c.keys, c.Extra, []string{"name", "arguments"})
}

// value is the message as templates see it: its JSON without weight. With objects, arguments that are strings
// holding a JSON object become that object.
func (m *Message) value(objects bool) (jinja.Value, error) {
	shown := *m
	shown.Weight = nil
	shown.keys = slices.DeleteFunc(slices.Clone(m.keys), func(k string) bool { return k == "weight" })
	if objects {
		shown.ToolCalls = slices.Clone(m.ToolCalls)
		for i := range shown.ToolCalls {
			if f := &shown.ToolCalls[i].Function; f.holdsObject() {
				f.ArgumentsValue = true
			}
		}
	}
	raw, err := json.Marshal(shown)
	if err != nil {
		return nil, err
	}
	return jinja.DecodeJSON(raw)
}

// holdsObject reports that the arguments are a string in which a JSON object is written.
func (c *FunctionCall) holdsObject() bool {
	text := bytes.TrimSpace([]byte(c.Arguments))
	return !c.ArgumentsValue && len(text) > 0 && text[0] == '{' && json.Valid(text)
}
