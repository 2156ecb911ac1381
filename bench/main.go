// Bench writes RESULTS.md and results.png from what hone bench --json and peers/compare.py have measured.
//
// usage: go run ./bench [folder of results.json and, if there is one, peers.json]
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// rate is a figure over several runs.
type rate struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	Limit  float64 `json:"limit"` // what the machine's limits allow; 0: unknown

	Utilisation float64 `json:"utilisation"` // how busy the cores were; 0: unknown
}

// results is the report of hone bench.
type results struct {
	Hone string `json:"hone"`
	measured
	Model        string   `json:"model"`
	Quantisation string   `json:"quantisation"`
	CPU          string   `json:"cpu"`
	Level        string   `json:"level"`
	Features     []string `json:"features"`
	Threads      int      `json:"threads"`
	Precision    struct {
		Training string `json:"training"`
		Decoding string `json:"decoding"`
	} `json:"precision"`
	Limits          map[string]rate `json:"limits"`
	Train           *rate           `json:"train"`
	TrainF32        *rate           `json:"train_f32"`
	TrainChat       *rate           `json:"train_chat"`
	Prefill         *rate           `json:"prefill512"`
	Decode1         *rate           `json:"decode1"`
	Decode8         *rate           `json:"decode8"`
	Decode8Adapters *rate           `json:"decode8_adapters8"`
	AdaptersOfBase  *rate           `json:"decode8_adapters8_of_base"`
	PeakMemory      int64           `json:"peak_memory_bytes"`
	ColdStart       *rate           `json:"cold_start_seconds"`
	Divergence      *divergence     `json:"divergence"`
}

// divergence is how far the fast paths lie from the f32 path of the same weights.
type divergence struct {
	Tokens  int             `json:"tokens"`
	Default string          `json:"default"`
	Paths   map[string]path `json:"paths"`
}

type path struct {
	MeanKL float64 `json:"mean_kl"`
	P99KL  float64 `json:"p99_kl"`
	Top1   float64 `json:"top1_agreement"`
}

// peers is the report of compare.py.
type peers struct {
	Versions    map[string]string `json:"versions"`
	Comparisons []comparison      `json:"comparisons"`
	Notes       []string          `json:"notes"`
	Accuracy    *struct {
		Rows int     `json:"rows"` // of the test file
		Hone float64 `json:"hone"`
		TRL  float64 `json:"trl"`

		Commit string `json:"commit"`
		Time   string `json:"time"`
	} `json:"accuracy"`
	Beside     *beside `json:"beside"`
	Divergence *struct {
		Hone  *divergence     `json:"hone"`
		Text  string          `json:"text"`
		Llama map[string]path `json:"llama.cpp against F16"`

		Measured measured `json:"measured"`
	} `json:"divergence"`
}

// measured says of which hone a figure is, and when it was taken.
type measured struct {
	Commit string `json:"commit"` // "" where it is not known; with a + where the tree had changes
	Time   string `json:"time"`
}

func (m measured) String() string {
	if m.Commit == "" {
		return "–"
	}
	return m.Commit + ", " + m.Time
}

// beside is the report of bench/beside: the time to the first token of a chat, alone and beside training.
type beside struct {
	Idle     latency  `json:"idle"`
	Beside   latency  `json:"beside"`
	Ratio    float64  `json:"ratio_p95"`
	Steps    int      `json:"steps"`
	Measured measured `json:"measured"`
}

type latency struct {
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	Max      float64 `json:"max_ms"`
	Requests int     `json:"requests"`
}

// comparison is one figure of hone's and another program's, measured in turn.
type comparison struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Peer   string  `json:"peer"`
	Hone   rate    `json:"hone"`
	Other  rate    `json:"other"`
	Ratio  rate    `json:"ratio"` // above 1: hone is better
	Target float64 `json:"target"`

	Measured measured `json:"measured"`
}

func main() {
	dir := "bench"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	var r results
	if err := read(filepath.Join(dir, "results.json"), &r); err != nil {
		return err
	}
	p := &peers{}
	if err := read(filepath.Join(dir, "peers.json"), p); errors.Is(err, fs.ErrNotExist) {
		p = nil
	} else if err != nil {
		return err
	}
	text := markdown(&r, p)
	picture, err := os.Create(filepath.Join(dir, "results.png"))
	if err != nil {
		return err
	}
	if err := errors.Join(plotShares(picture, &r, p), picture.Close()); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(text), 0o644)
}

func read(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
