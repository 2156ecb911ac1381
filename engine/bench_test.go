package engine

import (
	"context"
	"testing"
)

// benchRows makes rows of the given length whose last trained tokens are supervised.
func benchRows(n, length, trained int) (rows []Datum) {
	for i := range n {
		d := Datum{Row: int64(i), Tokens: make([]int32, length), Weights: make([]float32, length)}
		for j := range length {
			d.Tokens[j] = int32((i*7919 + j*104729) % 49000)
			if j >= length-trained && j > 0 {
				d.Weights[j] = 1
			}
		}
		rows = append(rows, d)
	}
	return rows
}

func benchTrain(b *testing.B, rows []Datum) {
	base := openBase(b, testModel(b), LoadOptions{})
	a, err := base.NewAdapter(loraConfig(0), 0)
	if err != nil {
		b.Fatal(err)
	}
	cfg := a.Config()
	cfg.R, cfg.Alpha, cfg.TargetModules, cfg.TargetRegex = 16, 32, nil, "all-linear"
	if a, err = base.NewAdapter(cfg, 0); err != nil {
		b.Fatal(err)
	}
	tr, err := NewTrainer(base, a, TrainerOptions{Packing: true})
	if err != nil {
		b.Fatal(err)
	}
	tokens := 0
	for b.Loop() {
		res, err := tr.ForwardBackward(context.Background(), rows, 0, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tr.Step(adamW(2e-4, 0)); err != nil {
			b.Fatal(err)
		}
		tokens += res.Tokens
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkTrainFull is 8 rows of 256 tokens, all supervised.
func BenchmarkTrainFull(b *testing.B) { benchTrain(b, benchRows(8, 256, 256)) }

// BenchmarkTrainChat is 16 short rows with short answers after a common prompt, as banking77 has them;
// BenchmarkTrainShort the same with nothing in common.
func BenchmarkTrainChat(b *testing.B) {
	rows := benchRows(16, 51, 8)
	for i := range rows {
		copy(rows[i].Tokens, rows[0].Tokens[:30])
	}
	benchTrain(b, rows)
}

func BenchmarkTrainShort(b *testing.B) { benchTrain(b, benchRows(16, 51, 8)) }

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(string(rune('0'+n)), func(b *testing.B) {
			base := openBase(b, testModel(b), LoadOptions{})
			var ss []*Stream
			for i := range n {
				s, err := base.NewStream([]int32{1, 2, int32(3 + i)}, nil, Sampling{})
				if err != nil {
					b.Fatal(err)
				}
				ss = append(ss, s)
			}
			out := make([]Token, n)
			tokens := 0
			for b.Loop() {
				if err := base.Decode(context.Background(), ss, out); err != nil {
					b.Fatal(err)
				}
				tokens += n
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
