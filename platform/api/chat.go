package api

import (
	"errors"
	"fmt"
	"net/http"

	"hone/engine/chat"
	"hone/platform/openai"
	"hone/serve"
)

// chat answers POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	request, bad := openai.ParseChat(body)
	if bad != nil {
		return bad
	}
	model, err := s.lookup(request.Model)
	if err != nil {
		return err
	}
	record(w).model, record(w).stream = model.ID, request.Stream
	prompt, err := s.prompt(model, request)
	if err != nil {
		return err
	}
	requests := make([]serve.Request, request.N)
	seed := s.seed(request.Generation)
	for i := range requests {
		requests[i] = serve.Request{
			Adapter: model.Adapter, Prompt: prompt, MaxTokens: request.MaxTokens, Stop: request.Stop,
			EOS: model.Scheduler.EndOfTurn(), IgnoreEOS: request.IgnoreEOS,
			Sampling: sampling(request.Sampling, serve.ChoiceSeed(seed, i), request.TopLogProbs),
		}
	}
	head := openai.Head{ID: "chatcmpl-" + s.options.NewID(), Created: s.options.Now().Unix(), Model: model.ID}
	answer := chatAnswer{w: w, r: r, model: model, request: request, requests: requests, head: head}
	if request.Stream {
		return answer.stream(s.newEventStream(w))
	}
	return answer.whole(s)
}

// prompt renders the conversation through the model's own template.
func (s *Server) prompt(m Model, request *openai.ChatRequest) ([]int32, error) {
	served := m.Scheduler.Model()
	if served.Template == nil || served.Tokenizer == nil {
		return nil, openai.NewError(openai.TypeInvalidRequest, "model", "no_chat_template",
			fmt.Sprintf("The model '%s' has no chat template; use /v1/completions.", clip(m.ID)))
	}
	prompt, err := served.Template.Prompt(served.Tokenizer, request.Messages, request.Tools, chat.PromptOptions{Now: s.options.Now()})
	if err != nil { // the template's own refusals come this way, as of roles in the wrong order
		return nil, openai.NewError(openai.TypeInvalidRequest, "messages", "invalid_messages", "The model's chat template cannot render these messages: "+clipMessage(err))
	}
	return prompt, nil
}

// clipMessage keeps a template's message, which may quote what the client sent, at a size for reading.
func clipMessage(err error) string {
	if m := err.Error(); len(m) > 4*maxClip {
		return clip(m[:maxClip*4])
	}
	return err.Error()
}

// chatAnswer is a chat completion on its way out.
type chatAnswer struct {
	w        http.ResponseWriter
	r        *http.Request
	model    Model
	request  *openai.ChatRequest
	requests []serve.Request
	head     openai.Head
}

// whole answers with one body.
func (a *chatAnswer) whole(s *Server) error {
	results := make([]serve.Result, len(a.requests))
	usage, err := generate(a.w, a.r, a.model.Scheduler, a.requests, len(a.requests[0].Prompt), func(e choiceEvent) error {
		result := &results[e.index]
		result.Text += e.Text
		result.Tokens = append(result.Tokens, e.Tokens...)
		result.Finish = e.Finish
		return nil
	})
	if err != nil {
		return err
	}
	a.head.Object = openai.ObjectChatCompletion
	completion := openai.ChatCompletion{Head: a.head, Usage: usage}
	for i, result := range results {
		completion.Choices = append(completion.Choices, openai.NewChatChoice(i, result.Text, a.logProbs(result.Tokens), result.Finish))
	}
	return s.writeWhole(a.w, completion)
}

// stream answers with a chunk an event. Errors before the first chunk are ordinary error bodies.
func (a *chatAnswer) stream(out *eventStream) error {
	a.head.Object = openai.ObjectChatChunk
	each := openai.StreamUsage{Asked: a.request.IncludeUsage}
	opened := make([]bool, len(a.requests))
	usage, err := generate(a.w, a.r, a.model.Scheduler, a.requests, len(a.requests[0].Prompt), func(e choiceEvent) error {
		var chunks []openai.ChatChunk
		if !opened[e.index] {
			opened[e.index] = true
			chunks = append(chunks, openai.RoleChunk(a.head, each, e.index))
		}
		if e.Text != "" {
			chunks = append(chunks, openai.TextChunk(a.head, each, e.index, e.Text, a.logProbs(e.Tokens)))
		}
		if e.Finish != "" {
			chunks = append(chunks, openai.FinishChunk(a.head, each, e.index, e.Finish))
		}
		for _, chunk := range chunks {
			if err := out.send(chunk); err != nil {
				return errors.Join(errClientGone, err)
			}
		}
		return nil
	})
	return finishStream(out, err, a.request.IncludeUsage, openai.UsageChunk(a.head, usage))
}

func (a *chatAnswer) logProbs(tokens []serve.Token) *openai.ChatLogProbs {
	if !a.request.LogProbs {
		return nil
	}
	return &openai.ChatLogProbs{Content: logProbs(tokens)}
}
