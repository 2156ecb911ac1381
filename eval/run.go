package eval

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"hone/catalog"
	"hone/data"
	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
	"hone/serve"
)

// Result is how a model did on one task.
type Result struct {
	Task     string  `json:"task"`
	File     string  `json:"file"`
	Metric   string  `json:"metric"`
	Correct  int     `json:"correct"`
	Count    int     `json:"count"`
	Accuracy float64 `json:"accuracy"`
	Low      float64 `json:"low"`    // of the 95 % interval
	High     float64 `json:"high"`   // of the 95 % interval
	Length   int     `json:"length"` // answers that ended because they were too long
	Seconds  float64 `json:"seconds"`
}

// Report is one evaluation's outcome.
type Report struct {
	Model      string   `json:"model"`
	BaseSHA256 string   `json:"base_sha256"`
	Adapter    string   `json:"adapter,omitempty"`
	Precision  string   `json:"precision"` // that auto stood for, or was asked for
	Tasks      []Result `json:"tasks"`
}

// Prediction is one answer, a line of a predictions file.
type Prediction struct {
	Line     int    `json:"line"` // of the row in its file
	Expected string `json:"expected"`
	Answer   string `json:"answer"`
	Finish   string `json:"finish_reason"`
	Correct  bool   `json:"correct"`
}

// Progress is told after each answer; it may be nil.
type Progress func(task string, done, total, correct int)

// question is a row ready to be asked.
type question struct {
	line     int
	prompt   []int32
	expected string
	raw      bool // plain text that the answer goes on from
}

// Run opens the model, measures every task and writes what c.Out asks for.
func Run(ctx context.Context, c *Config, progress Progress) (*Report, error) {
	load := engine.LoadOptions{Threads: c.Threads}
	if err := load.SetPrecision(c.Precision); err != nil {
		return nil, err
	}
	model, err := catalog.Open(c.Model, load)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	var adapter *engine.Adapter
	if c.Adapter != "" {
		if adapter, err = model.Base.LoadAdapter(c.Adapter); err != nil {
			return nil, fmt.Errorf("load adapter %s: %w", c.Adapter, err)
		}
	}
	report := &Report{Model: c.Model, Adapter: c.Adapter, Precision: model.Base.Precision().String()}
	if report.BaseSHA256, err = model.Base.SHA256(); err != nil {
		return nil, err
	}
	for _, t := range c.Tasks {
		result, predictions, err := t.Run(ctx, model, adapter, c.Batch, progress)
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", t.Name, err)
		}
		report.Tasks = append(report.Tasks, result)
		if c.Out != "" {
			if err := writePredictions(c.Out, t.Name, predictions); err != nil {
				return nil, err
			}
		}
	}
	if c.Out == "" {
		return report, nil
	}
	return report, writeReport(c.Out, report)
}

// Run reads the task's rows, lets the model answer them greedily, batch at a time, and judges the answers. The
// predictions are in the order of the file.
func (t Task) Run(ctx context.Context, model *catalog.Model, adapter *engine.Adapter, batch int, progress Progress) (Result, []Prediction, error) {
	file, err := data.Read(t.File, data.ReadOptions{})
	if err != nil {
		return Result{}, nil, err
	}
	if err := file.Problems.Err(); err != nil {
		return Result{}, nil, err
	}
	return t.RunRows(ctx, file.Rows, model, adapter, batch, progress)
}

// RunRows is Run on rows already read.
func (t Task) RunRows(ctx context.Context, rows []data.Row, model *catalog.Model, adapter *engine.Adapter, batch int, progress Progress) (Result, []Prediction, error) {
	pattern, err := regexp.Compile(t.Pattern)
	if err != nil {
		return Result{}, nil, fmt.Errorf("pattern: %w", err)
	}
	if t.Limit > 0 && len(rows) > t.Limit {
		rows = rows[:t.Limit]
	}
	questions := make([]question, len(rows))
	for i, row := range rows {
		if questions[i], err = ask(model, row); err != nil {
			return Result{}, nil, fmt.Errorf("%s line %d: %w", t.File, row.Line, err)
		}
	}
	start := time.Now()
	result := Result{Task: t.Name, File: t.File, Metric: t.Metric, Count: len(questions)}
	predictions := make([]Prediction, len(questions))
	done := 0
	err = answer(ctx, model, adapter, t, batch, questions, func(i int, a serve.Result) {
		q := questions[i]
		p := Prediction{Line: q.line, Expected: q.expected, Answer: a.Text, Finish: a.Finish, Correct: t.judge(a.Text, q.expected, pattern)}
		predictions[i] = p
		done++
		if p.Correct {
			result.Correct++
		}
		if p.Finish == serve.FinishLength {
			result.Length++
		}
		if progress != nil {
			progress(t.Name, done, len(questions), result.Correct)
		}
	})
	if err != nil {
		return Result{}, nil, err
	}
	if result.Count > 0 {
		result.Accuracy = float64(result.Correct) / float64(result.Count)
	}
	result.Low, result.High = Wilson(result.Correct, result.Count)
	result.Seconds = time.Since(start).Seconds()
	return result, predictions, nil
}

// ask makes the prompt and the expected answer of a row.
func ask(model *catalog.Model, row data.Row) (question, error) {
	q := question{line: row.Line}
	var err error
	switch {
	case model.Tokenizer == nil:
		return q, errors.New("the model has no tokenizer")
	case row.Messages != nil:
		last := len(row.Messages) - 1
		if last < 1 || row.Messages[last].Role != "assistant" {
			return q, errors.New("messages: the last one must be the expected assistant answer, after at least one other")
		}
		if model.Template == nil {
			return q, errors.New("the model has no chat template; use prompt/completion rows")
		}
		q.expected = row.Messages[last].Content
		q.prompt, err = model.Template.Prompt(model.Tokenizer, row.Messages[:last], row.Tools, chat.PromptOptions{Now: time.Now()})
	case row.Kind == data.Prompt:
		q.raw, q.expected = true, row.Completion
		q.prompt = model.Tokenizer.Encode(row.Prompt, tokenizer.Options{Control: true, AddSpecial: true})
	default:
		return q, fmt.Errorf("a %s row has no expected answer; use chat or prompt/completion rows", row.Kind)
	}
	return q, err
}

// answer lets the model answer the questions, at most batch at once, and calls each with the answers as they come,
// one call at a time.
func answer(ctx context.Context, model *catalog.Model, adapter *engine.Adapter, t Task, batch int, questions []question, each func(i int, a serve.Result)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := serve.New(serve.Model{Base: model.Base, Tokenizer: model.Tokenizer, Template: model.Template, EOS: model.EOS},
		serve.Options{MaxStreams: max(1, batch)})
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = s.Run(ctx) // its requests have ended with the same error
	}()
	defer func() {
		cancel()
		<-ran
	}()

	type answered struct {
		i   int
		a   serve.Result
		err error
	}
	next := make(chan int)
	answers := make(chan answered)
	for range max(1, batch) {
		go func() {
			for i := range next {
				q := questions[i]
				a, err := s.Generate(ctx, serve.Request{Adapter: adapter, Prompt: q.prompt, MaxTokens: t.MaxTokens, Stop: t.Stop, Continues: q.raw})
				answers <- answered{i, a, err}
			}
		}()
	}
	go func() {
		for i := range questions {
			next <- i
		}
		close(next)
	}()
	var failed error
	for range questions { // every question is answered, with an error once ctx is done, so all goroutines end
		a := <-answers
		switch {
		case failed != nil:
		case a.err != nil:
			failed = fmt.Errorf("line %d: %w", questions[a.i].line, a.err)
			cancel()
		default:
			each(a.i, a.a)
		}
	}
	return failed
}

// writePredictions writes a task's answers as JSON lines.
func writePredictions(dir, task string, predictions []Prediction) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, task+".predictions.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, p := range predictions {
		if err := e.Encode(p); err != nil {
			return err
		}
	}
	return w.Flush()
}

// writeReport writes the report beside the predictions.
func writeReport(dir string, r *Report) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.json"), append(data, '\n'), 0o644)
}
