package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"hone/internal/golden"
)

// testModel is the path of SmolLM2-135M-Instruct's GGUF.
func testModel(t testing.TB) string {
	t.Helper()
	p := os.Getenv("HONE_TEST_MODEL")
	if p == "" {
		t.Skip("HONE_TEST_MODEL does not name the SmolLM2-135M-Instruct GGUF")
	}
	return p
}

type smolCase struct {
	Name         string
	IDs          []int32     `json:"ids"`
	Next         []float64   `json:"next_logprob"`
	TopIDs       [][]int32   `json:"top5_ids"`
	TopLogProbs  [][]float64 `json:"top5_logprob"`
	GreedyIDs    []int32     `json:"greedy_ids"`
	GreedyMargin []float64   `json:"greedy_margin"`
}

func smolCases(t testing.TB) (cs []smolCase) {
	t.Helper()
	text, err := os.ReadFile(golden.Path(t, "smollm2/cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var c smolCase
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

// TestSmolLM2Score compares log-probabilities of given tokens and of the five best.
func TestSmolLM2Score(t *testing.T) {
	if testing.Short() {
		t.Skip("scores every reference text")
	}
	b := openBase(t, testModel(t), LoadOptions{})
	for _, c := range smolCases(t) {
		s, err := b.Score(context.Background(), c.IDs, nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i, want := range c.Next {
			worst = math.Max(worst, math.Abs(float64(s.LogProbs[i])-want))
		}
		for i, ids := range c.TopIDs {
			for j, want := range c.TopLogProbs[i] {
				worst = math.Max(worst, math.Abs(float64(s.Top[i][j].LogProb)-want))
				if gap := 1e-3; s.Top[i][j].ID != ids[j] && !(j+1 < 5 && want-c.TopLogProbs[i][j+1] < gap) && !(j > 0 && c.TopLogProbs[i][j-1]-want < gap) && j < 4 {
					t.Errorf("%s: position %d: token %d is %d, want %d", c.Name, i, j, s.Top[i][j].ID, ids[j])
				}
			}
		}
		t.Logf("%s: log-probabilities within %.2g", c.Name, worst)
		if !(worst <= 5e-4) {
			t.Errorf("%s: log-probabilities differ by %.2g", c.Name, worst)
		}
	}
}

// TestSmolLM2Greedy compares greedy continuations up to the first narrow choice, one stream at a time and all
// together: the two must be equal to the bit.
func TestSmolLM2Greedy(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes every reference text twice")
	}
	b := openBase(t, testModel(t), LoadOptions{})
	cases := smolCases(t)
	var all []*Stream
	single := make([][]Token, len(cases))
	for i, c := range cases {
		single[i] = continueAlone(t, b, c.IDs, len(c.GreedyIDs))
		for j, want := range c.GreedyIDs {
			if c.GreedyMargin[j] < 5e-3 {
				break
			}
			if single[i][j].ID != want {
				t.Errorf("%s: greedy token %d is %d, want %d", c.Name, j, single[i][j].ID, want)
				break
			}
		}
		s, err := b.NewStream(c.IDs, nil, Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	together := make([][]Token, len(all))
	for range len(cases[0].GreedyIDs) + 2 {
		out := make([]Token, len(all))
		if err := b.Decode(context.Background(), all, out); err != nil {
			t.Fatal(err)
		}
		for i, tok := range out {
			if tok.ID >= 0 {
				together[i] = append(together[i], tok)
			}
		}
	}
	for i, c := range cases {
		for j, tok := range single[i] {
			if got := together[i][j]; got.ID != tok.ID || got.LogProb != tok.LogProb {
				t.Fatalf("%s: token %d in a batch is %+v, alone %+v", c.Name, j, got, tok)
			}
		}
	}
}

func continueAlone(t testing.TB, b *Base, prompt []int32, n int) (toks []Token) {
	t.Helper()
	s, err := b.NewStream(prompt, nil, Sampling{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := make([]Token, 1)
	for len(toks) < n {
		if err := b.Decode(context.Background(), []*Stream{s}, out); err != nil {
			t.Fatal(err)
		}
		if out[0].ID >= 0 {
			toks = append(toks, out[0])
		}
	}
	return toks
}

// TestSmolLM2Hidden compares the embedding and every layer's output, the last one after the final norm.
func TestSmolLM2Hidden(t *testing.T) {
	b := openBase(t, testModel(t), LoadOptions{})
	v := readVectors(t, golden.Path(t, "smollm2/hidden.safetensors"))
	ids := v.ints(t, "input_ids")[0]
	c := b.begin(len(ids))
	defer b.end(c)
	addWhole(c, len(ids), nil)
	seen := 0
	c.Trace = func(layer int, x []float32) {
		seen++
		want := v.f32(t, fmt.Sprintf("hidden.%d", layer+1))
		if d := maxAbsDiff(x, want) / maxAbs(want); !(d <= 2e-5) {
			t.Errorf("layer %d differs by %.2g of its largest element", layer, d)
		}
	}
	b.dec.Forward(c, ids)
	if want := b.cfg.Layers + 1; seen != want {
		t.Errorf("saw %d layers, want %d", seen, want)
	}
}
