package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hone/engine"
	"hone/serve"
)

const hello = "Hello, wörld! 😀"

func chatBody(more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"model":"tiny","messages":[{"role":"user","content":"hi"}]` + more + `}`
}

func textBody(more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"model":"tiny","prompt":"hi","max_tokens":99` + more + `}`
}

// checkError fails unless body is an error with all four keys, and returns code and param ("" for null).
func checkError(t *testing.T, body string) (code, param string) {
	t.Helper()
	var v struct{ Error map[string]*string }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("error body %q: %v", body, err)
		return "", ""
	}
	for _, k := range []string{"message", "type", "param", "code"} {
		if p, ok := v.Error[k]; !ok || (p == nil || *p == "") && (k == "message" || k == "type") {
			t.Errorf("error body %q lacks %s", body, k)
		}
	}
	if p := v.Error["code"]; p != nil {
		code = *p
	}
	if p := v.Error["param"]; p != nil {
		param = *p
	}
	return code, param
}

func TestRoutes(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{MaxBody: 1 << 20}, serve.Options{})
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code                     string // of an error
		has                      string // in the body
	}{
		{"health", "GET", "/health", "", []string{"Authorization", ""}, 200, "", `{"status":"ok"}`},
		{"healthz", "GET", "/healthz", "", nil, 200, "", `{"status":"ok"}`},
		{"models", "GET", "/v1/models", "", nil, 200, "", `{"object":"list","data":[{"id":"tiny","object":"model","created":1700000000,"owned_by":"hone"},{"id":"org/adapter",`},
		{"model", "GET", "/v1/models/tiny", "", nil, 200, "", `{"id":"tiny","object":"model","created":1700000000,"owned_by":"hone"}`},
		{"model with a slash", "GET", "/v1/models/org/adapter", "", nil, 200, "", `"id":"org/adapter"`},
		{"model with an escaped slash", "GET", "/v1/models/org%2Fadapter", "", nil, 200, "", `"id":"org/adapter"`},
		{"unknown model", "GET", "/v1/models/nope", "", nil, 404, "model_not_found", "'nope'"},
		{"no model", "GET", "/v1/models/", "", nil, 404, "model_not_found", ""},
		{"double-escaped dots", "GET", "/v1/models/%252e%252e%252fetc", "", nil, 404, "model_not_found", "%2e%2e%2fetc"},
		{"escaped dots", "GET", "/v1/models/%2e%2e/%2e%2e/etc/passwd", "", nil, 404, "unknown_url", ""},
		{"backslashes", "GET", `/v1/models/..%5c..%5cetc`, "", nil, 404, "model_not_found", ""},
		{"NUL in a name", "GET", "/v1/models/a%00b", "", nil, 404, "model_not_found", ""},
		{"line break in a name", "GET", "/v1/models/a%0d%0aSet-Cookie:x", "", nil, 404, "model_not_found", `a\r\nSet-Cookie:x`},
		{"very long name", "GET", "/v1/models/" + strings.Repeat("é", 5000), "", nil, 404, "model_not_found", ""},
		{"double slash", "GET", "//v1/models", "", nil, 404, "unknown_url", ""},
		{"root", "GET", "/", "", nil, 404, "unknown_url", ""},
		{"unknown route", "POST", "/v1/embeddings", "{}", nil, 404, "unknown_url", "POST /v1/embeddings"},
		{"wrong method", "GET", "/v1/chat/completions", "", nil, 405, "method_not_supported", ""},
		{"wrong method for models", "DELETE", "/v1/models/tiny", "", nil, 405, "method_not_supported", ""},
		{"preflight", "OPTIONS", "/v1/chat/completions", "", []string{"Origin", "https://evil.example"}, 405, "method_not_supported", ""},
		{"strange method", "BREW", "/v1/completions", "", nil, 405, "method_not_supported", ""},

		{"no key", "GET", "/v1/models", "", []string{"Authorization", ""}, 401, "", "provide an API key"},
		{"wrong key", "GET", "/v1/models", "", []string{"Authorization", "Bearer sk-tesT"}, 401, "invalid_api_key", ""},
		{"key with a tail", "POST", "/v1/chat/completions", chatBody(""), []string{"Authorization", "Bearer " + key + "x"}, 401, "invalid_api_key", ""},
		{"other scheme", "GET", "/v1/models", "", []string{"Authorization", "Basic " + key}, 401, "", ""},
		{"empty bearer", "GET", "/v1/models", "", []string{"Authorization", "Bearer "}, 401, "", ""},
		{"no key on an unknown route", "GET", "/nope", "", []string{"Authorization", ""}, 401, "", ""},
		{"lower-case scheme", "GET", "/v1/models", "", []string{"Authorization", "bearer " + key}, 200, "", ""},

		{"empty body", "POST", "/v1/chat/completions", "", nil, 400, "invalid_json", ""},
		{"array body", "POST", "/v1/chat/completions", "[]", nil, 400, "invalid_type", ""},
		{"trailing data", "POST", "/v1/completions", textBody("") + "1", nil, 400, "invalid_json", ""},
		{"lone surrogate", "POST", "/v1/chat/completions", chatBody(`"user":"\ud800"`), nil, 400, "invalid_json", ""},
		{"deep body", "POST", "/v1/chat/completions", strings.Repeat("[", 100000), nil, 400, "invalid_json", ""},
		{"unsupported field", "POST", "/v1/chat/completions", chatBody(`"audio":{}`), nil, 400, "unsupported_parameter", `"param":"audio"`},
		{"unknown role", "POST", "/v1/chat/completions", `{"model":"tiny","messages":[{"role":"wizard","content":"x"}]}`, nil, 400, "invalid_value", ""},
		{"a million choices", "POST", "/v1/chat/completions", chatBody(`"n":1000000`), nil, 400, "integer_above_max_value", ""},
		{"template refuses", "POST", "/v1/chat/completions", `{"model":"tiny","messages":[{"role":"tool","tool_call_id":"1","content":"x"}]}`, nil, 400, "invalid_messages", "tool messages are not supported"},
		{"no template", "POST", "/v1/chat/completions", strings.Replace(chatBody(""), "tiny", "bare", 1), nil, 400, "no_chat_template", ""},
		{"unknown model in a chat", "POST", "/v1/chat/completions", strings.Replace(chatBody(""), "tiny", `x\r\ny`, 1), nil, 404, "model_not_found", `'x\r\ny'`},
		{"unknown model in a completion", "POST", "/v1/completions", strings.Replace(textBody(""), "tiny", "../tiny", 1), nil, 404, "model_not_found", ""},
		{"prompt beyond the context", "POST", "/v1/chat/completions", fmt.Sprintf(`{"model":"tiny","messages":[{"role":"user","content":%q}]}`, strings.Repeat("x", 5000)), nil, 400, "context_length_exceeded", "4096"},
		{"streamed prompt beyond the context", "POST", "/v1/completions", fmt.Sprintf(`{"model":"tiny","stream":true,"prompt":%q}`, strings.Repeat("x", 5000)), nil, 400, "context_length_exceeded", ""},
		{"echo beyond the context", "POST", "/v1/completions", fmt.Sprintf(`{"model":"tiny","echo":true,"logprobs":1,"max_tokens":0,"prompt":%q}`, strings.Repeat("x", 5000)), nil, 400, "context_length_exceeded", ""},
		{"empty prompt", "POST", "/v1/completions", `{"model":"tiny","prompt":""}`, nil, 400, "invalid_value", `"param":"prompt"`},
		{"token outside the vocabulary", "POST", "/v1/completions", `{"model":"tiny","prompt":[259]}`, nil, 400, "invalid_value", `"param":"prompt"`},
		{"echo of a token outside the vocabulary", "POST", "/v1/completions", `{"model":"tiny","prompt":[259],"echo":true,"logprobs":0}`, nil, 400, "invalid_value", `"param":"prompt"`},
		{"echo alone of a token outside the vocabulary", "POST", "/v1/completions", `{"model":"tiny","prompt":[2147483647],"echo":true}`, nil, 400, "invalid_value", `"param":"prompt"`},
		{"bias outside the vocabulary", "POST", "/v1/chat/completions", chatBody(`"logit_bias":{"259":1}`), nil, 400, "invalid_value", `"param":"logit_bias"`},
		{"body over the bound", "POST", "/v1/chat/completions", chatBody(`"user":"` + strings.Repeat("x", 1<<20) + `"`), nil, 413, "request_too_large", ""},
		{"compressed body", "POST", "/v1/chat/completions", "\x1f\x8b", []string{"Content-Encoding", "gzip"}, 415, "unsupported_encoding", ""},
		{"any content type", "POST", "/v1/completions", textBody(""), []string{"Content-Type", "text/plain"}, 200, "", ""},
		{"chat", "POST", "/v1/chat/completions", chatBody(""), nil, 200, "", hello},
		{"chat with an adapter", "POST", "/v1/chat/completions", strings.Replace(chatBody(""), "tiny", "org/adapter", 1), nil, 200, "", `"model":"org/adapter"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := f.call(t, tt.method, tt.path, tt.body, tt.header...)
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %.300s", resp.StatusCode, tt.status, body)
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
			for _, h := range []string{"X-Request-Id", "Openai-Processing-Ms"} {
				if resp.Header.Get(h) == "" {
					t.Errorf("no %s header", h)
				}
			}
			if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("headers %v", resp.Header)
			}
			if !strings.Contains(body, tt.has) || len(body) > 4000 {
				t.Errorf("body %.500s, want %s in it", body, tt.has)
			}
			if tt.status >= 400 {
				if code, _ := checkError(t, body); code != tt.code {
					t.Errorf("code %q, want %q", code, tt.code)
				}
			}
			if tt.status == 405 && resp.Header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
	if strings.Contains(f.log.String(), key) {
		t.Error("the key is in the log")
	}
	for line := range strings.Lines(f.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a client broke the log: %q", line)
		}
	}
}

func TestChatWhole(t *testing.T) {
	f := newFixture(t, &fakeEngine{say: func(p string, s engine.Sampling) string { return fmt.Sprint("seed ", s.Seed%1000) }}, Options{Seed: func() uint64 { return 42 }}, serve.Options{})
	_, body := f.call(t, "POST", "/v1/chat/completions", chatBody(`"n":3,"seed":7,"logprobs":true,"top_logprobs":2,"stop":["zz"]`))
	type choice struct {
		Index        *int
		FinishReason *string `json:"finish_reason"`
		Message      map[string]any
		LogProbs     *struct {
			Content []struct {
				Token       string
				LogProb     float64
				Bytes       []int
				TopLogProbs []map[string]any `json:"top_logprobs"`
			}
		}
	}
	got := decode[struct {
		ID, Object, Model string
		Created           int64
		Choices           []choice
		Usage             map[string]int
	}](t, body)
	if !strings.HasPrefix(got.ID, "chatcmpl-") || got.Object != "chat.completion" || got.Model != "tiny" || got.Created == 0 || len(got.Choices) != 3 {
		t.Fatalf("body %s", body)
	}
	tokens := 0
	for i, c := range got.Choices {
		want := fmt.Sprint("seed ", serve.ChoiceSeed(7, i)%1000)
		if *c.Index != i || *c.FinishReason != "stop" || c.Message["content"] != want || c.Message["role"] != "assistant" || len(c.Message) != 3 {
			t.Errorf("choice %d: %+v, want %q", i, c, want)
		}
		joined, raw := "", []byte{}
		for _, token := range c.LogProbs.Content {
			joined += token.Token
			for _, b := range token.Bytes {
				raw = append(raw, byte(b))
			}
			if token.LogProb > 0 || len(token.TopLogProbs) != 2 {
				t.Errorf("token %+v", token)
			}
		}
		if joined != want || string(raw) != want {
			t.Errorf("tokens %q, bytes %q, text %q", joined, raw, want)
		}
		tokens += len(want) + 1
	}
	if got.Usage["completion_tokens"] != tokens || got.Usage["total_tokens"] != tokens+got.Usage["prompt_tokens"] || got.Usage["prompt_tokens"] == 0 {
		t.Errorf("usage %v, want %d completion tokens", got.Usage, tokens)
	}
	_, body = f.call(t, "POST", "/v1/chat/completions", chatBody(""))
	if !strings.Contains(body, `"content":"seed 42"`) || !strings.Contains(body, `"logprobs":null`) {
		t.Errorf("without a seed: %s", body)
	}
	if log := f.log.String(); !strings.Contains(log, "model=tiny") || !strings.Contains(log, "completion_tokens=8") {
		t.Errorf("log %s", log)
	}
}

func TestChatStream(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{}, serve.Options{})
	resp, body := f.call(t, "POST", "/v1/chat/completions", chatBody(`"stream":true,"n":2,"logprobs":true,"stream_options":{"include_usage":true}`))
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" || resp.StatusCode != 200 {
		t.Fatalf("status %d, content type %q", resp.StatusCode, ct)
	}
	payloads := events(t, body)
	if payloads[len(payloads)-1] != "[DONE]" {
		t.Fatalf("the last event is %q", payloads[len(payloads)-1])
	}
	ids := map[string]bool{}
	texts, joined, roles, finished := map[int]string{}, map[int]string{}, map[int]int{}, map[int]string{}
	for i, p := range payloads[:len(payloads)-1] {
		chunk := decode[struct {
			ID, Object, Model string
			Created           int64
			Choices           []struct {
				Index        int
				Delta        map[string]string
				FinishReason *string `json:"finish_reason"`
				LogProbs     *struct{ Content []struct{ Token string } }
			}
			Usage *struct {
				Completion int `json:"completion_tokens"`
			}
		}](t, p)
		ids[fmt.Sprint(chunk.ID, chunk.Object, chunk.Model, chunk.Created)] = true
		last := i == len(payloads)-2
		if last != (chunk.Usage != nil) || last != (len(chunk.Choices) == 0) || !strings.Contains(p, `"usage":`) || !strings.Contains(p, `"choices":[`) {
			t.Errorf("chunk %d of %d: %s", i, len(payloads), p)
		}
		if last && chunk.Usage.Completion != 2*(len(hello)+1) {
			t.Errorf("usage %+v", chunk.Usage)
		}
		for _, c := range chunk.Choices {
			if finished[c.Index] != "" {
				t.Errorf("choice %d goes on after its end: %s", c.Index, p)
			}
			if role := c.Delta["role"]; role != "" {
				if roles[c.Index]++; role != "assistant" || c.Delta["content"] != "" || texts[c.Index] != "" {
					t.Errorf("role chunk %s", p)
				}
			}
			texts[c.Index] += c.Delta["content"]
			if c.LogProbs != nil {
				for _, token := range c.LogProbs.Content {
					joined[c.Index] += token.Token
				}
			}
			if c.FinishReason != nil {
				finished[c.Index] = *c.FinishReason
				if len(c.Delta) != 0 {
					t.Errorf("the finishing chunk has text: %s", p)
				}
			}
		}
	}
	for i := range 2 {
		if texts[i] != hello || joined[i] != hello || roles[i] != 1 || finished[i] != "stop" {
			t.Errorf("choice %d: text %q, tokens %q, %d roles, finish %q", i, texts[i], joined[i], roles[i], finished[i])
		}
	}
	if len(ids) != 1 {
		t.Errorf("chunk heads %v", ids)
	}
	_, body = f.call(t, "POST", "/v1/chat/completions", chatBody(`"stream":true,"max_completion_tokens":3`))
	if strings.Contains(body, "usage") || !strings.Contains(body, `"finish_reason":"length"`) {
		t.Errorf("without include_usage: %s", body)
	}
}

func TestCompletions(t *testing.T) {
	f := newFixture(t, &fakeEngine{say: func(p string, _ engine.Sampling) string { return "<" + p + ">" }}, Options{}, serve.Options{})
	type choice struct {
		Index        int
		Text         string
		FinishReason string `json:"finish_reason"`
		LogProbs     *struct {
			Tokens        []string
			TokenLogProbs []*float64           `json:"token_logprobs"`
			TopLogProbs   []map[string]float64 `json:"top_logprobs"`
			TextOffset    []int                `json:"text_offset"`
		}
	}
	tests := []struct {
		name, fields       string
		texts              []string
		finish             string
		prompt, completion int
		offsets            []int // of the first choice
	}{
		{"a text", `"prompt":"ab"`, []string{"<ab>"}, "stop", 2, 5, nil},
		{"texts", `"prompt":["ab","c"],"n":2`, []string{"<ab>", "<ab>", "<c>", "<c>"}, "stop", 3, 18, nil},
		{"tokens", `"prompt":[97,98]`, []string{"<ab>"}, "stop", 2, 5, nil},
		{"lists of tokens", `"prompt":[[97],[98]]`, []string{"<a>", "<b>"}, "stop", 2, 8, nil},
		{"control tokens in a text", `"prompt":"<|im_start|>a"`, []string{"<a>"}, "stop", 2, 4, nil},
		{"bounded", `"prompt":"ab","max_tokens":2`, []string{"<a"}, "length", 2, 2, nil},
		{"default bound", `"prompt":"abcdefghijklmnopqrstuvwxyz"`, []string{"<abcdefghijklmno"}, "length", 26, 16, nil},
		{"stop", `"prompt":"abc","stop":["b"]`, []string{"<a"}, "stop", 3, 3, nil},
		{"echo", `"prompt":["ab",  "c"],"echo":true`, []string{"ab<ab>", "c<c>"}, "stop", 3, 9, nil},
		{"echo of tokens", `"prompt":[256,97],"echo":true`, []string{"a<a>"}, "stop", 2, 4, nil},
		{"logprobs", `"prompt":"é","logprobs":0`, []string{"<é>"}, "stop", 2, 5, []int{0, 1, 1, 2}},
		{"echo with logprobs", `"prompt":"éb","echo":true,"logprobs":2`, []string{"éb<éb>"}, "stop", 3, 6, []int{0, 0, 1, 2, 3, 3, 4, 5}},
		{"scoring alone", `"prompt":"abc","echo":true,"logprobs":2,"max_tokens":0`, []string{"abc"}, "length", 3, 0, []int{0, 1, 2}},
	}
	for _, tt := range tests {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", tt.name, stream), func(t *testing.T) {
				more := ""
				if stream {
					more = `,"stream":true,"stream_options":{"include_usage":true}`
				}
				resp, body := f.call(t, "POST", "/v1/completions", `{"model":"tiny",`+tt.fields+more+`}`)
				if resp.StatusCode != 200 {
					t.Fatalf("status %d: %s", resp.StatusCode, body)
				}
				payloads := []string{body}
				if stream {
					payloads = events(t, body)
					if payloads[len(payloads)-1] != "[DONE]" {
						t.Fatalf("the last event is %q", payloads[len(payloads)-1])
					}
					payloads = payloads[:len(payloads)-1]
				}
				choices := make([]choice, len(tt.texts))
				var usage map[string]int
				for _, p := range payloads {
					got := decode[struct {
						ID, Object string
						Choices    []choice
						Usage      map[string]int
					}](t, p)
					if got.Object != "text_completion" || !strings.HasPrefix(got.ID, "cmpl-") {
						t.Errorf("chunk %s", p)
					}
					for _, c := range got.Choices {
						all := &choices[c.Index]
						all.Text += c.Text
						all.FinishReason += c.FinishReason
						if all.LogProbs == nil {
							all.LogProbs = c.LogProbs
						} else if c.LogProbs != nil {
							all.LogProbs.Tokens = append(all.LogProbs.Tokens, c.LogProbs.Tokens...)
							all.LogProbs.TokenLogProbs = append(all.LogProbs.TokenLogProbs, c.LogProbs.TokenLogProbs...)
							all.LogProbs.TopLogProbs = append(all.LogProbs.TopLogProbs, c.LogProbs.TopLogProbs...)
							all.LogProbs.TextOffset = append(all.LogProbs.TextOffset, c.LogProbs.TextOffset...)
						}
					}
					usage = got.Usage
				}
				for i, c := range choices {
					if c.Text != tt.texts[i] || c.FinishReason != tt.finish {
						t.Errorf("choice %d: %q, %q; want %q, %q", i, c.Text, c.FinishReason, tt.texts[i], tt.finish)
					}
				}
				if usage["prompt_tokens"] != tt.prompt || usage["completion_tokens"] != tt.completion || usage["total_tokens"] != tt.prompt+tt.completion {
					t.Errorf("usage %v, want %d and %d", usage, tt.prompt, tt.completion)
				}
				l := choices[0].LogProbs
				if (l != nil) != (tt.offsets != nil) {
					t.Fatalf("logprobs %+v", l)
				}
				if l == nil {
					return
				}
				if fmt.Sprint(l.TextOffset) != fmt.Sprint(tt.offsets) || strings.Join(l.Tokens, "") != tt.texts[0] || len(l.TokenLogProbs) != len(l.Tokens) || len(l.TopLogProbs) != len(l.Tokens) {
					t.Errorf("offsets %v, want %v; tokens %q; %d logprobs; %d candidates", l.TextOffset, tt.offsets, l.Tokens, len(l.TokenLogProbs), len(l.TopLogProbs))
				}
				if echoed := strings.Contains(tt.fields, "echo"); echoed != (l.TokenLogProbs[0] == nil) || echoed && *l.TokenLogProbs[1] != -1 {
					t.Errorf("log-probabilities %v", l.TokenLogProbs)
				}
			})
		}
	}
}

// Without a key only this machine is served, and not through a web page of elsewhere.
func TestDevMode(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{Dev: true}, serve.Options{})
	tests := []struct {
		host, origin string
		status       int
	}{
		{"", "", 200}, {"localhost:1234", "", 200}, {"127.0.0.1", "", 200}, {"127.9.9.9:80", "", 200}, {"[::1]:80", "", 200}, {"localhost", "http://localhost:3000", 200},
		{"evil.example", "", 403}, {"evil.example:80", "", 403}, {"127.0.0.1.evil.example", "", 403}, {"0x7f.1", "", 403}, {"169.254.169.254", "", 403}, {"0.0.0.0", "", 403},
		{"localhost", "https://evil.example", 403}, {"localhost", "null", 403}, {"localhost", "http://localhost.evil.example", 403},
	}
	for _, tt := range tests {
		header := []string{"Authorization", ""}
		if tt.host != "" {
			header = append(header, "Host", tt.host)
		}
		if tt.origin != "" {
			header = append(header, "Origin", tt.origin)
		}
		resp, body := f.call(t, "GET", "/v1/models", "", header...)
		if resp.StatusCode != tt.status {
			t.Errorf("host %q, origin %q: %d, want %d: %s", tt.host, tt.origin, resp.StatusCode, tt.status, body)
		}
	}
	if _, err := New(models{}, Options{}); err == nil {
		t.Error("a server without a key and without Dev started")
	}
}

func TestHandlerPanic(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{}, serve.Options{})
	f.api.mux.HandleFunc("GET /v1/panic", func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	resp, body := f.call(t, "GET", "/v1/panic", "")
	if code, _ := checkError(t, body); resp.StatusCode != 500 || code != "internal_error" || strings.Contains(body, "secret") {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
	if !strings.Contains(f.log.String(), "secret detail") {
		t.Error("the panic is not in the log")
	}
}
