package tokenizer

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse: no file makes Parse panic, and what parses encodes and decodes.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"torture_n1", "wp_bert", "bpe_hole", "wl_scripts"} {
		data, err := os.ReadFile("testdata/pipelines/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse("fuzz", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz: ") {
				t.Errorf("error without the file: %v", err)
			}
			return
		}
		text := "Héllo wörld 123\n<a> <|im_end|>\u0301ﬁ中"
		ids := tok.Encode(text, Options{Control: true, AddSpecial: true})
		tok.Decode(ids, true)
		_, starts := tok.EncodeSpans(text, []Span{{3, 9}})
		checkStarts(t, text, starts)
	})
}

// FuzzEncodeDecode: what the byte-level tokenizer encodes it decodes to the same text, streams equal the whole,
// and offsets are right.
func FuzzEncodeDecode(f *testing.F) {
	for _, s := range []string{"hello world", "don't 123 ſ\u0301\r\n\n x", "a\xff\xe4\xb8b", "😀\u200d\u2028中文", "<|im_end|>"} {
		f.Add(s)
	}
	bytewise := open(f, "re_cl100k_Isolated_0")
	others := []*Tokenizer{open(f, "torture_n1"), open(f, "bpe_hole"), open(f, "uni_bytes_always"), open(f, "wp_bert"), open(f, "torture_pre")}
	f.Fuzz(func(t *testing.T, text string) {
		ids, starts := bytewise.EncodeSpans(text, nil)
		want := string(appendLossy(nil, []byte(text)))
		if got := bytewise.Decode(ids, false); got != want {
			t.Errorf("%q comes back as %q", text, got)
		}
		if utf8.ValidString(text) {
			at := 0
			for i, id := range ids {
				if starts[i] != at {
					t.Errorf("%q: token %d starts at %d, not %d", text, i, starts[i], at)
				}
				at += len(bytewise.Bytes(id))
			}
		}
		for _, tok := range others {
			ids, starts := tok.EncodeSpans(text, nil)
			checkStarts(t, text, starts)
			checkStream(t, tok, ids)
		}
	})
}
