package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// A prompt has promptWords short words, which with the template are about 60 tokens.
const promptWords, answerTokens = 30, 16

var words = strings.Fields("account bank card cash transfer money pending payment top up limit order fee rate country phone lost stolen new old " +
	"my your the why how when where is was not can do")

// server is a running "hone serve".
type server struct {
	*process
	BaseURL string `json:"base_url"`
	Models  []string
}

// startServer serves the model on a free port.
func startServer(ctx context.Context, s settings) (*server, error) {
	p, err := start(ctx, s.hone, "serve", "--dev", "--json", "--addr", "127.0.0.1:0", "--model", s.model)
	if err != nil {
		return nil, err
	}
	v := &server{process: p}
	if err := p.line(v); err != nil {
		return nil, err
	}
	if len(v.Models) == 0 {
		p.stop()
		return nil, errors.New("hone serve names no model")
	}
	return v, nil
}

// series asks n different questions one after the other and returns how long each first token took.
func (s *server) series(ctx context.Context, n int, seed uint64, pause time.Duration) ([]time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		var err error
		if times[i], err = s.ask(ctx, prompt(seed+uint64(i))); err != nil {
			return nil, fmt.Errorf("request %d: %w", i+1, err)
		}
	}
	return times, nil
}

// prompt is a question that no other seed asks, so that nothing of it can be remembered.
func prompt(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a benchmark's text
	text := make([]string, promptWords)
	for i := range text {
		text[i] = words[r.IntN(len(words))]
	}
	return strings.Join(text, " ") + "?"
}

// ask streams one answer to its end and returns the time from the request to the first piece of text.
func (s *server) ask(ctx context.Context, text string) (first time.Duration, err error) {
	body, err := json.Marshal(map[string]any{"model": s.Models[0], "stream": true, "max_tokens": answerTokens, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": text}}})
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.BaseURL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	start := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return 0, fmt.Errorf("the server answered %s: %s", response.Status, answer)
	}
	return firstText(response.Body, start)
}

// firstText reads a stream of events to its end and returns when the first one with text came.
func firstText(stream io.Reader, start time.Time) (first time.Duration, err error) {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta        struct{ Content string }
				FinishReason string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return 0, fmt.Errorf("the server sent %q: %w", data, err)
		}
		for _, c := range chunk.Choices {
			if first == 0 && (c.Delta.Content != "" || c.FinishReason != "") {
				first = time.Since(start)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if first == 0 {
		return 0, errors.New("the answer has no text")
	}
	return first, nil
}
