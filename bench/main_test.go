package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const someResults = `{"hone": "1", "commit": "abc1234", "time": "2026-01-02 03:04", "model": "m.gguf", "quantisation": "Q4_1", "cpu": "a CPU", "level": "avx2", "features": ["avx2"], "threads": 2,
"precision": {"training": "f32", "decoding": "fixed"},
"limits": {"gflops_f32": {"median": 90.06, "min": 80, "max": 100, "runs": 5}},
"train": {"median": 120, "min": 110, "max": 130, "runs": 5, "limit": 150, "utilisation": 0.966},
"decode8_adapters8_of_base": {"median": 0.693, "min": 0.68, "max": 0.71, "runs": 5},
"decode1": {"median": 200, "min": 190, "max": 210, "runs": 5},
"peak_memory_bytes": 440000000,
"divergence": {"tokens": 5120, "default": "fixed", "paths": {"bf16": {"mean_kl": 0.00011, "p99_kl": 0.001, "top1_agreement": 0.9956}, "fixed": {"mean_kl": 5e-8, "top1_agreement": 1}}}}`

const somePeers = `{"versions": {"torch": "2"}, "notes": ["trl: it broke"], "accuracy": {"rows": 300, "hone": 0.627, "trl": 0.61, "commit": "abc1234+", "time": "2026-01-02 03:04"},
"beside": {"idle": {"p50_ms": 50, "p95_ms": 60, "max_ms": 70, "requests": 60}, "beside": {"p50_ms": 80, "p95_ms": 180, "max_ms": 200, "requests": 60}, "ratio_p95": 3, "steps": 9}, "comparisons": [
{"name": "LoRA step", "unit": "tokens/s", "peer": "PyTorch", "hone": {"median": 120, "min": 110, "max": 130, "runs": 5},
 "other": {"median": 60, "min": 50, "max": 70}, "ratio": {"median": 2, "min": 1.5, "max": 2.5}, "target": 1.5, "measured": {"commit": "abc1234", "time": "2026-01-02 03:04"}},
{"name": "a product", "unit": "GFLOP/s", "peer": "PyTorch", "hone": {"median": 60}, "other": {"median": 100}, "ratio": {"median": 0.6}, "target": 0.7}]}`

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written := func(wanted ...string) {
		t.Helper()
		if err := run(dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wanted {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		f, err := os.Open(filepath.Join(dir, "results.png"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if picture, err := png.Decode(f); err != nil || picture.Bounds().Dx() < 500 {
			t.Errorf("the plot: %v", err)
		}
	}
	if err := run(dir); err == nil {
		t.Error("made something of nothing")
	}
	write("results.json", someResults)
	written("against them** at abc1234, 2026-01-02 03:04.", "| 90.1 | 80.0 – 100 | 5 |", "tokens/s | 120 | 110 – 130 | 5 | 150 | 80 % | 97 % |", "tokens/s | 200 | 190 – 210 | 5 | – | – | – |", "0.44",
		"target 0.75 | 0.69 | 0.68 – 0.71 | 5 |",
		"| hone fixed, the default of decoding | 5e-08 | 0 | 100.00 % |")
	write("peers.json", somePeers)
	written("**2.00** (1.50 – 2.50) | 5 | ≥ 1.5: met | abc1234, 2026-01-02 03:04 |", "≥ 0.7: missed | – |", "| beside training | 80 | 180 | 200 | 60 |", "**3.00**; target ≤ 2.5: missed", "Not measured: trl: it broke.", "torch 2", "hone 62.7 %, TRL 61.0 % (abc1234+, 2026-01-02 03:04)")
	write("peers.json", "{")
	if err := run(dir); err == nil || !strings.Contains(err.Error(), "peers.json") {
		t.Errorf("a broken file: %v", err)
	}
}
