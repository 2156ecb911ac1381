package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"hone/engine"
	"hone/engine/chat"
	"hone/serve"
)

// chatCommand is "hone chat".
type chatCommand struct {
	Model, Adapter string
	System         string
	Precision      string
	Threads        int
	sampling       sampling
}

const chatHelp = "/reset forgets the talk so far, /system TEXT sets the system message and forgets too, /exit (or Ctrl-D) ends, Ctrl-C stops at once"

func (c *chatCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("chat", "--model M [flags]", "talks with a model, an answer to each line; "+chatHelp,
		"hone chat --model smollm2-135m-instruct",
		"hone chat --model smollm2-135m-instruct --adapter runs/banking77/adapter --temperature 0",
		"echo 'Tell me a joke.' | hone chat --model smollm2-135m-instruct")
	f.StringVar(&c.Model, "model", "", "`M`: model name, folder or file")
	f.StringVar(&c.Adapter, "adapter", "", "`FOLDER` of an adapter")
	f.StringVar(&c.System, "system", "", "system `MESSAGE`")
	f.StringVar(&c.Precision, "precision", engine.AutoPrecision, precisionHelp)
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	c.sampling.register(f, 512, 0.7)
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if c.Model == "" {
		return f.wrong("--model is missing")
	}
	if err := c.sampling.check(f); err != nil {
		return err
	}
	load, err := loadOptions(m, f, c.Threads, c.Precision)
	if err != nil {
		return err
	}
	model, err := openModel(c.Model, c.Adapter, load)
	if err != nil {
		return err
	}
	defer model.Close()
	if model.Template == nil || model.Tokenizer == nil {
		return fmt.Errorf("model %s has no chat template, so it cannot talk; use: hone generate --model %s", c.Model, c.Model)
	}
	s, stop := startScheduler(ctx, model, 1)
	defer stop()
	return c.talk(ctx, m, model, s)
}

// talk reads lines and answers them until the input ends.
func (c *chatCommand) talk(ctx context.Context, m *Main, model *opened, s *serve.Scheduler) error {
	prompt := ""
	if isTerminal(m.Stdin) {
		prompt = "> "
		fmt.Fprintf(m.Stderr, "%s. /help shows the commands.\n", c.Model)
	}
	lines := readLines(ctx, m.Stdin)
	var history []chat.Message
	for turn := 0; ; {
		fmt.Fprint(m.Stderr, prompt)
		var line string
		var ok bool
		select {
		case line, ok = <-lines:
		case <-ctx.Done():
		}
		if !ok {
			return nil
		}
		command, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch command {
		case "":
			continue
		case "/help":
			fmt.Fprintln(m.Stderr, chatHelp)
			continue
		case "/reset":
			history = nil
			continue
		case "/system":
			c.System, history = strings.TrimSpace(rest), nil
			continue
		case "/exit", "/quit":
			return nil
		}
		history = append(history, chat.Message{Role: "user", Content: strings.TrimSuffix(line, "\r")})
		answer, err := c.answer(ctx, m, model, s, history, turn)
		var long *serve.PromptTooLongError
		switch {
		case errors.As(err, &long):
			fmt.Fprintf(m.Stderr, "%v (or begin anew with /reset)\n", err)
			history = history[:len(history)-1]
			continue
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		history = append(history, chat.Message{Role: "assistant", Content: answer})
		turn++
	}
}

// answer streams the answer to the last message and returns it.
func (c *chatCommand) answer(ctx context.Context, m *Main, model *opened, s *serve.Scheduler, history []chat.Message, turn int) (string, error) {
	ids, err := encodeChat(model, withSystem(c.System, history), nil)
	if err != nil {
		return "", err
	}
	events, err := s.Submit(ctx, serve.Request{Adapter: model.Adapter, Prompt: ids, MaxTokens: c.sampling.MaxTokens,
		Stop: c.sampling.Stop, Sampling: c.sampling.engine(turn)})
	if err != nil {
		return "", err
	}
	var text strings.Builder
	var failed error
	for e := range events {
		text.WriteString(e.Text)
		if _, err := io.WriteString(m.Stdout, e.Text); err != nil {
			return "", err
		}
		failed = e.Err
	}
	_, err = fmt.Fprintln(m.Stdout)
	return text.String(), errors.Join(failed, err)
}

// readLines sends the lines of r until it ends or ctx is done. Its goroutine may stay behind in a read of a terminal
// when ctx is done first; the program is ending then.
func readLines(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 64<<10), maxLine)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
