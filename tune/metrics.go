package tune

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"hone/engine/weights"
)

// trainLine is the line of metrics.jsonl of one step.
type trainLine struct {
	Step          int      `json:"step"`      // from 1
	Loss          *float64 `json:"loss"`      // mean over the trained tokens, before the update; null = skipped
	GradNorm      *float64 `json:"grad_norm"` // before clipping; null = skipped
	LearningRate  float64  `json:"learning_rate"`
	Tokens        int      `json:"tokens"` // without padding
	TrainedTokens int      `json:"trained_tokens"`
	Seconds       float64  `json:"seconds"`
	Skipped       string   `json:"skipped,omitempty"` // why nothing was updated

	cpuSeconds float64 // of processor time; not written, so that metrics differ between equal runs in seconds alone
}

// validLine is the line of a validation after step.
type validLine struct {
	Step          int     `json:"step"`
	ValidLoss     float64 `json:"valid_loss"`
	ValidAccuracy float64 `json:"valid_token_accuracy"`
}

// Metric is one line of metrics.jsonl: of a step, or where ValidLoss is not nil, of a validation after it.
type Metric struct {
	trainLine
	ValidLoss     *float64 `json:"valid_loss"`
	ValidAccuracy *float64 `json:"valid_token_accuracy"`

	text []byte
}

// ReadMetrics reads a run's metrics.jsonl. Lines that are torn or not of a run are left out, as is a second line
// of the same step and kind.
func ReadMetrics(path string) ([]Metric, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer f.Close()
	type kind struct {
		step  int
		valid bool
	}
	seen := map[kind]bool{}
	var out []Metric
	in := bufio.NewReader(f)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // what stands after the last newline is torn
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read metrics %s: %w", path, err)
		}
		m := Metric{text: text}
		if json.Unmarshal(text, &m) != nil || m.Step < 1 {
			continue
		}
		k := kind{m.Step, m.ValidLoss != nil}
		if !seen[k] {
			seen[k] = true
			out = append(out, m)
		}
	}
}

// metricsLog appends to metrics.jsonl whole lines alone.
type metricsLog struct {
	f    *os.File
	size int64
}

// openMetrics opens the log in folder out with the lines that a run resumed after step keeps: those up to it, but
// not that step's validation where that is to be done again. lines counts the kept lines of steps.
func openMetrics(out string, step int, evalDue bool) (log *metricsLog, lines int, err error) {
	path := filepath.Join(out, metricsName)
	var keep bytes.Buffer
	if step > 0 {
		all, err := ReadMetrics(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
		for _, m := range all {
			valid := m.ValidLoss != nil
			if m.Step > step || m.Step == step && valid && evalDue {
				continue
			}
			keep.Write(m.text)
			if !valid {
				lines++
			}
		}
	}
	// The old file goes only when the kept lines are on disk.
	err = weights.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(keep.Bytes())
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0o644)
	if err != nil {
		return nil, 0, fmt.Errorf("open metrics: %w", err)
	}
	return &metricsLog{f: f, size: int64(keep.Len())}, lines, nil
}

// append writes one line. Where it cannot, the file is as before.
func (l *metricsLog) append(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if _, err := l.f.WriteAt(text, l.size); err != nil {
		return errors.Join(err, l.f.Truncate(l.size))
	}
	l.size += int64(len(text))
	return nil
}

// sync brings the lines to disk, so that a checkpoint never has steps that the log lacks.
func (l *metricsLog) sync() error { return l.f.Sync() }

func (l *metricsLog) close() error { return l.f.Close() }

// log records a step.
func (r *run) log(ctx context.Context, line trainLine) error {
	if err := r.write(ctx, metricsName, func() error { return r.metrics.append(line) }); err != nil {
		return err
	}
	r.meter.step(line, r.order.PerEpoch(), r.model.Base.Threads())
	r.tell(Stepped, "")
	return nil
}

// writeCSV writes metrics as a table: a line for each step, with the validation after it in its own columns.
func writeCSV(w io.Writer, metrics []Metric) error {
	out := csv.NewWriter(w)
	optional := func(v *float64) string {
		if v == nil {
			return ""
		}
		return float(*v)
	}
	valid := map[int]Metric{}
	for _, m := range metrics {
		if m.ValidLoss != nil {
			valid[m.Step] = m
		}
	}
	if err := out.Write([]string{"step", "loss", "grad_norm", "learning_rate", "tokens", "trained_tokens", "seconds", "valid_loss", "valid_token_accuracy"}); err != nil {
		return err
	}
	for _, m := range metrics {
		if m.ValidLoss != nil {
			continue
		}
		v := valid[m.Step]
		err := out.Write([]string{strconv.Itoa(m.Step), optional(m.Loss), optional(m.GradNorm), float(m.LearningRate), strconv.Itoa(m.Tokens),
			strconv.Itoa(m.TrainedTokens), float(m.Seconds), optional(v.ValidLoss), optional(v.ValidAccuracy)})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
