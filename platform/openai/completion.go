package openai

import (
	"encoding/json"
	"fmt"
	"math"
)

// CompletionRequest is the body of POST /v1/completions, checked.
type CompletionRequest struct {
	Generation
	Prompts  []Prompt // 1 to MaxPrompts; each gets N choices
	Echo     bool     // the choice's text begins with the prompt
	LogProbs *int     // 0 to 5 candidates beside each token; nil: no log-probabilities
}

// Prompt is one prompt, as text or as token ids.
type Prompt struct {
	Text   string
	Tokens []int32 // nil: Text counts
}

// DefaultCompletionTokens is max_tokens of a completion request that does not set it.
const DefaultCompletionTokens = 16

// ParseCompletion checks a completion request. MaxTokens is 0 only if the client asked for 0, which scores an
// echoed prompt and generates nothing.
func ParseCompletion(body []byte) (*CompletionRequest, *Error) {
	o, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	r := &CompletionRequest{Generation: o.generation()}
	r.Echo = o.boolean("echo")
	if k, ok := o.integer("logprobs", 0, 5); ok {
		count := int(k)
		r.LogProbs = &count
	}
	r.MaxTokens = DefaultCompletionTokens
	if n, ok := o.integer("max_tokens", 0, math.MaxInt64); ok {
		r.MaxTokens = int(min(n, math.MaxInt32))
		if n == 0 && !r.Echo {
			o.fail(invalid("max_tokens", "integer_below_min_value", "Invalid 'max_tokens': expected a value >= 1, but got 0 instead; 0 is only allowed with 'echo'."))
		}
	}
	r.Prompts = o.prompts()
	if len(r.Prompts)*r.N > MaxPrompts {
		o.fail(invalid("n", "integer_above_max_value", "Invalid 'n': %d prompts with %d choices each are more than %d texts.", len(r.Prompts), r.N, MaxPrompts))
	}
	if raw, ok := o.take("suffix"); ok && !unquotedEmpty(raw) {
		o.fail(invalid("suffix", "unsupported_parameter", "Unsupported parameter: 'suffix' is not supported by this server. Leave it out."))
	}
	o.refuse("best_of")
	if err := o.finish(); err != nil {
		return nil, err
	}
	return r, nil
}

// prompts reads prompt in its four forms: a string, strings, token ids, lists of token ids.
func (o *object) prompts() []Prompt {
	raw, ok := o.take("prompt")
	if !ok {
		o.fail(invalid("prompt", "missing_required_parameter", "Missing required parameter: 'prompt'."))
		return nil
	}
	if kind(raw) == "a string" {
		return []Prompt{{Text: unquote(raw)}}
	}
	if kind(raw) != "an array" {
		o.fail(wrongType("prompt", "a string, an array of strings, an array of token ids or an array of those", raw))
		return nil
	}
	var elements []json.RawMessage
	_ = json.Unmarshal(raw, &elements)
	if len(elements) == 0 {
		o.fail(invalid("prompt", "empty_array", "Invalid 'prompt': empty array."))
		return nil
	}
	if kind(elements[0]) == "a number" {
		return o.onePrompt(elements)
	}
	if len(elements) > MaxPrompts {
		o.fail(invalid("prompt", "array_above_max_length", "Invalid 'prompt': array too long. Expected at most %d prompts, but got %d instead.", MaxPrompts, len(elements)))
		return nil
	}
	prompts := make([]Prompt, len(elements))
	for i, e := range elements {
		path := fmt.Sprintf("prompt[%d]", i)
		switch {
		case kind(e) != kind(elements[0]) || kind(e) != "a string" && kind(e) != "an array":
			o.fail(wrongType(path, "a string or an array of token ids like the others", e))
			return nil
		case kind(e) == "a string":
			prompts[i].Text = unquote(e)
		default:
			var ids []json.RawMessage
			_ = json.Unmarshal(e, &ids)
			tokens, err := parseTokens(path, ids)
			if err != nil {
				o.fail(err)
				return nil
			}
			prompts[i].Tokens = tokens
		}
	}
	return prompts
}

func (o *object) onePrompt(ids []json.RawMessage) []Prompt {
	tokens, err := parseTokens("prompt", ids)
	if err != nil {
		o.fail(err)
		return nil
	}
	return []Prompt{{Tokens: tokens}}
}

func parseTokens(path string, ids []json.RawMessage) ([]int32, *Error) {
	if len(ids) == 0 {
		return nil, invalid(path, "empty_array", "Invalid '%s': empty array.", path)
	}
	tokens := make([]int32, len(ids))
	for i, raw := range ids {
		v, err := parseInteger(fmt.Sprintf("%s[%d]", path, i), raw, 0, math.MaxInt32)
		if err != nil {
			return nil, err
		}
		tokens[i] = int32(v)
	}
	return tokens, nil
}
