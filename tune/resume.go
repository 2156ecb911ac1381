package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"hone/engine/weights"
)

// mayDiffer are the keys that a resumed run may have otherwise: where things are (what is there is compared by its
// hash, but for valid, which changes no weight), and what changes no bit of the result.
var mayDiffer = map[string]bool{
	"model": true, "train": true, "valid": true, "out": true, "adapter.init": true,
	"threads": true, "save_every": true, "keep_checkpoints": true, "resume_other_cpu": true,
}

// ResumeError says why a checkpoint does not continue as this run.
type ResumeError struct {
	Checkpoint  string
	Differences []string // each "learning_rate was 0.001, is 0.002"
}

// Error lists what differs.
func (e *ResumeError) Error() string {
	return fmt.Sprintf("resume from %s: this is not the run that it was saved by: %s; give the settings of its run.yaml, or another out folder",
		e.Checkpoint, strings.Join(e.Differences, "; "))
}

// differing lists the settings that differ and must not.
func differing(was, now SFT) []string {
	var out []string
	for _, d := range Diff(was, now) {
		if !mayDiffer[d.Key] {
			out = append(out, fmt.Sprintf("%s was %s, is %s", d.Key, d.Was, d.Is))
		}
	}
	return out
}

// checkIdentity compares what the settings name.
func (c *checkpoint) checkIdentity(now identity, otherCPU bool) []string {
	var out []string
	was := c.Identity
	for _, d := range []struct{ name, was, is string }{
		{"the training data", was.Data, now.Data},
		{"the base model's weights", was.Base, now.Base},
		{"the chat template", was.Template, now.Template},
		{"the tokenizer", was.Tokenizer, now.Tokenizer},
	} {
		if d.was != d.is {
			out = append(out, fmt.Sprintf("%s changed (SHA-256 %s, was %s)", d.name, brief(d.is), brief(d.was)))
		}
	}
	if was.Kernel != now.Kernel && !otherCPU {
		out = append(out, fmt.Sprintf("the CPU computes with %s, the run began with %s, which rounds differently (set resume_other_cpu: true to go on all the same)", now.Kernel, was.Kernel))
	}
	return out
}

func brief(hash string) string {
	if hash == "" {
		return "none"
	}
	return hash[:min(12, len(hash))]
}

// outputs are the names that a run writes in its folder, the summary first: where that is gone, the run is not
// finished.
var outputs = []string{summaryName, checkpointsName, bestName, adapterName, modelName, metricsName, csvName, plotName, configName}

// occupied says whether folder out holds a run.
func occupied(out string) bool {
	for _, name := range outputs {
		if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
			return true
		}
	}
	return false
}

// recoverOutputs undoes what a kill interrupted in writing any of the outputs.
func recoverOutputs(out string) error {
	for _, name := range outputs {
		if err := weights.RecoverFolder(filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return sweep(out)
}

// clearRun removes what an earlier run left in out, and nothing else.
func clearRun(out string) error {
	var errs []error
	for _, name := range outputs {
		errs = append(errs, os.RemoveAll(filepath.Join(out, name)))
	}
	return errors.Join(errs...)
}

// finished returns the summary of a run that has ended and whose weights are there, else nil.
func finished(out string) *Summary {
	text, err := os.ReadFile(filepath.Join(out, summaryName))
	if err != nil {
		return nil
	}
	var s Summary
	if json.Unmarshal(text, &s) != nil {
		return nil
	}
	s.Out, s.AlreadyFinished = out, true
	s.Weights = filepath.Join(out, filepath.Base(s.Weights)) // the folder may have been moved
	if info, err := os.Stat(s.Weights); err != nil || !info.IsDir() {
		return nil
	}
	return &s
}

// writeText replaces a file as a whole.
func writeText(path string, text []byte) error {
	return weights.WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
