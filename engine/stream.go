package engine

import (
	"context"
	"errors"

	"hone/engine/nn"
)

const (
	// prefillChunk is how many prompt tokens of a stream one step reads. Chunks are cut by position alone, so a
	// stream computes the same whoever shares its steps.
	prefillChunk = 256
	// decodeRows bounds the rows of a forward pass in decoding.
	decodeRows = 1024
)

// Stream is one sequence being continued: its tokens, their keys and values, and how to choose the next one.
type Stream struct {
	adapter *Adapter
	sampler sampler
	kv      *nn.KV
	tokens  []int32 // prompt, then what was sampled
	prompt  int
}

// NewStream starts a sequence after prompt, which must not be empty.
func (b *Base) NewStream(prompt []int32, a *Adapter, s Sampling) (*Stream, error) {
	if len(prompt) == 0 {
		return nil, errors.New("the prompt is empty: it needs at least one token")
	}
	if err := errors.Join(b.check(prompt), b.checkAdapter(a)); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Stream{adapter: a, sampler: newSampler(s), kv: nn.NewKV(b.cfg.Layers), tokens: append([]int32(nil), prompt...), prompt: len(prompt)}, nil
}

// Len is the number of tokens, prompt and sampled.
func (s *Stream) Len() int { return len(s.tokens) }

// Close gives the stream's keys and values back.
func (s *Stream) Close() { s.kv = nil }

// Token is one step's outcome for a stream.
type Token struct {
	ID      int32 // −1: the prompt is still being read
	LogProb float32
	Top     []TokenLogProb // where Sampling.TopLogProbs asks for them
}

// Decode advances each stream by one step and writes what it gave to out. A stream either reads the next piece of
// its prompt or gives a token, which becomes part of it. All streams share the passes over the weights, and none
// depends on its companions. A stream must be in one Decode at a time.
func (b *Base) Decode(ctx context.Context, streams []*Stream, out []Token) error {
	for lo := 0; lo < len(streams); {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi, rows := lo, 0
		for hi < len(streams) && (hi == lo || rows+streams[hi].pending() <= decodeRows) {
			rows += streams[hi].pending()
			hi++
		}
		for _, s := range streams[lo:hi] {
			if s.kv.Len()+s.pending() > b.cfg.MaxPositions {
				return &LengthError{s.kv.Len() + s.pending(), b.cfg.MaxPositions}
			}
		}
		b.decode(streams[lo:hi], out[lo:hi], rows)
		lo = hi
	}
	return nil
}

// pending is how many tokens the stream's next step reads.
func (s *Stream) pending() int { return min(prefillChunk, len(s.tokens)-s.kv.Len()) }

// decode is one forward pass.
func (b *Base) decode(streams []*Stream, out []Token, rows int) {
	c := b.begin(rows)
	defer b.end(c)
	ids := make([]int32, 0, rows)
	var ts []target
	for i, s := range streams {
		n, at := s.pending(), s.kv.Len()
		addSegment(c, n, at, nn.Segment{Adapter: s.adapter.modules(), KV: s.kv})
		ids = append(ids, s.tokens[at:at+n]...)
		out[i] = Token{ID: -1}
		if at+n == len(s.tokens) {
			ts = append(ts, target{row: len(ids) - 1, datum: i})
		}
	}
	h, _ := b.dec.Forward(c, ids)
	for i, s := range streams {
		s.kv.Advance(c.Segs[i].End - c.Segs[i].Start)
	}
	b.logProbs(c, h, ts, func(i int, logits []float32, lse float32) {
		s := streams[ts[i].datum]
		t := s.sampler.next(logits, lse, s.tokens, s.prompt)
		s.tokens = append(s.tokens, t.ID)
		out[ts[i].datum] = t
	})
}
