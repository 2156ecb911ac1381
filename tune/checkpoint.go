package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hone/engine/weights"
)

// Files of a run's folder and of a checkpoint in it.
const (
	configName      = "run.yaml"
	metricsName     = "metrics.jsonl"
	csvName         = "metrics.csv"
	plotName        = "loss.png"
	summaryName     = "summary.json"
	checkpointsName = "checkpoints"
	adapterName     = "adapter"
	modelName       = "model"
	bestName        = "best"
	checkpointStem  = "step-"
	cursorName      = "checkpoint.json"
	tensorsName     = "state.safetensors"
)

// checkpointFormat is the version of checkpoint.json. A reader takes its own alone: to resume is to continue with
// equal bits, which no conversion promises.
const checkpointFormat = 1

// cursor is all that a run knows besides tensors: checkpoint.json.
type cursor struct {
	Format int `json:"format"`
	Step   int `json:"step"`  // optimiser steps done
	Steps  int `json:"steps"` // of the whole run

	Identity identity        `json:"identity"`
	Config   json.RawMessage `json:"config"` // resolved

	FirstLoss *float64 `json:"first_loss"` // of the first step that was not skipped
	Exploding int      `json:"exploding"`  // steps in a row above the limit
	Best      *Best    `json:"best"`
	Stale     int      `json:"stale"`    // validations since the best
	EvalDue   bool     `json:"eval_due"` // the validation after Step was interrupted
	Ended     string   `json:"ended"`    // why before the last step
}

// identity is what must be equal for a resumed run to be the same run, besides the settings.
type identity struct {
	Data      string `json:"data_sha256"`
	Base      string `json:"base_sha256"`
	Template  string `json:"template_sha256"`
	Tokenizer string `json:"tokenizer_sha256"`
	Kernel    string `json:"kernel"` // CPU level: bits depend on it
}

// checkpoint is one that has been read and verified.
type checkpoint struct {
	dir string
	cursor
	config SFT
}

// save writes a checkpoint of the present step, once the metrics that lead to it are on disk, and removes the
// oldest.
func (r *run) save(ctx context.Context) error {
	dir := filepath.Join(r.c.Out, checkpointsName, fmt.Sprintf("%s%06d", checkpointStem, r.Step))
	state := r.trainer.State()
	if name := notFinite(state); name != "" {
		return &StoppedError{Step: r.Step, Checkpoint: r.lastSaved, Err: fmt.Errorf("%s holds a value that is not finite after the update: lower learning_rate", name)}
	}
	err := r.write(ctx, "checkpoint "+filepath.Base(dir), func() error {
		if err := r.metrics.sync(); err != nil {
			return err
		}
		return writeCheckpoint(dir, r.cursor, r.yaml, state)
	})
	if err != nil {
		return err
	}
	r.lastSaved = dir
	r.tell(Saved, dir)
	return r.prune()
}

func writeCheckpoint(dir string, at cursor, yaml []byte, state []weights.Tensor) error {
	about, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return err
	}
	f, err := weights.CreateFolder(dir)
	if err != nil {
		return err
	}
	defer f.Abort()
	bytesOf := func(b []byte) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		}
	}
	// Folder keeps the first error and Commit returns it.
	_ = f.Write(tensorsName, func(w io.Writer) error { return weights.WriteSafetensors(w, state, nil) })
	_ = f.Write(configName, bytesOf(yaml))
	_ = f.Write(cursorName, bytesOf(append(about, '\n')))
	return f.Commit()
}

// notFinite returns the name of a tensor with a NaN or an infinity, "" if there is none.
func notFinite(state []weights.Tensor) string {
	for _, t := range state {
		if t.DType.String() != "F32" {
			continue
		}
		for i := 3; i < len(t.Data); i += 4 {
			// All exponent bits set: the high seven are in the last byte, the low one tops the byte before.
			if t.Data[i]&0x7f == 0x7f && t.Data[i-1]&0x80 != 0 {
				return t.Name
			}
		}
	}
	return ""
}

// checkpoints lists the folders of checkpoints in out, the newest first.
func checkpoints(out string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(out, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	steps := map[string]int{}
	var dirs []string
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), checkpointStem)
		step, err := strconv.Atoi(digits)
		if !ok || err != nil || !e.IsDir() {
			continue
		}
		dir := filepath.Join(out, checkpointsName, e.Name())
		steps[dir] = step
		dirs = append(dirs, dir)
	}
	slices.SortFunc(dirs, func(a, b string) int { return steps[b] - steps[a] })
	return dirs, nil
}

// prune removes all but the newest checkpoints. Each is renamed first, so that none is ever seen half removed.
func (r *run) prune() error {
	dirs, err := checkpoints(r.c.Out)
	if err != nil {
		return err
	}
	kept := 0
	for _, dir := range dirs {
		if kept++; kept <= r.c.KeepCheckpoints {
			continue
		}
		gone := filepath.Join(filepath.Dir(dir), ".old-"+filepath.Base(dir))
		if err := errors.Join(os.RemoveAll(gone), os.Rename(dir, gone), os.RemoveAll(gone)); err != nil {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	return nil
}

// sweep removes what interrupted writers left among the checkpoints.
func sweep(out string) error {
	folder := filepath.Join(out, checkpointsName)
	entries, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("list checkpoints: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if target, isTemp := tempTarget(e.Name()); isTemp {
			err = weights.RecoverFolder(filepath.Join(folder, target))
		} else {
			err = os.RemoveAll(filepath.Join(folder, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tempTarget says which checkpoint a hidden folder was to become or had been.
func tempTarget(name string) (string, bool) {
	name = name[1:]
	if !strings.HasPrefix(name, checkpointStem) {
		return "", false
	}
	end := len(checkpointStem)
	for end < len(name) && name[end] >= '0' && name[end] <= '9' {
		end++
	}
	return name[:end], true
}

// newest returns the newest checkpoint in out that verifies, nil if there is none. warn is told of those that do
// not.
func newest(out string, warn func(string)) (*checkpoint, error) {
	dirs, err := checkpoints(out)
	if err != nil {
		return nil, err
	}
	for i, dir := range dirs {
		c, err := readCheckpoint(dir)
		if err == nil {
			return c, nil
		}
		next := "there is none before it, so the run starts afresh"
		if i+1 < len(dirs) {
			next = "the one before it, " + dirs[i+1] + ", is tried"
		}
		warn(fmt.Sprintf("checkpoint %s cannot be used: %v; %s", dir, err, next))
	}
	return nil, nil
}

func readCheckpoint(dir string) (*checkpoint, error) {
	if err := weights.VerifyFolder(dir); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, cursorName))
	if err != nil {
		return nil, err
	}
	c := &checkpoint{dir: dir}
	if err := json.Unmarshal(text, &c.cursor); err != nil {
		return nil, fmt.Errorf("%s: %w", cursorName, err)
	}
	if c.Format != checkpointFormat {
		return nil, fmt.Errorf("%s is of format %d, this version of hone resumes format %d", cursorName, c.Format, checkpointFormat)
	}
	if c.Step < 0 || c.Step > c.Steps || c.FirstLoss != nil && math.IsNaN(*c.FirstLoss) {
		return nil, fmt.Errorf("%s: step %d of %d", cursorName, c.Step, c.Steps)
	}
	if c.config, err = DecodeSFTJSON(filepath.Join(dir, cursorName), c.Config); err != nil {
		return nil, err
	}
	return c, nil
}
