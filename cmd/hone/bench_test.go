package main

import (
	"bytes"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// benchJSON runs hone bench in this process and returns its report as plain JSON values.
func benchJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(runMain(t, append([]string{"bench", "--quick", "--json", "--model", "stories260k"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBenchJSON holds the report to the names and kinds that other programs read. Memory and start, which want the
// program itself, are in the script.
func TestBenchJSON(t *testing.T) {
	rates := []string{"train", "train_f32", "train_chat", "prefill512", "decode1", "decode8", "decode8_adapters8"}
	r := benchJSON(t, "--only", "gflops,bandwidth,"+strings.Join(rates, ","))
	if cpu, ok := r["cpu"].(string); !ok || cpu == "" {
		t.Errorf("cpu is %v", r["cpu"])
	}
	if threads, ok := r["threads"].(float64); !ok || threads < 1 {
		t.Errorf("threads is %v", r["threads"])
	}
	level, _ := r["level"].(string)
	if levels, _ := r["levels"].([]any); !slices.Contains(levels, any(level)) {
		t.Errorf("level is %v, levels are %v", r["level"], r["levels"])
	}
	gflops, ok := r["gflops"].(map[string]any)
	if !ok {
		t.Fatalf("gflops is %v", r["gflops"])
	}
	for _, name := range []string{"f32", "bf16", "int8"} {
		if x, ok := gflops[name].(float64); !ok || !(x > 0) {
			t.Errorf("gflops.%s is %v", name, gflops[name])
		}
	}
	if x, ok := r["bandwidth_gbs"].(float64); !ok || !(x > 0) {
		t.Errorf("bandwidth_gbs is %v", r["bandwidth_gbs"])
	}
	for _, name := range rates {
		rate, _ := r[name].(map[string]any)
		least, ok1 := rate["min"].(float64)
		median, ok2 := rate["median"].(float64)
		most, ok3 := rate["max"].(float64)
		limit, ok4 := rate["limit"].(float64)
		if busy, ok := rate["utilisation"].(float64); runtime.GOOS != "windows" && (!ok || busy <= 0 || busy > 4) {
			t.Errorf("%s: utilisation is %v", name, rate["utilisation"])
		}
		if !ok1 || !ok2 || !ok3 || !ok4 || least <= 0 || least > median || median > most || limit <= 0 {
			t.Errorf("%s is %v", name, r[name])
		}
	}
	share, _ := r["decode8_adapters8_of_base"].(map[string]any)
	if x, ok := share["median"].(float64); !ok || !(x > 0) {
		t.Errorf("decode8_adapters8_of_base is %v", share)
	}
}

// TestBenchOnly leaves out what was not asked for, and says which figures there are.
func TestBenchOnly(t *testing.T) {
	r := benchJSON(t, "--only", "decode1", "--runs", "3")
	for _, name := range []string{"gflops", "bandwidth_gbs", "train", "decode8", "divergence", "products", "peak_memory_bytes"} {
		if _, ok := r[name]; ok {
			t.Errorf("%s was measured", name)
		}
	}
	var out, errs bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }}
	if code := m.Run(t.Context(), []string{"bench", "--only", "decode9"}); code != exitUsage || !strings.Contains(errs.String(), "did you mean decode") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

// TestBenchDivergence compares the path that rounds with one that does not, on the model inside the program.
func TestBenchDivergence(t *testing.T) {
	d, _ := benchJSON(t, "--only", "divergence")["divergence"].(map[string]any)
	paths, _ := d["paths"].(map[string]any)
	for _, name := range []string{"bf16", "fixed"} {
		p, _ := paths[name].(map[string]any)
		kl, ok := p["mean_kl"].(float64)
		if !ok || kl <= 0 || kl > 0.01 {
			t.Errorf("%s: %v", name, paths[name])
		}
		if same, ok := p["top1_agreement"].(float64); !ok || same < 0.8 || same > 1 {
			t.Errorf("%s: %v", name, paths[name])
		}
	}
}

func TestKL(t *testing.T) {
	logs := func(p ...float64) (out []float32) {
		for _, x := range p {
			out = append(out, float32(math.Log(x)))
		}
		return out
	}
	p, q := logs(0.5, 0.25, 0.25), logs(0.25, 0.5, 0.25)
	if kl, same := klOf(p, p); kl != 0 || !same {
		t.Errorf("of itself: %v, %v", kl, same)
	}
	want := 0.5*math.Log(2) - 0.25*math.Log(2)
	if kl, same := klOf(p, q); math.Abs(kl-want) > 1e-6 || same {
		t.Errorf("%v, %v; want %v", kl, same, want)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values            []float64
		median, least, up float64
	}{{[]float64{3}, 3, 3, 3}, {[]float64{5, 1, 2}, 2, 1, 5}, {[]float64{4, 1, 2, 9}, 3, 1, 9}} {
		if got := spread(slices.Clone(c.values)); got.Median != c.median || got.Min != c.least || got.Max != c.up || got.Runs != len(c.values) {
			t.Errorf("%v: %+v", c.values, got)
		}
	}
}
