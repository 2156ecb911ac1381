package engine

import (
	"context"
	"slices"
	"testing"

	"hone/engine/tensor"
	"hone/engine/weights"
	"hone/internal/golden"
)

// A sealed adapter decodes as before, in about two bytes a parameter, and refuses to be trained or saved.
func TestSeal(t *testing.T) {
	b := tiny(t, "llama", 2)
	for _, prec := range []tensor.Precision{tensor.Single, tensor.Half} {
		b.prec = prec
		a, err := b.LoadAdapter(golden.Path(t, "arch/llama/adapter_after10"))
		if err != nil {
			t.Fatal(err)
		}
		score := func() []float32 {
			s, err := b.Score(context.Background(), []int32{1, 2, 3, 4, 5}, a, 1)
			if err != nil {
				t.Fatal(err)
			}
			return s.LogProbs
		}
		was, bytes, params := score(), a.Bytes(), a.Params()
		if err := a.Seal(); err != nil {
			t.Fatal(err)
		}
		if got := score(); !slices.Equal(got, was) {
			t.Errorf("%v: sealed %v, before %v", prec, got, was)
		}
		if got := a.Bytes(); got != bytes-4*params || a.Params() != params {
			t.Errorf("%v: %d bytes and %d parameters, before %d and %d", prec, got, a.Params(), bytes, params)
		}
		if err := a.Freeze(); err != nil {
			t.Fatal(err)
		}
		if a.Save(t.TempDir(), weights.Facts{}) == nil {
			t.Error("a sealed adapter was saved")
		}
		if _, err := NewTrainer(b, a, TrainerOptions{}); err == nil {
			t.Error("a sealed adapter was given to a trainer")
		}
	}
}
