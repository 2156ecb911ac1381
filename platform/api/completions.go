package api

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"hone/engine/tokenizer"
	"hone/platform/openai"
	"hone/serve"
)

// complete answers POST /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	request, bad := openai.ParseCompletion(body)
	if bad != nil {
		return bad
	}
	model, err := s.lookup(request.Model)
	if err != nil {
		return err
	}
	record(w).model, record(w).stream = model.ID, request.Stream
	a := &textAnswer{w: w, r: r, model: model, request: request,
		head: openai.Head{ID: "cmpl-" + s.options.NewID(), Object: openai.ObjectCompletion, Created: s.options.Now().Unix(), Model: model.ID}}
	if err := a.prepare(s.seed(request.Generation)); err != nil {
		return err
	}
	if request.Stream {
		return a.stream(s.newEventStream(w))
	}
	return a.whole(s)
}

// textAnswer is a plain completion on its way out.
type textAnswer struct {
	w            http.ResponseWriter
	r            *http.Request
	model        Model
	request      *openai.CompletionRequest
	head         openai.Head
	echoes       []echo          // by prompt
	requests     []serve.Request // by choice: all of the first prompt, all of the second, …; none if there is nothing to generate
	promptTokens int
}

// echo is a prompt as a choice's text begins with it; empty unless asked for.
type echo struct {
	text   string
	tokens []openai.TokenLogProb
}

// prepare turns the prompts into requests and, if asked, into echoes.
func (a *textAnswer) prepare(seed uint64) error {
	tok := a.model.Scheduler.Model().Tokenizer
	if tok == nil {
		return openai.NewError(openai.TypeInvalidRequest, "model", "no_tokenizer", "The model has no tokenizer; it cannot be used for text.")
	}
	top := 0
	if a.request.LogProbs != nil {
		top = *a.request.LogProbs
	}
	for _, p := range a.request.Prompts {
		ids := p.Tokens
		if ids == nil {
			var err error
			if ids, err = tok.EncodeChecked(p.Text, tokenizer.Options{Control: true, AddSpecial: true}); err != nil {
				return openai.NewError(openai.TypeInvalidRequest, "prompt", "invalid_value", "The model's tokenizer cannot read this prompt: "+clipMessage(err))
			}
		}
		a.promptTokens += len(ids)
		e, err := a.echo(tok, p, ids, top)
		if err != nil {
			return err
		}
		a.echoes = append(a.echoes, e)
		for i := range a.request.N {
			a.requests = append(a.requests, serve.Request{
				Adapter: a.model.Adapter, Prompt: ids, MaxTokens: a.request.MaxTokens, Stop: a.request.Stop,
				IgnoreEOS: a.request.IgnoreEOS, Continues: true,
				Sampling: sampling(a.request.Sampling, serve.ChoiceSeed(seed, i), top),
			})
		}
	}
	if a.request.MaxTokens == 0 {
		a.requests = nil
	}
	return nil
}

// echo makes the beginning of a prompt's choices; with log-probabilities the engine reads the prompt for them.
func (a *textAnswer) echo(tok *tokenizer.Tokenizer, p openai.Prompt, ids []int32, top int) (echo, error) {
	if !a.request.Echo {
		return echo{}, nil
	}
	texts := serve.Texts(tok, ids)
	e := echo{text: p.Text}
	if p.Tokens != nil {
		e.text = strings.Join(texts, "")
	}
	if a.request.LogProbs == nil {
		return e, nil
	}
	scored, err := a.model.Scheduler.Score(a.r.Context(), ids, a.model.Adapter, top)
	if err != nil {
		return echo{}, err
	}
	for i, text := range texts {
		t := openai.TokenLogProb{Token: text}
		if i > 0 { // nothing stands before the first token that could make it likely or not
			t.LogProb = serve.Finite(scored.LogProbs[i-1])
			t.TopLogProbs = []openai.TopLogProb{}
			if top > 0 {
				t.TopLogProbs = topLogProbs(serve.Candidates(tok, scored.Top[i-1]))
			}
		}
		e.tokens = append(e.tokens, t)
	}
	return e, nil
}

// choices is the number of texts asked for.
func (a *textAnswer) choices() int { return len(a.request.Prompts) * a.request.N }

// whole answers with one body.
func (a *textAnswer) whole(s *Server) error {
	texts := make([]string, a.choices())
	tokens := make([][]openai.TokenLogProb, a.choices())
	finish := make([]string, a.choices())
	for i := range texts {
		e := a.echoes[i/a.request.N]
		texts[i], tokens[i], finish[i] = e.text, append(tokens[i], e.tokens...), openai.FinishLength
	}
	usage, err := a.generate(func(e choiceEvent) error {
		texts[e.index] += e.Text
		tokens[e.index] = append(tokens[e.index], logProbs(e.Tokens)...)
		finish[e.index] = e.Finish
		return nil
	})
	if err != nil {
		return err
	}
	completion := openai.Completion{Head: a.head, Usage: usage}
	for i := range texts {
		completion.Choices = append(completion.Choices, openai.CompletionChoice{Index: i, Text: texts[i], LogProbs: a.logProbs(tokens[i], 0), FinishReason: &finish[i]})
	}
	return s.writeWhole(a.w, completion)
}

// stream answers with a chunk an event; an echo comes first.
func (a *textAnswer) stream(out *eventStream) error {
	offsets := make([]int, a.choices()) // characters sent
	send := func(index int, text string, tokens []openai.TokenLogProb, finish string) error {
		choice := openai.CompletionChoice{Index: index, Text: text, LogProbs: a.logProbs(tokens, offsets[index])}
		if finish != "" {
			choice.FinishReason = &finish
		}
		offsets[index] += utf8.RuneCountInString(text)
		chunk := openai.CompletionChunk{Head: a.head, Choices: []openai.CompletionChoice{choice}, Usage: openai.StreamUsage{Asked: a.request.IncludeUsage}}
		if err := out.send(chunk); err != nil {
			return errors.Join(errClientGone, err)
		}
		return nil
	}
	opened := make([]bool, a.choices())
	open := func(index int, finish string) error {
		if opened[index] || !a.request.Echo {
			return nil
		}
		opened[index] = true
		e := a.echoes[index/a.request.N]
		return send(index, e.text, e.tokens, finish)
	}
	usage, err := a.generate(func(e choiceEvent) error {
		if err := open(e.index, ""); err != nil {
			return err
		}
		return send(e.index, e.Text, logProbs(e.Tokens), e.Finish)
	})
	for i := 0; err == nil && a.requests == nil && i < len(opened); i++ {
		err = open(i, openai.FinishLength)
	}
	last := openai.CompletionChunk{Head: a.head, Choices: []openai.CompletionChoice{}, Usage: openai.StreamUsage{Asked: true, Usage: &usage}}
	return finishStream(out, err, a.request.IncludeUsage, last)
}

func (a *textAnswer) generate(take func(choiceEvent) error) (openai.Usage, error) {
	if a.requests == nil {
		record(a.w).usage = serve.Usage{Prompt: a.promptTokens}
		return openai.NewUsage(a.promptTokens, 0), nil
	}
	return generate(a.w, a.r, a.model.Scheduler, a.requests, a.promptTokens, take)
}

func (a *textAnswer) logProbs(tokens []openai.TokenLogProb, offset int) *openai.TextLogProbs {
	if a.request.LogProbs == nil {
		return nil
	}
	return openai.NewTextLogProbs(tokens, offset)
}
