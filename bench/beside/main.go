// Beside measures chat beside training: the time to the first token of "hone serve" on an otherwise idle machine, then
// while "hone train" runs as a process of its own. It prints one line of JSON.
//
// usage: go run ./bench/beside -hone ./hone -model MODEL [-train ROWS.jsonl] [-requests 60]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// settings is what the flags say.
type settings struct {
	hone, model, rows string
	requests          int
	pause             time.Duration
}

// spread is the time to the first token of one series of requests, in milliseconds.
type spread struct {
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	Max      float64 `json:"max_ms"`
	Requests int     `json:"requests"`
}

// report is what was measured.
type report struct {
	Idle   spread  `json:"idle"`
	Beside spread  `json:"beside"`
	Ratio  float64 `json:"ratio_p95"` // beside over idle
	Steps  int     `json:"steps"`     // that training did in the meantime
	Answer int     `json:"answer_tokens"`
}

func main() {
	var s settings
	flag.StringVar(&s.hone, "hone", "./hone", "the program")
	flag.StringVar(&s.model, "model", "smollm2-135m-instruct", "model name, folder or file")
	flag.StringVar(&s.rows, "train", "examples/banking77/train.jsonl", "rows to train on")
	flag.IntVar(&s.requests, "requests", 60, "of each series")
	flag.DurationVar(&s.pause, "pause", 100*time.Millisecond, "between an answer and the next request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := measure(ctx, s)
	stop()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "beside:", err)
		os.Exit(1)
	}
}

// measure runs both series against one server.
func measure(ctx context.Context, s settings) (r report, err error) {
	dir, err := os.MkdirTemp("", "hone-beside-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	server, err := startServer(ctx, s)
	if err != nil {
		return r, err
	}
	defer server.stop()
	if _, err := server.series(ctx, 3, 0, 0); err != nil { // not timed
		return r, err
	}
	idle, err := server.series(ctx, s.requests, 1000, s.pause)
	if err != nil {
		return r, err
	}
	training, err := startTraining(ctx, s, dir)
	if err != nil {
		return r, err
	}
	defer training.stop()
	before := training.steps.Load()
	beside, err := server.series(ctx, s.requests, 2000, s.pause)
	if err != nil {
		return r, err
	}
	r = report{Idle: spreadOf(idle), Beside: spreadOf(beside), Steps: int(training.steps.Load() - before), Answer: answerTokens}
	r.Ratio = r.Beside.P95 / r.Idle.P95
	if r.Steps == 0 {
		return r, fmt.Errorf("training did no step in %d requests: what was measured is not beside it", s.requests)
	}
	return r, nil
}

// spreadOf sums up a series. Percentiles are the nearest measured values above.
func spreadOf(times []time.Duration) spread {
	slices.Sort(times)
	at := func(percent int) float64 {
		i := (len(times)*percent + 99) / 100
		return float64(times[max(0, i-1)]) / float64(time.Millisecond)
	}
	return spread{P50: at(50), P95: at(95), Max: at(100), Requests: len(times)}
}
