package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hone/tune"
)

var update = flag.Bool("update", false, "write what is generated into the guides")

// TestTrainingFileGuide holds the guide's table to the settings themselves; -update rewrites it.
func TestTrainingFileGuide(t *testing.T) {
	const begin, end = "<!-- keys -->\n", "<!-- /keys -->\n"
	path := filepath.Join("..", "..", "docs", "training-file.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q … %q", path, begin, end)
	}
	want := before + begin + tune.ReferenceMarkdown() + end + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the settings say; run: go test ./cmd/hone -run Guide -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReadmeCommands holds the README's table to the commands there are.
func TestReadmeCommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commandList {
		if c.name != "help" && c.name != "version" && !strings.Contains(string(text), "| `hone "+c.name) {
			t.Errorf("the README's table has no hone %s", c.name)
		}
	}
}
