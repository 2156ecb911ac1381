package serve

import (
	"context"
	"strings"

	"hone/engine"
)

// Result is a whole generated text.
type Result struct {
	Text   string
	Finish string // FinishStop or FinishLength
	Tokens []Token
	Usage  Usage
}

// Generate runs a request to its end. When it fails half-way the Result holds what there was.
func (s *Scheduler) Generate(ctx context.Context, r Request) (Result, error) {
	events, err := s.Submit(ctx, r)
	if err != nil {
		return Result{}, err
	}
	return Collect(events)
}

// Collect reads a request's events to the last one.
func Collect(events <-chan Event) (Result, error) {
	var result Result
	var text strings.Builder
	var err error
	for e := range events {
		text.WriteString(e.Text)
		result.Tokens = append(result.Tokens, e.Tokens...)
		result.Finish, result.Usage, err = e.Finish, e.Usage, e.Err
	}
	result.Text = text.String()
	return result, err
}

// Score gives the log-probability of each token of ids after the first, and with topK > 0 the best candidates for
// each place. It takes its turn among the requests and runs between two steps of the batch.
func (s *Scheduler) Score(ctx context.Context, ids []int32, a *engine.Adapter, topK int) (engine.Scored, error) {
	if len(ids) == 0 {
		return engine.Scored{}, &RequestError{"Prompt", "is empty"}
	}
	if err := s.checkIDs(ids); err != nil {
		return engine.Scored{}, err
	}
	if c := s.decoder.Context(); c > 0 && len(ids) > c {
		return engine.Scored{}, &PromptTooLongError{Prompt: len(ids), Context: c}
	}
	type answer struct {
		scored engine.Scored
		err    error
	}
	answers := make(chan answer, 1)
	j := &job{ctx: ctx, fail: func(err error) { answers <- answer{err: err} }}
	j.call = func(run context.Context) {
		var got answer
		both, cancel := context.WithCancelCause(run)
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		defer stop()
		got.err = s.guard("score", func() (err error) {
			got.scored, err = s.decoder.Score(both, ids, a, topK)
			return err
		})
		switch { // whose end it was matters more than how the engine put it
		case got.err == nil:
		case ctx.Err() != nil:
			got.err = context.Cause(ctx)
		case run.Err() != nil:
			got.err = ErrClosed
		}
		answers <- got
	}
	if err := s.enqueue(j); err != nil {
		return engine.Scored{}, err
	}
	got := <-answers
	return got.scored, got.err
}
