package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"hone/data"
	"hone/engine"
	"hone/tune"
)

// storyPrompt is what both models of the tiny demo go on from.
const storyPrompt = "Nib the mouse"

// stories is the demo on the embedded model: raw text rows of one style, loss before and after, a story from each.
func (c *demoCommand) stories(ctx context.Context, m *Main) error {
	const model = "stories260k"
	start := time.Now()
	heading(m.Stdout, "1. The model")
	fmt.Fprintln(m.Stdout, "stories260k, 260 thousand parameters, is inside the program. It tells stories in simple words.")
	dir, err := c.unpack("stories")
	if err != nil {
		return err
	}

	heading(m.Stdout, "2. Training")
	config := tune.DefaultSFT()
	config.Model, config.Out = model, filepath.Join(c.Out, "nib")
	config.Train, config.Valid = filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "valid.jsonl")
	config.Epochs, config.Batch, config.LearningRate = 24, 8, 5e-3
	config.Threads = tune.Auto(c.Threads)
	fmt.Fprintln(m.Stdout, "35 stories about Nib the mouse and her red thread; every token is trained.")
	if err := trainRun(ctx, m, config, true, false); err != nil {
		return err
	}
	adapter := filepath.Join(config.Out, "adapter")
	before, after, err := c.storyLoss(ctx, model, adapter, config.Valid)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "Loss on 5 stories that were not trained: %.3f before, %.3f after. Step by step: %s\n",
		before, after, filepath.Join(config.Out, "loss.png"))

	heading(m.Stdout, "3. Served")
	if err := c.ask(ctx, m, model, "nib", adapter, func(w io.Writer, s *demoServer) error {
		left, err := s.complete(ctx, model, storyPrompt)
		if err != nil {
			return err
		}
		right, err := s.complete(ctx, "nib", storyPrompt)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "Both go on from: %s\n\n", storyPrompt)
		sideBySide(w, "base", storyPrompt+left, "adapter", storyPrompt+right)
		return nil
	}); err != nil {
		return err
	}

	heading(m.Stdout, "What next")
	fmt.Fprintf(m.Stdout, `That took %s. The adapter is in %s; PEFT loads it as it is.
  another story        echo '%s' | hone generate --model %s --adapter %s --temperature 0.8 --seed 7
  serve it             hone serve --model %s --adapters %s --dev
  a model that chats   hone demo
`, time.Since(start).Round(100*time.Millisecond), adapter, storyPrompt, model, adapter, model, filepath.Join(c.Out, "adapters"))
	return nil
}

// storyLoss measures the mean loss of a file's tokens without and with the adapter.
func (c *demoCommand) storyLoss(ctx context.Context, name, adapter, file string) (before, after float64, err error) {
	model, err := openModel(name, adapter, c.Threads)
	if err != nil {
		return 0, 0, err
	}
	defer model.Close()
	rows, err := readRows(file)
	if err != nil {
		return 0, 0, err
	}
	encoder := &data.Encoder{Tokenizer: model.Tokenizer, Template: model.Template, EOS: model.EOS, Now: time.Now()}
	var all []engine.Datum
	for i, row := range rows {
		x, err := encoder.Encode(row)
		if err != nil {
			return 0, 0, fmt.Errorf("%s line %d: %w", file, row.Line, err)
		}
		all = append(all, engine.Datum{Tokens: x.Tokens, Weights: x.Weights, Row: int64(i)})
	}
	base, err := model.Base.Evaluate(ctx, all, nil)
	if err != nil {
		return 0, 0, err
	}
	tuned, err := model.Base.Evaluate(ctx, all, model.Adapter)
	return base.Loss(), tuned.Loss(), err
}
