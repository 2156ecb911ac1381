package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hone/internal/golden"
)

// folder writes a folder of files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my-model")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), []byte(text))
	}
	return dir
}

func encoded(t *testing.T, tensors ...Tensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSafetensors(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFolderTextFiles(t *testing.T) {
	one := encoded(t, floats("a", []int{1}, 1))
	for _, test := range []struct {
		name  string
		files map[string]string
		check func(m *Model) bool
	}{
		{"template in the config", map[string]string{"tokenizer_config.json": `{"chat_template":"x","bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false}}`},
			func(m *Model) bool { return m.ChatTemplate == "x" && m.BOSToken == "<s>" && m.EOSToken == "</s>" }},
		{"list of templates", map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]}`},
			func(m *Model) bool { return m.ChatTemplate == "d" }},
		{"jinja file wins", map[string]string{"tokenizer_config.json": `{"chat_template":"x"}`, "chat_template.jinja": "j\n"},
			func(m *Model) bool { return m.ChatTemplate == "j\n" }},
		{"nulls", map[string]string{"tokenizer_config.json": `{"chat_template":null,"bos_token":null,"eos_token":null}`},
			func(m *Model) bool { return m.ChatTemplate == "" && m.BOSToken == "" }},
		{"end ids of both", map[string]string{"config.json": `{"eos_token_id":2}`, "generation_config.json": `{"eos_token_id":[3,2]}`},
			func(m *Model) bool { return slices.Equal(m.EOS, []int32{2, 3}) }},
		{"end id null", map[string]string{"config.json": `{"eos_token_id":null}`}, func(m *Model) bool { return m.EOS == nil }},
		{"tokenizer", map[string]string{"tokenizer.json": "{}"}, func(m *Model) bool { return strings.HasSuffix(m.TokenizerPath, "tokenizer.json") }},
		{"licence", map[string]string{"README.md": "---\nlicense: apache-2.0\n---\n"}, func(m *Model) bool { return m.Licence == "apache-2.0" }},
		{"no licence", map[string]string{"README.md": "license: no front matter\n"}, func(m *Model) bool { return m.Licence == "" }},
		{"code is ignored", map[string]string{"config.json": `{"auto_map":{"AutoModel":"evil.Model"},"trust_remote_code":true}`, "evil.py": "import os"},
			func(m *Model) bool { return m.Name == "my-model" && m.Quantisation == "F32" }},
	} {
		files := map[string]string{"config.json": "{}", "model.safetensors": one}
		for k, v := range test.files {
			files[k] = v
		}
		m, err := Open(folder(t, files))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !test.check(m) {
			t.Errorf("%s: %+v", test.name, m)
		}
		m.Close()
	}
}

func TestHostileFolders(t *testing.T) {
	one := encoded(t, floats("a", []int{1}, 1))
	two := encoded(t, floats("b", []int{1}, 2))
	config := func(text string) map[string]string {
		return map[string]string{"config.json": text, "model.safetensors": one}
	}
	index := func(weightMap string) map[string]string {
		return map[string]string{"config.json": "{}", "1.safetensors": one, "2.safetensors": two, indexName: weightMap}
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", nil, "no weights"},
		{"no config", map[string]string{"model.safetensors": one}, "config.json"},
		{"config empty", config(""), "not JSON"},
		{"config a list", config("[]"), "config.json"},
		{"config null", config("null"), "not a JSON object"},
		{"config cut off", config(`{"hidden_size":`), "byte"},
		{"10^9 layers", config(`{"num_hidden_layers":1000000000}`), "num_hidden_layers"},
		{"10^9 layers inside", config(`{"text_config":{"num_hidden_layers":1000000000}}`), "text_config.num_hidden_layers"},
		{"negative size", config(`{"hidden_size":-1}`), "hidden_size"},
		{"size a string", config(`{"hidden_size":"64"}`), "hidden_size"},
		{"NaN epsilon", config(`{"rms_norm_eps":NaN}`), "not JSON"},
		{"infinite theta", config(`{"rope_theta":1e400}`), "rope_theta"},
		{"negative epsilon", config(`{"rms_norm_eps":-1e-5}`), "rms_norm_eps"},
		{"nested deep", config(`{"a":` + strings.Repeat("[", 100_000)), "not JSON"},
		{"end id a string", config(`{"eos_token_id":"</s>"}`), "token id"},
		{"quantised elsewhere", config(`{"quantization_config":{"quant_method":"gptq"}}`), `"gptq"`},
		{"broken tokenizer config", map[string]string{"config.json": "{}", "model.safetensors": one, "tokenizer_config.json": `{"chat_template":7}`}, "tokenizer_config.json"},
		{"pickled weights", map[string]string{"config.json": "{}", "pytorch_model.bin": "PK\x03\x04"}, "pickle"},
		{"zip under another name", map[string]string{"config.json": "{}", "model.safetensors": "PK\x03\x04aaaaaaaa"}, "pickle"},
		{"two weight files", map[string]string{"config.json": "{}", "a.safetensors": one, "b.safetensors": one}, "2 .safetensors files"},
		{"index empty", index(`{}`), "weight_map"},
		{"index with a way out", index(`{"weight_map":{"a":"../1.safetensors"}}`), "not the name"},
		{"index with a way out on Windows", index(`{"weight_map":{"a":"..\\1.safetensors"}}`), "not the name"},
		{"index absolute", index(`{"weight_map":{"a":"/etc/passwd"}}`), "not the name"},
		{"index names a pickle", index(`{"weight_map":{"a":"1.bin"}}`), "not the name"},
		{"index of numbers", index(`{"weight_map":{"a":1}}`), "weight_map"},
		{"tensor of the index missing", index(`{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`), `"c"`},
		{"same tensor in two shards", map[string]string{"config.json": "{}", "1.safetensors": one, "2.safetensors": one,
			indexName: `{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`}, "another shard"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(folder(t, test.files))
			wantTyped(t, err, test.want)
		})
	}
}

func TestShards(t *testing.T) {
	dir := folder(t, map[string]string{"config.json": "{}", "1.safetensors": encoded(t, floats("a", []int{1}, 1)), "2.safetensors": encoded(t, floats("b", []int{1}, 2)),
		indexName: `{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`})
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if AsF32(m.Tensors["a"])[0] != 1 || AsF32(m.Tensors["b"])[0] != 2 {
		t.Error("the shards' tensors are mixed up")
	}
	h, err := m.SHA256()
	if err != nil || len(h) != 64 {
		t.Errorf("hash %q, %v", h, err)
	}
	if err := m.Close(); err != nil || m.Close() != nil {
		t.Error("closing fails")
	}
}

func TestIndexBesideSingleFileMeansNothing(t *testing.T) {
	m, err := Open(folder(t, map[string]string{"config.json": "{}", "model.safetensors": encoded(t, floats("a", []int{1}, 1)), indexName: `{"weight_map":{"z":"9.safetensors"}}`}))
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.gguf": "GGUX", "a.txt": "hello", "a.pt": "\x80\x02}q\x00.", "a.bin": "PK\x03\x04", "empty.gguf": "", "a.pkl": "(lp0\n."} {
		path := filepath.Join(dir, name)
		write(t, path, []byte(text))
		_, err := Open(path)
		wantTyped(t, err, name)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestInspect(t *testing.T) {
	info, err := Inspect(golden.Path(t, "arch/llama"))
	if err != nil || info.Architecture != "llama" || info.Format != "safetensors" || info.Quantisation != "F32" || info.Bytes != 4*info.Parameters || info.Parameters < 10_000 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := Inspect(t.TempDir()); err == nil {
		t.Error("an empty folder is a model")
	}
	path := filepath.Join(t.TempDir(), "a.gguf")
	write(t, path, tinyGGUF("llama").bytes())
	if info, err := Inspect(path); err != nil || info.Format != "gguf" || info.Licence != "mit" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestOpenGoldenFolders(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Path(t, "arch"), "*", "config.json"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no golden models: %v", err)
	}
	for _, c := range dirs {
		dir := filepath.Dir(c)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Format != "safetensors" || m.Quantisation != "F32" || len(m.Tensors) < 10 || len(m.Config) == 0 {
				t.Errorf("format %q, quantisation %q, %d tensors", m.Format, m.Quantisation, len(m.Tensors))
			}
			for name, x := range m.Tensors {
				if name != x.Name || len(AsF32(x)) == 0 {
					t.Errorf("tensor %q is called %q", name, x.Name)
				}
			}
		})
	}
}

// testModel finds the real GGUF that some tests read.
func testModel(t testing.TB) string {
	t.Helper()
	p := os.Getenv("HONE_TEST_MODEL")
	if p == "" {
		t.Skip("set HONE_TEST_MODEL to a SmolLM2-135M-Instruct.Q4_1.gguf to run this test")
	}
	return p
}

func TestOpenSmolLM2(t *testing.T) {
	path := testModel(t)
	best := time.Hour
	var m *Model
	for range 5 {
		start := time.Now()
		var err error
		if m, err = Open(path); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
		defer m.Close()
	}
	if best > 100*time.Millisecond && !testing.Short() { // the race detector, which runs short tests, is much slower
		t.Errorf("opening takes %v", best)
	}
	if len(m.Tensors) != 272 || m.Licence != "apache-2.0" || m.Quantisation != "Q4_1" || !slices.Equal(m.EOS, []int32{2}) || m.EOSToken != "<|im_end|>" ||
		len(m.Vocab.Tokens) != 49152 || len(m.Vocab.Merges) != 48900 || m.Vocab.Pre != "smollm" || m.Vocab.AddBOS || m.Vocab.AddSpacePrefix || m.ChatTemplate == "" {
		t.Errorf("%d tensors, licence %q, %s, end %v %q", len(m.Tensors), m.Licence, m.Quantisation, m.EOS, m.EOSToken)
	}
	var c map[string]any
	if err := json.Unmarshal(m.Config, &c); err != nil || c["rms_norm_eps"] != 1e-5 || c["rope_theta"] != 100000.0 || c["head_dim"] != 64.0 {
		t.Errorf("config %s", m.Config)
	}
}

// The embedding of the reference run is a look-up in the Q8_0 table, so it must come out bit for bit.
func TestSmolLM2Embedding(t *testing.T) {
	m, err := Open(testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ref, _, closer, err := ReadSafetensors(golden.Path(t, "smollm2/hidden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	const hidden = 576
	embed := m.Tensors["model.embed_tokens.weight"]
	size := len(embed.Data) / embed.Shape[0]
	want := AsF32(ref["hidden.0"])
	for i, id := range AsF32(ref["input_ids"]) {
		at := int(id) * size
		got := AsF32(Tensor{DType: embed.DType, Shape: []int{1, hidden}, Data: embed.Data[at : at+size]})
		if !slices.Equal(got, want[i*hidden:(i+1)*hidden]) {
			t.Errorf("the embedding of token %v differs", id)
		}
	}
}
