package serve

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"testing"

	"hone/engine"
	"hone/engine/tokenizer"
)

const (
	imStart = 256
	imEnd   = 257
)

// byteTokenizer has one token a byte, whose id is the byte, and two control tokens.
func byteTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	vocab := map[string]int{}
	next := 256 // the byte-level alphabet: printable bytes stand for themselves, the others for U+0100 and up
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
	data, err := json.Marshal(map[string]any{
		"version":        "1.0",
		"added_tokens":   []any{control(imStart, "<|im_start|>"), control(imEnd, "<|im_end|>")},
		"normalizer":     nil,
		"pre_tokenizer":  map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"post_processor": nil,
		"decoder":        map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model":          map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
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

// ids is the tokens of a text under byteTokenizer.
func ids(text string) []int32 {
	out := make([]int32, len(text))
	for i := range len(text) {
		out[i] = int32(text[i])
	}
	return out
}

// fakeEngine is a Decoder whose every stream follows its own script, whatever runs beside it.
type fakeEngine struct {
	context int
	script  func(prompt []int32, s engine.Sampling, n int) int32 // the n-th token after prompt
	prefill func(prompt []int32) int                             // steps spent reading the prompt; nil: none
	onStep  func(batch int)                                      // called before each step
	fail    error                                                // of every Decode

	open, opened, steps, widest int
}

type fakeStream struct {
	engine *fakeEngine
	prompt []int32
	s      engine.Sampling
	n      int
	wait   int
	closed bool
}

func (f *fakeStream) Close() {
	if f.closed {
		panic("stream closed twice")
	}
	f.closed = true
	f.engine.open--
}

func (e *fakeEngine) NewStream(prompt []int32, _ *engine.Adapter, s engine.Sampling) (Stream, error) {
	if s.TopK == 666 {
		return nil, errors.New("this sampling is out of order")
	}
	e.open++
	e.opened++
	f := &fakeStream{engine: e, prompt: slices.Clone(prompt), s: s}
	if e.prefill != nil {
		f.wait = e.prefill(prompt)
	}
	return f, nil
}

func (e *fakeEngine) Decode(ctx context.Context, streams []Stream, out []engine.Token) error {
	if e.onStep != nil {
		e.onStep(len(streams))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.fail != nil {
		return e.fail
	}
	e.steps++
	e.widest = max(e.widest, len(streams))
	for i, s := range streams {
		f := s.(*fakeStream)
		if f.closed {
			panic("decode of a closed stream")
		}
		if f.wait > 0 {
			f.wait--
			out[i] = engine.Token{ID: -1}
			continue
		}
		id := e.script(f.prompt, f.s, f.n)
		out[i] = engine.Token{ID: id, LogProb: -0.5}
		for k := range f.s.TopLogProbs {
			out[i].Top = append(out[i].Top, engine.TokenLogProb{ID: (id + int32(k)) % 256, LogProb: -0.5 - float32(k)})
		}
		f.n++
	}
	return nil
}

func (e *fakeEngine) Score(ctx context.Context, ids []int32, _ *engine.Adapter, topK int) (engine.Scored, error) {
	if err := ctx.Err(); err != nil {
		return engine.Scored{}, err
	}
	return engine.Scored{LogProbs: make([]float32, len(ids)-1), Top: make([][]engine.TokenLogProb, len(ids))}, nil
}

func (e *fakeEngine) Context() int   { return e.context }
func (e *fakeEngine) VocabSize() int { return 258 }

// says makes a script that answers every prompt with text and then EOS.
func says(text string) func([]int32, engine.Sampling, int) int32 {
	return func(_ []int32, _ engine.Sampling, n int) int32 {
		if n < len(text) {
			return int32(text[n])
		}
		return imEnd
	}
}

// hashed makes up a token from the prompt, the seed and the place: a text of 'a' to 'z' that never ends.
func hashed(prompt []int32, s engine.Sampling, n int) int32 {
	h := fnv.New64a()
	for _, v := range append(slices.Clone(prompt), int32(s.Seed), int32(n)) {
		h.Write([]byte{byte(v), byte(v >> 8)})
	}
	return int32('a' + h.Sum64()%26)
}

// start runs a scheduler over e until the test ends, and then checks that nothing is left behind.
func start(t *testing.T, e *fakeEngine, o Options) *Scheduler {
	t.Helper()
	s := NewOver(e, Model{Tokenizer: byteTokenizer(t), EOS: []int32{imEnd}}, o)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if e.open != 0 {
			t.Errorf("%d streams are still open", e.open)
		}
	})
	return s
}
