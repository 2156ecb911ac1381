package tokenizer

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// spansFixture is a character-level tokenizer in which every letter is a token, so that offsets can be read off.
func spansFixture(t testing.TB, normalizer, splitter string) *Tokenizer {
	t.Helper()
	var vocab strings.Builder
	vocab.WriteString(`"<unk>":0`)
	n := 1
	for _, c := range "abcdefghijklmnopqrstuvwxyzéü▁_ fi<>|" {
		if strings.Contains(vocab.String(), `"`+string(c)+`"`) {
			continue
		}
		vocab.WriteString(`,"` + string(c) + `":` + itoa(n))
		n++
	}
	tok, err := Parse("spans", []byte(`{"added_tokens":[
{"id":100,"content":"<|x|>","special":true},{"id":101,"content":"<y>","special":true,"normalized":true},{"id":102,"content":"<z>"}],
"normalizer":`+normalizer+`,"pre_tokenizer":`+splitter+`,"decoder":{"type":"Fuse"},
"model":{"type":"BPE","unk_token":"<unk>","vocab":{`+vocab.String()+`},"merges":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// TestStarts checks offsets through every step that changes the text.
func TestStarts(t *testing.T) {
	for _, c := range []struct {
		name, normalizer, splitter, text string
		want                             []int
	}{
		{"plain", `null`, `null`, "aéb", []int{0, 1, 3}},
		{"NFC", `{"type":"NFC"}`, `null`, "e\u0301u\u0308x", []int{0, 3, 6}},
		{"NFKC", `{"type":"NFKC"}`, `null`, "aﬁb", []int{0, 1, 1, 4}},
		{"Lowercase", `{"type":"Lowercase"}`, `null`, "AÉB", []int{0, 1, 3}},
		{"Prepend", `{"type":"Prepend","prepend":"▁"}`, `null`, "ab", []int{0, 0, 1}},
		{"Replace", `{"type":"Replace","pattern":{"String":"xx"},"content":"b"}`, `null`, "axxc", []int{0, 1, 3}},
		{"Replace regex", `{"type":"Replace","pattern":{"Regex":"x+"},"content":""}`, `null`, "axxc", []int{0, 3}},
		{"Strip", `{"type":"Strip","strip_left":true,"strip_right":true}`, `null`, "  ab ", []int{2, 3}},
		{"StripAccents", `{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]}`, `null`, "xéa", []int{0, 1, 3}},
		{"Metaspace", `null`, `{"type":"Metaspace","prepend_scheme":"always"}`, "a b", []int{0, 0, 1, 2}},
		{"ill-formed", `null`, `null`, "a\xffb\xe4\xb8c", []int{0, 1, 2, 3, 5}},
		{"control", `{"type":"Prepend","prepend":"▁"}`, `null`, "ab<|x|>c", []int{0, 0, 1, 2, 7, 7}},
	} {
		tok := spansFixture(t, c.normalizer, c.splitter)
		ids, starts := tok.EncodeSpans(c.text, nil)
		if !slices.Equal(starts, c.want) || len(ids) != len(starts) {
			t.Errorf("%s: %q gives %v at %v, want %v", c.name, c.text, ids, starts, c.want)
		}
	}
}

// TestByteStarts: tokens inside one character begin at their own bytes.
func TestByteStarts(t *testing.T) {
	tok := open(t, "re_cl100k_Isolated_0")
	if _, starts := tok.EncodeSpans("a😀b", nil); !slices.Equal(starts, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("byte level: %v", starts)
	}
	var tokens []string
	var types []int32
	for b := range 256 {
		tokens = append(tokens, "<0x"+string("0123456789ABCDEF"[b>>4])+string("0123456789ABCDEF"[b&15])+">")
		types = append(types, typeByte)
	}
	tokens, types = append(tokens, "▁", "a"), append(types, typeNormal, typeNormal)
	tok, err := FromVocab(Vocab{Model: "llama", Tokens: tokens, Types: types, Scores: make([]float32, len(tokens)), BOS: -1, EOS: -1, UNK: -1, PAD: -1, AddSpacePrefix: true})
	if err != nil {
		t.Fatal(err)
	}
	if ids, starts := tok.EncodeSpans("a😀 a", nil); !slices.Equal(starts, []int{0, 0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("byte fallback: %v at %v", ids, starts)
	}
}

// TestLiteral: text from a user never becomes a special token, not even in part.
func TestLiteral(t *testing.T) {
	tok := spansFixture(t, `{"type":"Lowercase"}`, `null`)
	find := func(text string, literal ...Span) (got []string) {
		ids, _ := tok.EncodeSpans(text, literal)
		for _, id := range ids {
			if s, _ := tok.Token(id); len(s) > 1 && s != "<unk>" {
				got = append(got, s)
			}
		}
		return got
	}
	for _, c := range []struct {
		text    string
		literal []Span
		want    []string
	}{
		{"a<|x|>b", nil, []string{"<|x|>"}},
		{"a<|x|>b", []Span{{1, 6}}, nil},
		{"a<|x|>b", []Span{{0, 2}}, nil},
		{"a<|x|>b", []Span{{5, 7}}, nil},
		{"a<|x|>b", []Span{{0, 1}, {6, 7}}, []string{"<|x|>"}},
		{"a<|x|>b", []Span{{3, 3}}, []string{"<|x|>"}},
		{"<|x|><|x|>", []Span{{0, 5}}, []string{"<|x|>"}},
		{"<|<|x|>", []Span{{0, 2}}, []string{"<|x|>"}},
		{"A<Y>b", nil, []string{"<y>"}},
		{"A<Y>b", []Span{{1, 2}}, nil},
		{"<z>", []Span{{0, 3}}, []string{"<z>"}}, // not special: matched everywhere, as the reference does
	} {
		if got := find(c.text, c.literal...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q literal %v: %q, want %q", c.text, c.literal, got, c.want)
		}
	}
	for _, id := range tok.Encode("a<|x|>b", Options{}) {
		if tok.IsSpecial(id) {
			t.Error("Encode without Control gives a special token")
		}
	}
}

// TestSpansAcrossBorders: a word may cross the border of a literal span.
func TestSpansAcrossBorders(t *testing.T) {
	tok := open(t, "re_cl100k_Isolated_0")
	text := "say hello world"
	want := tok.Encode(text, Options{Control: true})
	for cut := range len(text) + 1 {
		got, starts := tok.EncodeSpans(text, []Span{{cut, len(text)}})
		if !slices.Equal(got, want) || len(starts) != len(got) {
			t.Errorf("cut at %d: %v, want %v", cut, got, want)
		}
	}
}
