package tokenizer

import (
	"strings"
	"testing"
)

// benchText is prose with some code and other scripts, about a megabyte, its words varied so that the word cache
// does not hold them all.
func benchText() string {
	var b strings.Builder
	words := strings.Fields(`the quick brown fox jumps over lazy dogs while forty-two engineers were reviewing configuration
changes, because someone's deployment hadn't finished; "Really?" asked Márta — naïve but kind. for (int i = 0; i < n; ++i) { sum += a[i]; }
Ein Übergang zwischen größeren Städten и немного русского текста 日本語も少し 1984 3.14159 https://example.com/path?q=1`)
	for i := 0; b.Len() < 1<<20; i++ {
		b.WriteString(words[(i*i+i/7)%len(words)])
		if i%11 == 0 {
			b.WriteString(itoa(i))
		}
		if i%17 == 0 {
			b.WriteString("\n")
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func BenchmarkEncode(b *testing.B) {
	text := benchText()
	for _, model := range []string{"gpt2", "smollm", "llama3_1", "qwen3", "gptoss", "deepseek_v3", "llama2", "gemma3"} {
		b.Run(model, func(b *testing.B) {
			tok := openModel(b, model)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				tok.Encode(text, Options{Control: true})
			}
		})
	}
}

func BenchmarkEncodeSpans(b *testing.B) {
	text := benchText()
	tok := openModel(b, "gpt2")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.EncodeSpans(text, []Span{{100, 5000}, {6000, 900000}})
	}
}

func BenchmarkDecode(b *testing.B) {
	text := benchText()
	tok := openModel(b, "gpt2")
	ids := tok.Encode(text, Options{})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Decode(ids, true)
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, model := range []string{"llama3_1", "gemma3"} {
		b.Run(model, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				openModel(b, model)
			}
		})
	}
}
