package chat

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestMessageRoundTrip reads messages and writes them again: every key in its place, unknown ones too.
func TestMessageRoundTrip(t *testing.T) {
	for _, src := range []string{
		`{"role":"user","content":"hi <b> é"}`,
		`{"content":"hi","role":"user","name":"bob"}`,
		`{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}`,
		`{"role":"assistant","tool_calls":[{"function":{"arguments":{"a":1},"name":"f","strict":true},"x":[1]}],"reasoning_content":"r"}`,
		`{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}],"custom":{"z":1,"a":2}}`,
		`{"role":"tool","tool_call_id":"1","content":"42","weight":0}`,
		`{"weight":0.5,"role":"assistant","content":""}`,
	} {
		var m Message
		if err := json.Unmarshal([]byte(src), &m); err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := json.Marshal(m)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		}
		var back Message
		if unescaped := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(got)); unescaped != src {
			t.Errorf("wrote %s\n read %s", unescaped, src)
		} else if err := json.Unmarshal(got, &back); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageFields(t *testing.T) {
	var m Message
	if err := json.Unmarshal([]byte(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"k":1}`), &m); err != nil {
		t.Fatal(err)
	}
	if m.Content != "ab" || string(m.Parts) == "" || len(m.Extra) != 1 || m.Extra[0].Key != "k" {
		t.Errorf("%+v", m)
	}
	zero := 0.0
	made := Message{Role: "assistant", ReasoningContent: "r", ToolCalls: []ToolCall{{ID: "1", Type: "function", Function: FunctionCall{Name: "f", Arguments: "{}"}}}, Weight: &zero}
	got, err := json.Marshal(made)
	want := `{"role":"assistant","content":"","reasoning_content":"r","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}],"weight":0}`
	if err != nil || string(got) != want {
		t.Errorf("wrote %s, %v\n want %s", got, err, want)
	}
}

func TestMessageRefusals(t *testing.T) {
	for src, word := range map[string]string{
		`[]`:                                  "object",
		`5`:                                   "object",
		`{"role":1}`:                          "role",
		`{"role":"user","content":5}`:         "content",
		`{"role":"user","content":{"a":1}}`:   "content",
		`{"role":"user","content":["x"]}`:     "content[0]",
		`{"role":"user","weight":"x"}`:        "weight",
		`{"role":"assistant","tool_calls":5}`: "tool_calls",
		`{"role":"assistant","tool_calls":[{"function":{"name":5}}]}`: "name",
		`{"role":"user","name":[]}`:                                   "name",
	} {
		var m Message
		if err := json.Unmarshal([]byte(src), &m); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v, want one that names %s", src, err, word)
		}
	}
}

// FuzzMessage reads anything as a message: an error, or a message that writes and reads back.
func FuzzMessage(f *testing.F) {
	f.Add(`{"role":"user","content":[{"type":"text","text":"a"}],"x":{"y":[1]}}`)
	f.Add(`{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}],"weight":0}`)
	f.Fuzz(func(t *testing.T, src string) {
		var m Message
		if json.Unmarshal([]byte(src), &m) != nil {
			return
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		var back Message
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%q wrote %q: %v", src, out, err)
		}
		if _, err := m.value(true); err != nil && !strings.Contains(err.Error(), "deep") {
			t.Fatalf("%q: %v", src, err)
		}
	})
}
