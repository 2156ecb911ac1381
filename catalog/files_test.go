package catalog

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hone/engine"
	"hone/engine/tokenizer"
	"hone/internal/golden"
)

// writeFolder puts files beside the small reference model, whose own weights do not matter to text.
func writeFolder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(golden.Path(t, "arch/llama/"+name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFilesOfOneFile: the files made from a GGUF say of text what the GGUF says.
func TestFilesOfOneFile(t *testing.T) {
	path := os.Getenv("HONE_TEST_MODEL")
	if path == "" {
		t.Skip("HONE_TEST_MODEL names no .gguf file")
	}
	m, err := Open(path, engine.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	files, err := m.Files()
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
		t.Errorf("files %v", got)
	}
	back, err := OpenText(writeFolder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if back.Template == nil || back.Template.Source() != m.Template.Source() || back.weights.BOSToken != m.Weights.BOSToken || back.weights.EOSToken != m.Weights.EOSToken {
		t.Errorf("template %v, BOS %q, EOS %q", back.Template, back.weights.BOSToken, back.weights.EOSToken)
	}
	for _, id := range m.EOS {
		if !slices.Contains(back.EOS, id) {
			t.Errorf("stops %v, the base has %v", back.EOS, m.EOS)
		}
	}
	const text = "<|im_start|>user\nIt's 12 o'clock, né?<|im_end|>\n"
	o := tokenizer.Options{Control: true, AddSpecial: true}
	if a, b := m.Tokenizer.Encode(text, o), back.Tokenizer.Encode(text, o); !slices.Equal(a, b) {
		t.Errorf("ids %v, the base has %v", b, a)
	}
	var c map[string]any
	if err := json.Unmarshal(files["tokenizer_config.json"], &c); err != nil || c["tokenizer_class"] != "PreTrainedTokenizerFast" || c["model_max_length"] != 8192.0 {
		t.Errorf("tokenizer_config.json: %v, %v", c, err)
	}
	m.EOS = []int32{2, 0}
	if files, err = m.Files(); err != nil || !bytes.Contains(bytes.Join(bytes.Fields(files["generation_config.json"]), nil), []byte(`"eos_token_id":[2,0]`)) {
		t.Errorf("generation_config.json: %s, %v", files["generation_config.json"], err)
	}
}

// TestFilesOfFolder: the files beside a base's weights are copied as they are, and no others.
func TestFilesOfFolder(t *testing.T) {
	story := map[string][]byte{"tokenizer.json": []byte(`{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}`),
		"generation_config.json": []byte(`{"eos_token_id": [3, 4]}`), "chat_template.jinja": []byte("{{ messages[0].content }}"), "other.json": []byte("{}")}
	dir := writeFolder(t, maps.Clone(story))
	for _, name := range []string{dir, filepath.Join(dir, "model.safetensors")} {
		m, err := Open(name, engine.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		files, err := m.Files()
		if err != nil || len(files) != 3 {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
		for file, data := range files {
			if !bytes.Equal(data, story[file]) {
				t.Errorf("%s: %s", file, data)
			}
		}
	}
	if files, err := (&Model{}).Files(); files != nil || err != nil {
		t.Errorf("a model without weights: %v, %v", files, err)
	}
}
