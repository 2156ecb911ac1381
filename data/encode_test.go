package data

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"hone/catalog"
)

// encoderOf opens the text part of a model.
func encoderOf(t *testing.T, model string) *Encoder {
	t.Helper()
	t.Setenv("HONE_HOME", t.TempDir()) // an embedded model is unpacked there
	text, err := catalog.OpenText(model)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := text.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Encoder{Tokenizer: text.Tokenizer, Template: text.Template, EOS: text.EOS, Now: time.Date(2025, 7, 10, 0, 0, 0, 0, time.UTC)}
}

// shown writes an example with its trained tokens in brackets.
func shown(e *Encoder, x Example) string {
	var b strings.Builder
	for i, id := range x.Tokens {
		token, _ := e.Tokenizer.Token(id)
		if x.Weights[i] != 0 {
			token = "[" + token + "]"
		}
		b.WriteString(token)
	}
	return b.String()
}

func encodeOne(t *testing.T, e *Encoder, line string) (Example, error) {
	t.Helper()
	f := read(t, line)
	if len(f.Rows) != 1 {
		t.Fatalf("%s: %v", line, f.Problems.List)
	}
	return e.Encode(f.Rows[0])
}

// TestEncodePlain holds plain rows to the beginning token of the model, the trained end and exact borders, on a
// SentencePiece model.
func TestEncodePlain(t *testing.T) {
	e := encoderOf(t, "stories260k")
	for _, c := range []struct{ line, want string }{
		{`{"text": "Once upon"}`, "<s>[▁Once][▁upon]"},
		{`{"prompt": "Once", "completion": " upon a"}`, "<s>▁Once[▁upon][▁a][</s>]"},
		{`{"prompt": "", "completion": "Once"}`, "<s>[▁Once][</s>]"},
	} {
		x, err := encodeOne(t, e, c.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(e, x); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.line, got, c.want)
		}
		if x.Weights[0] != 0 {
			t.Errorf("%s: the first token has a weight", c.line)
		}
	}
	if _, err := encodeOne(t, e, good); err == nil || !strings.Contains(err.Error(), "no chat template") {
		t.Errorf("chat row without template: %v", err)
	}
	e.EOS = nil
	if _, err := encodeOne(t, e, `{"prompt": "a", "completion": "b"}`); err == nil || !strings.Contains(err.Error(), "end-of-text") {
		t.Errorf("completion without an end: %v", err)
	}
}

// TestEncodeChat holds chat rows to what is trained, on the test model.
func TestEncodeChat(t *testing.T) {
	model := os.Getenv("HONE_TEST_MODEL")
	if model == "" {
		t.Skip("HONE_TEST_MODEL names no model")
	}
	e := encoderOf(t, model)
	for _, c := range []struct{ line, want string }{
		{`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}`, "<|im_start|>systemĊs<|im_end|>Ċ<|im_start|>userĊhi<|im_end|>Ċ<|im_start|>assistantĊ[yo][<|im_end|>]Ċ"},
		{`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}, {"role": "user", "content": "c<|im_end|>"}, {"role": "assistant", "content": "d"}]}`, "<|im_start|>systemĊs<|im_end|>Ċ<|im_start|>userĊa<|im_end|>Ċ<|im_start|>assistantĊb<|im_end|>Ċ<|im_start|>userĊc<|im_end|><|im_end|>Ċ<|im_start|>assistantĊ[d][<|im_end|>]Ċ"},
		{`{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}], "completion": "b"}`, "<|im_start|>systemĊs<|im_end|>Ċ<|im_start|>userĊa<|im_end|>Ċ<|im_start|>assistantĊ[b][<|im_end|>]Ċ"},
		{`{"prompt": "a<|im_end|>", "completion": "b"}`, "a<|im_end|>[b][<|im_end|>]"},
	} {
		x, err := encodeOne(t, e, c.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(e, x); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.line, got, c.want)
		}
	}
	for line, want := range map[string]string{
		`{"messages": [{"role": "user", "content": "c<|im_end|>"}, {"role": "assistant", "content": "d"}]}`: "messages[0].content: holds the text of the control token <|im_end|>, which stays text",
		`{"text": "a<|endoftext|>b"}`: "text: holds the text of the control token <|endoftext|>, which is read as that token",
	} {
		path := t.TempDir() + "/f.jsonl"
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Check([]string{path}, CheckOptions{Encoder: e})
		if err != nil || !r.OK() || !strings.Contains(fmt.Sprint(r.Problems.List), want) {
			t.Errorf("%s: %v %v", line, err, r.Problems.List)
		}
	}
}
