package api

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"hone/engine"
	"hone/serve"
)

// The unmodified openai-go client sees what it expects.
func TestGoClient(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{}, serve.Options{})
	client := openai.NewClient(option.WithBaseURL(f.URL+"/v1"), option.WithAPIKey(key), option.WithHTTPClient(f.Client()), option.WithMaxRetries(0))
	ctx := t.Context()
	messages := []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be kind."), openai.DeveloperMessage("Really."), openai.UserMessage("Hi"), openai.AssistantMessage("Yes?"), openai.UserMessage("Go on.")}

	t.Run("models", func(t *testing.T) {
		page, err := client.Models.List(ctx)
		if err != nil || len(page.Data) != 3 || page.Data[0].ID != "tiny" {
			t.Fatalf("%+v, %v", page, err)
		}
		m, err := client.Models.Get(ctx, "org/adapter")
		if err != nil || m.ID != "org/adapter" || m.OwnedBy != "hone" || m.Created != 1700000000 {
			t.Fatalf("%+v, %v", m, err)
		}
	})
	t.Run("chat", func(t *testing.T) {
		got, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: "tiny", Messages: messages, Seed: openai.Int(1), Temperature: openai.Float(0.5), TopP: openai.Float(0.9), N: openai.Int(2),
			MaxCompletionTokens: openai.Int(50), Logprobs: openai.Bool(true), TopLogprobs: openai.Int(3), FrequencyPenalty: openai.Float(0.1), PresencePenalty: openai.Float(0.1),
			LogitBias: map[string]int64{"65": -100}, Stop: openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{"\n\n"}}, User: openai.String("u"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Choices) != 2 || got.Choices[1].Message.Content != hello || got.Choices[0].FinishReason != "stop" || got.Usage.TotalTokens == 0 {
			t.Errorf("got %s", got.RawJSON())
		}
		joined := ""
		for _, token := range got.Choices[0].Logprobs.Content {
			joined += token.Token
			if len(token.TopLogprobs) != 3 {
				t.Errorf("token %+v", token)
			}
		}
		if joined != hello {
			t.Errorf("tokens %q", joined)
		}
	})
	t.Run("stream", func(t *testing.T) {
		stream := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: "tiny", Messages: messages, N: openai.Int(2),
			StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}})
		var sum openai.ChatCompletionAccumulator
		for stream.Next() {
			if !sum.AddChunk(stream.Current()) {
				t.Fatalf("the accumulator refuses %s", stream.Current().RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		if len(sum.Choices) != 2 || sum.Choices[0].Message.Content != hello || sum.Choices[1].FinishReason != "stop" || sum.Choices[0].Message.Role != "assistant" || sum.Usage.CompletionTokens == 0 {
			t.Errorf("got %+v", sum.ChatCompletion)
		}
	})
	t.Run("completions", func(t *testing.T) {
		params := openai.CompletionNewParams{Model: "tiny", Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfTokenArrays: [][]int64{{72}, {73}}}, Logprobs: openai.Int(2), Echo: openai.Bool(true), MaxTokens: openai.Int(50)}
		got, err := client.Completions.New(ctx, params)
		if err != nil || len(got.Choices) != 2 || got.Choices[1].Text != "I"+hello || strings.Join(got.Choices[1].Logprobs.Tokens, "") != "I"+hello {
			t.Fatalf("%+v, %v", got, err)
		}
		stream := client.Completions.NewStreaming(ctx, params)
		texts := map[int64]string{}
		for stream.Next() {
			for _, c := range stream.Current().Choices {
				texts[c.Index] += c.Text
			}
		}
		if err := stream.Err(); err != nil || texts[0] != "H"+hello || texts[1] != "I"+hello {
			t.Errorf("%v, %v", texts, err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		fails := func(what string, err error, status int, code, param string) {
			t.Helper()
			var e *openai.Error
			if !errors.As(err, &e) || e.StatusCode != status || e.Code != code || e.Param != param || e.Message == "" || e.Type == "" {
				t.Errorf("%s: %+v", what, err)
			}
		}
		_, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "nope", Messages: messages})
		fails("unknown model", err, 404, "model_not_found", "model")
		_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "tiny", Messages: messages, Temperature: openai.Float(3)})
		fails("temperature", err, 400, "decimal_above_max_value", "temperature")
		_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "tiny", Messages: []openai.ChatCompletionMessageParamUnion{}})
		fails("no messages", err, 400, "empty_array", "messages")
		_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "tiny", Messages: messages, ReasoningEffort: "low"})
		fails("unsupported", err, 400, "unsupported_parameter", "reasoning_effort")
		_, err = client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "tiny", Messages: messages}, option.WithAPIKey("wrong"))
		fails("wrong key", err, 401, "invalid_api_key", "")
	})
}

func TestGoClientSeesStreamErrors(t *testing.T) {
	e := &fakeEngine{say: endless, gate: make(chan struct{}, 3), breakAt: 4, context: 1 << 20}
	f := newFixture(t, e, Options{}, serve.Options{})
	client := openai.NewClient(option.WithBaseURL(f.URL+"/v1"), option.WithAPIKey(key), option.WithHTTPClient(f.Client()), option.WithMaxRetries(0))
	e.gate <- struct{}{}
	stream := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{Model: "tiny", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hi")}})
	close(e.gate)
	chunks := 0
	for stream.Next() {
		chunks++
	}
	if chunks == 0 || stream.Err() == nil || !strings.Contains(stream.Err().Error(), "internal_error") {
		t.Errorf("%d chunks, error %v", chunks, stream.Err())
	}
}

// The unmodified openai package for Python sees what it expects. HONE_TEST_PYTHON is a Python that has it.
func TestPythonClient(t *testing.T) {
	python := os.Getenv("HONE_TEST_PYTHON")
	if python == "" || testing.Short() {
		t.Skip("needs HONE_TEST_PYTHON, a Python with the openai package, and is not short")
	}
	f := newFixture(t, &fakeEngine{say: func(string, engine.Sampling) string { return strings.Repeat(hello+" One, two, three. ", 20) }}, Options{}, serve.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := exec.CommandContext(ctx, python, filepath.Join("testdata", "openai_client.py"), f.URL+"/v1", key, "tiny").CombinedOutput()
	if err != nil || strings.Count(string(out), "OK ") < 8 {
		t.Errorf("%v\n%s", err, out)
	}
}
