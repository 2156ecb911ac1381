package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"hone/engine/weights"
	"hone/tune"
)

// plotCommand is "hone plot".
type plotCommand struct {
	Out   string
	Title string
}

func (c *plotCommand) run(_ context.Context, m *Main, args []string) error {
	f := newFlags("plot", "RUN... [flags]",
		"draws the losses of runs, each a folder that hone train wrote, into one picture",
		"hone plot runs/f32 runs/bf16 -o precision.png --title banking77")
	f.StringVar(&c.Out, "o", "losses.png", "PNG `FILE` to write")
	f.StringVar(&c.Title, "title", "", "`TEXT` over the picture")
	runs, err := f.parse(m, args, 1, -1)
	if err != nil {
		return err
	}
	var curves []tune.Curve
	for _, run := range runs {
		metrics, err := tune.ReadMetrics(filepath.Join(run, "metrics.jsonl"))
		if err != nil {
			return fmt.Errorf("run %s: %w", run, err)
		}
		curves = append(curves, tune.Curve{Name: filepath.Base(filepath.Clean(run)), Metrics: metrics})
	}
	if err := weights.WriteFileAtomic(c.Out, func(w io.Writer) error { return tune.PlotRuns(w, c.Title, curves) }); err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.Stdout, c.Out)
	return err
}
