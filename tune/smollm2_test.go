package tune

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"hone/internal/golden"
)

// TestSmolLM2 holds the first of sixteen steps of chat rows, through template, tokenizer and a quantised base, to PyTorch's.
func TestSmolLM2(t *testing.T) {
	model := os.Getenv("HONE_TEST_MODEL")
	if testing.Short() || model == "" {
		t.Skip("HONE_TEST_MODEL names no model, or tests are to be short")
	}
	text, err := os.ReadFile(golden.Path(t, "smollm2/training.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Steps []struct {
			Step          int
			Loss          float64
			GradNorm      float64 `json:"grad_norm"`
			LR            float64
			Tokens        int
			TrainedTokens int `json:"trained_tokens"`
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	c := DefaultSFT()
	c.Model, c.Train, c.Out = model, golden.Path(t, "smollm2/train.jsonl"), filepath.Join(t.TempDir(), "out")
	c.Adapter = Adapter{Type: "lora", R: 4, Alpha: 8, Targets: Targets{Pattern: AllLinear}, Init: golden.Path(t, "smollm2/adapter_init")}
	c.Batch, c.WeightDecay, c.Shuffle, c.Precision = 8, 0.01, false, "f32"
	const steps = 4 // of 16, which the schedule counts on
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err = Run(ctx, c, RunOptions{Progress: func(p Progress) {
		if p.Step == steps {
			cancel()
		}
	}})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	metrics, err := ReadMetrics(filepath.Join(c.Out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(metrics) != steps {
		t.Fatalf("%d steps, want %d", len(metrics), steps)
	}
	for i, w := range want.Steps[:steps] {
		m := metrics[i]
		if m.Tokens != w.Tokens || m.TrainedTokens != w.TrainedTokens || math.Abs(m.LearningRate-w.LR) > 1e-12 {
			t.Errorf("step %d: %d tokens, %d trained, learning rate %v; want %d, %d, %v", i+1, m.Tokens, m.TrainedTokens, m.LearningRate, w.Tokens, w.TrainedTokens, w.LR)
		}
		if math.Abs(*m.Loss-w.Loss)/w.Loss > 1e-4 || math.Abs(*m.GradNorm-w.GradNorm)/w.GradNorm > 1e-3 {
			t.Errorf("step %d: loss %v, norm %v; PyTorch has %v, %v", i+1, *m.Loss, *m.GradNorm, w.Loss, w.GradNorm)
		}
	}
}
