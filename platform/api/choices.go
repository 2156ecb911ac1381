package api

import (
	"context"
	"net/http"
	"sync"

	"hone/engine"
	"hone/platform/openai"
	"hone/serve"
)

// choices are the texts of one HTTP request while they are generated.
type choices struct {
	events chan choiceEvent // closed after the last event of the last choice
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu         sync.Mutex
	completion []int // tokens generated so far, by choice
}

// choiceEvent is an event of the choice with that index.
type choiceEvent struct {
	index int
	serve.Event
}

// start submits all requests or none. The caller must call stop.
func start(ctx context.Context, scheduler *serve.Scheduler, requests []serve.Request) (*choices, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &choices{events: make(chan choiceEvent), cancel: cancel, completion: make([]int, len(requests))}
	var sources []<-chan serve.Event
	for _, r := range requests {
		source, err := scheduler.Submit(ctx, r)
		if err != nil {
			cancel() // those submitted before end by themselves; their channels hold what is left
			return nil, err
		}
		sources = append(sources, source)
	}
	for i, source := range sources {
		c.ended.Go(func() { c.forward(ctx, i, source) })
	}
	go func() { // ends with the last forward, which stop waits for
		c.ended.Wait()
		close(c.events)
	}()
	return c, nil
}

// forward passes one choice's events on until the end; once nobody listens it only counts.
func (c *choices) forward(ctx context.Context, index int, source <-chan serve.Event) {
	for e := range source {
		c.mu.Lock()
		c.completion[index] = e.Usage.Completion
		c.mu.Unlock()
		select {
		case c.events <- choiceEvent{index, e}:
		case <-ctx.Done():
		}
	}
}

// stop ends what still runs and returns the number of tokens generated, those of unfinished choices included.
func (c *choices) stop() (completion int) {
	c.cancel()
	c.ended.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.completion {
		completion += n
	}
	return completion
}

// generate runs the requests and gives each event to take, until the end, an error of an event or an error of
// take. It records what was used either way; prompt is the number of prompt tokens to count.
func generate(w http.ResponseWriter, r *http.Request, scheduler *serve.Scheduler, requests []serve.Request, prompt int, take func(choiceEvent) error) (openai.Usage, error) {
	c, err := start(r.Context(), scheduler, requests)
	if err != nil {
		return openai.Usage{}, err
	}
	err = consume(r.Context(), c, take)
	completion := c.stop()
	record(w).usage = serve.Usage{Prompt: prompt, Completion: completion}
	return openai.NewUsage(prompt, completion), err
}

func consume(ctx context.Context, c *choices, take func(choiceEvent) error) error {
	for e := range c.events {
		if e.Err != nil {
			return e.Err
		}
		if err := take(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // events may have been dropped
	}
	return nil
}

// sampling is what the engine needs of a request's sampling.
func sampling(s openai.Sampling, seed uint64, topLogProbs int) engine.Sampling {
	return engine.Sampling{
		Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MinP: s.MinP,
		RepetitionPenalty: s.RepetitionPenalty, FrequencyPenalty: s.FrequencyPenalty, PresencePenalty: s.PresencePenalty,
		LogitBias: s.LogitBias, Seed: seed, TopLogProbs: topLogProbs,
	}
}

// seed is a request's own, or a fresh one.
func (s *Server) seed(g openai.Generation) uint64 {
	if g.Sampling.Seed != nil {
		return uint64(*g.Sampling.Seed)
	}
	return s.options.Seed()
}

// logProbs writes tokens as the API has them.
func logProbs(tokens []serve.Token) []openai.TokenLogProb {
	out := make([]openai.TokenLogProb, len(tokens))
	for i, t := range tokens {
		out[i] = openai.TokenLogProb{Token: t.Text, LogProb: t.LogProb, Bytes: t.Bytes, TopLogProbs: topLogProbs(t.Top)}
	}
	return out
}

func topLogProbs(top []serve.Candidate) []openai.TopLogProb {
	out := make([]openai.TopLogProb, len(top))
	for i, c := range top {
		out[i] = openai.TopLogProb{Token: c.Text, LogProb: c.LogProb, Bytes: c.Bytes}
	}
	return out
}
