package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"hone/engine"
	"hone/engine/chat"
	"hone/platform/api"
	"hone/serve"
)

// demoServer is the demo's server on a free port of this machine, asked over HTTP as any client would.
type demoServer struct {
	url  string
	stop func()
}

// startDemoServer serves an opened model under its own name and, under the other name, with the adapter.
func startDemoServer(ctx context.Context, model *opened, name string, adapter *engine.Adapter) (*demoServer, error) {
	scheduler, stopScheduler := startScheduler(ctx, model, serve.DefaultMaxStreams)
	models := &served{all: []api.Model{
		{ID: model.Name, Created: modified(model.Path), OwnedBy: "hone", Scheduler: scheduler},
		{ID: name, Created: time.Now(), OwnedBy: "hone", Scheduler: scheduler, Adapter: adapter},
	}}
	server, err := api.New(models, api.Options{Dev: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		stopScheduler()
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stopScheduler()
		return nil, fmt.Errorf("start the server: %w", err)
	}
	serving, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(serving, listener, time.Second) // a failure shows in the answers
	}()
	return &demoServer{url: "http://" + listener.Addr().String() + "/v1", stop: func() { cancel(); <-ended; stopScheduler() }}, nil
}

// close ends the server.
func (s *demoServer) close() { s.stop() }

// chat asks one model for the answer to a chat.
func (s *demoServer) chat(ctx context.Context, model string, messages []chat.Message) (string, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var plain []message
	for _, m := range messages {
		plain = append(plain, message{m.Role, m.Content})
	}
	var answer struct {
		Choices []struct{ Message message }
	}
	err := s.post(ctx, "/chat/completions", map[string]any{"model": model, "messages": plain, "temperature": 0, "max_tokens": 64}, &answer)
	if err == nil && len(answer.Choices) == 0 {
		err = errors.New("the server gave no answer")
	}
	if err != nil {
		return "", err
	}
	return answer.Choices[0].Message.Content, nil
}

// complete asks one model to go on from a text to the end of its paragraph.
func (s *demoServer) complete(ctx context.Context, model, prompt string) (string, error) {
	var answer struct {
		Choices []struct{ Text string }
	}
	err := s.post(ctx, "/completions", map[string]any{"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 200, "stop": "\n"}, &answer)
	if err == nil && len(answer.Choices) == 0 {
		err = errors.New("the server gave no answer")
	}
	if err != nil {
		return "", err
	}
	return answer.Choices[0].Text, nil
}

// post sends one request and reads its answer into out.
func (s *demoServer) post(ctx context.Context, path string, body, out any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s: %s", response.Status, answer)
	}
	return json.Unmarshal(answer, out)
}
