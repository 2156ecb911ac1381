package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Sampling says how a stream chooses its next token. The zero value takes the most probable one.
type Sampling struct {
	Temperature       float64           // 0: the most probable token
	TopP              float64           // nucleus (Holtzman et al. 2019, arXiv 1904.09751); 0 or 1: off
	MinP              float64           // drop tokens below MinP times the best one's probability (arXiv 2407.01082); 0: off
	TopK              int               // keep the K most probable; 0: off
	RepetitionPenalty float64           // divides positive and multiplies negative logits of tokens seen (arXiv 1909.05858); 0 or 1: off
	FrequencyPenalty  float64           // taken off a logit for each time its token was sampled
	PresencePenalty   float64           // taken off a logit whose token was sampled
	LogitBias         map[int32]float64 // added to logits
	Seed              uint64
	TopLogProbs       int // how many alternatives to report at each step
}

// Validate names a field that no sampling can follow.
func (s Sampling) Validate() error {
	for _, f := range []struct {
		name     string
		v        float64
		min, max float64
	}{
		{"temperature", s.Temperature, 0, 100}, {"top_p", s.TopP, 0, 1}, {"min_p", s.MinP, 0, 1},
		{"repetition_penalty", s.RepetitionPenalty, 0, 100},
		{"frequency_penalty", s.FrequencyPenalty, -100, 100}, {"presence_penalty", s.PresencePenalty, -100, 100},
	} {
		if !(f.v >= f.min && f.v <= f.max) {
			return fmt.Errorf("%s is %v, want %v to %v", f.name, f.v, f.min, f.max)
		}
	}
	if s.TopK < 0 || s.TopLogProbs < 0 {
		return fmt.Errorf("top_k is %d and top_logprobs %d, want 0 or more", s.TopK, s.TopLogProbs)
	}
	for id, v := range s.LogitBias {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("logit_bias of token %d is %v", id, v)
		}
	}
	return nil
}

// sampler draws a stream's tokens. Its randomness is a function of the seed and the token's index alone.
type sampler struct {
	Sampling
	drawn uint64
}

func newSampler(s Sampling) sampler { return sampler{Sampling: s} }

// next chooses from logits, which it may overwrite. Reported log-probabilities are the model's own, before
// penalties, bias and temperature.
func (s *sampler) next(logits []float32, lse float32, tokens []int32, prompt int) (t Token) {
	if s.TopLogProbs > 0 {
		t.Top = top(logits, lse, s.TopLogProbs)
	}
	if !s.adjusts() && s.Temperature == 0 {
		t.ID = argmax(logits)
		t.LogProb = logits[t.ID] - lse
		return t
	}
	raw := logits
	if s.adjusts() {
		raw = slices.Clone(logits)
		s.adjust(logits, tokens, prompt)
	}
	if s.Temperature == 0 {
		t.ID = argmax(logits)
	} else {
		t.ID = s.draw(logits)
	}
	s.drawn++
	t.LogProb = raw[t.ID] - lse
	return t
}

// adjusts reports whether logits change before a choice.
func (s *sampler) adjusts() bool {
	return (s.RepetitionPenalty != 0 && s.RepetitionPenalty != 1) || s.FrequencyPenalty != 0 || s.PresencePenalty != 0 || len(s.LogitBias) > 0
}

func (s *sampler) adjust(logits []float32, tokens []int32, prompt int) {
	if p := float32(s.RepetitionPenalty); p != 0 && p != 1 {
		seen := map[int32]bool{}
		for _, id := range tokens {
			if seen[id] {
				continue
			}
			seen[id] = true
			if logits[id] > 0 {
				logits[id] /= p
			} else {
				logits[id] *= p
			}
		}
	}
	if s.FrequencyPenalty != 0 || s.PresencePenalty != 0 {
		counts := map[int32]int{}
		for _, id := range tokens[prompt:] {
			counts[id]++
		}
		for id, n := range counts {
			logits[id] -= float32(float64(n)*s.FrequencyPenalty + s.PresencePenalty)
		}
	}
	for id, v := range s.LogitBias {
		if id >= 0 && int(id) < len(logits) {
			logits[id] += float32(v)
		}
	}
}

// draw samples from softmax(logits/Temperature) after the cuts, in f64.
func (s *sampler) draw(logits []float32) int32 {
	best := float64(logits[argmax(logits)])
	type candidate struct {
		id int32
		p  float64
	}
	cs := make([]candidate, 0, len(logits))
	total := 0.0
	for id, z := range logits {
		p := math.Exp((float64(z) - best) / s.Temperature)
		if p < s.MinP {
			continue
		}
		cs = append(cs, candidate{int32(id), p}) //nolint:gosec // below the vocabulary
		total += p
	}
	cutP := s.TopP > 0 && s.TopP < 1
	if cutP || (s.TopK > 0 && s.TopK < len(cs)) {
		slices.SortStableFunc(cs, func(a, b candidate) int { return cmp.Compare(b.p, a.p) })
		if s.TopK > 0 && s.TopK < len(cs) {
			cs = cs[:s.TopK]
			total = 0
			for _, c := range cs {
				total += c.p
			}
		}
		if cutP {
			kept, sum := 0, 0.0
			for kept < len(cs) && sum < s.TopP*total {
				sum += cs[kept].p
				kept++
			}
			cs, total = cs[:max(1, kept)], sum
		}
	}
	u := uniform(s.Seed, s.drawn) * total
	for _, c := range cs {
		if u -= c.p; u < 0 {
			return c.id
		}
	}
	return cs[len(cs)-1].id
}

// uniform is the nth number in [0, 1) of a seed's sequence (SplitMix64, Steele et al. 2014).
func uniform(seed, n uint64) float64 {
	x := seed + (n+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
