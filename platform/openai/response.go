package openai

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Finish reasons of a choice.
const (
	FinishStop   = "stop"
	FinishLength = "length"
)

// Usage counts the tokens of a request.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// NewUsage adds up a usage.
func NewUsage(prompt, completion int) Usage {
	return Usage{PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion}
}

// StreamUsage is the usage field of a chunk: absent as the zero value, null or a value once a client asked for
// usage.
type StreamUsage struct {
	Asked bool
	Usage *Usage
}

// IsZero says that the field is to be left out.
func (u StreamUsage) IsZero() bool { return !u.Asked }

// MarshalJSON writes the usage or null.
func (u StreamUsage) MarshalJSON() ([]byte, error) { return json.Marshal(u.Usage) }

// Bytes is written as an array of numbers, as the API has it, rather than in base64.
type Bytes []byte

// MarshalJSON writes [1,2,3].
func (b Bytes) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 4*len(b)+2), '[')
	for i, v := range b {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, uint64(v), 10)
	}
	return append(out, ']'), nil
}

// TopLogProb is a token that could have stood at a place.
type TopLogProb struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   Bytes   `json:"bytes"`
}

// TokenLogProb is a generated token with its log-probability. TopLogProbs must not be nil.
type TokenLogProb struct {
	Token       string       `json:"token"`
	LogProb     float64      `json:"logprob"`
	Bytes       Bytes        `json:"bytes"`
	TopLogProbs []TopLogProb `json:"top_logprobs"`
}

// ChatLogProbs is the logprobs object of a chat choice. Content must not be nil.
type ChatLogProbs struct {
	Content []TokenLogProb `json:"content"`
	Refusal []TokenLogProb `json:"refusal"`
}

// ChatMessage is the answer of a chat choice.
type ChatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

// ChatChoice is one answer.
type ChatChoice struct {
	Index        int           `json:"index"`
	Message      ChatMessage   `json:"message"`
	LogProbs     *ChatLogProbs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

// NewChatChoice makes the choice of an assistant that said text.
func NewChatChoice(index int, text string, logProbs *ChatLogProbs, finish string) ChatChoice {
	return ChatChoice{Index: index, Message: ChatMessage{Role: "assistant", Content: text}, LogProbs: logProbs, FinishReason: finish}
}

// ChatCompletion is the response of POST /v1/chat/completions.
type ChatCompletion struct {
	Head
	Choices []ChatChoice `json:"choices"`
	Usage   Usage        `json:"usage"`
}

// Head is how every generated response and chunk begins. All chunks of a stream have the same.
type Head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix seconds
	Model   string `json:"model"`
}

// Values of Head.Object.
const (
	ObjectChatCompletion = "chat.completion"
	ObjectChatChunk      = "chat.completion.chunk"
	ObjectCompletion     = "text_completion"
)

// Delta is what a chunk adds to a choice.
type Delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// ChunkChoice is one choice's part of a chunk.
type ChunkChoice struct {
	Index        int           `json:"index"`
	Delta        Delta         `json:"delta"`
	LogProbs     *ChatLogProbs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// ChatChunk is one event of a streamed chat completion.
type ChatChunk struct {
	Head
	Choices []ChunkChoice `json:"choices"`
	Usage   StreamUsage   `json:"usage,omitzero"`
}

// RoleChunk opens a choice: the role, and no text yet.
func RoleChunk(h Head, usage StreamUsage, index int) ChatChunk {
	empty := ""
	return ChatChunk{Head: h, Usage: usage, Choices: []ChunkChoice{{Index: index, Delta: Delta{Role: "assistant", Content: &empty}}}}
}

// TextChunk adds text to a choice.
func TextChunk(h Head, usage StreamUsage, index int, text string, logProbs *ChatLogProbs) ChatChunk {
	return ChatChunk{Head: h, Usage: usage, Choices: []ChunkChoice{{Index: index, Delta: Delta{Content: &text}, LogProbs: logProbs}}}
}

// FinishChunk ends a choice; it carries no text.
func FinishChunk(h Head, usage StreamUsage, index int, reason string) ChatChunk {
	return ChatChunk{Head: h, Usage: usage, Choices: []ChunkChoice{{Index: index, FinishReason: &reason}}}
}

// UsageChunk ends a stream whose client asked for usage; it has no choices.
func UsageChunk(h Head, u Usage) ChatChunk {
	return ChatChunk{Head: h, Choices: []ChunkChoice{}, Usage: StreamUsage{Asked: true, Usage: &u}}
}

// TextLogProbs is the logprobs object of a plain completion: four lists with an element a token. The first token
// of an echoed prompt has null for its log-probability and candidates.
type TextLogProbs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogProbs []*float64           `json:"token_logprobs"`
	TopLogProbs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // characters from the start of the choice's text
}

// NewTextLogProbs puts tokens into the four lists; offset is the number of characters before the first. The map of
// candidates always holds the token itself; of candidates that read the same the likelier one is kept. A token
// with nil TopLogProbs gets null for log-probability and candidates.
func NewTextLogProbs(tokens []TokenLogProb, offset int) *TextLogProbs {
	l := &TextLogProbs{Tokens: []string{}, TokenLogProbs: []*float64{}, TopLogProbs: []map[string]float64{}, TextOffset: []int{}}
	for _, t := range tokens {
		var p *float64
		var top map[string]float64
		if t.TopLogProbs != nil {
			p, top = &t.LogProb, map[string]float64{t.Token: t.LogProb}
			for _, c := range t.TopLogProbs {
				if had, ok := top[c.Token]; !ok || c.LogProb > had {
					top[c.Token] = c.LogProb
				}
			}
		}
		l.Tokens = append(l.Tokens, t.Token)
		l.TokenLogProbs = append(l.TokenLogProbs, p)
		l.TopLogProbs = append(l.TopLogProbs, top)
		l.TextOffset = append(l.TextOffset, offset)
		offset += utf8.RuneCountInString(t.Token)
	}
	return l
}

// CompletionChoice is one text of a plain completion; FinishReason is null in the chunks before the last.
type CompletionChoice struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	LogProbs     *TextLogProbs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// Completion is the response of POST /v1/completions.
type Completion struct {
	Head
	Choices []CompletionChoice `json:"choices"`
	Usage   Usage              `json:"usage"`
}

// CompletionChunk is one event of a streamed plain completion.
type CompletionChunk struct {
	Head
	Choices []CompletionChoice `json:"choices"`
	Usage   StreamUsage        `json:"usage,omitzero"`
}

// Model is an entry of the model list.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix seconds
	OwnedBy string `json:"owned_by"`
}

// NewModel makes an entry.
func NewModel(id string, created int64, ownedBy string) Model {
	return Model{ID: id, Object: "model", Created: created, OwnedBy: ownedBy}
}

// ModelList is the response of GET /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// NewModelList makes the list; it is [] rather than null when there are none.
func NewModelList(models []Model) ModelList {
	if models == nil {
		models = []Model{}
	}
	return ModelList{Object: "list", Data: models}
}
