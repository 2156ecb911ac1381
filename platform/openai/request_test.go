package openai

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chatBody is a minimal chat request with more fields.
func chatBody(more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"model":"m","messages":[{"role":"user","content":"hi"}]` + more + `}`
}

func textBody(more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"model":"m","prompt":"hi"` + more + `}`
}

// Fields that both endpoints read alike, with the field an error must name ("" for none).
var commonFields = []struct{ fields, param string }{
	{``, ""},
	{`"temperature":0`, ""}, {`"temperature":2`, ""}, {`"temperature":null`, ""}, {`"temperature":1e-308`, ""},
	{`"temperature":2.01`, "temperature"}, {`"temperature":-0.1`, "temperature"}, {`"temperature":"1"`, "temperature"},
	{`"temperature":1e308`, "temperature"}, {`"temperature":1e400`, "temperature"}, {`"temperature":[1]`, "temperature"}, {`"temperature":true`, "temperature"},
	{`"top_p":0`, ""}, {`"top_p":1`, ""}, {`"top_p":1.1`, "top_p"}, {`"top_p":-1`, "top_p"},
	{`"min_p":0.1`, ""}, {`"min_p":-0.1`, "min_p"}, {`"min_p":2`, "min_p"},
	{`"top_k":-1`, ""}, {`"top_k":40`, ""}, {`"top_k":-2`, "top_k"}, {`"top_k":1.5`, "top_k"}, {`"top_k":1e308`, "top_k"}, {`"top_k":-1e308`, "top_k"},
	{`"repetition_penalty":1.1`, ""}, {`"repetition_penalty":0`, "repetition_penalty"}, {`"repetition_penalty":-1`, "repetition_penalty"}, {`"repetition_penalty":1e308`, "repetition_penalty"},
	{`"frequency_penalty":-2`, ""}, {`"frequency_penalty":2.5`, "frequency_penalty"}, {`"presence_penalty":-2.1`, "presence_penalty"}, {`"presence_penalty":"x"`, "presence_penalty"},
	{`"n":1`, ""}, {`"n":16`, ""}, {`"n":4.0`, ""}, {`"n":0`, "n"}, {`"n":-1`, "n"}, {`"n":17`, "n"}, {`"n":1000000`, "n"}, {`"n":1e308`, "n"}, {`"n":"2"`, "n"}, {`"n":1.5`, "n"}, {`"n":99999999999999999999`, "n"},
	{`"seed":0`, ""}, {`"seed":-9223372036854775808`, ""}, {`"seed":9223372036854775807`, ""}, {`"seed":9223372036854775808`, "seed"}, {`"seed":1e308`, "seed"}, {`"seed":-1e308`, "seed"}, {`"seed":0.5`, "seed"}, {`"seed":"1"`, "seed"},
	{`"max_tokens":1`, ""}, {`"max_tokens":9223372036854775807`, ""}, {`"max_tokens":0`, "max_tokens"}, {`"max_tokens":-5`, "max_tokens"}, {`"max_tokens":1e308`, "max_tokens"}, {`"max_tokens":"5"`, "max_tokens"}, {`"max_tokens":2.5`, "max_tokens"},
	{`"stop":"x"`, ""}, {`"stop":["x","y"]`, ""}, {`"stop":[]`, ""}, {`"stop":null`, ""}, {`"stop":""`, "stop"}, {`"stop":["x",""]`, "stop[1]"}, {`"stop":[1]`, "stop[0]"}, {`"stop":[null]`, "stop[0]"}, {`"stop":5`, "stop"}, {`"stop":{}`, "stop"},
	{`"stop":["` + strings.Repeat(`a","`, 16) + `a"]`, "stop"}, {`"stop":["` + strings.Repeat(`a","`, 100000) + `a"]`, "stop"}, {`"stop":"` + strings.Repeat("a", 4097) + `"`, "stop"},
	{`"logit_bias":{"5":100,"6":-100}`, ""}, {`"logit_bias":{}`, ""}, {`"logit_bias":{"5":101}`, "logit_bias.5"}, {`"logit_bias":{"5":"x"}`, "logit_bias.5"}, {`"logit_bias":{"5":1e308}`, "logit_bias.5"},
	{`"logit_bias":{"x":1}`, "logit_bias"}, {`"logit_bias":{"-1":1}`, "logit_bias"}, {`"logit_bias":{"99999999999":1}`, "logit_bias"}, {`"logit_bias":{"05":1}`, "logit_bias"}, {`"logit_bias":[1]`, "logit_bias"},
	{`"stream":true`, ""}, {`"stream":"true"`, "stream"}, {`"stream":1`, "stream"},
	{`"stream":true,"stream_options":{"include_usage":true}`, ""}, {`"stream":true,"stream_options":{"include_obfuscation":false}`, ""},
	{`"stream_options":{"include_usage":true}`, "stream_options"}, {`"stream":true,"stream_options":{"x":1}`, "stream_options.x"}, {`"stream":true,"stream_options":{"include_obfuscation":true}`, "stream_options.include_obfuscation"}, {`"stream":true,"stream_options":{"include_usage":1}`, "stream_options.include_usage"},
	{`"user":"me"`, ""}, {`"user":5`, "user"}, {`"ignore_eos":true`, ""}, {`"ignore_eos":1`, "ignore_eos"},
	{`"lora_scale":1`, "lora_scale"}, {`"model":"again"`, "model"},
}

var chatFields = []struct{ fields, param string }{
	{`"max_completion_tokens":7`, ""}, {`"max_completion_tokens":0`, "max_completion_tokens"}, {`"max_completion_tokens":7,"max_tokens":7`, "max_tokens"},
	{`"logprobs":true,"top_logprobs":20`, ""}, {`"logprobs":true,"top_logprobs":0`, ""}, {`"logprobs":true,"top_logprobs":21`, "top_logprobs"}, {`"logprobs":true,"top_logprobs":-1`, "top_logprobs"}, {`"top_logprobs":3`, "top_logprobs"}, {`"logprobs":3`, "logprobs"},
	{`"metadata":{"a":"b"}`, ""}, {`"metadata":5`, "metadata"}, {`"store":false`, ""}, {`"store":null`, ""}, {`"store":true`, "store"},
	{`"service_tier":"auto"`, ""}, {`"service_tier":"default"`, ""}, {`"service_tier":"flex"`, "service_tier"},
	{`"response_format":{"type":"text"}`, ""}, {`"response_format":{"type":"json_object"}`, "response_format"}, {`"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`, "response_format"}, {`"response_format":{}`, "response_format"}, {`"response_format":"text"`, "response_format"},
	{`"modalities":["text"]`, ""}, {`"modalities":["text","audio"]`, "modalities"}, {`"verbosity":"medium"`, ""}, {`"verbosity":"low"`, "verbosity"},
	{`"safety_identifier":"u","prompt_cache_key":"k","prompt_cache_retention":"24h","prompt_cache_options":{}`, ""},
	{`"audio":{"voice":"alloy","format":"mp3"}`, "audio"}, {`"prediction":{"type":"content","content":"x"}`, "prediction"}, {`"reasoning_effort":"low"`, "reasoning_effort"},
	{`"web_search_options":{}`, "web_search_options"}, {`"moderation":{}`, "moderation"}, {`"functions":[{"name":"f"}]`, "functions"}, {`"function_call":"auto"`, "function_call"}, {`"audio":null,"functions":null`, ""},
	{`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":false}}],"tool_choice":"auto","parallel_tool_calls":true`, ""},
	{`"tools":[]`, ""}, {`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none"`, ""}, {`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"`, "tool_choice"},
	{`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`, "tool_choice"}, {`"tool_choice":"auto"`, "tool_choice"}, {`"parallel_tool_calls":false`, "parallel_tool_calls"},
	{`"tools":[{"type":"function","function":{"name":"a\"b"}}]`, "tools[0].function.name"}, {`"tools":[{"type":"function","function":{}}]`, "tools[0].function.name"}, {`"tools":[{"type":"function"}]`, "tools[0].function"},
	{`"tools":[{"type":"custom","custom":{"name":"x"}}]`, "tools[0].type"}, {`"tools":[5]`, "tools[0]"}, {`"tools":{}`, "tools"}, {`"tools":[{"type":"function","function":{"name":"f","x":1}}]`, "tools[0].function.x"},
	{`"tools":[` + strings.Repeat(`{"type":"function","function":{"name":"f"}},`, 999) + `{"type":"function","function":{"name":"f"}}]`, "tools"},
	{`"prompt":"x"`, "prompt"}, {`"echo":true`, "echo"}, {"\"x\\r\\nSet-Cookie: a\":1", "x\r\nSet-Cookie: a"},
}

var completionFields = []struct{ fields, param string }{
	{`"echo":true`, ""}, {`"echo":"x"`, "echo"}, {`"logprobs":0`, ""}, {`"logprobs":5`, ""}, {`"logprobs":6`, "logprobs"}, {`"logprobs":-1`, "logprobs"}, {`"logprobs":true`, "logprobs"},
	{`"suffix":null`, ""}, {`"suffix":""`, ""}, {`"suffix":"x"`, "suffix"}, {`"best_of":1`, "best_of"}, {`"best_of":null`, ""},
	{`"max_tokens":0,"echo":true`, ""}, {`"messages":[]`, "messages"}, {`"top_logprobs":1`, "top_logprobs"},
}

// checkParam fails unless err names param ("" for no error), with the type and code every 400 has.
func checkParam(t *testing.T, body string, err *Error, param string) {
	t.Helper()
	if len(body) > 300 {
		body = body[:300] + "…"
	}
	switch {
	case param == "" && err != nil:
		t.Errorf("%s\n\trefused: %v", body, err)
	case param == "":
	case err == nil:
		t.Errorf("%s\n\taccepted, want an error about %s", body, param)
	case err.Param == nil || *err.Param != param:
		t.Errorf("%s\n\terror %q names %v, want %s", body, err.Message, err.Param, param)
	case err.Type != TypeInvalidRequest || err.Code == nil || len(err.Message) > 500:
		t.Errorf("%s\n\terror %+v", body, err)
	}
}

func TestFields(t *testing.T) {
	for _, f := range append(commonFields, chatFields...) {
		_, err := ParseChat([]byte(chatBody(f.fields)))
		checkParam(t, chatBody(f.fields), err, f.param)
	}
	for _, f := range append(commonFields, completionFields...) {
		_, err := ParseCompletion([]byte(textBody(f.fields)))
		checkParam(t, textBody(f.fields), err, f.param)
	}
}

func TestMessages(t *testing.T) {
	tests := []struct{ messages, param string }{
		{`[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"c","name":"n"},{"role":"assistant","content":"d"},{"role":"user","content":""}]`, ""},
		{`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`, ""},
		{`[{"role":"assistant","content":null,"refusal":null,"audio":null,"annotations":[],"function_call":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"ok"}]`, ""},
		{`[{"role":"assistant","content":"x","reasoning_content":"because"}]`, ""},
		{`[]`, "messages"}, {`{}`, "messages"}, {`"hi"`, "messages"}, {`null`, "messages"}, {`["hi"]`, "messages[0]"}, {`[null]`, "messages[0]"}, {`[[]]`, "messages[0]"},
		{`[{"content":"x"}]`, "messages[0].role"}, {`[{"role":"wizard","content":"x"}]`, "messages[0].role"}, {`[{"role":"function","name":"f","content":"x"}]`, "messages[0].role"}, {`[{"role":5,"content":"x"}]`, "messages[0].role"}, {`[{"role":"User","content":"x"}]`, "messages[0].role"},
		{`[{"role":"user"}]`, "messages[0].content"}, {`[{"role":"user","content":null}]`, "messages[0].content"}, {`[{"role":"user","content":5}]`, "messages[0].content"}, {`[{"role":"user","content":{}}]`, "messages[0].content"}, {`[{"role":"user","content":[]}]`, "messages[0].content"},
		{`[{"role":"user","content":["x"]}]`, "messages[0].content[0]"}, {`[{"role":"user","content":[{"type":"text"}]}]`, "messages[0].content[0].text"}, {`[{"role":"user","content":[{"text":"x"}]}]`, "messages[0].content[0].type"},
		{`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]}]`, "messages[0].content[0].type"}, {`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio","input_audio":{}}]}]`, "messages[0].content[1].type"},
		{`[{"role":"user","content":"x","weight":0}]`, "messages[0].weight"}, {`[{"role":"user","content":"x","tool_calls":[]}]`, "messages[0].tool_calls"}, {`[{"role":"user","content":"x","name":5}]`, "messages[0].name"},
		{`[{"role":"assistant"}]`, "messages[0].content"}, {`[{"role":"assistant","content":"x","refusal":"no"}]`, "messages[0].refusal"}, {`[{"role":"assistant","content":"x","audio":{"id":"a"}}]`, "messages[0].audio"},
		{`[{"role":"assistant","tool_calls":[{"id":"1","type":"custom"}]}]`, "messages[0].tool_calls[0].type"}, {`[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{}}}]}]`, "messages[0].tool_calls[0].function.arguments"},
		{`[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":""}}]}]`, "messages[0].tool_calls[0].id"}, {`[{"role":"assistant","tool_calls":5}]`, "messages[0].tool_calls"},
		{`[{"role":"tool","content":"x"}]`, "messages[0].tool_call_id"}, {`[{"role":"user","content":"a"},{"role":"user","content":"b","role":"system"}]`, "messages[1].role"},
	}
	for _, tt := range tests {
		body := `{"model":"m","messages":` + tt.messages + `}`
		_, err := ParseChat([]byte(body))
		checkParam(t, body, err, tt.param)
	}
}

func TestChatRequest(t *testing.T) {
	r, err := ParseChat([]byte(`{"model":"m","messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"😀<b>"}]}],
		"temperature":0.7,"top_p":0.9,"top_k":40,"min_p":0.05,"repetition_penalty":1.2,"frequency_penalty":0.5,"presence_penalty":-0.5,"logit_bias":{"7":-100},
		"seed":-3,"n":2,"stop":"END","max_completion_tokens":99,"stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":4,
		"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	seed := int64(-3)
	want := Generation{Model: "m", MaxTokens: 99, N: 2, Stop: []string{"END"}, Stream: true, IncludeUsage: true, Sampling: Sampling{
		Temperature: 0.7, TopP: 0.9, TopK: 40, MinP: 0.05, RepetitionPenalty: 1.2, FrequencyPenalty: 0.5, PresencePenalty: -0.5, LogitBias: map[int32]float64{7: -100}, Seed: &seed}}
	if diff := cmp.Diff(want, r.Generation); diff != "" {
		t.Error(diff)
	}
	if !r.LogProbs || r.TopLogProbs != 4 || string(r.Tools) != `[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}]` {
		t.Errorf("logprobs %v %d, tools %s", r.LogProbs, r.TopLogProbs, r.Tools)
	}
	if m := r.Messages[0]; m.Role != "system" || m.Content != "a\n😀<b>" {
		t.Errorf("message %+v", m)
	}
	defaults, err := ParseChat([]byte(chatBody("")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Generation{Model: "m", N: 1, Sampling: Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1}}, defaults.Generation); diff != "" {
		t.Error(diff)
	}
	edges, err := ParseChat([]byte(chatBody(`"temperature":1e-308,"top_p":0,"top_k":-1`)))
	if err != nil || edges.Sampling.Temperature != 0 || edges.Sampling.TopP <= 0 || edges.Sampling.TopK != 0 {
		t.Errorf("edges: %+v, %v", edges.Sampling, err)
	}
}

func TestPrompts(t *testing.T) {
	tests := []struct {
		prompt string
		want   []Prompt
		param  string
	}{
		{`"hi"`, []Prompt{{Text: "hi"}}, ""},
		{`""`, []Prompt{{}}, ""},
		{`["a","b"]`, []Prompt{{Text: "a"}, {Text: "b"}}, ""},
		{`[1,2,3]`, []Prompt{{Tokens: []int32{1, 2, 3}}}, ""},
		{`[[1],[2,3]]`, []Prompt{{Tokens: []int32{1}}, {Tokens: []int32{2, 3}}}, ""},
		{`null`, nil, "prompt"}, {`5`, nil, "prompt"}, {`{}`, nil, "prompt"}, {`[]`, nil, "prompt"}, {`[[]]`, nil, "prompt[0]"}, {`[true]`, nil, "prompt[0]"}, {`[null]`, nil, "prompt[0]"},
		{`["a",1]`, nil, "prompt[1]"}, {`[1,"a"]`, nil, "prompt[1]"}, {`[[1],"a"]`, nil, "prompt[1]"}, {`[[1,"a"]]`, nil, "prompt[0][1]"}, {`[1.5]`, nil, "prompt[0]"}, {`[-1]`, nil, "prompt[0]"}, {`[2147483648]`, nil, "prompt[0]"}, {`[1e308]`, nil, "prompt[0]"},
		{`["` + strings.Repeat(`a","`, MaxPrompts) + `a"]`, nil, "prompt"},
	}
	for _, tt := range tests {
		body := `{"model":"m","prompt":` + tt.prompt + `}`
		r, err := ParseCompletion([]byte(body))
		checkParam(t, body, err, tt.param)
		if err == nil {
			if diff := cmp.Diff(tt.want, r.Prompts); diff != "" || r.MaxTokens != 16 {
				t.Errorf("%s: max_tokens %d, %s", body, r.MaxTokens, diff)
			}
		}
	}
	_, err := ParseCompletion([]byte(`{"model":"m","n":16,"prompt":["` + strings.Repeat(`a","`, 8) + `a"]}`))
	checkParam(t, "9 prompts of 16 choices", err, "n")
	_, err = ParseCompletion([]byte(`{"model":"m"}`))
	checkParam(t, "no prompt", err, "prompt")
	r, err := ParseCompletion([]byte(textBody(`"max_tokens":9223372036854775807`)))
	if err != nil || r.MaxTokens != math.MaxInt32 {
		t.Errorf("widest max_tokens: %+v, %v", r, err)
	}
}

// Bodies that are no request at all; what must be in the message.
func TestDocuments(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	tests := []struct{ name, body, message string }{
		{"empty", ``, "ends too early"}, {"null", `null`, "expected an object"}, {"number", `5`, "expected an object"}, {"numbers", `5 6`, "expected an object"}, {"key without value", `{5:6}`, "could not parse"}, {"array", `[]`, "expected an object"}, {"string", `"x"`, "expected an object"},
		{"word", `hello`, "could not parse"}, {"cut", chatBody("")[:30], "ends too early"}, {"cut in a string", `{"model":"m`, "ends too early"}, {"trailing data", chatBody("") + `{}`, "after the end"}, {"trailing word", chatBody("") + `x`, "after the end"},
		{"NaN", chatBody(`"temperature":NaN`), "could not parse"}, {"infinity", chatBody(`"temperature":Infinity`), "could not parse"}, {"comment", "/**/" + chatBody(""), "could not parse"}, {"single quotes", `{'model':'m'}`, "could not parse"}, {"trailing comma", `{"model":"m",}`, "could not parse"},
		{"depth", chatBody(`"metadata":` + deep(100000)), "nests deeper"}, {"deep tools", chatBody(`"tools":` + deep(129)), "nests deeper"},
		{"invalid UTF-8", chatBody("\"user\":\"\xff\""), "UTF-8"}, {"UTF-8 surrogate", chatBody("\"user\":\"\xed\xa0\x80\""), "UTF-8"},
		{"lone high surrogate", chatBody(`"user":"\ud83d"`), "lone surrogate"}, {"lone low surrogate", chatBody(`"user":"\ude00x"`), "lone surrogate"}, {"two high surrogates", chatBody(`"user":"\ud83d\ud83d"`), "lone surrogate"}, {"high surrogate then text", chatBody(`"user":"\ud83d\n"`), "lone surrogate"},
		{"cut escape", `{"a":"\u12`, "ends too early"}, {"cut backslash", `{"a":"\`, "ends too early"}, {"BOM", "\ufeff" + chatBody(""), "could not parse"}, {"NUL", "\x00", "could not parse"},
	}
	for _, tt := range tests {
		for name, parse := range map[string]func([]byte) error{
			"chat":       func(b []byte) error { _, err := ParseChat(b); return asError(err) },
			"completion": func(b []byte) error { _, err := ParseCompletion(b); return asError(err) },
		} {
			if err := parse([]byte(tt.body)); err == nil || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("%s, %s: %v, want %q", name, tt.name, err, tt.message)
			}
		}
	}
	if _, err := ParseChat([]byte(chatBody(`"user":"\ud83d\ude00 \\ud800 \" \\"`))); err != nil {
		t.Errorf("a surrogate pair and escaped backslashes: %v", err)
	}
	if _, err := ParseChat([]byte(" \r\n\t" + chatBody("") + "\n")); err != nil {
		t.Errorf("white space around: %v", err)
	}
}

func asError(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}

func TestLongConversation(t *testing.T) {
	turn := `{"role":"user","content":"hi"},`
	body := `{"model":"m","messages":[` + strings.TrimSuffix(strings.Repeat(turn, 20000), ",") + `]}`
	r, err := ParseChat([]byte(body))
	if err != nil || len(r.Messages) != 20000 {
		t.Fatalf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range commonFields {
		if len(c.fields) < 200 {
			f.Add([]byte(chatBody(c.fields)))
			f.Add([]byte(textBody(c.fields)))
		}
	}
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}]}`))
	f.Add([]byte(`{"model":"m","prompt":[[1,2],[3]],"logit_bias":{"1":2}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := ParseChat(body); err == nil {
			checkGeneration(t, r.Generation)
			if len(r.Messages) == 0 || !json.Valid(body) {
				t.Fatalf("accepted %q", body)
			}
		}
		if r, err := ParseCompletion(body); err == nil {
			checkGeneration(t, r.Generation)
			if len(r.Prompts) == 0 || !json.Valid(body) {
				t.Fatalf("accepted %q", body)
			}
		}
	})
}

// checkGeneration holds what a parsed request promises.
func checkGeneration(t *testing.T, g Generation) {
	t.Helper()
	s := g.Sampling
	ok := g.Model != "" && g.N >= 1 && g.N <= MaxChoices && g.MaxTokens >= 0 && len(g.Stop) <= MaxStops &&
		s.Temperature >= 0 && s.Temperature <= 2 && s.TopP > 0 && s.TopP <= 1 && s.MinP >= 0 && s.MinP <= 1 && s.TopK >= 0 &&
		s.RepetitionPenalty > 0 && math.Abs(s.FrequencyPenalty) <= 2 && math.Abs(s.PresencePenalty) <= 2
	for id, bias := range s.LogitBias {
		ok = ok && id >= 0 && math.Abs(bias) <= 100
	}
	for _, stop := range g.Stop {
		ok = ok && stop != ""
	}
	if !ok {
		t.Fatalf("out of bounds: %+v", g)
	}
}
