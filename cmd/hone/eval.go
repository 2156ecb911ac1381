package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"hone/eval"
)

// evalCommand is "hone eval".
type evalCommand struct {
	File           string
	Model, Adapter string
	Out            string
	Limit          int
	Precision      string
	JSON           bool
}

func (c *evalCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("eval", "-c FILE [flags]",
		"lets a model answer questions, greedily, and compares with the expected answers: exact match, contains or regex, with 95 % intervals",
		"hone eval -c examples/banking77/eval.yaml", "hone eval -c eval.yaml --adapter runs/banking77/adapter --json")
	f.StringVar(&c.File, "c", "", "evaluation `FILE` in YAML")
	f.StringVar(&c.Model, "model", "", "`M` instead of the file's model")
	f.StringVar(&c.Adapter, "adapter", "", "`FOLDER` instead of the file's adapter; none: the base alone")
	f.StringVar(&c.Out, "out", "", "`FOLDER` instead of the file's, for report and predictions")
	f.IntVar(&c.Limit, "limit", 0, "use at most this many rows of each task; 0: as the file says")
	f.StringVar(&c.Precision, "precision", "", "instead of the file's; "+precisionHelp+". The file's is auto unless it says otherwise")
	f.BoolVar(&c.JSON, "json", false, "print the report as JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if c.File == "" {
		return f.wrong("-c is missing")
	}
	config, err := eval.ReadConfig(c.File)
	if err != nil {
		return err
	}
	c.override(config)
	if err := config.Validate(); err != nil {
		return f.wrong("%w", err)
	}
	meter := newMeter(m.Stderr, "answers")
	report, err := eval.Run(ctx, config, func(task string, done, total, correct int) {
		meter.show(done, total, fmt.Sprintf("%s: %d of %d right", task, correct, done))
	})
	meter.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(report)
	}
	return printReport(m.Stdout, report)
}

// override puts the flags over what the file says.
func (c *evalCommand) override(config *eval.Config) {
	if c.Model != "" {
		config.Model = c.Model
	}
	if c.Adapter != "" {
		config.Adapter = c.Adapter
	}
	if c.Adapter == "none" {
		config.Adapter = ""
	}
	if c.Out != "" {
		config.Out = c.Out
	}
	if c.Precision != "" {
		config.Precision = c.Precision
	}
	for i := range config.Tasks {
		if c.Limit > 0 {
			config.Tasks[i].Limit = c.Limit
		}
	}
}

// printReport writes a report as a table.
func printReport(out io.Writer, r *eval.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TASK\tMETRIC\tRIGHT\tOF\tACCURACY\t95 % INTERVAL\tSECONDS")
	for _, t := range r.Tasks {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.3f\t%.3f to %.3f\t%.1f\n", t.Task, t.Metric, t.Correct, t.Count, t.Accuracy, t.Low, t.High, t.Seconds)
	}
	return w.Flush()
}
