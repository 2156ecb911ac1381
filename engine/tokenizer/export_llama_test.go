package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hone/internal/golden"
)

// llama2File is what a published tokenizer.json of Llama 2 says that its vocabulary follows from.
type llama2File struct {
	Model struct {
		Vocab  map[string]int32
		Merges []string
	}
}

// llama2Vocab takes Llama 2's file back to the vocabulary that it was converted from: the pieces' scores fall by
// one from the id 259 on, but rows of marks all have the same low one.
func llama2Vocab(t *testing.T) (Vocab, []string) {
	t.Helper()
	dir := os.Getenv("HONE_TOKENIZERS")
	if dir == "" {
		t.Skip("HONE_TOKENIZERS names no folder of vocabularies (testdata/fetch.sh makes one)")
	}
	var f llama2File
	readJSON(t, filepath.Join(dir, "llama2", "tokenizer.json"), &f)
	n := len(f.Model.Vocab)
	v := Vocab{Model: "llama", BOS: 1, EOS: 2, UNK: 0, PAD: -1, AddBOS: true, AddSpacePrefix: true,
		Tokens: make([]string, n), Types: make([]int32, n), Scores: make([]float32, n)}
	for token, id := range f.Model.Vocab {
		v.Tokens[id], v.Types[id] = token, typeNormal
		switch {
		case id == 0:
			v.Types[id] = typeUnknown
		case id < 3:
			v.Types[id] = typeControl
		case id < 259:
			v.Types[id] = typeByte
		case strings.Trim(token, spaceMark) == "" && token != spaceMark:
			v.Scores[id] = -1e9
		default:
			v.Scores[id] = 259 - float32(id)
		}
	}
	return v, f.Model.Merges
}

// TestExportLlama2 compares the merges with the published ones, as a list, and the ids with the reference's.
func TestExportLlama2(t *testing.T) {
	v, want := llama2Vocab(t)
	data, err := v.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var f llama2File
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Model.Merges) != len(want) {
		t.Fatalf("%d merges, the published file has %d", len(f.Model.Merges), len(want))
	}
	if !slices.Equal(f.Model.Merges, want) {
		i := 0
		for f.Model.Merges[i] == want[i] {
			i++
		}
		t.Errorf("merge %d is %q, the published one %q", i, f.Model.Merges[i], want[i])
	}
	own, file := exported(t, v)
	sameTables(t, own, file)
	for _, text := range goldenTexts(t) {
		if d := difference(own, file, text); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	for n := range 200 { // rows of marks have one score
		for _, text := range []string{strings.Repeat(" ", n) + "x", "x\n" + strings.Repeat(" ", n)} {
			if d := difference(own, file, text); d != "" {
				t.Errorf("%d spaces: %s", n, d)
			}
		}
	}
	var texts []string
	readJSON(t, filepath.Join(golden.Path(t, "tokenizer"), "curated.json"), &texts)
	var answers []reference
	readJSON(t, filepath.Join(golden.Path(t, "tokenizer"), "llama2.curated.rust.json"), &answers)
	for i, text := range texts {
		if strings.Contains(text, "<unk>") {
			continue // special in the published file alone
		}
		if ids := file.Encode(text, Options{Control: true, AddSpecial: true}); !slices.Equal(ids, answers[i].IDs2) {
			t.Errorf("%q: ids %v, the reference has %v", text, ids, answers[i].IDs2)
		}
	}
}
