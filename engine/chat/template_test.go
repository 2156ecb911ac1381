package chat

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

func TestRenderData(t *testing.T) {
	tmpl, err := NewTemplate("{{ bos_token }}{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}{{ x is defined }}{{ tools is defined }}", "<s>", "")
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		`{"messages":[{"content":"a"}],"x":1}`:         "<s>10 Jul 2025aTrueFalse",
		`{"bos_token":"<b>","messages":[],"tools":[]}`: "<b>10 Jul 2025FalseTrue",
	} {
		if got, err := tmpl.RenderData(json.RawMessage(data), testNow); err != nil || got != want {
			t.Errorf("%s renders %q, %v; want %q", data, got, err, want)
		}
	}
	for _, data := range []string{"", "[]", "{", `{"messages":5}`} {
		if got, err := tmpl.RenderData(json.RawMessage(data), testNow); err == nil && data != "" {
			t.Errorf("%q renders %q", data, got)
		}
	}
}

func TestPromptVariables(t *testing.T) {
	tok := byteTokenizer(t, "<|im_start|>", "<|im_end|>")
	tmpl, err := NewTemplate(chatML+"{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{{ tools|length if tools else 'none' }}", "", "")
	if err != nil {
		t.Fatal(err)
	}
	msgs := []Message{{Role: "user", Content: "q"}}
	for _, tt := range []struct{ vars, tools, want string }{
		{"", "", "none"}, {`{"enable_thinking":false}`, "", "<think></think>none"}, {"", `[{"a":1}]`, "1"},
	} {
		ids, err := tmpl.Prompt(tok, msgs, json.RawMessage(tt.tools), PromptOptions{Now: testNow, Vars: json.RawMessage(tt.vars)})
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Decode(ids, false); got != "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"+tt.want {
			t.Errorf("%+v gives %q", tt, got)
		}
	}
}

// TestConcurrentUse renders with one template from many goroutines.
func TestConcurrentUse(t *testing.T) {
	tok := byteTokenizer(t, "<|im_start|>", "<|im_end|>")
	tmpl, err := NewTemplate(chatML, "", "")
	if err != nil {
		t.Fatal(err)
	}
	msgs := []Message{{Role: "user", Content: strings.Repeat("q", 100)}, {Role: "assistant", Content: "a"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if ids, _, _, err := tmpl.Example(tok, msgs, nil, testNow); err != nil || len(ids) == 0 {
					t.Errorf("%d ids, %v", len(ids), err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkExample(b *testing.B) {
	tok, tmpl := smollm2(b)
	msgs := []Message{{Role: "system", Content: "Answer with the intent name only."}, {Role: "user", Content: "What is the function of the identity check"},
		{Role: "assistant", Content: "why_verify_identity"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := tmpl.Example(tok, msgs, nil, testNow); err != nil {
			b.Fatal(err)
		}
	}
}
