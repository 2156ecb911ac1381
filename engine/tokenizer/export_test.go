package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hone/internal/golden"
)

// storiesVocab reads the vocabulary of the built-in story model; engine/weights is the real reader.
func storiesVocab(t testing.TB) Vocab {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "catalog", "stories260k", "tok512.bin"))
	if err != nil {
		t.Fatal(err)
	}
	v := Vocab{Model: "llama", BOS: 1, EOS: 2, UNK: 0, PAD: -1, AddBOS: true, AddSpacePrefix: true}
	for i, at := 0, 4; at < len(data); i++ {
		score := math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
		n := int(binary.LittleEndian.Uint32(data[at+4:]))
		token, kind := string(data[at+8:at+8+n]), int32(typeNormal)
		switch {
		case i == 0:
			token, kind = "<unk>", typeUnknown
		case i < 3:
			token, kind = []string{"<s>", "</s>"}[i-1], typeControl
		case i < 259:
			token, kind = fmt.Sprintf("<0x%02X>", i-3), typeByte
		}
		v.Tokens, v.Types, v.Scores = append(v.Tokens, strings.ReplaceAll(token, " ", spaceMark)), append(v.Types, kind), append(v.Scores, score)
		at += 8 + n
	}
	if len(v.Tokens) != 512 {
		t.Fatalf("%d tokens", len(v.Tokens))
	}
	return v
}

// exported returns the tokenizer of a vocabulary and that of its file.
func exported(t testing.TB, v Vocab) (own, file *Tokenizer) {
	t.Helper()
	own, err := FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := v.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if file, err = Parse("tokenizer.json", data); err != nil {
		t.Fatal(err)
	}
	return own, file
}

// difference says where two tokenizers treat a text differently, "" where nowhere.
func difference(own, file *Tokenizer, text string) string {
	for _, o := range []Options{{}, {Control: true}, {Control: true, AddSpecial: true}} {
		a, b := own.Encode(text, o), file.Encode(text, o)
		if !slices.Equal(a, b) {
			return fmt.Sprintf("%+v: ids %v, of the file %v", o, a, b)
		}
		if x, y := own.Decode(a, o.AddSpecial), file.Decode(a, o.AddSpecial); x != y {
			return fmt.Sprintf("%+v: text %q, of the file %q", o, x, y)
		}
	}
	spans := []Span{{len(text) / 3, len(text) / 2}}
	ids, starts := own.EncodeSpans(text, spans)
	if ids2, starts2 := file.EncodeSpans(text, spans); !slices.Equal(ids, ids2) || !slices.Equal(starts, starts2) {
		return fmt.Sprintf("spans: %v at %v, of the file %v at %v", ids, starts, ids2, starts2)
	}
	return ""
}

// sameTables compares tokens, special marks and bytes, id by id, and the text of random ids.
func sameTables(t *testing.T, own, file *Tokenizer) {
	t.Helper()
	if own.Size() != file.Size() {
		t.Errorf("%d ids, the file has %d", own.Size(), file.Size())
	}
	for id := range int32(own.Size()) {
		a, _ := own.Token(id)
		b, _ := file.Token(id)
		back, ok := file.ID(b)
		if a != b || !ok || back != id || own.IsSpecial(id) != file.IsSpecial(id) || string(own.Bytes(id)) != string(file.Bytes(id)) {
			t.Errorf("token %d: %q, the file has %q (id %d, special %v)", id, a, b, back, file.IsSpecial(id))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		ids := make([]int32, r.IntN(12))
		for i := range ids {
			ids[i] = r.Int32N(int32(own.Size()))
		}
		for _, skip := range []bool{false, true} {
			if a, b := own.Decode(ids, skip), file.Decode(ids, skip); a != b {
				t.Errorf("%v decode to %q, by the file to %q", ids, a, b)
			}
		}
	}
}

// goldenTexts are the strings of the reference vectors.
func goldenTexts(t testing.TB) (texts []string) {
	t.Helper()
	for _, set := range []string{"curated", "fuzz"} {
		var list []string
		readJSON(t, filepath.Join(golden.Path(t, "tokenizer"), set+".json"), &list)
		texts = append(texts, list...)
	}
	return texts
}

// TestExportGolden holds the file of the SmolLM2 GGUF's vocabulary to the reference vectors.
func TestExportGolden(t *testing.T) {
	dir := golden.Path(t, "tokenizer")
	own, file := exported(t, testModelVocab(t))
	sameTables(t, own, file)
	for _, set := range []string{"curated", "fuzz"} {
		var texts []string
		readJSON(t, filepath.Join(dir, set+".json"), &texts)
		var want []reference
		readJSON(t, filepath.Join(dir, "smollm2-gguf."+set+".rust.json"), &want)
		compare(t, file, texts, want)
		for _, text := range texts {
			if d := difference(own, file, text); d != "" {
				t.Errorf("%q: %s", text, d)
			}
		}
	}
}

// TestExportStories compares the file of a llama2.c vocabulary with the vocabulary on every string there is.
func TestExportStories(t *testing.T) {
	own, file := exported(t, storiesVocab(t))
	sameTables(t, own, file)
	for _, text := range goldenTexts(t) {
		if d := difference(own, file, text); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

// TestExportRandom compares on random text of the letters that merge.
func TestExportRandom(t *testing.T) {
	own, file := exported(t, storiesVocab(t))
	alphabet := []string{" ", "a", "e", "h", "i", "l", "m", "n", "o", "r", "s", "t", "th", "ed", "ing", ".", "\n", "é", "<s>", "▁", "<0x0A>", "<unk>"}
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		var b strings.Builder
		for range 1 + r.IntN(40) {
			b.WriteString(alphabet[min(r.IntN(len(alphabet)), r.IntN(len(alphabet)))])
		}
		if d := difference(own, file, b.String()); d != "" {
			t.Fatalf("%q: %s", b.String(), d)
		}
	}
}

// TestExportPatterns: every pre-tokenizer that a GGUF may name survives.
func TestExportPatterns(t *testing.T) {
	texts := []string{"he said 12!\n<|x|> <t>中文 don't", "I'LL  go\r\n\r\n 1234567 éàü ٣٤ Ⅷ ²", "(a|b) …x, y。\t\tfoo_bar=baz; 日本語テキスト", "x² ½ 𝟘𝟙 e\u0301 \u00a0 end ", "1\U00011DE02\U00016FF4"}
	if !testing.Short() {
		texts = append(texts, goldenTexts(t)[:254]...)
	}
	for _, pre := range preSplits {
		v := Vocab{Model: "gpt2", Pre: pre.names[0], BOS: 258, EOS: 259, UNK: -1, PAD: -1, AddBOS: true, AddEOS: true}
		for _, c := range alphabet().char {
			v.Tokens, v.Types = append(v.Tokens, string(c)), append(v.Types, typeNormal)
		}
		v.Tokens = append(v.Tokens, "12", "he", "<|x|>", "<t>", "123", "said", "Ġs", "Ġsa")
		v.Types = append(v.Types, typeNormal, typeNormal, typeControl, typeUserDefined, typeNormal, typeNormal, typeNormal, typeNormal)
		v.Merges = []string{"1 2", "h e", "12 3", "Ġ s", "Ġs a"}
		own, file := exported(t, v)
		sameTables(t, own, file)
		for _, text := range texts {
			if d := difference(own, file, text); d != "" {
				t.Errorf("%s: %q: %s", v.Pre, text, d)
			}
		}
	}
}

// TestExportLimits shows the differences that JSON's comment tells of, and no more than those.
func TestExportLimits(t *testing.T) {
	v := storyVocab(spaceMark)
	for id, token := range v.Tokens {
		if token == "he" {
			v.Scores[id] = -1 // as "ll" has
		}
	}
	v.Tokens, v.Types, v.Scores = append(v.Tokens, "el"), append(v.Types, typeNormal), append(v.Scores, -1)
	v.Tokens, v.Types, v.Scores = append(v.Tokens, "éh"), append(v.Types, typeNormal), append(v.Scores, -2)
	own, file := exported(t, v)
	if d := difference(own, file, "hello, the hot tel"); d != "" {
		t.Error(d)
	}
	if d := difference(own, file, "éh"); d == "" { // é alone is no token, éh is one
		t.Error("no difference over a character that is no token; the comment of JSON promises one")
	}
	if got := file.Decode(file.Encode("éh", Options{}), false); got != "éh" {
		t.Errorf("éh comes back as %q", got)
	}
}

func TestExportErrors(t *testing.T) {
	v := storyVocab(" ")
	v.Tokens[260] = "\xff"
	if _, err := v.JSON(); err == nil || !strings.Contains(err.Error(), "token 260") {
		t.Errorf("a token that is not UTF-8: %v", err)
	}
	v = storyVocab(" ")
	v.Scores = nil
	if _, err := v.JSON(); err == nil || !strings.Contains(err.Error(), "0 scores") {
		t.Errorf("no scores: %v", err)
	}
}

// TestExportUnused: of two tokens of one text the unused one is left out, and the rest stands.
func TestExportUnused(t *testing.T) {
	v := storyVocab(" ")
	v.Tokens, v.Types, v.Scores = append(v.Tokens, "hello"), append(v.Types, typeUnused), append(v.Scores, 0)
	own, file := exported(t, v)
	if d := difference(own, file, "hello hello </s>"); d != "" {
		t.Error(d)
	}
	if _, ok := file.Token(int32(len(v.Tokens) - 1)); ok {
		t.Error("the unused token is there")
	}
}

// FuzzExport compares a vocabulary with its file on any text.
func FuzzExport(f *testing.F) {
	for _, text := range []string{"", "Once upon a time", " the  cat\n", "<s>hello</s>", "▁▁ é 中 \x00\xff", "<0x41><unk>"} {
		f.Add(text)
	}
	own, file := exported(f, storiesVocab(f))
	f.Fuzz(func(t *testing.T, text string) {
		if d := difference(own, file, text); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	})
}
