package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
	"hone/serve"
)

// sampling is the flags that say how tokens are chosen; the zero value is greedy.
type sampling struct {
	MaxTokens         int
	Temperature       float64
	TopP, MinP        float64
	TopK              int
	RepetitionPenalty float64
	Seed              uint64
	Stop              list
}

// register adds the flags to f.
func (s *sampling) register(f *flags, maxTokens int, temperature float64) {
	f.IntVar(&s.MaxTokens, "max-tokens", maxTokens, "most tokens of an answer; 0 is all the context holds")
	f.Float64Var(&s.Temperature, "temperature", temperature, "0 always takes the likeliest token; more is more varied")
	f.Float64Var(&s.TopP, "top-p", 1, "draw from the likeliest tokens that make up this much probability")
	f.Float64Var(&s.MinP, "min-p", 0, "drop tokens less likely than this times the likeliest")
	f.IntVar(&s.TopK, "top-k", 0, "draw from this many likeliest tokens; 0 is all")
	f.Float64Var(&s.RepetitionPenalty, "repetition-penalty", 1, "above 1 makes tokens already seen less likely")
	f.Uint64Var(&s.Seed, "seed", 0, "of the draws: the same seed gives the same text")
	f.Var(&s.Stop, "stop", "`TEXT` that ends an answer; may be given again")
}

// check says which flag is out of range.
func (s *sampling) check(f *flags) error {
	outside := func(x, low, high float64) bool { return math.IsNaN(x) || x < low || x > high }
	switch {
	case s.MaxTokens < 0:
		return f.wrong("--max-tokens must not be negative")
	case outside(s.Temperature, 0, 100):
		return f.wrong("--temperature must lie between 0 and 100")
	case outside(s.TopP, 0, 1):
		return f.wrong("--top-p must lie between 0 and 1")
	case outside(s.MinP, 0, 1):
		return f.wrong("--min-p must lie between 0 and 1")
	case s.TopK < 0:
		return f.wrong("--top-k must not be negative")
	case outside(s.RepetitionPenalty, 0, 100):
		return f.wrong("--repetition-penalty must lie between 0 and 100")
	}
	for _, stop := range s.Stop {
		if stop == "" {
			return f.wrong("--stop must not be empty")
		}
	}
	return nil
}

// engine returns the engine's form of the flags for the i-th text.
func (s *sampling) engine(i int) engine.Sampling {
	return engine.Sampling{Temperature: s.Temperature, TopP: s.TopP, MinP: s.MinP, TopK: s.TopK,
		RepetitionPenalty: s.RepetitionPenalty, Seed: serve.ChoiceSeed(s.Seed, i)}
}

// generateCommand is "hone generate".
type generateCommand struct {
	Model, Adapter string
	In, Out        string
	System         string
	Raw            bool
	Batch          int
	Precision      string
	Threads        int
	sampling       sampling
}

// promptRow is one JSON input row: a prompt to go on from, or a chat to answer.
type promptRow struct {
	Prompt   *string         `json:"prompt"`
	Messages []chat.Message  `json:"messages"`
	Tools    json.RawMessage `json:"tools"`
}

// generated is one output row; what was asked stands in front of the answer.
type generated struct {
	Prompt       *string         `json:"prompt,omitempty"`
	Messages     json.RawMessage `json:"messages,omitempty"`
	Completion   string          `json:"completion"`
	FinishReason string          `json:"finish_reason"`
	Usage        usage           `json:"usage"`
}

// usage counts tokens as the OpenAI API does.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// work is a row on its way through the scheduler.
type work struct {
	line    int
	out     generated
	request serve.Request
	done    chan struct{}
	err     error
}

func (c *generateCommand) run(ctx context.Context, m *Main, args []string) (err error) {
	f := newFlags("generate", "--model M [FILE] [flags]",
		`turns prompts into completions, one JSON row each, in the order of the input. A row is a line of text, {"prompt": …} or {"messages": […]}. `+
			`A line of text is a user's message if the model has a chat template, and otherwise, as "prompt" always, a text to go on from`,
		"echo 'What is the capital of France?' | hone generate --model smollm2-135m-instruct",
		"hone generate --model smollm2-135m-instruct --adapter runs/banking77/adapter --system 'Answer with the intent name only.' questions.txt",
		"echo 'Once upon a time' | hone generate --model stories260k --temperature 1 --top-p 0.9 --seed 7")
	f.StringVar(&c.Model, "model", "", "`M`: model name, folder or file")
	f.StringVar(&c.Adapter, "adapter", "", "`FOLDER` of an adapter")
	f.StringVar(&c.Out, "out", "-", "`FILE` to write; - is stdout")
	f.StringVar(&c.System, "system", "", "system `MESSAGE` put before lines of text")
	f.BoolVar(&c.Raw, "raw", false, "go on from lines of text even if the model has a chat template")
	f.IntVar(&c.Batch, "batch", serve.DefaultMaxStreams, "texts generated together; changes the speed, never a text")
	f.StringVar(&c.Precision, "precision", engine.AutoPrecision, precisionHelp)
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.Bool("json", true, "the output is always JSON")
	c.sampling.register(f, 256, 0)
	rest, err := f.parse(m, args, 0, 1)
	if err != nil {
		return err
	}
	if c.Model == "" {
		return f.wrong("--model is missing")
	}
	if c.Batch < 1 {
		return f.wrong("--batch must be at least 1")
	}
	if err := c.sampling.check(f); err != nil {
		return err
	}
	load, err := loadOptions(m, f, c.Threads, c.Precision)
	if err != nil {
		return err
	}
	c.In = "-"
	if len(rest) == 1 {
		c.In = rest[0]
	}
	in, err := openInput(m, c.In)
	if err != nil {
		return err
	}
	defer in.Close()
	model, err := openModel(c.Model, c.Adapter, load)
	if err != nil {
		return err
	}
	defer model.Close()
	if model.Tokenizer == nil {
		return fmt.Errorf("model %s has no tokenizer: put its tokenizer.json beside the weights", c.Model)
	}
	w, closeOut, err := openOutput(m, c.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	return c.generate(ctx, model, in, w)
}

// generate runs the rows of in through one scheduler, a few batches ahead of what is written to w.
func (c *generateCommand) generate(ctx context.Context, model *opened, in io.Reader, w io.Writer) error {
	s, stop := startScheduler(ctx, model, c.Batch)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *work, 2*c.Batch)
	read := make(chan error, 1)
	go func() {
		defer close(queue)
		rows := 0
		read <- eachLine(ctx, in, func(n int, line []byte) error {
			if len(bytes.TrimSpace(line)) == 0 {
				return nil
			}
			job, err := c.row(model, line)
			if err != nil {
				return fmt.Errorf("%s line %d: %w", inputName(c.In), n, err)
			}
			job.line = n
			job.request.Sampling = c.sampling.engine(rows)
			rows++
			go job.run(ctx, s)
			select {
			case queue <- job:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for job := range queue {
		<-job.done
		if job.err != nil {
			return fmt.Errorf("%s line %d: %w", inputName(c.In), job.line, job.err)
		}
		text, err := plainJSON(job.out)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text+"\n"); err != nil {
			return err
		}
	}
	return <-read
}

// row reads one input row.
func (c *generateCommand) row(model *opened, line []byte) (*work, error) {
	job := &work{done: make(chan struct{})}
	job.request = serve.Request{Adapter: model.Adapter, MaxTokens: c.sampling.MaxTokens, Stop: c.sampling.Stop}
	var row promptRow
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
		if err := decodeRow(line, &row); err != nil {
			return nil, err
		}
		if (row.Prompt == nil) == (row.Messages == nil) {
			return nil, errors.New(`a JSON row has "prompt" or "messages"`)
		}
		if row.Messages != nil {
			var kept struct{ Messages json.RawMessage }
			if err := decodeRow(line, &kept); err != nil {
				return nil, err
			}
			job.out.Messages = kept.Messages
		}
	} else {
		text := strings.TrimSuffix(string(line), "\r")
		job.out.Prompt = &text
		if model.Template == nil || c.Raw {
			row.Prompt = &text
		} else {
			row.Messages = withSystem(c.System, []chat.Message{{Role: "user", Content: text}})
		}
	}
	var err error
	if row.Prompt != nil {
		job.out.Prompt = row.Prompt
		job.request.Prompt, job.request.Continues = encodePrompt(model, *row.Prompt), true
	} else {
		job.request.Prompt, err = encodeChat(model, row.Messages, row.Tools)
	}
	return job, err
}

// run generates one row's text. The scheduler's waiting line is longer than the queue of rows, so it is never full.
func (j *work) run(ctx context.Context, s *serve.Scheduler) {
	defer close(j.done)
	r, err := s.Generate(ctx, j.request)
	j.err = err
	j.out.Completion, j.out.FinishReason = r.Text, r.Finish
	j.out.Usage = usage{r.Usage.Prompt, r.Usage.Completion, r.Usage.Prompt + r.Usage.Completion}
}

// startScheduler runs a scheduler over an opened model; stop ends it and waits.
func startScheduler(ctx context.Context, model *opened, batch int) (s *serve.Scheduler, stop func()) {
	s = serve.New(serve.Model{Base: model.Base, Tokenizer: model.Tokenizer, Template: model.Template, EOS: model.EOS},
		serve.Options{MaxStreams: batch, MaxWaiting: max(serve.DefaultMaxWaiting, 4*batch)})
	ran := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ran)
		_ = s.Run(ctx) // its requests have ended with the same error
	}()
	return s, func() { cancel(); <-ran }
}

// encodePrompt turns a plain text into ids as the model begins a text.
func encodePrompt(model *opened, text string) []int32 {
	ids := model.Tokenizer.Encode(text, tokenizer.Options{Control: true, AddSpecial: true})
	if n := len(ids); n > 1 && len(model.EOS) > 0 && ids[n-1] == model.EOS[0] && ids[0] != ids[n-1] {
		ids = ids[:n-1] // a tokenizer that also ends texts would end the prompt before the answer
	}
	return ids
}

// encodeChat turns a chat into ids up to where the answer begins.
func encodeChat(model *opened, messages []chat.Message, tools json.RawMessage) ([]int32, error) {
	if model.Template == nil {
		return nil, errors.New(`the model has no chat template; use "prompt" rows`)
	}
	return model.Template.Prompt(model.Tokenizer, messages, tools, chat.PromptOptions{Now: time.Now()})
}

// withSystem puts a system message before the others if there is one.
func withSystem(system string, messages []chat.Message) []chat.Message {
	if system == "" {
		return messages
	}
	return append([]chat.Message{{Role: "system", Content: system}}, messages...)
}
