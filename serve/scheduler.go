package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"

	"hone/engine"
)

// Options are the bounds of a Scheduler.
type Options struct {
	MaxStreams int          // texts decoded together; 0 is DefaultMaxStreams
	MaxWaiting int          // requests that may wait for a place; 0 is DefaultMaxWaiting
	Logger     *slog.Logger // where engine failures go with their stacks; nil: nowhere
}

// Defaults of Options.
const (
	DefaultMaxStreams = 16
	DefaultMaxWaiting = 256
)

// Scheduler runs the requests of one model in one batch. New makes it, Run drives it until Shutdown or Close.
type Scheduler struct {
	model   Model
	decoder Decoder
	options Options

	endOfTurn func() []int32 // computed once

	mu      sync.Mutex
	waiting []*job
	running int // len(active), for Stats
	closing bool
	ran     bool               // Run has been called, or never may
	abort   context.CancelFunc // ends Run; nil before it

	wake chan struct{} // a request came, or closing began
	done chan struct{} // closed when Run has returned

	// Only Run's goroutine touches these.
	active  []*job
	streams []Stream
	out     []engine.Token
}

// job is a request on its way through the scheduler, or a call that wants the engine for itself.
type job struct {
	ctx   context.Context
	call  func(context.Context) // nil for requests
	fail  func(error)           // tells the caller of call that it will not run
	req   Request
	limit int        // tokens it may generate
	out   chan Event // holds at most one event
	usage Usage

	stream Stream
	text   assembler
}

// New returns a scheduler over m.Base; it does nothing until Run.
func New(m Model, o Options) *Scheduler {
	return NewOver(&baseDecoder{base: m.Base}, m, o)
}

// NewOver is New over another engine than m.Base, which may be nil.
func NewOver(d Decoder, m Model, o Options) *Scheduler {
	if o.MaxStreams <= 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{model: m, decoder: d, options: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.endOfTurn = sync.OnceValue(func() []int32 {
		if m.Template == nil || m.Tokenizer == nil {
			return nil
		}
		return m.Template.EndOfTurn(m.Tokenizer)
	})
	return s
}

// Model is what the scheduler serves.
func (s *Scheduler) Model() Model { return s.model }

// Context is the number of positions of the model; 0 is no bound.
func (s *Scheduler) Context() int { return s.decoder.Context() }

// VocabSize is the number of token ids of the model.
func (s *Scheduler) VocabSize() int { return s.decoder.VocabSize() }

// EndOfTurn is the ids that end an assistant's turn under the model's chat template.
func (s *Scheduler) EndOfTurn() []int32 { return s.endOfTurn() }

// Stats are the numbers of a moment.
type Stats struct {
	Active  int // texts in the batch
	Waiting int // requests waiting for a place
}

// Stats returns the numbers of now.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Active: s.running, Waiting: len(s.waiting)}
}

// Submit adds a request. Its events come on the channel, which is closed after the last one; cancelling ctx ends
// the text within one step, with ctx's error in the last event. Submit returns *RequestError or
// *PromptTooLongError for a request that cannot run, ErrBusy when too many wait, ErrClosed after Shutdown.
func (s *Scheduler) Submit(ctx context.Context, r Request) (<-chan Event, error) {
	limit, err := s.check(r)
	if err != nil {
		return nil, err
	}
	j := &job{ctx: ctx, req: r, limit: limit, out: make(chan Event, 1), usage: Usage{Prompt: len(r.Prompt)}}
	if err := s.enqueue(j); err != nil {
		return nil, err
	}
	return j.out, nil
}

// check validates a request against the model and returns how many tokens it may generate.
func (s *Scheduler) check(r Request) (limit int, err error) {
	if len(r.Prompt) == 0 {
		return 0, &RequestError{"Prompt", "is empty"}
	}
	if err := s.checkIDs(r.Prompt); err != nil {
		return 0, err
	}
	if r.MaxTokens < 0 {
		return 0, &RequestError{"MaxTokens", "is negative"}
	}
	if slices.Contains(r.Stop, "") {
		return 0, &RequestError{"Stop", "holds an empty string"}
	}
	if err := r.Sampling.Validate(); err != nil {
		return 0, &RequestError{"Sampling", err.Error()}
	}
	for id := range r.Sampling.LogitBias {
		if id < 0 || int(id) >= s.decoder.VocabSize() {
			return 0, &RequestError{"LogitBias", fmt.Sprintf("token id %d is outside the vocabulary of %d", id, s.decoder.VocabSize())}
		}
	}
	limit = r.MaxTokens
	if c := s.decoder.Context(); c > 0 {
		left := c - len(r.Prompt)
		if left < 1 {
			return 0, &PromptTooLongError{Prompt: len(r.Prompt), Context: c}
		}
		if limit == 0 || limit > left {
			limit = left
		}
	}
	if limit == 0 {
		return 0, &RequestError{"MaxTokens", "must be set for a model without a context bound"}
	}
	return limit, nil
}

func (s *Scheduler) checkIDs(ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= s.decoder.VocabSize() {
			return &RequestError{"Prompt", fmt.Sprintf("token id %d is outside the vocabulary of %d", id, s.decoder.VocabSize())}
		}
	}
	return nil
}

func (s *Scheduler) enqueue(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	if len(s.waiting) >= s.options.MaxWaiting {
		return ErrBusy
	}
	s.waiting = append(s.waiting, j)
	s.signal()
	return nil
}

// signal wakes an idle Run.
func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run decodes until Shutdown has drained the scheduler or Close ended it (nil), or ctx is done (its error). It is
// called once. Whatever is unfinished when it returns has ended with ErrClosed.
func (s *Scheduler) Run(ctx context.Context) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.ran {
		defer s.mu.Unlock()
		if s.closing {
			return nil // closed before it began
		}
		return errors.New("run scheduler: it is running already")
	}
	s.ran, s.abort = true, cancel
	s.mu.Unlock()
	defer close(s.done)
	defer s.endAll()

	for run.Err() == nil {
		drained := s.admit(run)
		switch {
		case len(s.active) > 0:
			s.step(run)
		case drained:
			return nil
		default:
			select {
			case <-s.wake:
			case <-run.Done():
			}
		}
	}
	return ctx.Err()
}

// admit runs calls and moves waiting requests into the batch while there is room; drained says that none wait
// and none will come.
func (s *Scheduler) admit(ctx context.Context) (drained bool) {
	for {
		j, drained := s.next()
		if j == nil {
			return drained
		}
		if j.call != nil {
			j.call(ctx)
			if len(s.active) > 0 {
				return false // one call between two steps, so that the batch goes on
			}
			continue
		}
		if err := s.open(j); err != nil {
			j.end("", err)
			continue
		}
		s.active = append(s.active, j)
	}
}

// next takes the first waiting job that can run now, ending on its way those whose callers have gone.
func (s *Scheduler) next() (j *job, drained bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = len(s.active)
	s.waiting = slices.DeleteFunc(s.waiting, func(j *job) bool {
		if j.ctx.Err() == nil {
			return false
		}
		j.end("", context.Cause(j.ctx))
		return true
	})
	if len(s.waiting) == 0 {
		return nil, s.closing
	}
	if s.waiting[0].call == nil && len(s.active) >= s.options.MaxStreams {
		return nil, false
	}
	j = s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	return j, false
}

// open prepares the engine's stream and the text of a request.
func (s *Scheduler) open(j *job) error {
	return s.guard("open stream", func() (err error) {
		j.text = newAssembler(s.model.Tokenizer, j.req)
		j.stream, err = s.decoder.NewStream(j.req.Prompt, j.req.Adapter, j.req.Sampling)
		return err
	})
}

// step drops the requests whose callers have gone and moves all others one token on.
func (s *Scheduler) step(ctx context.Context) {
	s.keep(func(j *job) bool {
		if j.ctx.Err() != nil {
			j.end("", context.Cause(j.ctx))
			return false
		}
		return true
	})
	if len(s.active) == 0 {
		return
	}
	s.streams = s.streams[:0]
	for _, j := range s.active {
		s.streams = append(s.streams, j.stream)
	}
	s.out = slices.Grow(s.out[:0], len(s.active))[:len(s.active)]
	clear(s.out)
	if err := s.guard("decode", func() error { return s.decoder.Decode(ctx, s.streams, s.out) }); err != nil {
		if ctx.Err() != nil {
			return // Run ends, and with it every request
		}
		// The streams of a broken batch are in no known state, so none of them can go on.
		s.keep(func(j *job) bool { j.end("", err); return false })
		return
	}
	i := -1
	s.keep(func(j *job) bool {
		i++
		return s.take(j, s.out[i])
	})
}

// keep drops the active requests for which more is false and gives their streams back.
func (s *Scheduler) keep(more func(*job) bool) {
	s.active = slices.DeleteFunc(s.active, func(j *job) bool {
		if more(j) {
			return false
		}
		s.closeStream(j)
		return true
	})
}

func (s *Scheduler) closeStream(j *job) {
	if j.stream != nil {
		_ = s.guard("close stream", func() error { j.stream.Close(); return nil })
	}
}

// take handles what one step produced for a request and says whether the request goes on.
func (s *Scheduler) take(j *job, t engine.Token) (more bool) {
	if t.ID < 0 {
		return true // the prompt is still being read
	}
	err := s.guard("assemble text", func() error {
		more = j.take(t, s.model.EOS)
		return nil
	})
	if err != nil {
		j.end("", err)
		return false
	}
	return more
}

// guard runs f and turns a panic into an error: one request's failure is never the server's.
func (s *Scheduler) guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.options.Logger.Error("panic in the scheduler", "doing", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: %w: %v", what, ErrEngine, p)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrEngine, err)
	}
	return nil
}
