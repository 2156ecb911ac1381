package engine

import (
	"math"
	"math/rand/v2"
	"testing"
)

// draws counts what a sampler takes from fixed logits in n steps.
func draws(s Sampling, logits []float32, n int) map[int32]int {
	counts := map[int32]int{}
	sm := newSampler(s)
	for range n {
		z := append([]float32(nil), logits...)
		counts[sm.next(z, 0, nil, 0).ID]++
	}
	return counts
}

func TestSamplingFollowsTheSoftmax(t *testing.T) {
	logits := []float32{1, 2, 0, -1}
	for _, temperature := range []float64{0.5, 1, 2} {
		const n = 20000
		counts := draws(Sampling{Temperature: temperature, Seed: 11}, logits, n)
		sum := 0.0
		for _, z := range logits {
			sum += math.Exp(float64(z) / temperature)
		}
		for id, z := range logits {
			p := math.Exp(float64(z)/temperature) / sum
			got := float64(counts[int32(id)]) / n
			if d := math.Abs(got - p); d > 5*math.Sqrt(p*(1-p)/n) {
				t.Errorf("temperature %v: token %d drawn at %.4f, probability %.4f", temperature, id, got, p)
			}
		}
	}
}

func TestCuts(t *testing.T) {
	logits := []float32{3, 2.9, 1, -4, 2.95} // probabilities .33 .30 .04 .00 .32
	for name, c := range map[string]struct {
		s    Sampling
		want []int32
	}{
		"greedy":           {Sampling{}, []int32{0}},
		"top-k":            {Sampling{Temperature: 1, TopK: 2}, []int32{0, 4}},
		"top-p":            {Sampling{Temperature: 1, TopP: 0.5}, []int32{0, 4}},
		"top-p of nothing": {Sampling{Temperature: 1, TopP: 1e-9}, []int32{0}},
		"min-p":            {Sampling{Temperature: 1, MinP: 0.5}, []int32{0, 1, 4}},
		"banned":           {Sampling{LogitBias: map[int32]float64{0: -100}}, []int32{4}},
		"forced":           {Sampling{LogitBias: map[int32]float64{3: 100}}, []int32{3}},
	} {
		counts := draws(c.s, logits, 400)
		if len(counts) != len(c.want) {
			t.Errorf("%s: drew %v, want only %v", name, counts, c.want)
			continue
		}
		for _, id := range c.want {
			if counts[id] == 0 {
				t.Errorf("%s: never drew %d of %v", name, id, counts)
			}
		}
	}
}

func TestPenalties(t *testing.T) {
	next := func(s Sampling, tokens []int32, prompt int) Token {
		sm := newSampler(s)
		return sm.next([]float32{2, 1.5, -1}, 0.25, tokens, prompt)
	}
	if got := next(Sampling{RepetitionPenalty: 2}, []int32{0}, 1).ID; got != 1 {
		t.Errorf("repetition penalty counts the prompt: token %d", got)
	}
	if got := next(Sampling{PresencePenalty: 1}, []int32{0}, 1).ID; got != 0 {
		t.Errorf("presence penalty must not count the prompt: token %d", got)
	}
	if got := next(Sampling{PresencePenalty: 1}, []int32{2, 0}, 1).ID; got != 1 {
		t.Errorf("presence penalty must count what was sampled: token %d", got)
	}
	if got := next(Sampling{FrequencyPenalty: 0.3}, []int32{2, 0, 0}, 1).ID; got != 1 {
		t.Errorf("frequency penalty must count each time: token %d", got)
	}
	if got := next(Sampling{PresencePenalty: 1}, []int32{2, 0}, 1).LogProb; got != 1.25 {
		t.Errorf("the reported log-probability is %v, want the model's own 1.25", got)
	}
}

func TestTop(t *testing.T) {
	got := top([]float32{1, 5, 5, 3, 4}, 1, 3)
	want := []TokenLogProb{{1, 4}, {2, 4}, {4, 3}}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("top 3 is %v, want %v", got, want)
		}
	}
	if n := len(top([]float32{1, 2}, 0, 10)); n != 2 {
		t.Errorf("top 10 of 2 gave %d", n)
	}
}

// argmax is the first of the greatest, wherever that is.
func TestArgmax(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{1, 2, 17, 1023, 1024, 1025, 4097} {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(math.Inf(-1))
		}
		if got := argmax(x); got != 0 {
			t.Errorf("%d of −Inf: %d", n, got)
		}
		for range 50 {
			for i := range x {
				x[i] = float32(r.IntN(n+5)) - float32(n)
			}
			want := 0
			for i, v := range x {
				if v > x[want] {
					want = i
				}
			}
			if got := argmax(x); int(got) != want {
				t.Fatalf("%d values: %d, want %d", n, got, want)
			}
		}
	}
}
