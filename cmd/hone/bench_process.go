package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// child runs this program again with args, and gives it stdin. first is how long its first byte of output took.
func child(ctx context.Context, stdin string, args ...string) (output []byte, first time.Duration, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, fmt.Errorf("find the program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	one := make([]byte, 1)
	n, _ := io.ReadFull(out, one)
	first = time.Since(start)
	rest, readErr := io.ReadAll(out)
	if err := errors.Join(cmd.Wait(), readErr); err != nil {
		return nil, 0, fmt.Errorf("hone %s: %w: %s", args[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return append(one[:n], rest...), first, nil
}

// memory asks a process that does nothing but train how much it held.
func (b *bench) memory(ctx context.Context) error {
	c := b.c
	out, _, err := child(ctx, "", "bench", "--only", "train", "--runs", strconv.Itoa(min(2, c.Runs)), "--json", "--model", c.Model,
		"--batch", strconv.Itoa(c.Batch), "--length", strconv.Itoa(c.Length), "--rank", strconv.Itoa(c.Rank),
		"--precision", c.Precision, "--memory", c.Memory, "--threads", strconv.Itoa(c.Threads))
	if err != nil {
		return err
	}
	var r benchReport
	if err := json.Unmarshal(out, &r); err != nil {
		return fmt.Errorf("read the training process's report: %w", err)
	}
	b.r.PeakMemory = r.PeakMemory
	return nil
}

// coldStart measures a process that answers with one token, from its start to its first byte of output. Its files
// are in the system's cache.
func (b *bench) coldStart(ctx context.Context) error {
	var seconds []float64
	for i := range b.c.Runs + 1 {
		_, first, err := child(ctx, "What is the capital of France?\n", "generate", "--model", b.c.Model, "--max-tokens", "1",
			"--threads", strconv.Itoa(b.c.Threads))
		if err != nil {
			return err
		}
		if i > 0 {
			seconds = append(seconds, first.Seconds())
		}
	}
	rate := spread(seconds)
	b.r.ColdStart = &rate
	return nil
}
