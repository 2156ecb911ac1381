package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// storyVocab is a vocabulary as llama2.c writes it: plain spaces, byte tokens, scores.
func storyVocab(space string) Vocab {
	v := Vocab{Model: "llama", BOS: 1, EOS: 2, UNK: 0, PAD: -1, AddBOS: true, AddSpacePrefix: true}
	add := func(token string, kind int32, score float32) {
		v.Tokens, v.Types, v.Scores = append(v.Tokens, token), append(v.Types, kind), append(v.Scores, score)
	}
	add("<unk>", typeUnknown, 0)
	add("\n<s>\n", typeControl, 0)
	add("\n</s>\n", typeControl, 0)
	for b := range 256 {
		add("<0x"+string("0123456789ABCDEF"[b>>4])+string("0123456789ABCDEF"[b&15])+">", typeByte, 0)
	}
	for i, s := range []string{"he", "ll", space + "t", "hell", "hello", space + "hello"} {
		add(s, typeNormal, -float32(i))
	}
	for _, c := range []string{space, "h", "e", "l", "o", "t"} {
		add(c, typeNormal, -100)
	}
	return v
}

func TestLlamaVocab(t *testing.T) {
	for _, space := range []string{" ", "▁"} {
		tok, err := FromVocab(storyVocab(space))
		if err != nil {
			t.Fatal(err)
		}
		name := func(ids []int32) (out []string) {
			for _, id := range ids {
				s, _ := tok.Token(id)
				out = append(out, s)
			}
			return out
		}
		for _, c := range []struct {
			text string
			want []string
		}{
			{"hello", []string{"▁hello"}},
			{"hello hello", []string{"▁hello", "▁hello"}},
			{" t", []string{"▁", "▁t"}},
			{"hé", []string{"▁", "h", "<0xC3>", "<0xA9>"}},
			{"", nil},
			{"\n</s>\nhello", []string{"\n</s>\n", "▁hello"}},
		} {
			ids := tok.Encode(c.text, Options{Control: true})
			if got := name(ids); !slices.Equal(got, c.want) {
				t.Errorf("space %q: %q gives %q, want %q", space, c.text, got, c.want)
			}
			if got := tok.Decode(ids, true); got != strings.TrimPrefix(c.text, "\n</s>\n") {
				t.Errorf("space %q: %q decodes to %q", space, c.text, got)
			}
			checkStream(t, tok, ids)
		}
		if ids := tok.Encode("hello", Options{AddSpecial: true}); ids[0] != 1 || len(ids) != 2 {
			t.Errorf("with BOS: %v", ids)
		}
		if !tok.IsSpecial(1) || tok.IsSpecial(3) {
			t.Error("control tokens are special, byte tokens are not")
		}
		if got := string(tok.Bytes(tok.Encode("hello", Options{})[0])); got != " hello" {
			t.Errorf("bytes %q", got)
		}
		if got := string(tok.Bytes(3 + 0xC3)); got != "\xC3" {
			t.Errorf("bytes of a byte token %q", got)
		}
	}
}

func TestGPT2Vocab(t *testing.T) {
	v := Vocab{Model: "gpt2", Pre: "smollm", BOS: -1, EOS: -1, UNK: -1, PAD: -1}
	for _, c := range alphabet().char {
		v.Tokens, v.Types = append(v.Tokens, string(c)), append(v.Types, typeNormal)
	}
	v.Tokens = append(v.Tokens, "12", "he", "<|x|>", "<t>")
	v.Types = append(v.Types, typeNormal, typeNormal, typeControl, typeUserDefined)
	v.Merges = []string{"1 2", "h e"}
	for _, pre := range preSplits {
		for _, name := range pre.names {
			w := v
			w.Pre = name
			tok, err := FromVocab(w)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text := "he said 12!\n<|x|> <t>中文 don't"
			ids := tok.Encode(text, Options{Control: true})
			if got := tok.Decode(ids, false); got != text {
				t.Errorf("%s: %q comes back as %q", name, text, got)
			}
			if !slices.Contains(ids, 258) || !slices.Contains(ids, 259) || slices.Contains(tok.Encode(text, Options{}), 258) {
				t.Errorf("%s: control tokens in %v", name, ids)
			}
			digits := tok.Encode("12", Options{})
			if split := len(digits) == 2; split != (slices.Contains(pre.patterns, `\p{N}`) || slices.ContainsFunc(pre.patterns, func(p string) bool {
				return strings.Contains(p, `|\p{N}|`) || strings.Contains(p, `\p{N}{1}|`)
			})) {
				t.Errorf("%s: 12 gives %v", name, digits)
			}
		}
	}
	v.Pre = "mystery"
	if _, err := FromVocab(v); err == nil || !strings.Contains(err.Error(), `"mystery" is not supported; supported are`) || !strings.Contains(err.Error(), "llama-bpe") {
		t.Errorf("unknown pre: %v", err)
	}
}

func TestVocabErrors(t *testing.T) {
	good := func() Vocab { return storyVocab(" ") }
	for name, c := range map[string]struct {
		change func(v *Vocab)
		want   string
	}{
		"model":      {func(v *Vocab) { v.Model = "bert" }, `model "bert" is not supported`},
		"no tokens":  {func(v *Vocab) { v.Tokens = nil }, "no tokens"},
		"types":      {func(v *Vocab) { v.Types = v.Types[1:] }, "token types"},
		"scores":     {func(v *Vocab) { v.Scores = nil }, "0 scores"},
		"bos":        {func(v *Vocab) { v.BOS = 1 << 20 }, "BOS"},
		"eos":        {func(v *Vocab) { v.EOS = -7 }, "EOS"},
		"nan":        {func(v *Vocab) { v.Scores[5] -= v.Scores[5]; v.Scores[5] /= v.Scores[5] }, "not a number"},
		"duplicates": {func(v *Vocab) { v.Tokens[270] = "h" }, `are both "h"`},
		"merge":      {func(v *Vocab) { v.Model, v.Merges = "gpt2", []string{"x y"} }, "merge 0"},
		"bad merge":  {func(v *Vocab) { v.Model, v.Merges = "gpt2", []string{"xy"} }, "not two tokens"},
	} {
		v := good()
		c.change(&v)
		if _, err := FromVocab(v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestHash: the hash follows every part of the definition.
func TestHash(t *testing.T) {
	hash := func(v Vocab) string {
		tok, err := FromVocab(v)
		if err != nil {
			t.Fatal(err)
		}
		return tok.Hash()
	}
	a, b := storyVocab(" "), storyVocab(" ")
	if hash(a) != hash(b) || len(hash(a)) != 64 {
		t.Error("equal vocabularies differ")
	}
	b.AddBOS = false
	if hash(a) == hash(b) {
		t.Error("AddBOS does not count")
	}
	if open(t, "wp_bert").Hash() == open(t, "torture_n1").Hash() {
		t.Error("two files of one hash")
	}
}
