package serve_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"hone/catalog"
	"hone/engine"
	"hone/engine/tokenizer"
	"hone/serve"
)

// open opens a model and a running scheduler over it, until the test ends.
func open(t *testing.T, name string, o serve.Options) (*catalog.Model, *serve.Scheduler) {
	t.Helper()
	m, err := catalog.Open(name, engine.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(serve.Model{Base: m.Base, Tokenizer: m.Tokenizer, Template: m.Template, EOS: m.EOS}, o)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("close the model: %v", err)
		}
	})
	return m, s
}

// realModel opens the model inside the program, or the one in HONE_TEST_MODEL where large is asked for.
func realModel(t *testing.T, large bool, o serve.Options) (*catalog.Model, *serve.Scheduler) {
	t.Helper()
	if !large {
		t.Setenv("HONE_HOME", t.TempDir())
		return open(t, "stories260k", o)
	}
	path := os.Getenv("HONE_TEST_MODEL")
	if path == "" || testing.Short() {
		t.Skip("needs HONE_TEST_MODEL, the path of a .gguf, and is not short")
	}
	return open(t, path, o)
}

// With a real engine too, a text is the same alone and in a batch that others join and leave: greedy and sampled,
// bit for bit in its log-probabilities.
func TestRealBatchEqualsSingle(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large %v", large), func(t *testing.T) {
			m, s := realModel(t, large, serve.Options{MaxStreams: 3})
			prompts := []string{"Once upon a time", "Tim and Lily went to the park. They", "The", "One day, a little girl named Lucy found a", "In the"}
			request := func(i int) serve.Request {
				r := serve.Request{
					Prompt:    m.Tokenizer.Encode(prompts[i%len(prompts)], tokenizer.Options{AddSpecial: true}),
					MaxTokens: 8 + 5*(i%4), Stop: []string{"end."}, Continues: true,
					Sampling: engine.Sampling{Seed: uint64(i), TopLogProbs: 2},
				}
				if i%2 == 1 {
					r.Sampling.Temperature, r.Sampling.TopP, r.Sampling.RepetitionPenalty = 0.9, 0.95, 1.1
				}
				return r
			}
			describe := func(r serve.Result) string { return fmt.Sprintf("%q %s %+v %v", r.Text, r.Finish, r.Usage, r.Tokens) }
			n := 12
			want := make([]string, n)
			for i := range want {
				r, err := s.Generate(t.Context(), request(i))
				if err != nil {
					t.Fatal(err)
				}
				want[i] = describe(r)
				var joined strings.Builder
				for _, token := range r.Tokens {
					joined.WriteString(token.Text)
					if token.LogProb > 0 || len(token.Top) != 2 {
						t.Errorf("token %+v", token)
					}
				}
				if joined.String() != r.Text || r.Text == "" {
					t.Errorf("tokens %q, text %q", joined.String(), r.Text)
				}
			}
			var wg sync.WaitGroup
			for i := range want {
				wg.Go(func() {
					r, err := s.Generate(t.Context(), request(i))
					if got := describe(r); err != nil || got != want[i] {
						t.Errorf("request %d among others: %v\n got %s\nwant %s", i, err, got, want[i])
					}
				})
			}
			wg.Wait()
		})
	}
}

// A continued text keeps the space between the prompt and what follows, and the tokens' bytes join to it.
func TestRealContinuation(t *testing.T) {
	m, s := realModel(t, false, serve.Options{})
	spaces := 0
	for _, prompt := range []string{"Once upon a", "Once upon a time", "Lily and her mom went", "The"} {
		ids := m.Tokenizer.Encode(prompt, tokenizer.Options{AddSpecial: true})
		got, err := s.Generate(t.Context(), serve.Request{Prompt: ids, MaxTokens: 20, Continues: true})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(got.Text, " ") {
			spaces++
		}
		all := ids
		var raw []byte
		for _, token := range got.Tokens {
			all = append(all, token.ID)
			raw = append(raw, token.Bytes...)
		}
		if want := m.Tokenizer.Decode(all, true); prompt+got.Text != want {
			t.Errorf("got %q, want %q", prompt+got.Text, want)
		}
		if string(raw) != got.Text {
			t.Errorf("bytes %q, text %q", raw, got.Text)
		}
		if joined := strings.Join(serve.Texts(m.Tokenizer, all), ""); joined != prompt+got.Text {
			t.Errorf("texts %q", joined)
		}
		// As a message of its own the text does not begin with the model's word-opening space, nor do the bytes.
		opened, err := s.Generate(t.Context(), serve.Request{Prompt: ids, MaxTokens: 20})
		if err != nil {
			t.Fatal(err)
		}
		raw = nil
		for _, token := range opened.Tokens {
			raw = append(raw, token.Bytes...)
		}
		if opened.Text != strings.TrimPrefix(got.Text, " ") || string(raw) != opened.Text {
			t.Errorf("as a message %q with bytes %q, continued %q", opened.Text, raw, got.Text)
		}
	}
	if spaces == 0 {
		t.Error("no text of these begins with a space, so the test shows nothing")
	}
}

// The context bounds a text where the model really ends, and a prompt that fills it is refused.
func TestRealContextEnd(t *testing.T) {
	m, s := realModel(t, false, serve.Options{})
	ids := m.Tokenizer.Encode(strings.Repeat("once upon a time ", 1000), tokenizer.Options{AddSpecial: true})
	length := s.Context()
	got, err := s.Generate(t.Context(), serve.Request{Prompt: ids[:length-3], IgnoreEOS: true})
	if err != nil || got.Finish != serve.FinishLength || got.Usage.Completion != 3 {
		t.Errorf("%s, %+v, %v", got.Finish, got.Usage, err)
	}
	var long *serve.PromptTooLongError
	if _, err := s.Generate(t.Context(), serve.Request{Prompt: ids[:length]}); !errors.As(err, &long) {
		t.Errorf("a prompt that fills the context: %v", err)
	}
}

// Scores agree with the log-probabilities that generation reports.
func TestRealScoreEqualsGeneration(t *testing.T) {
	m, s := realModel(t, false, serve.Options{})
	ids := m.Tokenizer.Encode("Once upon a time", tokenizer.Options{AddSpecial: true})
	got, err := s.Generate(t.Context(), serve.Request{Prompt: ids, MaxTokens: 20, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range got.Tokens {
		ids = append(ids, token.ID)
	}
	scored, err := s.Score(t.Context(), ids, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	first := len(ids) - len(got.Tokens)
	for i, token := range got.Tokens {
		at := first + i - 1
		if diff := token.LogProb - float64(scored.LogProbs[at]); diff > 1e-4 || diff < -1e-4 || scored.Top[at][0].ID != token.ID {
			t.Errorf("token %d: generated with %v, scored %v, best %v", i, token.LogProb, scored.LogProbs[at], scored.Top[at][0])
		}
	}
}
