package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hone/internal/golden"
)

// result is all of a run's output that must not depend on interruptions.
func result(t testing.TB, out string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, name := range []string{"adapter/adapter_model.safetensors", "adapter/adapter_config.json", "best/adapter_model.safetensors", "run.yaml"} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = strings.ReplaceAll(string(b), out, "OUT")
	}
	dirs, err := checkpoints(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, tensorsName))
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(dir)] = string(b)
	}
	f, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(f)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("metrics line %q: %v", line, err)
		}
		delete(m, "seconds")
		b, _ := json.Marshal(m)
		got["metrics"] += string(b) + "\n"
	}
	return got
}

func compareResults(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s differs from the uninterrupted run's (%d and %d bytes)", what, name, len(got[name]), len(want[name]))
			if name == "metrics" {
				t.Logf("got\n%s\nwant\n%s", got[name], want[name])
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}

// TestInterruptAndResume cancels a run after each of its steps, resumes it, and compares bits.
func TestInterruptAndResume(t *testing.T) {
	root := t.TempDir()
	c := tiny(t, filepath.Join(root, "whole"))
	whole := mustRun(t, c, RunOptions{})
	want := result(t, c.Out)
	if whole.Steps != 18 || whole.Best == nil {
		t.Fatalf("%+v", whole)
	}
	for stop := range 18 {
		if testing.Short() && stop%5 != 0 {
			continue
		}
		c.Out = filepath.Join(root, fmt.Sprint("cut", stop))
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Run(ctx, c, RunOptions{Progress: func(p Progress) {
			if p.Event == Stepped && p.Step == stop || stop == 0 && p.Event == Started {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("stopped after %d: %v", stop, err)
		}
		s := mustRun(t, c, RunOptions{Resume: true})
		if s.ResumedAt != stop {
			t.Errorf("resumed at %d, not %d", s.ResumedAt, stop)
		}
		got := result(t, c.Out)
		if stop != 0 { // the interruption leaves checkpoints at other steps
			for name := range got {
				if strings.HasPrefix(name, checkpointStem) && want[name] == "" {
					delete(got, name)
				}
			}
			for name := range want {
				if strings.HasPrefix(name, checkpointStem) && got[name] == "" && name != "step-000018" {
					got[name] = want[name]
				}
			}
		}
		compareResults(t, fmt.Sprint("stopped after ", stop), got, want)
	}
}

// TestKilled copies a run's folder at moments as a kill leaves it, with half of a metrics line and half of a
// checkpoint, resumes the copies, and compares bits.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	c := tiny(t, filepath.Join(root, "whole"))
	var copies []string
	o := RunOptions{disk: func(what string) error { // between any two things written
		to := filepath.Join(root, fmt.Sprint("kill", len(copies)))
		if err := os.CopyFS(to, os.DirFS(c.Out)); err != nil {
			return err
		}
		copies = append(copies, to)
		return nil
	}}
	mustRun(t, c, o)
	want := result(t, c.Out)
	for i, to := range copies {
		if testing.Short() && i%6 != 0 {
			continue
		}
		f, err := os.OpenFile(filepath.Join(to, "metrics.jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"step":99,"loss":1.`); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		half := filepath.Join(to, checkpointsName, "."+checkpointStem+"000004.tmp-123")
		if err := os.MkdirAll(half, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(half, tensorsName), "half")
		if err := os.MkdirAll(filepath.Join(to, ".loss.png.tmp-7"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.Out = to
		mustRun(t, c, RunOptions{Resume: true})
		compareResults(t, fmt.Sprint("killed at write ", i), result(t, to), want)
		left, _ := filepath.Glob(filepath.Join(to, checkpointsName, ".*"))
		more, _ := filepath.Glob(filepath.Join(to, ".*.tmp-*"))
		if left = append(left, more...); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
	if len(copies) < 25 {
		t.Errorf("only %d moments", len(copies))
	}
}

func TestResumeRefusesAndForgives(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	c.Valid, c.EvalEvery = "", 0
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, c, RunOptions{Progress: func(p Progress) {
		if p.Step == 9 {
			cancel()
		}
	}})
	cancel()
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), c, RunOptions{}); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("a second run in the folder: %v", err)
	}
	for _, d := range []struct {
		change func(*SFT)
		want   string
	}{
		{func(c *SFT) { c.LearningRate = 1 }, "learning_rate was 0.005, is 1"},
		{func(c *SFT) { c.Adapter.R = 8; c.Seed = 3 }, "adapter.r was 4, is 8; seed was 0, is 3"},
		{func(c *SFT) { c.Precision, c.Memory = "int8", "low" }, "precision was f32, is fixed; memory was fast, is low"},
		{func(c *SFT) { c.Date = "2030-01-01" }, "date was 2025-07-10"},
		{func(c *SFT) {
			other := filepath.Join(t.TempDir(), "other.jsonl")
			text, _ := os.ReadFile(c.Train)
			write(t, other, string(text)+"\n")
			c.Train = other
		}, "the training data changed"},
		{func(c *SFT) { c.Model = golden.Path(t, "arch/qwen3") }, "the base model's weights changed"},
	} {
		changed := c
		d.change(&changed)
		_, err := Run(context.Background(), changed, RunOptions{Resume: true})
		var refused *ResumeError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), d.want) {
			t.Errorf("got  %v\nwant %s", err, d.want)
		}
	}
	// The newest checkpoint is damaged: the one before it is used, with a word about it.
	dirs, _ := checkpoints(c.Out)
	if len(dirs) != 2 {
		t.Fatalf("checkpoints %v", dirs)
	}
	path := filepath.Join(dirs[0], tensorsName)
	text, _ := os.ReadFile(path)
	text[len(text)/2] ^= 1
	write(t, path, string(text))
	moved := filepath.Join(t.TempDir(), "moved.jsonl") // the same rows elsewhere are the same data
	rows, _ := os.ReadFile(c.Train)
	write(t, moved, string(rows))
	c.Train, c.Threads, c.KeepCheckpoints, c.Date = moved, 2, 3, ""
	var warned []string
	s := mustRun(t, c, RunOptions{Resume: true, Progress: func(p Progress) {
		if p.Event == Warned {
			warned = append(warned, p.Message)
		}
	}})
	if s.ResumedAt != 8 || len(warned) == 0 || !strings.Contains(warned[0], "step-000009 cannot be used") {
		t.Errorf("resumed at %d, warned %q", s.ResumedAt, warned)
	}
	// Finished: nothing to do, and nothing done.
	before, _ := os.Stat(filepath.Join(c.Out, "adapter"))
	s = mustRun(t, c, RunOptions{Resume: true})
	after, _ := os.Stat(filepath.Join(c.Out, "adapter"))
	if !s.AlreadyFinished || s.Steps != 18 || !os.SameFile(before, after) {
		t.Errorf("resume of a finished run: %+v", s)
	}
	// Finished, and the checkpoints are gone: still finished, and not overwritten by other settings.
	if err := os.RemoveAll(filepath.Join(c.Out, checkpointsName)); err != nil {
		t.Fatal(err)
	}
	if s = mustRun(t, c, RunOptions{Resume: true}); !s.AlreadyFinished {
		t.Error("a finished run without checkpoints runs again")
	}
	c.Seed = 9
	if _, err := Run(context.Background(), c, RunOptions{Resume: true}); err == nil || !strings.Contains(err.Error(), "seed was 0, is 9") {
		t.Errorf("other settings over finished weights: %v", err)
	}
	if s = mustRun(t, c, RunOptions{Overwrite: true}); s.Steps != 18 || s.AlreadyFinished {
		t.Errorf("overwrite: %+v", s)
	}
}

// TestAutoResumesAsItBegan interrupts runs that say nothing of precision and memory, and resumes them: as they began,
// whatever auto means by then, and those made before there was memory at what it was then.
func TestAutoResumesAsItBegan(t *testing.T) {
	for _, began := range []struct{ precision, memory string }{{"bf16", "auto"}, {"f32", "auto"}, {"f32", "balanced"}, {"fixed", "low"}} {
		c := tiny(t, filepath.Join(t.TempDir(), "out"))
		c.Precision, c.Memory = began.precision, began.memory
		whole := mustRun(t, c, RunOptions{})
		want := result(t, c.Out)
		c.Out += "-cut"
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Run(ctx, c, RunOptions{Progress: func(p Progress) {
			if p.Event == Stepped && p.Step == 8 {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		c.Precision, c.Memory = "auto", "auto"
		if s := mustRun(t, c, RunOptions{Resume: true}); s.ResumedAt != 8 || s.LastLoss != whole.LastLoss {
			t.Errorf("%v: %+v", began, s)
		}
		got := result(t, c.Out)
		if got["adapter/adapter_model.safetensors"] != want["adapter/adapter_model.safetensors"] {
			t.Errorf("%v: the adapter is not that of the uninterrupted run", began)
		}
	}
	r := run{c: SFT{Precision: "auto", Memory: "auto"}}
	if err := r.resolveArithmetic(&SFT{Precision: "bf16", Memory: "auto"}); err != nil || r.c.Precision != "bf16" || r.c.Memory != "fast" {
		t.Errorf("a run from before there was memory resumes at %s, %s, %v", r.c.Precision, r.c.Memory, err)
	}
}

func TestOtherCPU(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	c.Valid, c.EvalEvery = "", 0
	mustRun(t, c, RunOptions{})
	dirs, _ := checkpoints(c.Out)
	last, err := readCheckpoint(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	now := last.Identity
	now.Kernel = "other"
	if d := last.checkIdentity(now, false); len(d) != 1 || !strings.Contains(d[0], "resume_other_cpu") {
		t.Errorf("other CPU: %v", d)
	}
	if d := last.checkIdentity(now, true); len(d) != 0 {
		t.Errorf("other CPU, asked for: %v", d)
	}
}

func TestDiskFull(t *testing.T) {
	root := t.TempDir()
	c := tiny(t, filepath.Join(root, "whole"))
	mustRun(t, c, RunOptions{})
	want := result(t, c.Out)

	c.Out = filepath.Join(root, "full")
	tries, paused := map[string]int{}, 0
	var slept time.Duration
	o := RunOptions{
		disk: func(what string) error {
			if tries[what]++; tries[what] == 2 || tries[what] == 3 {
				return &os.PathError{Op: "write", Path: what, Err: syscall.ENOSPC}
			}
			return nil
		},
		Sleep: func(_ context.Context, d time.Duration) error { slept += d; return nil },
		Progress: func(p Progress) {
			paused += map[bool]int{true: 1}[p.Event == Paused && strings.Contains(p.Message, "the disk is full")]
		},
	}
	mustRun(t, c, o)
	compareResults(t, "full disk", result(t, c.Out), want)
	if paused < 4 || slept != time.Duration(paused)*diskRetry {
		t.Errorf("paused %d times, %v", paused, slept)
	}

	// Interrupted while waiting: the last checkpoint stands, and the run goes on from it.
	c.Out = filepath.Join(root, "given up")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o = RunOptions{
		disk: func(what string) error {
			if what == "checkpoint step-000008" {
				return syscall.ENOSPC
			}
			return nil
		},
		Sleep: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() },
	}
	_, err := Run(ctx, c, o)
	if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "step-000004, is safe") {
		t.Fatalf("given up: %v", err)
	}
	mustRun(t, c, RunOptions{Resume: true})
	compareResults(t, "given up", result(t, c.Out), want)
}

func TestOneRunAFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("waits a second for a lock")
	}
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	first, err := begin(context.Background(), c, RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), c, RunOptions{Resume: true}); err == nil || !strings.Contains(err.Error(), "another run is writing to") {
		t.Errorf("a second run at once: %v", err)
	}
	first.close()
	mustRun(t, c, RunOptions{Resume: true})
}
