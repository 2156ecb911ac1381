package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// bpeFile is a tokenizer.json around the inside of a BPE model.
func bpeFile(inside string) string {
	return `{"added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"BPE",` + inside + `}}`
}

// TestParseErrors: what is wrong is refused with the file, the place and the reason.
func TestParseErrors(t *testing.T) {
	const ok = `"vocab":{"a":0},"merges":[]`
	around := func(key, value string) string {
		return `{"` + key + `":` + value + `,"model":{"type":"BPE",` + ok + `}}`
	}
	for _, c := range []struct{ name, file, want string }{
		{"empty", ``, "the end of the file"},
		{"not JSON", `hello`, "tokenizer.json (an object)"},
		{"a list", `[]`, "have a list"},
		{"no model", `{}`, "no model"},
		{"two documents", bpeFile(ok) + `{}`, "want the end of the file"},
		{"not UTF-8", "{\"\xff\":1}", "byte 2: not UTF-8"},
		{"absent merge part", bpeFile(`"vocab":{"a":0,"b":1},"merges":["a b","a c"]`), `"ab", which the vocabulary lacks`},
		{"absent merge token", bpeFile(`"vocab":{"a":0,"b":1,"ab":2},"merges":["a b","a c"]`), `model.merges[1]: the merge of "a" and "c" needs the token "c"`},
		{"merge of one", bpeFile(`"vocab":{"a":0},"merges":["a"]`), "not two tokens"},
		{"merge of three", bpeFile(`"vocab":{"a":0},"merges":[["a","a","a"]]`), "want two tokens"},
		{"merge of numbers", bpeFile(`"vocab":{"a":0},"merges":[1]`), "have a number"},
		{"duplicate id", bpeFile(`"vocab":{"a":0,"b":0},"merges":[]`), `id 0 belongs to two tokens, "a" and "b"`},
		{"negative id", bpeFile(`"vocab":{"a":-1},"merges":[]`), "id -1"},
		{"fractional id", bpeFile(`"vocab":{"a":1.5},"merges":[]`), "id 1.5"},
		{"huge id", bpeFile(`"vocab":{"a":99999999999},"merges":[]`), "id 99999999999"},
		{"id over the bound", bpeFile(`"vocab":{"a":2147483647},"merges":[]`), "2147483647"},
		{"id is text", bpeFile(`"vocab":{"a":"0"},"merges":[]`), "have a string"},
		{"vocab is null", bpeFile(`"vocab":null,"merges":[]`), "have null"},
		{"no vocab", bpeFile(`"merges":[]`), "no vocab"},
		{"unk not there", bpeFile(`"vocab":{"a":0},"merges":[],"unk_token":"b"`), "unk_token"},
		{"dropout", bpeFile(`"vocab":{"a":0},"merges":[],"dropout":0.1`), "dropout is 0.1"},
		{"fuse_unk is text", bpeFile(`"vocab":{"a":0},"merges":[],"fuse_unk":"yes"`), "model.fuse_unk: want bool, have a JSON string"},
		{"unknown model", `{"model":{"type":"Magic","vocab":{}}}`, `type "Magic" is not supported`},
		{"unigram object", `{"model":{"type":"Unigram","vocab":{"a":0}}}`, "wants a list"},
		{"unigram without score", `{"model":{"type":"Unigram","vocab":[["a"]]}}`, "1 tokens but 0 scores"},
		{"unigram unk_id", `{"model":{"type":"Unigram","unk_id":5,"vocab":[["a",0]]}}`, "unk_id: 5"},
		{"unigram long token", `{"model":{"type":"Unigram","vocab":[["` + strings.Repeat("a", 2000) + `",0]]}}`, "2000 bytes"},
		{"long words", `{"model":{"type":"WordPiece","vocab":{"a":0},"max_input_chars_per_word":1000000000}}`, "max_input_chars_per_word"},
		{"unknown normalizer", around("normalizer", `{"type":"Precompiled","precompiled_charsmap":"AA=="}`), `normalizer: normalizer type "Precompiled" is not supported`},
		{"nested normalizer", around("normalizer", `{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nope"}]}`), "normalizer.normalizers[1]"},
		{"normalizer is text", around("normalizer", `"NFC"`), "normalizer: want"},
		{"unknown pre-tokenizer", around("pre_tokenizer", `{"type":"Nope"}`), `pre-tokenizer type "Nope"`},
		{"no pattern", around("pre_tokenizer", `{"type":"Split","behavior":"Isolated"}`), "pattern: want"},
		{"bad pattern", around("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}`), `pattern "("`},
		{"bad behavior", around("pre_tokenizer", `{"type":"Split","pattern":{"String":"a"},"behavior":"Shredded"}`), `"Shredded" is none of`},
		{"bad scheme", around("pre_tokenizer", `{"type":"Metaspace","prepend_scheme":"often"}`), "prepend_scheme"},
		{"unknown decoder", around("decoder", `{"type":"Nope"}`), `decoder type "Nope"`},
		{"strip content", around("decoder", `{"type":"Strip","content":"ab","start":1,"stop":0}`), "one character"},
		{"unknown post-processor", around("post_processor", `{"type":"Nope"}`), `post-processor type "Nope"`},
		{"template without text", around("post_processor", `{"type":"TemplateProcessing","single":[]}`), "the text is not in the template"},
		{"template of unknown token", around("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}]}`), `special_tokens lacks "x"`},
		{"bert without sep", around("post_processor", `{"type":"BertProcessing","cls":["a",0]}`), `sep: want ["token", id]`},
		{"added token is text", around("added_tokens", `["a"]`), "added_tokens[0]"},
		{"added token with text id", around("added_tokens", `[{"id":"1","content":"x"}]`), "id: want int64, have a JSON string"},
		{"added token too long", around("added_tokens", `[{"id":1,"content":"`+strings.Repeat("a", 5000)+`"}]`), "the limit is 4096"},
		{"added tokens is an object", around("added_tokens", `{}`), "added_tokens (a list)"},
		{"deep", around("normalizer", strings.Repeat("[", 100000)), "nested deeper than 64"},
		{"deep normalizers", around("normalizer", strings.Repeat(`{"type":"Sequence","normalizers":[`, 40)+strings.Repeat("]}", 40)), "nested deeper"},
		{"bad escape", bpeFile(`"vocab":{"\q":0},"merges":[]`), "invalid character"},
		{"line feed in a string", bpeFile("\"vocab\":{\"a\nb\":0},\"merges\":[]"), "control character"},
	} {
		tok, err := Parse("dir/tokenizer.json", []byte(c.file))
		if err == nil {
			t.Errorf("%s: parsed to a tokenizer of %d", c.name, tok.Size())
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, c.want) || !strings.Contains(msg, "dir/tokenizer.json") {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
		if len(err.Error()) > 8000 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.json")); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("absent file: %v", err)
	}
}

// TestTruncated: no prefix of a file parses, and none panics.
func TestTruncated(t *testing.T) {
	data, err := os.ReadFile("testdata/pipelines/torture_n1.json")
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(data) - 1 {
		if _, err := Parse("cut", data[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes parse", n, len(data))
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestSparseIDs: few entries of huge ids do not make a huge table.
func TestSparseIDs(t *testing.T) {
	file := []byte(bpeFile(`"vocab":{"a":0,"b":10000000,"c":268435455},"merges":[]`))
	var tok *Tokenizer
	var err error
	if _, err = Parse("warm", file); err != nil {
		t.Fatal(err)
	}
	// The word cache is a fixed 256 KiB.
	if n := allocated(func() { tok, err = Parse("sparse", file) }); err != nil || n > 1<<20 {
		t.Fatalf("%d bytes allocated, %v", n, err)
	}
	if ids := tok.Encode("abc", Options{}); !slices.Equal(ids, []int32{0, 10000000, 268435455}) {
		t.Errorf("ids %v", ids)
	}
	if s, ok := tok.Token(10000000); s != "b" || !ok {
		t.Errorf("token %q %v", s, ok)
	}
	if _, ok := tok.Token(9999999); ok {
		t.Error("a hole has a token")
	}
	if s := tok.Decode([]int32{-1, 0, 5, 1 << 30}, false); s != "a" {
		t.Errorf("decoded %q", s)
	}
}

// TestCyclicMerges: merges that rebuild their own parts end.
func TestCyclicMerges(t *testing.T) {
	tok, err := Parse("cyclic", []byte(bpeFile(`"vocab":{"":0,"a":1,"aa":2,"aaa":3,"aaaa":4},"merges":["a a"," a","a ","aa a","a aa","aa aa"]`)))
	if err != nil {
		t.Fatal(err)
	}
	if s := tok.Decode(tok.Encode(strings.Repeat("a", 1001), Options{}), false); strings.ReplaceAll(s, " ", "") != strings.Repeat("a", 1001) {
		t.Errorf("decoded to %d bytes", len(s))
	}
}

// TestCatastrophicPattern: a pattern that backtracks without end is an error, not a hang.
func TestCatastrophicPattern(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the pattern's time to run out")
	}
	tok, err := Parse("catastrophic", []byte(`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+(a+)+$b"},"behavior":"Isolated"},
"model":{"type":"BPE","vocab":{"a":0,"c":1},"merges":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("a", 5000) + "c"
	start := time.Now()
	ids, err := tok.EncodeChecked(text, Options{})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "(a+)+") {
		t.Errorf("error %v", err)
	}
	if len(ids) != len(text) {
		t.Errorf("%d ids of %d bytes", len(ids), len(text))
	}
}

// TestLongWords: a word of a megabyte takes time by its length, not by its square.
func TestLongWords(t *testing.T) {
	if testing.Short() {
		t.Skip("a megabyte a case")
	}
	const n = 1 << 20
	cases := map[string]*Tokenizer{}
	for _, name := range []string{"bl_prefix", "bpe_hole", "bpe_suffix", "uni_bytes_always", "wp_bert", "torture_n1", "wl_scripts"} {
		cases[name] = open(t, name)
	}
	long, err := Parse("long", []byte(bpeFile(`"vocab":{"a":0,"`+strings.Repeat("a", n)+`":1},"merges":[]`)))
	if err != nil {
		t.Fatal(err)
	}
	cases["a token of a megabyte"] = long
	for name, tok := range cases {
		for _, unit := range []string{"a", "é", "\u0323\u0301", " ", "helo"} {
			text := strings.Repeat(unit, n/len(unit))
			start := time.Now()
			_, starts := tok.EncodeSpans(text, nil)
			if took := time.Since(start); took > 10*time.Second { // under one second each on an idle core
				t.Errorf("%s on %q × %d: %v", name, unit, n/len(unit), took)
			}
			checkStarts(t, text, starts)
		}
	}
}

// TestIllFormedText: ill-formed text encodes as if it had been replaced by U+FFFD before.
func TestIllFormedText(t *testing.T) {
	for _, name := range []string{"bl_prefix", "bpe_hole", "uni_bytes_always", "torture_n1", "wp_bert"} {
		tok := open(t, name)
		for _, c := range [][2]string{
			{"a\xffb", "a\uFFFDb"}, {"\xe4\xb8", "\uFFFD"}, {"\xe4\xb8a\x80", "\uFFFDa\uFFFD"}, {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},
			{"\xf0\x9f\x98", "\uFFFD"}, {"\xf5\x80", "\uFFFD\uFFFD"}, {"\xc0\xaf", "\uFFFD\uFFFD"}, {"hello\xf4\x90\x80\x80", "hello\uFFFD\uFFFD\uFFFD\uFFFD"},
		} {
			got, want := tok.Encode(c[0], Options{Control: true}), tok.Encode(c[1], Options{Control: true})
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q gives %v, %q gives %v", name, c[0], got, c[1], want)
			}
		}
	}
}

// TestLossy holds the replacement of ill-formed bytes to Go's own, which differs in the number of replacements
// alone, and to the cases of the Unicode Standard (table 3-8 and after).
func TestLossy(t *testing.T) {
	for _, c := range [][2]string{
		{"abc", "abc"}, {"\xf1\x80\x80\xe1\x80\xc2b\x80c\x80\xbfd", "\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd"},
		{"\xe0\x80\x80", "\uFFFD\uFFFD\uFFFD"}, {"\xf4\x91\x92\x93\xffA\x80\xbfB", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB"},
		{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbfA", "\uFFFD\uFFFD\uFFFD\uFFFDA"}, {"\uFFFD", "\uFFFD"},
	} {
		if got := string(appendLossy(nil, []byte(c[0]))); got != c[1] {
			t.Errorf("%q: %q, want %q", c[0], got, c[1])
		}
		for cut := range len(c[0]) + 1 {
			head := []byte(c[0][:cut])
			tail := incompleteTail(head)
			got := appendLossy(nil, head[:cut-tail])
			if got = appendLossy(got, []byte(c[0][cut-tail:])); string(got) != c[1] {
				t.Errorf("%q cut at %d, %d held: %q", c[0], cut, tail, got)
			}
		}
	}
}

// TestStreamHoldsBack: no piece of a stream ends inside a character.
func TestStreamHoldsBack(t *testing.T) {
	tok := open(t, "re_cl100k_Isolated_0")
	s := tok.NewStream()
	var pieces []string
	for _, id := range tok.Encode("a😀é", Options{}) {
		piece := s.Push(id)
		if !utf8.ValidString(piece) || strings.Contains(piece, "\uFFFD") {
			t.Errorf("piece %q", piece)
		}
		pieces = append(pieces, piece)
	}
	if got, want := fmt.Sprintf("%q", pieces), `["a" "" "" "" "😀" "é"]`; got != want || s.Flush() != "" {
		t.Errorf("pieces %s, want %s", got, want)
	}
	s = tok.NewStream()
	ids := tok.Encode("😀", Options{})
	if got := s.Push(ids[0]) + s.Push(ids[1]) + s.Flush(); got != "\uFFFD" || tok.Decode(ids[:2], false) != got {
		t.Errorf("half a character: %q", got)
	}
}

// TestConcurrent: one tokenizer serves many goroutines.
func TestConcurrent(t *testing.T) {
	tok := open(t, "re_cl100k_Isolated_0")
	text := "hello world don't café 中文 I'm"
	want := tok.Encode(text, Options{})
	done := make(chan bool)
	for range 8 {
		go func() {
			ok := true
			for range 200 {
				ok = ok && slices.Equal(tok.Encode(text, Options{}), want)
			}
			done <- ok
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("ids differ between goroutines")
		}
	}
}
