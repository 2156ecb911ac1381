package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
)

// process is a hone that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	lines  *bufio.Reader
	errors *bytes.Buffer
}

// start runs hone with args.
func start(ctx context.Context, hone string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, hone, args...) //nolint:gosec // the program to measure
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd, bufio.NewReader(out), new(bytes.Buffer)}
	cmd.Stderr = p.errors
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start hone %s: %w", args[0], err)
	}
	return p, nil
}

// line reads the next line of JSON into v.
func (p *process) line(v any) error {
	text, err := p.lines.ReadBytes('\n')
	if err != nil {
		p.stop()
		return fmt.Errorf("%s ended: %w: %s", filepath.Base(p.cmd.Path), err, bytes.TrimSpace(p.errors.Bytes()))
	}
	return json.Unmarshal(text, v)
}

// stop ends the process and waits for it. How it ends is of no interest: it has been measured.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// training is a "hone train" with default settings, which does not end by itself.
type training struct {
	*process
	steps atomic.Int64 // done so far
	ended chan struct{}
}

// startTraining starts to train into dir and returns after the second step.
func startTraining(ctx context.Context, s settings, dir string) (*training, error) {
	p, err := start(ctx, s.hone, "train", "--json", "--model", s.model, "--train", s.rows,
		"--epochs", "1000", "--out", filepath.Join(dir, "run"))
	if err != nil {
		return nil, err
	}
	t := &training{process: p, ended: make(chan struct{})}
	for t.steps.Load() < 2 {
		if err := t.event(); err != nil {
			return nil, err
		}
	}
	go func() {
		defer close(t.ended)
		for t.event() == nil {
		}
	}()
	return t, nil
}

// event reads one event and counts steps.
func (t *training) event() error {
	var e struct {
		Event string
		Step  int64
	}
	text, err := t.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("hone train ended: %w", err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("hone train printed %q: %w", text, err)
	}
	if e.Event == "stepped" {
		t.steps.Store(e.Step)
	}
	return nil
}

// stop kills the training and waits for its reader.
func (t *training) stop() {
	_ = t.cmd.Process.Kill()
	<-t.ended
	_ = t.cmd.Wait()
}
