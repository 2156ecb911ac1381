package tokenizer

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPipelines holds small made-up tokenizers, between them most of the kinds there are, to the answers of the
// reference implementation (Rust tokenizers 0.22.2) in testdata/pipelines. It needs no download.
func TestPipelines(t *testing.T) {
	var texts []string
	readJSON(t, "testdata/pipelines/texts.json", &texts)
	files, err := filepath.Glob("testdata/pipelines/*.want.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pipelines (%v)", len(files), err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".want.json")
		t.Run(filepath.Base(base), func(t *testing.T) {
			tok, err := Load(base + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want []reference
			readJSON(t, file, &want)
			compare(t, tok, texts, want)
		})
	}
}

// open loads one of the made-up tokenizers.
func open(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load("testdata/pipelines/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
