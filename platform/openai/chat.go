package openai

import (
	"encoding/json"
	"math"

	"hone/engine/chat"
)

// ChatRequest is the body of POST /v1/chat/completions, checked.
type ChatRequest struct {
	Generation
	Messages    []chat.Message
	Tools       json.RawMessage // the array as the client wrote it; nil if there are none or tool_choice is "none"
	LogProbs    bool
	TopLogProbs int // 0 to 20; only with LogProbs
}

// ParseChat checks a chat completion request. The error names the field at fault.
func ParseChat(body []byte) (*ChatRequest, *Error) {
	o, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	r := &ChatRequest{Generation: o.generation()}
	r.MaxTokens = o.chatMaxTokens()
	r.LogProbs = o.boolean("logprobs")
	if k, ok := o.integer("top_logprobs", 0, 20); ok {
		r.TopLogProbs = int(k)
		if !r.LogProbs {
			o.fail(invalid("top_logprobs", "invalid_value", "'logprobs' must be true to use 'top_logprobs'."))
		}
	}
	r.Messages = o.messages()
	r.Tools = o.tools()
	o.harmless()
	o.refuse("audio", "function_call", "functions", "moderation", "prediction", "reasoning_effort", "web_search_options")
	if err := o.finish(); err != nil {
		return nil, err
	}
	return r, nil
}

// chatMaxTokens reads max_completion_tokens or its older name.
func (o *object) chatMaxTokens() int {
	old, hasOld := o.integer("max_tokens", 1, math.MaxInt64)
	n, ok := o.integer("max_completion_tokens", 1, math.MaxInt64)
	if ok && hasOld {
		o.fail(invalid("max_tokens", "invalid_parameter_combination", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."))
	}
	return int(min(max(n, old), math.MaxInt32))
}

// harmless reads the fields that change nothing here: notes to the provider, and defaults said aloud.
func (o *object) harmless() {
	o.child("metadata")
	o.text("safety_identifier")
	o.text("prompt_cache_key")
	o.text("prompt_cache_retention")
	o.child("prompt_cache_options")
	o.oneOf("service_tier", "auto", "default")
	o.oneOf("verbosity", "medium")
	if o.boolean("store") {
		o.fail(invalid("store", "unsupported_value", "Unsupported value: 'store' may only be false; this server keeps no completions."))
	}
	o.responseFormat()
	if modes, ok := o.array("modalities"); ok {
		for _, m := range modes {
			if kind(m) != "a string" || unquote(m) != "text" {
				o.fail(invalid("modalities", "unsupported_value", "Unsupported value: 'modalities' may only hold \"text\"."))
			}
		}
	}
}

// responseFormat lets {"type": "text"} pass, which is what there is without it.
func (o *object) responseFormat() {
	c := o.child("response_format")
	if c == nil {
		return
	}
	if kind, _ := c.text("type"); c.err == nil && kind != "text" {
		c.fail(invalid("response_format", "unsupported_value", "Unsupported value: 'response_format' may only be {\"type\": \"text\"} on this server."))
	}
	if err := c.finish(); err != nil {
		o.fail(err)
	}
}
