package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hone/internal/golden"
)

// reference is what the reference implementation says of one text.
type reference struct {
	IDs  []int32 `json:"ids"`  // without BOS and EOS
	IDs2 []int32 `json:"ids2"` // with them
	Dec  string  `json:"dec"`
	Decs string  `json:"decs"` // special tokens left out
}

// TestGolden holds every model that reference vectors exist for to them, id for id.
func TestGolden(t *testing.T) {
	dir := golden.Path(t, "tokenizer")
	files, err := filepath.Glob(filepath.Join(dir, "*.rust.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no reference vectors in %s (%v)", dir, err)
	}
	models := map[string]*Tokenizer{}
	for _, file := range files {
		model, set, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".rust.json"), ".")
		t.Run(model+"."+set, func(t *testing.T) {
			if models[model] == nil {
				models[model] = openModel(t, model)
			}
			var texts []string
			readJSON(t, filepath.Join(dir, set+".json"), &texts)
			var want []reference
			readJSON(t, file, &want)
			if len(texts) != len(want) {
				t.Fatalf("%d texts, %d references", len(texts), len(want))
			}
			compare(t, models[model], texts, want)
		})
	}
}

func compare(t *testing.T, tok *Tokenizer, texts []string, want []reference) {
	t.Helper()
	bad := 0
	report := func(i int, what string, got, want any) {
		if bad++; bad <= 5 {
			t.Errorf("text %d %q: %s\n got %v\nwant %v", i, texts[i], what, got, want)
		}
	}
	for i, text := range texts {
		ids, err := tok.EncodeChecked(text, Options{Control: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids, want[i].IDs) {
			report(i, "ids", ids, want[i].IDs)
		}
		if got := tok.Encode(text, Options{Control: true, AddSpecial: true}); !slices.Equal(got, want[i].IDs2) {
			report(i, "ids with BOS and EOS", got, want[i].IDs2)
		}
		if got := tok.Decode(want[i].IDs, false); got != want[i].Dec {
			report(i, "decoded", fmt.Sprintf("%q", got), fmt.Sprintf("%q", want[i].Dec))
		}
		if got := tok.Decode(want[i].IDs, true); got != want[i].Decs {
			report(i, "decoded without specials", fmt.Sprintf("%q", got), fmt.Sprintf("%q", want[i].Decs))
		}
		checkStream(t, tok, want[i].IDs)
		spanIDs, starts := tok.EncodeSpans(text, nil)
		if !slices.Equal(spanIDs, ids) {
			report(i, "EncodeSpans", spanIDs, ids)
		}
		checkStarts(t, text, starts)
	}
	if bad > 0 {
		t.Errorf("%d mismatches on %d texts", bad, len(texts))
	}
}

// checkStream compares the pieces of a stream with the whole.
func checkStream(t *testing.T, tok *Tokenizer, ids []int32) {
	t.Helper()
	for _, keep := range []bool{false, true} {
		s := tok.NewStream()
		s.KeepSpecial = keep
		var b strings.Builder
		for _, id := range ids {
			b.WriteString(s.Push(id))
		}
		b.WriteString(s.Flush())
		if want := tok.Decode(ids, !keep); b.String() != want {
			t.Errorf("stream of %v: %q, whole %q", ids, b.String(), want)
		}
	}
}

// checkStarts checks that offsets lie in the text and do not fall.
func checkStarts(t *testing.T, text string, starts []int) {
	t.Helper()
	last := 0
	for _, at := range starts {
		if at < last || at > len(text) {
			t.Errorf("%q: offsets %v fall or leave the text", text, starts)
			return
		}
		last = at
	}
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// openModel finds a model of the reference vectors, or skips.
func openModel(t testing.TB, model string) *Tokenizer {
	t.Helper()
	if model == "smollm2-gguf" {
		tok, err := FromVocab(testModelVocab(t))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	dir := os.Getenv("HONE_TOKENIZERS")
	if dir == "" {
		t.Skip("HONE_TOKENIZERS names no folder of vocabularies (testdata/fetch.sh makes one)")
	}
	switch model {
	case "gpt2":
		return openGPT2(t, dir, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":true}`)
	case "smollm":
		return openGPT2(t, dir, `{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":true}]}`)
	}
	tok, err := Load(filepath.Join(dir, model, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// openGPT2 wraps GPT-2's own files in a tokenizer.json.
func openGPT2(t testing.TB, dir, splitter string) *Tokenizer {
	t.Helper()
	vocab, err := os.ReadFile(filepath.Join(dir, "gpt2", "encoder.json"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(dir, "gpt2", "vocab.bpe"))
	if err != nil {
		t.Fatal(err)
	}
	var merges []string
	for line := range strings.Lines(string(lines)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#version") {
			merges = append(merges, line)
		}
	}
	list, err := json.Marshal(merges)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":50256,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":null,"pre_tokenizer":%s,
"post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"vocab":%s,"merges":%s}}`, splitter, vocab, list)
	tok, err := Parse("gpt2", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
