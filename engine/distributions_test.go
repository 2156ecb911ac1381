package engine

import (
	"errors"
	"math"
	"testing"

	"hone/engine/kernel"
	"hone/engine/tensor"
	"hone/internal/golden"
)

// TestDistributions holds every row, across the blocks of the head, to the log-probabilities of the logits.
func TestDistributions(t *testing.T) {
	b := openBase(t, golden.Path(t, "arch/llama"), LoadOptions{Threads: 2})
	ids := make([]int32, 40)
	for i := range ids {
		ids[i] = int32(i * 7 % b.cfg.VocabSize)
	}
	logits, v := b.allLogits(ids, nil), b.cfg.VocabSize
	rows := make([][]float32, len(ids))
	err := b.Distributions(ids, []tensor.Precision{tensor.Single, tensor.Half}, func(at int, logProbs [][]float32) {
		rows[at] = append([]float32(nil), logProbs[0]...)
		for i, x := range logProbs[1] {
			if math.Abs(float64(x-logProbs[0][i])) > 0.2 {
				t.Errorf("position %d, token %d: %v in bf16, %v in f32", at, i, x, logProbs[0][i])
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for at, row := range rows {
		want := logits[at*v : (at+1)*v]
		lse := kernel.LogSumExp(want)
		for i, x := range want {
			if row[i] != x-lse {
				t.Fatalf("position %d, token %d: %v, want %v", at, i, row[i], x-lse)
			}
		}
	}
	var wrong *TokenError
	if err := b.Distributions([]int32{int32(v)}, nil, nil); !errors.As(err, &wrong) {
		t.Errorf("a token outside the vocabulary: %v", err)
	}
}
