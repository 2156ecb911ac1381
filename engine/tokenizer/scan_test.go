package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// scanPieces are what the patterns tell apart, and what they nearly do.
var scanPieces = []string{"a", "B", "Word", "straße", "é", "ſ", "ǅ", "ʰ", "中文", "カ", "\u0301", "\u0903", "1", "22", "333", "½", "٣", "Ⅷ",
	" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2028", "\u3000", "\u0085", "'", "'s", "'S", "'ſ", "'t", "'re", "'RE", "'vE", "'ll", "'lL", "'d", "'m",
	"’s", ".", "!?", "/", "//", "-", "_", "€", "😀", "\u200d", "\x00", "\x7f", "\u0378", "\U0001E5D0", "\U00010D4E", "\U0002EBF0", "\U00011DE0", "\uFFFD"}

func randomText(r *rand.Rand, pieces []string, n int) string {
	var b strings.Builder
	for range r.IntN(n + 1) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// matches lists the ranges a pattern finds.
func matches(t *testing.T, p *pattern, s string) (list [][2]int) {
	t.Helper()
	r := &run{}
	p.each(r, s, func(i, j int) { list = append(list, [2]int{i, j}) })
	if r.err != nil {
		t.Fatal(r.err)
	}
	return list
}

// TestScanners holds the hand-written scanners to the regular expressions they stand for.
func TestScanners(t *testing.T) {
	n := 20000
	if testing.Short() {
		n = 2000
	}
	for _, source := range []string{gpt2Pattern, llama3Pattern, qwen2Pattern, o200kPattern, llama3Spelt, qwen2Spelt} {
		slow, err := compileSlow(source)
		if err != nil {
			t.Fatal(err)
		}
		fast, err := compileRegex(source)
		if err != nil || fast.scan == nil {
			t.Fatalf("%q has no scanner (%v)", source, err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range n {
			s := randomText(r, scanPieces, 9)
			if got, want := matches(t, fast, s), matches(t, slow, s); !slices.Equal(got, want) {
				t.Fatalf("%q on %q: scanner %v, regular expression %v", source, s, got, want)
			}
		}
	}
}

// TestTranslate checks the rewriting of Oniguruma's syntax on what regexp2 reads otherwise.
func TestTranslate(t *testing.T) {
	for _, c := range []struct {
		source, text string
		want         []string
	}{
		{`a++b?`, "aaab", []string{"aaab"}},
		{`(?:ab)*+c`, "ababc", []string{"ababc"}},
		{`\p{N}{2}+`, "12345", []string{"1234"}},
		{`\h+`, "xfF0g", []string{"fF0"}},
		{`[[:digit:]x]+`, "a1x2b", []string{"1x2"}},
		{`[a[bc]]+`, "xabcx", []string{"abc"}},
		{`\p{^L}+`, "ab12", []string{"12"}},
		{`\P{L}+`, "ab12", []string{"12"}},
		{`\x{1F600}`, "a😀", []string{"😀"}},
		{`\p{Letter}+`, "a\U0002EBF0!", []string{"a\U0002EBF0"}},
		{`(?m:.)+`, "a\nb", []string{"a\nb"}},
		{`b$`, "b\nb", []string{"b", "b"}},
		{`[]a]+`, "x]a", []string{"]a"}},
		{`a{,2}b`, "aab", []string{"aab"}},
	} {
		p, err := compileSlow(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		var got []string
		for _, m := range matches(t, p, c.text) {
			got = append(got, c.text[m[0]:m[1]])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s on %q: %q, want %q", c.source, c.text, got, c.want)
		}
	}
	for _, bad := range []string{`(`, `[a`, `\`, `\p{L`, `[a&&b]`, `\X`, `[^[^a]]`, `\p{Nonsense}`, `[[:none:]]`, `\x{110000}`, `(?<`, strings.Repeat("[", 100)} {
		if p, err := compileSlow(bad); err == nil {
			t.Errorf("%s compiled to %s", bad, p.re)
		}
	}
}
