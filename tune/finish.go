package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"

	"hone/engine/weights"
	"hone/internal/busy"
)

// evaluate validates where a validation is due. The error is ctx's, or one of writing.
func (r *run) evaluate(ctx context.Context) error {
	if !r.EvalDue || r.valid == nil {
		r.EvalDue = false
		return nil
	}
	r.tell(Evaluating, r.c.Valid)
	e, err := r.trainer.Evaluate(ctx, r.valid.Rows)
	if err != nil {
		return err
	}
	line := validLine{Step: r.Step, ValidLoss: e.Loss(), ValidAccuracy: e.Accuracy()}
	if !finite(line.ValidLoss) {
		return &StoppedError{Step: r.Step, Checkpoint: r.lastSaved, Err: fmt.Errorf("valid_loss is %v: lower learning_rate", line.ValidLoss)}
	}
	if err := r.write(ctx, metricsName, func() error { return r.metrics.append(line) }); err != nil {
		return err
	}
	r.EvalDue = false
	r.meter.p.ValidLoss, r.meter.p.ValidAccuracy = line.ValidLoss, line.ValidAccuracy
	r.tell(Validated, "")
	if r.Best == nil || line.ValidLoss < r.Best.ValidLoss-r.c.EarlyStopping.MinDelta {
		r.Best, r.Stale = &Best{r.Step, line.ValidLoss}, 0
		return r.write(ctx, bestName, func() error { return r.saveWeights(filepath.Join(r.c.Out, bestName)) })
	}
	r.Stale++
	if p := r.c.EarlyStopping.Patience; p > 0 && r.Stale >= p && r.Step < r.Steps {
		r.Ended = fmt.Sprintf("early stopping: valid_loss has not fallen below %.4g, of step %d, in %d validations", r.Best.ValidLoss, r.Best.Step, r.Stale)
	}
	return nil
}

// saveWeights writes what is trained, as others load it, to dir: an adapter, or a whole model with its tokenizer.
func (r *run) saveWeights(dir string) error {
	if r.adapter != nil {
		return r.adapter.Save(dir, r.facts)
	}
	beside, err := r.model.Files()
	if err != nil { // no reason to lose the weights
		r.tell(Warned, fmt.Sprintf("%s gets no tokenizer: %v; put the base's beside the weights to use them with text", dir, err))
	}
	facts, err := json.MarshalIndent(r.facts, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"hone.json": append(facts, '\n')}
	maps.Copy(files, beside)
	return r.trainer.SaveModel(dir, files)
}

// finish writes the trained weights, the plot and the summary of a run whose last step is saved.
func (r *run) finish(ctx context.Context) (Summary, error) {
	name := adapterName
	if r.adapter == nil {
		name = modelName
	}
	dir := filepath.Join(r.c.Out, name)
	if err := r.prune(); err != nil { // a kill after the last checkpoint left one too many
		return Summary{}, err
	}
	if err := r.write(ctx, name, func() error { return r.saveWeights(dir) }); err != nil {
		return Summary{}, err
	}
	metrics, err := r.report(ctx)
	if err != nil {
		return Summary{}, err
	}
	s := r.summary(dir, metrics)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return Summary{}, err
	}
	err = r.write(ctx, summaryName, func() error { return writeText(filepath.Join(r.c.Out, summaryName), append(text, '\n')) })
	if err != nil {
		return Summary{}, err
	}
	r.tell(Finished, dir)
	return s, nil
}

// report writes metrics.csv and loss.png from metrics.jsonl.
func (r *run) report(ctx context.Context) ([]Metric, error) {
	metrics, err := ReadMetrics(filepath.Join(r.c.Out, metricsName))
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{csvName, func(w io.Writer) error { return writeCSV(w, metrics) }},
		{plotName, func(w io.Writer) error { return PlotLoss(w, filepath.Base(filepath.Clean(r.c.Out)), metrics) }},
	} {
		err := r.write(ctx, f.name, func() error { return weights.WriteFileAtomic(filepath.Join(r.c.Out, f.name), f.write) })
		if err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

func (r *run) summary(dir string, metrics []Metric) Summary {
	s := Summary{Out: r.c.Out, Weights: dir, Steps: r.Step, Ended: r.Ended, Best: r.Best, TrainedParams: r.trainer.Params(), ResumedAt: r.resumedAt, Data: r.Identity.Data,
		Chats: r.model.Template != nil && r.model.Tokenizer != nil}
	first := true
	for _, m := range metrics {
		if m.ValidLoss != nil {
			s.ValidLoss, s.ValidAccuracy = m.ValidLoss, m.ValidAccuracy
			continue
		}
		s.Tokens += m.Tokens
		s.TrainedTokens += m.TrainedTokens
		s.Seconds += m.Seconds
		if m.Loss != nil {
			if s.LastLoss = *m.Loss; first {
				s.FirstLoss, first = *m.Loss, false
			}
		}
	}
	if s.Seconds > 0 {
		s.TokensPerSecond = float64(s.Tokens) / s.Seconds
	}
	s.Utilisation = busy.Share(r.meter.used, r.meter.p.Elapsed.Seconds(), r.model.Base.Threads())
	return s
}

// interrupted ends a session before the run's end: for ctx (err is nil or ctx's), and the step done last is saved;
// or because of err, and the last checkpoint stands.
func (r *run) interrupted(ctx context.Context, err error) (Summary, error) {
	var stopped *StoppedError
	if errors.As(err, &stopped) {
		return r.stopped(ctx, stopped)
	}
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return Summary{}, err
	}
	e := &interruptedError{step: r.Step, steps: r.Steps, resume: fmt.Sprintf("hone train -c %s --resume", filepath.Join(r.c.Out, configName))}
	if r.Step == 0 {
		return Summary{}, e
	}
	if saveErr := r.save(ctx); saveErr != nil {
		return Summary{}, fmt.Errorf("interrupted after step %d, which could not be saved: %w", r.Step, saveErr)
	}
	e.saved = true
	if _, reportErr := r.report(ctx); reportErr != nil {
		r.tell(Warned, reportErr.Error())
	}
	return Summary{}, e
}

// stopped ends a run that went wrong in the step after r.Step. The weights are not saved: they, or the next step
// from them, are what is wrong.
func (r *run) stopped(ctx context.Context, err error) (Summary, error) {
	var e *StoppedError
	if !errors.As(err, &e) {
		e = &StoppedError{Step: r.Step + 1, Checkpoint: r.lastSaved, Err: err}
	}
	if _, reportErr := r.report(ctx); reportErr != nil {
		r.tell(Warned, reportErr.Error())
	}
	return Summary{}, e
}
