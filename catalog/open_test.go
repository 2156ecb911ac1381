package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hone/engine"
	"hone/engine/tokenizer"
)

// storyStart is the greedy text that the model's own page (stories260k/MODEL.md) gives.
const storyStart = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."

func TestStories260K(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	m, err := Open("stories260k", engine.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if sum, err := m.Base.SHA256(); err != nil || sum != catalogue[1].SHA256 {
		t.Errorf("base hash %s, %v", sum, err)
	}
	prompt := m.Tokenizer.Encode("", tokenizer.Options{AddSpecial: true})
	s, err := m.Base.NewStream(prompt, nil, engine.Sampling{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ids := prompt
	out := make([]engine.Token, 1)
	for len(ids) < 80 {
		if err := m.Base.Decode(t.Context(), []*engine.Stream{s}, out); err != nil {
			t.Fatal(err)
		}
		if out[0].ID >= 0 {
			ids = append(ids, out[0].ID)
		}
	}
	if text := strings.TrimSpace(m.Tokenizer.Decode(ids, true)); !strings.HasPrefix(text, storyStart) {
		t.Errorf("greedy text is\n%q\nwant it to begin with\n%q", text, storyStart)
	}
}

func TestResolve(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HONE_HOME", home)
	for name, want := range map[string]string{
		"smollm2-135m-instruct": "hone pull smollm2-135m-instruct",
		"no-such-model":         "known names: smollm2-135m-instruct, stories260k",
		"./no/such/path":        "no file or folder",
	} {
		if _, err := Resolve(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", name, err, want)
		}
	}
	path, err := Resolve("stories260k")
	if err != nil {
		t.Fatal(err)
	}
	// A local model is referred to where it lies, under a name of its own.
	copied := filepath.Join(t.TempDir(), "Tiny One.bin")
	for from, to := range map[string]string{path: copied, filepath.Join(filepath.Dir(path), "tok512.bin"): filepath.Join(filepath.Dir(copied), "tok512.bin")} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name, err := Pull(t.Context(), copied, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Resolve(name); err != nil || got != copied || name != "tiny-one" {
		t.Errorf("Resolve(%q) = %q, %v", name, got, err)
	}
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
		if i.Name == "tiny-one" && (!i.Here || i.Architecture != "llama" || i.Size < 1_000_000) {
			t.Errorf("listed as %+v", i)
		}
	}
	if got := strings.Join(names, " "); got != "smollm2-135m-instruct stories260k tiny-one" {
		t.Errorf("list: %s", got)
	}
	if _, err := Pull(t.Context(), copied, PullOptions{As: "stories260k"}); err == nil {
		t.Error("a local model took a catalogue name")
	}
	if _, err := Pull(t.Context(), copied, PullOptions{As: "../x"}); err == nil {
		t.Error("a local model took a path for a name")
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(name); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a model whose file is gone: %v", err)
	}
}

// TestResolveTogether lets many resolve the embedded model at once in an empty cache, as programs started side by
// side do: each must find it whole.
func TestResolveTogether(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 3 {
				path, err := Resolve("stories260k")
				if err != nil {
					t.Error(err)
					return
				}
				for _, name := range []string{path, filepath.Join(filepath.Dir(path), "tok512.bin")} {
					if _, err := os.Stat(name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
}
