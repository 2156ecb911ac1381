package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
	"hone/serve"
)

const (
	imStart = 256
	imEnd   = 257
	eos     = 258
	key     = "sk-test"
)

const chatML = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% if m.role == 'tool' %}{{ raise_exception('tool messages are not supported') }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// byteTokenizer has one token a byte, whose id is the byte, and three control tokens.
func byteTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	vocab := map[string]int{}
	next := 256
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae) {
			r = rune(next)
			next++
		}
		vocab[string(r)] = b
	}
	control := func(id int, content string) map[string]any {
		return map[string]any{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	data, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []any{control(imStart, "<|im_start|>"), control(imEnd, "<|im_end|>"), control(eos, "<|endoftext|>")},
		"normalizer": nil, "pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse("byte tokenizer", data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// fakeEngine is an engine that says what it is told to.
type fakeEngine struct {
	say     func(prompt string, s engine.Sampling) string
	gate    chan struct{} // if set, each step takes one from it
	breakAt int           // the step that panics; 0: none
	context int

	steps, open atomic.Int64
}

type fakeStream struct {
	e    *fakeEngine
	text string
	s    engine.Sampling
	n    int
	chat bool
}

// last ends a text: a chat as its template says, any other as the model does.
func (f *fakeStream) last() int32 {
	if f.chat {
		return imEnd
	}
	return eos
}

func (f *fakeStream) Close() { f.e.open.Add(-1) }

func (e *fakeEngine) NewStream(prompt []int32, _ *engine.Adapter, s engine.Sampling) (serve.Stream, error) {
	e.open.Add(1)
	var text strings.Builder
	for _, id := range prompt {
		if id < 256 {
			text.WriteByte(byte(id))
		}
	}
	return &fakeStream{e: e, text: e.say(text.String(), s), s: s, chat: slices.Contains(prompt, imEnd)}, nil
}

func (e *fakeEngine) Decode(ctx context.Context, streams []serve.Stream, out []engine.Token) error {
	if e.gate != nil {
		select {
		case <-e.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n := e.steps.Add(1); int(n) == e.breakAt {
		panic("the engine broke")
	}
	for i, s := range streams {
		f := s.(*fakeStream)
		out[i] = engine.Token{ID: f.last(), LogProb: -0.25}
		if f.n < len(f.text) {
			out[i].ID = int32(f.text[f.n])
		}
		for k := range f.s.TopLogProbs {
			out[i].Top = append(out[i].Top, engine.TokenLogProb{ID: (out[i].ID + int32(k)) % 256, LogProb: -0.25 - float32(k)})
		}
		f.n++
	}
	return nil
}

func (e *fakeEngine) Score(_ context.Context, ids []int32, _ *engine.Adapter, topK int) (engine.Scored, error) {
	s := engine.Scored{LogProbs: make([]float32, len(ids)-1), Top: make([][]engine.TokenLogProb, len(ids))}
	for i := range s.LogProbs {
		s.LogProbs[i] = -float32(i + 1)
	}
	for i := range s.Top {
		for k := range topK {
			s.Top[i] = append(s.Top[i], engine.TokenLogProb{ID: int32('A' + k), LogProb: -float32(k)})
		}
	}
	return s, nil
}

func (e *fakeEngine) Context() int   { return e.context }
func (e *fakeEngine) VocabSize() int { return 259 }

// models is a Registry of a fixed list.
type models []Model

func (m models) List() []Model { return m }

func (m models) Lookup(name string) (Model, bool) {
	i := slices.IndexFunc(m, func(m Model) bool { return m.ID == name })
	if i < 0 {
		return Model{}, false
	}
	return m[i], true
}

// fixture is a running server over a fake engine.
type fixture struct {
	*httptest.Server
	api       *Server
	scheduler *serve.Scheduler
	engine    *fakeEngine
	log       *syncBuffer
}

// syncBuffer is a buffer that a handler may still write to while the test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newFixture starts a server whose engine answers "Hello, <seed>!" unless told otherwise. When the test ends,
// nothing of it may be left.
func newFixture(t *testing.T, e *fakeEngine, o Options, so serve.Options) *fixture {
	t.Helper()
	if e.say == nil {
		e.say = func(string, engine.Sampling) string { return "Hello, wörld! 😀" }
	}
	if e.context == 0 {
		e.context = 4096
	}
	f := &fixture{engine: e, log: &syncBuffer{}}
	tok := byteTokenizer(t)
	template, err := chat.NewTemplate(chatML, "", "<|im_end|>")
	if err != nil {
		t.Fatal(err)
	}
	f.scheduler = serve.NewOver(e, serve.Model{Tokenizer: tok, Template: template, EOS: []int32{eos}}, so)
	bare := serve.NewOver(e, serve.Model{Tokenizer: tok, EOS: []int32{eos}}, so)
	created := time.Unix(1700000000, 0)
	registry := models{
		{ID: "tiny", Created: created, OwnedBy: "hone", Scheduler: f.scheduler},
		{ID: "org/adapter", Created: created, OwnedBy: "hone", Scheduler: f.scheduler, Adapter: &engine.Adapter{}},
		{ID: "bare", Created: created, OwnedBy: "hone", Scheduler: bare},
	}
	if o.APIKey == "" && !o.Dev {
		o.APIKey = key
	}
	o.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	if o.NewID == nil {
		var n atomic.Int64
		o.NewID = func() string { return fmt.Sprint("id", n.Add(1)) }
	}
	if f.api, err = New(registry, o); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.scheduler.Run(context.Background()) }()
	f.Server = httptest.NewUnstartedServer(nil)
	f.Config = f.api.HTTPServer()
	f.Start()
	t.Cleanup(func() {
		f.Server.CloseClientConnections()
		f.Server.Close()
		f.scheduler.Close()
		if err := <-ended; err != nil {
			t.Errorf("scheduler: %v", err)
		}
		if n := e.open.Load(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
		noGoroutines(t)
	})
	return f
}

// noGoroutines fails if code of ours is still running somewhere but in a test.
func noGoroutines(t *testing.T) {
	t.Helper()
	var left string
	for range 200 {
		left = ""
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			ours := strings.Contains(g, "hone/serve.") || strings.Contains(g, "hone/platform/api.")
			if ours && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*T)") {
				left = g
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left running:\n%s", left)
}

// call sends a request with the key and returns the response with its body read.
func (f *fixture) call(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, f.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := f.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// events are the payloads of a stream of server-sent events, which must be nothing else.
func events(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for e := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("event %q", e)
		}
		out = append(out, data)
	}
	return out
}

// decode reads a JSON body.
func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return v
}
