package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
)

// scoreCommand is "hone score".
type scoreCommand struct {
	Model, Adapter string
	In, Out        string
	Top            int
	Precision      string
	Threads        int
}

// scoreRow is one input row: exactly one of the three.
type scoreRow struct {
	InputIDs []int32         `json:"input_ids"`
	Text     *string         `json:"text"`
	Messages []chat.Message  `json:"messages"`
	Tools    json.RawMessage `json:"tools"`
}

// scored is one output row.
type scored struct {
	InputIDs []int32        `json:"input_ids"`
	LogProbs []float32      `json:"logprobs"`      // of each token after the first
	Top      [][]idAndScore `json:"top,omitempty"` // for each position, best first
}

// idAndScore is written as [id, log-probability].
type idAndScore engine.TokenLogProb

func (p idAndScore) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.ID, p.LogProb}) }

func (c *scoreCommand) run(ctx context.Context, m *Main, args []string) (err error) {
	f := newFlags("score", "--model M --in F.jsonl [flags]",
		`gives the log-probability of every token of given rows: {"input_ids": […]}, {"text": …} or {"messages": […]}, one a line`,
		"hone score --model smollm2-135m-instruct --in rows.jsonl",
		`echo '{"text": "The sky is blue."}' | hone score --model smollm2-135m-instruct --top 3`)
	f.StringVar(&c.Model, "model", "", "`M`: model name, folder or file")
	f.StringVar(&c.Adapter, "adapter", "", "`FOLDER` of an adapter")
	f.StringVar(&c.In, "in", "-", "`FILE` of rows; - is stdin")
	f.StringVar(&c.Out, "out", "-", "`FILE` to write; - is stdout")
	f.IntVar(&c.Top, "top", 0, "also the `K` most likely tokens at each position")
	f.StringVar(&c.Precision, "precision", "f32", precisionHelp)
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.Bool("json", true, "the output is always JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	switch {
	case c.Model == "":
		return f.wrong("--model is missing")
	case c.Top < 0:
		return f.wrong("--top must not be negative")
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
	in, err := openInput(m, c.In)
	if err != nil {
		return err
	}
	defer in.Close()
	w, closeOut, err := openOutput(m, c.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	return eachLine(ctx, in, func(n int, line []byte) error {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		row, err := c.score(ctx, model, line)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", inputName(c.In), n, err)
		}
		text, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", inputName(c.In), n, err)
		}
		_, err = w.Write(append(text, '\n'))
		return err
	})
}

// score scores one row.
func (c *scoreCommand) score(ctx context.Context, model *opened, line []byte) (*scored, error) {
	ids, err := rowIDs(model, line)
	if err != nil {
		return nil, err
	}
	s, err := model.Base.Score(ctx, ids, model.Adapter, c.Top)
	if err != nil {
		return nil, err
	}
	out := &scored{InputIDs: ids, LogProbs: s.LogProbs}
	if out.LogProbs == nil {
		out.LogProbs = []float32{}
	}
	if c.Top > 0 {
		for _, position := range s.Top {
			pairs := make([]idAndScore, len(position))
			for i, p := range position {
				pairs[i] = idAndScore(p)
			}
			out.Top = append(out.Top, pairs)
		}
	}
	return out, nil
}

// rowIDs turns a row into ids: as they are, text as the model encodes it, messages through its template without the
// prompt for an answer.
func rowIDs(model *opened, line []byte) ([]int32, error) {
	var row scoreRow
	if err := decodeRow(line, &row); err != nil {
		return nil, err
	}
	switch {
	case row.InputIDs != nil:
		return row.InputIDs, nil
	case row.Text == nil && row.Messages == nil:
		return nil, errors.New(`the row has none of "input_ids", "text" and "messages"`)
	case model.Tokenizer == nil:
		return nil, errors.New(`the model has no tokenizer; only rows with "input_ids" can be scored`)
	case row.Text != nil:
		return model.Tokenizer.Encode(*row.Text, tokenizer.Options{Control: true, AddSpecial: true}), nil
	case model.Template == nil:
		return nil, errors.New(`the model has no chat template; rows with "messages" cannot be scored`)
	}
	ids, _, _, err := model.Template.Example(model.Tokenizer, row.Messages, row.Tools, time.Now())
	return ids, err
}

// openOutput opens a file to write, or stdout for "-"; closing flushes.
func openOutput(m *Main, path string) (io.Writer, func() error, error) {
	if path == "-" {
		b := bufio.NewWriter(m.Stdout)
		return b, b.Flush, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	b := bufio.NewWriter(file)
	return b, func() error { return errors.Join(b.Flush(), file.Close()) }, nil
}
