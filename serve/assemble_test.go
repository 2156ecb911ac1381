package serve

import (
	"strings"
	"testing"

	"hone/engine"

	"pgregory.net/rapid"
)

// slowStop is what stop strings mean: the text up to the one that is complete first, the longest of those.
func slowStop(text string, stops []string) (string, bool) {
	for end := 1; end <= len(text); end++ {
		start := -1
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) && (start < 0 || end-len(s) < start) {
				start = end - len(s)
			}
		}
		if start >= 0 {
			return text[:start], true
		}
	}
	return text, false
}

// Texts over a tiny alphabet, in any pieces, come out as the slow definition says, and nothing that is emitted is
// ever taken back.
func TestAssemblerAgainstDefinition(t *testing.T) {
	tok := byteTokenizer(t)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "ê", "€"}), 0, 40).Draw(t, "text"), "")
		stops := rapid.SliceOfN(rapid.StringMatching(`[abéê€]{1,4}`), 0, 3).Draw(t, "stops")
		want, wantStopped := slowStop(text, stops)

		a := newAssembler(tok, Request{Prompt: []int32{1}, Stop: stops})
		var got, joined strings.Builder
		var raw []byte
		stopped := false
		keep := func(text string, tokens []Token, s bool) {
			got.WriteString(text)
			stopped = s
			for _, token := range tokens {
				joined.WriteString(token.Text)
				raw = append(raw, token.Bytes...)
			}
			if len(joined.String()) > len(got.String()) {
				t.Fatalf("tokens %q run ahead of the text %q", joined.String(), got.String())
			}
		}
		for i := 0; i < len(text) && !stopped; i++ {
			keep(a.push(engine.Token{ID: int32(text[i])}))
		}
		if !stopped {
			keep(a.flush())
		}
		if got.String() != want || stopped != wantStopped {
			t.Fatalf("%q with stops %q: got %q, %v; want %q, %v", text, stops, got.String(), stopped, want, wantStopped)
		}
		if joined.String() != want || string(raw) != want {
			t.Fatalf("tokens say %q, bytes %q, text is %q", joined.String(), raw, want)
		}
	})
}

func TestControlTokensAreNoText(t *testing.T) {
	a := newAssembler(byteTokenizer(t), Request{Prompt: []int32{1}})
	text, tokens, _ := a.push(engine.Token{ID: imStart})
	if text != "" || tokens != nil {
		t.Errorf("a control token came out as %q, %v", text, tokens)
	}
}

func FuzzStopMatcher(f *testing.F) {
	f.Add("abcabd", "abd", "bc")
	f.Add("aaaa", "aa", "aaa")
	f.Add("", "x", "y")
	f.Fuzz(func(t *testing.T, text, one, two string) {
		if one == "" || two == "" || len(text) > 1000 {
			t.Skip()
		}
		want, stopped := slowStop(text, []string{one, two})
		m := newStopMatcher([]string{one, two})
		for i := range len(text) {
			if n := m.feed(text[i]); n > 0 {
				if got := text[:i+1-n]; !stopped || got != want {
					t.Fatalf("stopped after %q, want %q (%v)", got, want, stopped)
				}
				return
			}
			if h := m.held(); h > i+1 {
				t.Fatalf("%d bytes held of %d", h, i+1)
			}
		}
		if stopped {
			t.Fatalf("never stopped, want after %q", want)
		}
	})
}

func TestTexts(t *testing.T) {
	tok := byteTokenizer(t)
	got := Texts(tok, append([]int32{imStart}, ids("aé\xe2")...))
	want := []string{"", "a", "", "é", "\ufffd"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Texts(tok, []int32{imStart}); len(got) != 1 || got[0] != "" {
		t.Errorf("a control token alone: %q", got)
	}
}
