package engine

import (
	"context"
	"math"
	"testing"

	"hone/engine/kernel"
	"hone/engine/tensor"
	"hone/internal/golden"
)

// scores are the k most probable next tokens at every position of the reference texts, at a precision.
func scores(t *testing.T, prec tensor.Precision, k int) (all []Scored) {
	b := openBase(t, testModel(t), LoadOptions{Precision: prec})
	for _, c := range smolCases(t) {
		s, err := b.Score(context.Background(), c.IDs, nil, k)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// divergence holds a precision against f32: the mean Kullback-Leibler divergence of the next token (of the most
// probable ones in exact, which hold nearly all of it), and how often the most probable token is the same.
func divergence(t *testing.T, exact []Scored, prec tensor.Precision) (kl, agree float64) {
	n := 0
	for i, got := range scores(t, prec, 2000) {
		want := exact[i]
		for i := range want.Top {
			theirs := map[int32]float32{}
			for _, x := range got.Top[i] {
				theirs[x.ID] = x.LogProb
			}
			for _, x := range want.Top[i] {
				if q, ok := theirs[x.ID]; ok {
					kl += math.Exp(float64(x.LogProb)) * float64(x.LogProb-q)
				}
			}
			if want.Top[i][0].ID == got.Top[i][0].ID {
				agree++
			}
			n++
		}
	}
	return kl / float64(n), agree / float64(n)
}

func TestPrecisionsStayClose(t *testing.T) {
	if testing.Short() {
		t.Skip("scores every reference text three times")
	}
	exact := scores(t, tensor.Single, 200)
	for _, c := range []struct {
		prec      tensor.Precision
		kl, agree float64
	}{{tensor.Half, 1e-3, 0.98}, {tensor.Fixed, 5e-5, 0.995}} {
		kl, agree := divergence(t, exact, c.prec)
		t.Logf("%v: KL %.2g, equal top tokens %.4f", c.prec, kl, agree)
		if !(kl <= c.kl && agree >= c.agree) {
			t.Errorf("%v: KL %.2g and %.4f equal top tokens, want at most %v and at least %v", c.prec, kl, agree, c.kl, c.agree)
		}
	}
}

// TestPrecisionsKeepTheirBits trains at each precision with one thread and with three, and decodes batched and alone.
func TestPrecisionsKeepTheirBits(t *testing.T) {
	for _, prec := range []tensor.Precision{tensor.Half, tensor.Fixed} {
		rows := rowsOfLengths(9)
		o := TrainerOptions{Packing: true, Precision: prec}
		one, _ := train(t, tiny(t, "llama", 1), rows, o, 0.1, 3)
		three, losses := train(t, tiny(t, "llama", 3), rows, o, 0.1, 3)
		sameState(t, prec.String(), one.State(), three.State())
		_, exact := train(t, tiny(t, "llama", 2), rows, TrainerOptions{Packing: true}, 0.1, 3)
		for i := range losses {
			if d := math.Abs(losses[i]/exact[i] - 1); !(d > 0 && d < 1e-2) {
				t.Errorf("%v: step %d: loss %v, in f32 %v", prec, i+1, losses[i], exact[i])
			}
		}
	}
}

func TestParsePrecision(t *testing.T) {
	for name, want := range map[string]tensor.Precision{"f32": tensor.Single, "bf16": tensor.Half, "fixed": tensor.Fixed, "int8": tensor.Fixed, "auto": tensor.Half} {
		if got, err := ParsePrecision(name, tensor.Half); err != nil || got != want {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	if _, err := ParsePrecision("fp8", tensor.Half); err == nil {
		t.Error("fp8 was accepted")
	}
}

func TestAutoPrecisionFollowsTheWeights(t *testing.T) {
	b := openBase(t, golden.Path(t, "arch/llama"), LoadOptions{Auto: true})
	if got := b.Precision(); got != tensor.Single {
		t.Errorf("f32 weights decode at %v", got)
	}
	level := kernel.Level()
	t.Cleanup(func() {
		if err := kernel.SetLevel(level); err != nil {
			t.Error(err)
		}
	})
	for _, name := range kernel.Levels() {
		if err := kernel.SetLevel(name); err != nil {
			t.Fatal(err)
		}
		want := map[string][2]tensor.Precision{"avx512": {tensor.Fixed, tensor.Single}, "avx512bf16": {tensor.Fixed, tensor.Half}}[name]
		if got := [2]tensor.Precision{DecodingPrecision(tensor.Q4_1), DecodingPrecision(tensor.BF16)}; got != want {
			t.Errorf("%s: 4-bit and 16-bit weights decode at %v, want %v", name, got, want)
		}
	}
}
