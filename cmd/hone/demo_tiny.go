package main

import (
	"context"
	"fmt"
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

	opened, err := openModel(model, "", engine.LoadOptions{Threads: c.Threads, Auto: true})
	if err != nil {
		return err
	}
	defer opened.Close()

	heading(m.Stdout, "2. Training")
	config := tune.DefaultSFT()
	config.Model, config.Out = model, filepath.Join(c.Out, "nib")
	config.Train, config.Valid = filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "valid.jsonl")
	config.Epochs, config.Batch, config.LearningRate = 10, 8, 4e-3
	config.Threads = tune.Auto(c.Threads)
	fmt.Fprintln(m.Stdout, "35 stories about Nib the mouse and her red thread; every token is trained.")
	summary, err := c.train(ctx, m, opened, config)
	if err != nil {
		return err
	}
	adapter, err := opened.Base.LoadAdapter(summary.Weights)
	if err != nil {
		return err
	}
	before, after, err := storyLoss(ctx, opened, adapter, config.Valid)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "Loss on 5 stories that were not trained: %.3f before, %.3f after. Step by step: %s\n",
		before, after, filepath.Join(config.Out, "loss.png"))

	heading(m.Stdout, "3. Served")
	adapters, err := c.publish(summary.Weights, "nib")
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "Both go on from: %s\n\n", storyPrompt)
	if err := ask(ctx, m, opened, "nib", adapter, func(s *demoServer, name string) (string, error) {
		text, err := s.complete(ctx, name, storyPrompt)
		return storyPrompt + text, err
	}); err != nil {
		return err
	}

	heading(m.Stdout, "What next")
	hone := m.name()
	fmt.Fprintf(m.Stdout, "That took %s. The adapter is in %s; PEFT loads it as it is.\n", time.Since(start).Round(100*time.Millisecond), summary.Weights)
	suggest(m.Stdout, "another story", fmt.Sprintf("echo '%s' | %s generate --model %s --adapter %s --temperature 0.8 --seed 7", storyPrompt, hone, model, quoteArg(summary.Weights)))
	suggest(m.Stdout, "serve it", hone+" serve --model "+model+" --adapters "+quoteArg(adapters)+" --dev")
	suggest(m.Stdout, "a model that chats", hone+" demo")
	return nil
}

// storyLoss measures the mean loss of a file's tokens without and with the adapter.
func storyLoss(ctx context.Context, model *opened, adapter *engine.Adapter, file string) (before, after float64, err error) {
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
	tuned, err := model.Base.Evaluate(ctx, all, adapter)
	return base.Loss(), tuned.Loss(), err
}
