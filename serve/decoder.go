package serve

import (
	"context"
	"fmt"

	"hone/engine"
)

// Decoder is what the scheduler needs of an engine. NewStream, Decode, Score and Stream.Close are called from the
// goroutine that runs the scheduler alone; Context and VocabSize from any.
type Decoder interface {
	// NewStream prepares a text after prompt; nothing is computed yet.
	NewStream(prompt []int32, a *engine.Adapter, s engine.Sampling) (Stream, error)
	// Decode moves each stream one step on; out[i] is what streams[i] produced, ID -1 while its prompt is read.
	Decode(ctx context.Context, streams []Stream, out []engine.Token) error
	// Score gives the log-probability of each token of ids after the first, and the topK best at each place.
	Score(ctx context.Context, ids []int32, a *engine.Adapter, topK int) (engine.Scored, error)
	// Context is the number of positions the model has; 0 is no bound.
	Context() int
	// VocabSize is the number of token ids the model has.
	VocabSize() int
}

// Stream is one text in the making inside an engine; Close gives its memory back.
type Stream interface {
	Close()
}

// baseDecoder is the Decoder over engine.Base.
type baseDecoder struct {
	base    *engine.Base
	streams []*engine.Stream // scratch of Decode
}

func (d *baseDecoder) NewStream(prompt []int32, a *engine.Adapter, s engine.Sampling) (Stream, error) {
	stream, err := d.base.NewStream(prompt, a, s)
	if err != nil {
		return nil, err // not the nil *engine.Stream, which as a Stream would not be nil
	}
	return stream, nil
}

func (d *baseDecoder) Decode(ctx context.Context, streams []Stream, out []engine.Token) error {
	d.streams = d.streams[:0]
	for _, s := range streams {
		d.streams = append(d.streams, s.(*engine.Stream))
	}
	err := d.base.Decode(ctx, d.streams, out)
	clear(d.streams) // keeps no finished stream alive
	return err
}

func (d *baseDecoder) Score(ctx context.Context, ids []int32, a *engine.Adapter, topK int) (engine.Scored, error) {
	scored, err := d.base.Score(ctx, ids, a, topK)
	if err != nil {
		return engine.Scored{}, fmt.Errorf("score %d tokens: %w", len(ids), err)
	}
	return scored, nil
}

func (d *baseDecoder) Context() int { return d.base.Config().MaxPositions }

func (d *baseDecoder) VocabSize() int { return d.base.Config().VocabSize }
