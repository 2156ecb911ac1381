package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"sort"

	"hone/engine/kernel"
	"hone/engine/nn"
)

// TokenLogProb is a token with its log-probability.
type TokenLogProb struct {
	ID      int32
	LogProb float32
}

// Scored is what Score says of a sequence of n tokens.
type Scored struct {
	LogProbs []float32        // of each token after the first, (n-1)
	Top      [][]TokenLogProb // the most probable next tokens at each position, (n); nil unless asked for
}

// Score computes the log-probability of each token of ids given those before it, with adapter a or the base alone.
func (b *Base) Score(ctx context.Context, ids []int32, a *Adapter, topK int) (Scored, error) {
	if err := errors.Join(b.check(ids), b.checkAdapter(a)); err != nil {
		return Scored{}, err
	}
	if err := ctx.Err(); err != nil || len(ids) == 0 {
		return Scored{}, err
	}
	c := b.begin(len(ids))
	defer b.end(c)
	addSegment(c, len(ids), 0, nn.Segment{Adapter: a.modules()})
	h, _ := b.dec.Forward(c, ids)
	s := Scored{LogProbs: make([]float32, len(ids)-1)}
	n := len(ids) - 1
	if topK > 0 {
		n = len(ids)
		s.Top = make([][]TokenLogProb, n)
	}
	ts := make([]target, n)
	for i := range ts {
		ts[i].row = i
	}
	b.logProbs(c, h, ts, func(i int, logits []float32, lse float32) {
		if i < len(s.LogProbs) {
			s.LogProbs[i] = logits[ids[i+1]] - lse
		}
		if topK > 0 {
			s.Top[i] = top(logits, lse, topK)
		}
	})
	return s, nil
}

// top returns the k most probable tokens, ties by id.
func top(logits []float32, lse float32, k int) []TokenLogProb {
	k = min(k, len(logits))
	best := make([]TokenLogProb, 0, k+1)
	for id, z := range logits {
		if len(best) == k && z <= best[k-1].LogProb {
			continue
		}
		at := sort.Search(len(best), func(i int) bool { return best[i].LogProb < z })
		best = append(best, TokenLogProb{})
		copy(best[at+1:], best[at:])
		best[at] = TokenLogProb{int32(id), z} //nolint:gosec // below the vocabulary
		best = best[:min(k, len(best))]
	}
	for i := range best {
		best[i].LogProb -= lse
	}
	return best
}

// argmax is the index of the greatest logit, the first among equals; beside a NaN it is any index. It finds the part
// that holds the greatest, then the place in it.
func argmax(logits []float32) int32 {
	const part = 1024
	best, from := float32(math.Inf(-1)), 0
	for lo := 0; lo < len(logits); lo += part {
		if m := kernel.Max(logits[lo:min(lo+part, len(logits))]); m > best {
			best, from = m, lo
		}
	}
	at := max(0, slices.Index(logits[from:min(from+part, len(logits))], best))
	return int32(from + at) //nolint:gosec // below the vocabulary
}
