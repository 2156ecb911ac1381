package engine

import (
	"context"
	"fmt"
	"testing"

	"hone/engine/tensor"
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

func benchTrain(b *testing.B, rows []Datum, prec tensor.Precision) {
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
	tr, err := NewTrainer(base, a, TrainerOptions{Packing: true, Precision: prec})
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

// BenchmarkTrain takes LoRA steps: full is 8 rows of 256 tokens, all supervised; chat 16 short rows with short
// answers after a common prompt, as banking77 has them; short the same with nothing in common.
func BenchmarkTrain(b *testing.B) {
	chat := benchRows(16, 51, 8)
	for i := range chat {
		copy(chat[i].Tokens, chat[0].Tokens[:30])
	}
	for name, rows := range map[string][]Datum{"full": benchRows(8, 256, 256), "chat": chat, "short": benchRows(16, 51, 8)} {
		for _, prec := range []tensor.Precision{tensor.Single, tensor.Half} {
			b.Run(name+"/"+prec.String(), func(b *testing.B) { benchTrain(b, rows, prec) })
		}
	}
}

// BenchmarkDecode continues one and eight streams.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		n    int
		prec tensor.Precision
	}{{1, tensor.Single}, {1, tensor.Fixed}, {8, tensor.Single}, {8, tensor.Fixed}} {
		n := c.n
		b.Run(fmt.Sprintf("%d/%s", n, c.prec), func(b *testing.B) {
			base := openBase(b, testModel(b), LoadOptions{Precision: c.prec})
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

// BenchmarkDecodeAt decodes at a fixed context: each step's token is forgotten again.
func BenchmarkDecodeAt(b *testing.B) {
	base := openBase(b, testModel(b), LoadOptions{Auto: true})
	for _, n := range []int{1, 8} {
		for _, length := range []int{64, 512, 2048} {
			b.Run(fmt.Sprintf("%d/%d", n, length), func(b *testing.B) {
				var ss []*Stream
				for i := range n {
					prompt := make([]int32, length)
					for j := range prompt {
						prompt[j] = int32((i*7919 + j*104729) % 49000)
					}
					s, err := base.NewStream(prompt, nil, Sampling{})
					if err != nil {
						b.Fatal(err)
					}
					ss = append(ss, s)
				}
				out := make([]Token, n)
				step := func() {
					if err := base.Decode(context.Background(), ss, out); err != nil {
						b.Fatal(err)
					}
				}
				for ss[n-1].kv.Len() < length {
					step()
				}
				tokens := 0
				for b.Loop() {
					for _, s := range ss {
						s.tokens = s.tokens[:length]
						s.kv.Truncate(length - 1)
					}
					step()
					tokens += n
				}
				b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}

// BenchmarkDecodeAdapters continues eight streams, each on a rank-16 adapter of its own.
func BenchmarkDecodeAdapters(b *testing.B) {
	base := openBase(b, testModel(b), LoadOptions{Precision: tensor.Fixed})
	var ss []*Stream
	for i := range 8 {
		c := loraConfig(0)
		c.R, c.Alpha = 16, 32
		a, err := base.NewAdapter(c, uint64(i))
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Freeze(); err != nil {
			b.Fatal(err)
		}
		s, err := base.NewStream([]int32{1, 2, int32(3 + i)}, a, Sampling{})
		if err != nil {
			b.Fatal(err)
		}
		ss = append(ss, s)
	}
	out := make([]Token, len(ss))
	tokens := 0
	for b.Loop() {
		if err := base.Decode(context.Background(), ss, out); err != nil {
			b.Fatal(err)
		}
		tokens += len(ss)
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
