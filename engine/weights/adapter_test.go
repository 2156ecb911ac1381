package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hone/engine/tensor"
	"hone/internal/golden"
)

func goldenAdapters(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"arch/*/adapter_*", "peft/*/adapter_*", "smollm2/adapter_*"} {
		found, err := filepath.Glob(filepath.Join(golden.Path(t, "."), pattern))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	return out
}

// Adapters that PEFT wrote come back from ReadAdapter and WriteAdapter with the same bytes, configuration
// included; those of kinds hone lacks are refused by name.
func TestGoldenAdapters(t *testing.T) {
	refused := map[string]string{"dora": "DoRA", "lora-modules-to-save": "modules_to_save", "ia3": "IA3", "lokr": "LOKR", "lokr-both": "LOKR", "loha": "LOHA", "vera": "VERA"}
	dirs := goldenAdapters(t)
	read := 0
	for _, dir := range dirs {
		name := filepath.Base(filepath.Dir(dir))
		t.Run(name+"/"+filepath.Base(dir), func(t *testing.T) {
			a, err := ReadAdapter(dir)
			if want, ok := refused[name]; ok {
				var u *UnsupportedError
				if !errors.As(err, &u) || !strings.Contains(err.Error(), want) {
					t.Fatalf("error %v, want it to name %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			read++
			var list []Tensor
			for _, x := range a.Tensors {
				list = append(list, x)
			}
			out := filepath.Join(t.TempDir(), "adapter")
			if err := WriteAdapter(out, a.Config, list, Facts{BaseSHA256: "ab"}); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{adapterConfigName, adapterModelName} {
				want, _ := os.ReadFile(filepath.Join(dir, file))
				got, _ := os.ReadFile(filepath.Join(out, file))
				if !bytes.Equal(got, want) {
					t.Errorf("%s differs after a round trip:\n%.3000s\nwant\n%.3000s", file, got, want)
				}
			}
			b, err := ReadAdapter(out)
			if err != nil || len(b.Pairs) != len(a.Pairs) || b.Facts == nil || b.Facts.BaseSHA256 != "ab" {
				t.Errorf("read again: %v, %+v", err, b)
			}
		})
	}
	if read == 0 {
		t.Errorf("read only %d of %d golden adapters", read, len(dirs))
	}
}

// A configuration that hone makes itself has every field that PEFT writes, with the same values.
func TestFreshConfigIsPEFTs(t *testing.T) {
	want, err := os.ReadFile(golden.Path(t, "peft/rslora-patterns/adapter_init/adapter_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := AdapterConfig{PeftType: "LORA", R: 4, Alpha: 8, Bias: "none", UseRSLora: true, TaskType: "CAUSAL_LM",
		TargetModules: []string{"v_proj", "down_proj", "q_proj"}, RankPattern: map[string]int{"q_proj": 2, "down_proj": 6},
		AlphaPattern: map[string]float64{"v_proj": 4}}.encode()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestGoldenPatterns(t *testing.T) {
	a, err := ReadAdapter(golden.Path(t, "peft/rslora-patterns/adapter_init"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]float64{"q_proj": {2, 8 / math.Sqrt(2)}, "v_proj": {4, 4.0 / 2}, "down_proj": {6, 8 / math.Sqrt(6)}}
	for _, p := range a.Pairs {
		w := want[p.Module[strings.LastIndex(p.Module, ".")+1:]]
		if float64(p.R) != w[0] || p.Scale != w[1] {
			t.Errorf("%s: rank %d, scale %v; want %v", p.Module, p.R, p.Scale, w)
		}
	}
}

// testAdapter is a small valid adapter of one module.
func testAdapter() (AdapterConfig, []Tensor) {
	c := AdapterConfig{PeftType: "LORA", R: 2, Alpha: 4, Bias: "none", TargetModules: []string{"q_proj"}}
	m := "model.layers.0.self_attn.q_proj"
	return c, []Tensor{floats(AdapterTensorName(m, "A"), []int{2, 3}, 1, 2, 3, 4, 5, 6), floats(AdapterTensorName(m, "B"), []int{2, 2}, 0, 0, 0, 0)}
}

func floats(name string, shape []int, v ...float32) Tensor {
	var b []byte
	for _, f := range v {
		u := math.Float32bits(f)
		b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	return Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: b}
}

// writeRaw writes an adapter folder without any check.
func writeRaw(t *testing.T, config map[string]any, tensors []Tensor) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, adapterConfigName), text)
	write(t, filepath.Join(dir, adapterModelName), b.Bytes())
	return dir
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHostileAdapters(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	const module = "model.layers.0.self_attn.q_proj"
	nameA, nameB := AdapterTensorName(module, "A"), AdapterTensorName(module, "B")
	for _, test := range []struct {
		name    string
		config  map[string]any // merged over the valid one; nil value: the key goes
		tensors func([]Tensor) []Tensor
		want    string
	}{
		{"rank zero", map[string]any{"r": 0}, nil, "field r"},
		{"rank negative", map[string]any{"r": -1}, nil, "field r"},
		{"rank 4096", map[string]any{"r": 4096}, nil, "field r"},
		{"rank of the wrong type", map[string]any{"r": "8"}, nil, "field r"},
		{"rank not whole", map[string]any{"r": 1.5}, nil, "field r"},
		{"rank other than the tensors'", map[string]any{"r": 3}, nil, "rank of the module is 3"},
		{"per-module rank zero", map[string]any{"rank_pattern": map[string]int{"q_proj": 0}}, nil, "rank_pattern"},
		{"per-module rank other than the tensors'", map[string]any{"rank_pattern": map[string]int{"q_proj": 3}}, nil, "rank of the module is 3"},
		{"alpha beyond float64", map[string]any{"lora_alpha": json.Number("1e999")}, nil, "lora_alpha"},
		{"alpha zero", map[string]any{"lora_alpha": 0}, nil, "lora_alpha"},
		{"dropout one", map[string]any{"lora_dropout": 1}, nil, "lora_dropout"},
		{"dora", map[string]any{"use_dora": true}, nil, "DoRA"},
		{"modules to save", map[string]any{"modules_to_save": []string{"lm_head"}}, nil, "modules_to_save"},
		{"bias", map[string]any{"bias": "all"}, nil, "field bias"},
		{"lora bias", map[string]any{"lora_bias": true}, nil, "lora_bias"},
		{"other kind", map[string]any{"peft_type": "PREFIX_TUNING"}, nil, `"PREFIX_TUNING"`},
		{"no kind", map[string]any{"peft_type": nil}, nil, "peft_type"},
		{"replicated layers", map[string]any{"layer_replication": [][]int{{0, 1}}}, nil, "layer_replication"},
		{"token indices", map[string]any{"trainable_token_indices": []int{1}}, nil, "trainable_token_indices"},
		{"pissa", map[string]any{"init_lora_weights": "pissa_niter_4"}, nil, "pissa"},
		{"no targets", map[string]any{"target_modules": []string{}}, nil, "target_modules"},
		{"bad target pattern", map[string]any{"target_modules": "("}, nil, "target_modules"},
		{"targets of the wrong type", map[string]any{"target_modules": 7}, nil, "target_modules"},
		{"other targets", map[string]any{"target_modules": []string{"k_proj"}}, nil, "do not select"},
		{"negative layer", map[string]any{"layers_to_transform": -1}, nil, "layers_to_transform"},
		{"catastrophic pattern", map[string]any{"target_modules": `(?!y)(m|[a-z0-9_.]+)+(\1x)+!`}, nil, "pattern"},
		{"no A", nil, func(l []Tensor) []Tensor { return l[1:] }, "lora_A.weight is missing"},
		{"no B", nil, func(l []Tensor) []Tensor { return l[:1] }, "lora_B.weight is missing"},
		{"no tensors", nil, func(l []Tensor) []Tensor { return nil }, "no LoRA tensors"},
		{"NaN", nil, func(l []Tensor) []Tensor { return []Tensor{floats(nameA, []int{2, 1}, 1, nan), l[1]} }, "element 1 is NaN"},
		{"infinity", nil, func(l []Tensor) []Tensor { return []Tensor{floats(nameA, []int{2, 1}, inf, 1), l[1]} }, "element 0 is +Inf"},
		{"vector", nil, func(l []Tensor) []Tensor { return []Tensor{floats(nameA, []int{2}, 1, 1), l[1]} }, "want a matrix"},
		{"integers", nil, func(l []Tensor) []Tensor {
			return []Tensor{{Name: nameA, DType: tensor.I32, Shape: []int{2, 1}, Data: make([]byte, 8)}, l[1]}
		}, "element type I32"},
		{"B turned round", nil, func(l []Tensor) []Tensor { return []Tensor{l[0], floats(nameB, []int{1, 3}, 1, 1, 1)} }, "rank of the module is 2"},
		{"foreign tensor", nil, func(l []Tensor) []Tensor { return append(l, floats("x.weight", []int{1}, 1)) }, `"x.weight"`},
		{"magnitude", nil, func(l []Tensor) []Tensor {
			return append(l, floats(adapterPrefix+module+".lora_magnitude_vector.weight", []int{1}, 1))
		}, "DoRA"},
		{"embedding", nil, func(l []Tensor) []Tensor {
			return append(l, floats(adapterPrefix+"model.embed_tokens.lora_embedding_A", []int{1}, 1))
		}, "embedding"},
		{"saved module", nil, func(l []Tensor) []Tensor { return append(l, floats(adapterPrefix+"lm_head.weight", []int{1, 1}, 1)) }, "output head"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, tensors := testAdapter()
			config := map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": []string{"q_proj"}}
			for k, v := range test.config {
				config[k] = v
			}
			if test.tensors != nil {
				tensors = test.tensors(tensors)
			}
			_, err := ReadAdapter(writeRaw(t, config, tensors))
			wantTyped(t, err, test.want)
		})
	}
	t.Run("valid", func(t *testing.T) {
		_, tensors := testAdapter()
		if _, err := ReadAdapter(writeRaw(t, map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": []string{"q_proj"}}, tensors)); err != nil {
			t.Error(err)
		}
	})
}

// wantTyped checks that an error is one of the package's own kinds and says what is wrong.
func wantTyped(t *testing.T, err error, want string) {
	t.Helper()
	var f *FormatError
	var u *UnsupportedError
	var p *PickleError
	switch {
	case err == nil:
		t.Fatalf("accepted; want an error with %q", want)
	case !errors.As(err, &f) && !errors.As(err, &u) && !errors.As(err, &p):
		t.Errorf("error %v (%T) is not typed", err, err)
	case !strings.Contains(err.Error(), want):
		t.Errorf("error %q does not have %q", err, want)
	}
}

func TestHostileAdapterFolders(t *testing.T) {
	valid := func(t *testing.T) string {
		c, tensors := testAdapter()
		dir := filepath.Join(t.TempDir(), "a")
		if err := WriteAdapter(dir, c, tensors, Facts{}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	change := func(t *testing.T, dir, name string, f func([]byte) []byte) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), f(data))
	}
	for _, test := range []struct {
		name, want string
		change     func(t *testing.T, dir string)
	}{
		{"bit flip", "adapter_model.safetensors", func(t *testing.T, dir string) {
			change(t, dir, adapterModelName, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}},
		{"cut off", "adapter_model.safetensors", func(t *testing.T, dir string) {
			change(t, dir, adapterModelName, func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{"file gone", "missing", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, adapterModelName)) }},
		{"manifest names a way out", "plain file name", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, manifestName), []byte(`{"version":1,"files":{"../x":{}}}`))
		}},
		{"manifest of the future", "version 9", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, manifestName), []byte(`{"version":9}`))
		}},
		{"manifest empty", "lists no files", func(t *testing.T, dir string) { write(t, filepath.Join(dir, manifestName), []byte(`{}`)) }},
		{"config gone", adapterConfigName, func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			os.Remove(filepath.Join(dir, adapterConfigName))
		}},
		{"pickled weights", "pickle", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			os.Remove(filepath.Join(dir, adapterModelName))
			write(t, filepath.Join(dir, "adapter_model.bin"), []byte("PK\x03\x04"))
		}},
		{"pickle by content", "pickle", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, adapterModelName), []byte("\x80\x02}q\x00."))
		}},
		{"config with NaN", "not JSON", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, adapterConfigName), []byte(`{"lora_alpha": NaN}`))
		}},
		{"config with Infinity", "not JSON", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, adapterConfigName), []byte(`{"lora_alpha": Infinity}`))
		}},
		{"config null", "not a JSON object", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, adapterConfigName), []byte(`null`))
		}},
		{"facts without a version", "version", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, factsName), []byte(`{}`))
		}},
		{"facts of the future", "version 7", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, manifestName))
			write(t, filepath.Join(dir, factsName), []byte(`{"version":7}`))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := valid(t)
			test.change(t, dir)
			_, err := ReadAdapter(dir)
			wantTyped(t, err, test.want)
		})
	}
}

func TestWriteAdapterRefuses(t *testing.T) {
	c, tensors := testAdapter()
	dir := filepath.Join(t.TempDir(), "a")
	for name, f := range map[string]func() error{
		"wrong rank": func() error { c := c; c.R = 3; return WriteAdapter(dir, c, tensors, Facts{}) },
		"half":       func() error { return WriteAdapter(dir, c, tensors[:1], Facts{}) },
		"NaN": func() error {
			bad := floats(tensors[0].Name, []int{2, 1}, float32(math.NaN()), 0)
			return WriteAdapter(dir, c, []Tensor{bad, tensors[1]}, Facts{})
		},
	} {
		if f() == nil {
			t.Errorf("%s is written", name)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(dir)); len(entries) != 0 {
		t.Errorf("a refused adapter leaves %v", entries)
	}
}

func TestCheckBase(t *testing.T) {
	var none *Facts
	if none.CheckBase("a") != nil || (&Facts{}).CheckBase("a") != nil || (&Facts{BaseSHA256: "a"}).CheckBase("a") != nil {
		t.Error("a base that fits is refused")
	}
	var mismatch *BaseMismatchError
	if err := (&Facts{BaseSHA256: "a"}).CheckBase("b"); !errors.As(err, &mismatch) {
		t.Errorf("another base gives %v", err)
	}
}
