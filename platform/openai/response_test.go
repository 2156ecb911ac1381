package openai

import (
	"encoding/json"
	"testing"
)

// Every kind of body, byte for byte. The keys are those the API description requires of each.
func TestBodies(t *testing.T) {
	head := func(object string) Head {
		return Head{ID: "chatcmpl-1", Object: object, Created: 1700000000, Model: "m"}
	}
	logProbs := &ChatLogProbs{Content: []TokenLogProb{{Token: "é", LogProb: -0.25, Bytes: Bytes("é"), TopLogProbs: []TopLogProb{{Token: "\ufffd", LogProb: -1, Bytes: Bytes{0xff}}}}, {Token: "", LogProb: -2, Bytes: nil, TopLogProbs: []TopLogProb{}}}}
	const logProbsJSON = `{"content":[{"token":"é","logprob":-0.25,"bytes":[195,169],"top_logprobs":[{"token":"�","logprob":-1,"bytes":[255]}]},{"token":"","logprob":-2,"bytes":[],"top_logprobs":[]}],"refusal":null}`
	asked := StreamUsage{Asked: true}
	stop := FinishStop
	tests := []struct {
		name string
		body any
		want string
	}{
		{"error", ErrorBody{NewError(TypeInvalidRequest, "n", "", "Bad.")}, `{"error":{"message":"Bad.","type":"invalid_request_error","param":"n","code":null}}`},
		{"error of nothing in particular", ErrorBody{NewError(TypeServer, "", "internal_error", "Oh.")}, `{"error":{"message":"Oh.","type":"server_error","param":null,"code":"internal_error"}}`},
		{"chat", ChatCompletion{head(ObjectChatCompletion), []ChatChoice{NewChatChoice(0, "hi", nil, FinishStop)}, NewUsage(3, 4)},
			`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`},
		{"chat with logprobs", NewChatChoice(1, "é", logProbs, FinishLength),
			`{"index":1,"message":{"role":"assistant","content":"é","refusal":null},"logprobs":` + logProbsJSON + `,"finish_reason":"length"}`},
		{"role chunk", RoleChunk(head(ObjectChatChunk), StreamUsage{}, 0),
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`},
		{"text chunk", TextChunk(head(ObjectChatChunk), asked, 2, "é", logProbs),
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":2,"delta":{"content":"é"},"logprobs":` + logProbsJSON + `,"finish_reason":null}],"usage":null}`},
		{"finish chunk", FinishChunk(head(ObjectChatChunk), StreamUsage{}, 0, FinishLength),
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}`},
		{"usage chunk", UsageChunk(head(ObjectChatChunk), NewUsage(1, 2)),
			`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`},
		{"completion", Completion{head(ObjectCompletion), []CompletionChoice{{Text: "hi", FinishReason: &stop}}, NewUsage(1, 2)},
			`{"id":"chatcmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`},
		{"completion chunk", CompletionChunk{head(ObjectCompletion), []CompletionChoice{{Text: "hi"}}, asked},
			`{"id":"chatcmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":null}],"usage":null}`},
		{"text logprobs", NewTextLogProbs([]TokenLogProb{{Token: "aé"}, {Token: "b", LogProb: -1, TopLogProbs: []TopLogProb{{Token: "c", LogProb: -2}, {Token: "c", LogProb: -3}}}, {Token: "d", LogProb: -4, TopLogProbs: []TopLogProb{}}}, 5),
			`{"tokens":["aé","b","d"],"token_logprobs":[null,-1,-4],"top_logprobs":[null,{"b":-1,"c":-2},{"d":-4}],"text_offset":[5,7,8]}`},
		{"text logprobs of nothing", NewTextLogProbs(nil, 0), `{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}`},
		{"models", NewModelList([]Model{NewModel("m", 5, "hone")}), `{"object":"list","data":[{"id":"m","object":"model","created":5,"owned_by":"hone"}]}`},
		{"no models", NewModelList(nil), `{"object":"list","data":[]}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.body)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n got %s\nwant %s", tt.name, err, got, tt.want)
		}
	}
}
