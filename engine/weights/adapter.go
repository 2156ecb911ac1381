package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"hone/engine/tensor"
)

const (
	adapterConfigName = "adapter_config.json"
	adapterModelName  = "adapter_model.safetensors"
	factsName         = "hone.json"
	adapterPrefix     = "base_model.model."
	maxAdapter        = 16 << 30
)

// factsVersion is the version of hone.json that this package writes, and the newest it reads.
const factsVersion = 1

// Facts is hone.json, what hone knows about an adapter and PEFT has no field for. Empty strings mean unknown.
type Facts struct {
	Version       int             `json:"version"`
	BaseSHA256    string          `json:"base_sha256"`      // Model.SHA256 of the base
	TemplateHash  string          `json:"template_sha256"`  // of the chat template's source
	TokenizerHash string          `json:"tokenizer_sha256"` // of the tokenizer's definition
	LossMask      string          `json:"loss_mask"`        // the rule that said which tokens were trained
	DataHash      string          `json:"data_sha256"`      // of the training data
	Config        json.RawMessage `json:"config,omitempty"` // the resolved training configuration
}

// BaseMismatchError says that an adapter was trained on other base weights than those it meets.
type BaseMismatchError struct{ Trained, Given string }

func (e *BaseMismatchError) Error() string {
	return fmt.Sprintf("the adapter was trained on base weights with SHA-256 %s, these have %s; give the base it was trained on", e.Trained, e.Given)
}

// CheckBase returns a *BaseMismatchError if the facts name other base weights than sha256. Nil facts, of an
// adapter from elsewhere, and facts without a base pass.
func (f *Facts) CheckBase(sha256 string) error {
	if f == nil || f.BaseSHA256 == "" || f.BaseSHA256 == sha256 {
		return nil
	}
	return &BaseMismatchError{Trained: f.BaseSHA256, Given: sha256}
}

// Pair is the adapter of one module: its output is W·x + Scale·B·(A·x).
type Pair struct {
	Module string // as in the base model, such as model.layers.0.self_attn.q_proj
	R      int
	Alpha  float64
	Scale  float64
	A      Tensor // (R, in)
	B      Tensor // (out, R)
}

// AdapterFiles is a PEFT adapter folder in memory.
type AdapterFiles struct {
	Dir     string
	Config  AdapterConfig
	Tensors map[string]Tensor // under the names in the file; heap, so there is nothing to close
	Pairs   []Pair            // sorted by module

	// BaseLayers holds, by module, the base weights that PEFT stores beside an adapter on the output head. Whoever
	// binds the adapter must check that they equal the base's.
	BaseLayers map[string]Tensor

	Facts *Facts // nil if the folder has no hone.json
}

// ReadAdapter reads and checks a PEFT LoRA folder: adapter_config.json, adapter_model.safetensors, and hone.json
// and manifest.json where hone wrote them. Every tensor must be finite, belong to a pair of the rank that the
// configuration gives its module, and be F32, F16 or BF16.
func ReadAdapter(dir string) (*AdapterFiles, error) {
	if err := VerifyFolder(dir); err != nil && !errors.Is(err, ErrNoManifest) {
		return nil, fmt.Errorf("load adapter: %w", err)
	}
	a := &AdapterFiles{Dir: dir}
	path := filepath.Join(dir, adapterConfigName)
	data, err := readCapped(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FormatError{Path: path, Problem: "missing", Fix: "a PEFT adapter folder has adapter_config.json and adapter_model.safetensors"}
	}
	if err != nil {
		return nil, fmt.Errorf("load adapter: %w", err)
	}
	if a.Config, err = parseAdapterConfig(path, data); err != nil {
		return nil, err
	}
	path = filepath.Join(dir, adapterModelName)
	data, err = readCapped(path, maxAdapter)
	if errors.Is(err, fs.ErrNotExist) {
		if bin := filepath.Join(dir, "adapter_model.bin"); exists(bin) {
			return nil, &PickleError{Path: bin}
		}
		return nil, &FormatError{Path: path, Problem: "missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("load adapter: %w", err)
	}
	if err := a.bind(path, data); err != nil {
		return nil, err
	}
	a.Facts, err = readFacts(filepath.Join(dir, factsName))
	return a, err
}

// bind reads the tensors in data and sorts them into pairs.
func (a *AdapterFiles) bind(path string, data []byte) error {
	f, err := parseSafetensors(path, data)
	if err != nil {
		return err
	}
	if err := f.refuseUnusable(path); err != nil {
		return err
	}
	a.Tensors = f.tensors
	a.Pairs, a.BaseLayers, err = pairTensors(path, a.Config, f.tensors)
	return err
}

func readFacts(path string) (*Facts, error) {
	var f Facts
	err := readJSON(path, &f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case f.Version < 1:
		return nil, malformed(path, "field version", "missing or %d", f.Version)
	case f.Version > factsVersion:
		return nil, &UnsupportedError{Path: path, Place: "field version", Feature: fmt.Sprintf("version %d", f.Version), Fix: "update hone"}
	}
	return &f, nil
}

// adapterEndings are the tensors that PEFT stores for other kinds of adapters, by what to call them.
var adapterEndings = []struct{ part, name string }{
	{".lora_magnitude_vector", "DoRA"}, {".lora_embedding_A", "LoRA on an embedding"}, {".lora_embedding_B", "LoRA on an embedding"},
	{".modules_to_save", "a full copy of a module"}, {".lora_A.bias", "a trained bias"}, {".lora_B.bias", "a trained bias"},
	{"embed_tokens.weight", "a full copy of the embedding"}, {"lm_head.weight", "a full copy of the output head"},
}

// pairTensors sorts tensors into the pairs that the configuration calls for.
func pairTensors(path string, c AdapterConfig, tensors map[string]Tensor) ([]Pair, map[string]Tensor, error) {
	matcher, err := c.Matcher()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	pairs := map[string]*Pair{}
	base := map[string]Tensor{}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		module, part, err := splitAdapterName(path, name)
		if err != nil {
			return nil, nil, err
		}
		if err := checkAdapterTensor(path, t); err != nil {
			return nil, nil, err
		}
		if part == "base" {
			base[module] = t
			continue
		}
		p := pairs[module]
		if p == nil {
			p = &Pair{Module: module}
			pairs[module] = p
		}
		if part == "A" {
			p.A = t
		} else {
			p.B = t
		}
	}
	if len(pairs) == 0 {
		return nil, nil, malformed(path, "", "no LoRA tensors")
	}
	var out []Pair
	for _, module := range slices.Sorted(maps.Keys(pairs)) {
		p := pairs[module]
		if err := p.complete(path, c, matcher); err != nil {
			return nil, nil, err
		}
		out = append(out, *p)
	}
	for module := range base {
		if pairs[module] == nil {
			return nil, nil, malformed(path, "module "+quote(module), "base weights without an adapter")
		}
	}
	return out, base, nil
}

// splitAdapterName takes a tensor name apart: "base_model.model." MODULE then ".lora_A.weight" and the like.
func splitAdapterName(path, name string) (module, part string, err error) {
	rest, ok := strings.CutPrefix(name, adapterPrefix)
	if ok {
		for _, end := range []struct{ suffix, part string }{{".lora_A.weight", "A"}, {".lora_B.weight", "B"}, {".base_layer.weight", "base"}} {
			if module, ok := strings.CutSuffix(rest, end.suffix); ok && module != "" {
				return module, end.part, nil
			}
		}
	}
	for _, e := range adapterEndings {
		if strings.Contains(name, e.part) {
			return "", "", &UnsupportedError{Path: path, Place: "tensor " + quote(name), Feature: e.name}
		}
	}
	return "", "", malformed(path, "tensor "+quote(name), "not a LoRA tensor: want %sMODULE.lora_A.weight or .lora_B.weight", adapterPrefix)
}

func checkAdapterTensor(path string, t Tensor) error {
	place := "tensor " + quote(t.Name)
	switch t.DType {
	case tensor.F32, tensor.F16, tensor.BF16:
	default:
		return malformed(path, place, "element type %v, want F32, F16 or BF16", t.DType)
	}
	if len(t.Shape) != 2 || t.Shape[0] == 0 || t.Shape[1] == 0 {
		return malformed(path, place, "shape %v, want a matrix", t.Shape)
	}
	for i, v := range AsF32(t) {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return malformed(path, place, "element %d is %v; the training run that made it diverged", i, v)
		}
	}
	return nil
}

// complete checks that both halves are there and have the rank the configuration gives the module.
func (p *Pair) complete(path string, c AdapterConfig, m *Matcher) error {
	place := "module " + quote(p.Module)
	if p.A.Data == nil || p.B.Data == nil {
		half := "lora_A"
		if p.A.Data != nil {
			half = "lora_B"
		}
		return malformed(path, place, "%s.weight is missing", half)
	}
	r, alpha, ok, err := m.Match(p.Module)
	switch {
	case err != nil:
		return malformed(path, place, "%v", err)
	case !ok:
		return malformed(path, place, "has tensors, but the target_modules of %s do not select it", adapterConfigName)
	case p.A.Shape[0] != r:
		return malformed(path, "tensor "+quote(p.A.Name), "shape %v, but the rank of the module is %d", p.A.Shape, r)
	case p.B.Shape[1] != r:
		return malformed(path, "tensor "+quote(p.B.Name), "shape %v, but the rank of the module is %d", p.B.Shape, r)
	}
	p.R, p.Alpha, p.Scale = r, alpha, c.Scale(r, alpha)
	return nil
}

// WriteAdapter writes a PEFT folder at dir, replacing one that is there: adapter_config.json,
// adapter_model.safetensors, hone.json and a manifest, all or nothing. tensors carry PEFT's names
// (AdapterTensorName) and must be what the configuration calls for.
func WriteAdapter(dir string, cfg AdapterConfig, tensors []Tensor, facts Facts) error {
	if cfg.PeftType == "" {
		cfg.PeftType = "LORA"
	}
	if cfg.Bias == "" {
		cfg.Bias = "none"
	}
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("write adapter %s: %w", dir, err)
	}
	named := map[string]Tensor{}
	for _, t := range tensors {
		named[t.Name] = t
	}
	if _, _, err := pairTensors(filepath.Join(dir, adapterModelName), cfg, named); err != nil {
		return fmt.Errorf("write adapter: %w", err)
	}
	config, err := cfg.encode()
	if err != nil {
		return fmt.Errorf("write adapter %s: %w", dir, err)
	}
	facts.Version = factsVersion
	about, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		return fmt.Errorf("write adapter %s: %s: %w", dir, factsName, err)
	}
	f, err := CreateFolder(dir)
	if err != nil {
		return fmt.Errorf("write adapter: %w", err)
	}
	defer f.Abort()
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{adapterConfigName, func(w io.Writer) error { return writeAll(w, config) }},
		{adapterModelName, func(w io.Writer) error {
			return WriteSafetensors(w, tensors, map[string]string{"format": "pt"})
		}},
		{factsName, func(w io.Writer) error { return writeAll(w, append(about, '\n')) }},
	} {
		if err := f.Write(file.name, file.write); err != nil {
			return fmt.Errorf("write adapter: %w", err)
		}
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("write adapter: %w", err)
	}
	return nil
}

func writeAll(w io.Writer, data []byte) error {
	_, err := w.Write(data)
	return err
}

// AdapterTensorName is PEFT's name of half ("A" or "B") of a module's LoRA pair.
func AdapterTensorName(module, half string) string {
	return adapterPrefix + module + ".lora_" + half + ".weight"
}
