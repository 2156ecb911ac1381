package weights

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ggufArchitectures are the model families whose tensor names and layout this package knows. permuted says
// that query and key rows are stored for rotation of neighbouring elements.
var ggufArchitectures = map[string]struct{ permuted bool }{
	"llama": {permuted: true},
	"qwen2": {},
	"qwen3": {},
}

// openGGUF opens a GGUF file as a Hugging Face model.
func openGGUF(path string, reorder bool) (*Model, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	model, err := ggufRead(path, m.data, reorder)
	if err != nil {
		m.Close()
		return nil, err
	}
	model.closers = append(model.closers, m)
	model.hashed = hashFiles([]*mapping{m})
	return model, nil
}

// ggufModel makes a model of a GGUF file held in data.
func ggufModel(path string, data []byte) (*Model, error) { return ggufRead(path, data, true) }

// ggufRead is ggufModel, except that reorder false leaves query and key rows in the file's order, so that
// nothing of the weights is read.
func ggufRead(path string, data []byte, reorder bool) (*Model, error) {
	g, err := parseGGUF(path, data)
	if err != nil {
		return nil, err
	}
	arch, err := g.architecture()
	if err != nil {
		return nil, err
	}
	m := &Model{Path: path, Format: "gguf", Tensors: make(map[string]Tensor, len(g.tensors)), Unusable: map[string]string{}}
	if err := g.bindTensors(m, arch); err != nil {
		return nil, err
	}
	if m.Vocab, err = g.vocab(m.Tensors["model.embed_tokens.weight"]); err != nil {
		return nil, err
	}
	c := ggufConfig{file: g, arch: arch, model: m}
	if m.Config, err = c.build(); err != nil {
		return nil, err
	}
	if reorder && ggufArchitectures[arch].permuted {
		for name, t := range m.Tensors {
			heads := 0
			switch {
			case strings.Contains(name, ".self_attn.q_proj."):
				heads = c.heads
			case strings.Contains(name, ".self_attn.k_proj."):
				heads = c.kvHeads
			default:
				continue
			}
			m.Tensors[name] = halfSplitRows(t, t.Shape[0]/heads)
		}
	}
	m.Quantisation = dominantType(m.Tensors)
	return m, g.describe(m)
}

// architecture names the family, refusing what is not a whole model of a known one.
func (g *ggufFile) architecture() (string, error) {
	if kind, _ := g.text("general.type"); kind != "" && kind != "model" {
		return "", &UnsupportedError{Path: g.path, Place: "key general.type", Feature: "a GGUF of type " + quote(kind), Fix: "give the base model's GGUF"}
	}
	if v, ok := g.values["split.count"]; ok {
		if n, _ := v.integer(); n > 1 {
			return "", &UnsupportedError{Path: g.path, Place: "key split.count", Feature: fmt.Sprintf("a GGUF split in %d files", n), Fix: "join them with llama-gguf-split --merge"}
		}
	}
	arch, err := g.text("general.architecture")
	if err != nil {
		return "", err
	}
	if arch == "" {
		return "", malformed(g.path, "key general.architecture", "missing")
	}
	if _, ok := ggufArchitectures[arch]; !ok {
		return "", &UnsupportedError{Path: g.path, Place: "key general.architecture", Feature: "GGUF of architecture " + quote(arch),
			Fix: "supported are llama, qwen2 and qwen3; other families open from their safetensors folder"}
	}
	if v, ok := g.values[arch+".expert_count"]; ok {
		if n, _ := v.integer(); n != 0 {
			return "", &UnsupportedError{Path: g.path, Place: "key " + arch + ".expert_count", Feature: "mixture of experts"}
		}
	}
	return arch, nil
}

// text returns a string value, "" where the key is absent.
func (g *ggufFile) text(key string) (string, error) {
	v, ok := g.values[key]
	if !ok {
		return "", nil
	}
	if v.typ != ggufString {
		return "", malformed(g.path, "key "+key, "want a string")
	}
	return string(v.raw), nil
}

// ggufTop and ggufLayer translate tensor names; what follows is ".weight" or ".bias".
var ggufTop = map[string]string{
	"token_embd":  "model.embed_tokens",
	"output_norm": "model.norm",
	"output":      "lm_head",
}

var ggufLayer = map[string]string{
	"attn_norm":   "input_layernorm",
	"attn_q":      "self_attn.q_proj",
	"attn_k":      "self_attn.k_proj",
	"attn_v":      "self_attn.v_proj",
	"attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm",
	"attn_k_norm": "self_attn.k_norm",
	"ffn_norm":    "post_attention_layernorm",
	"ffn_gate":    "mlp.gate_proj",
	"ffn_up":      "mlp.up_proj",
	"ffn_down":    "mlp.down_proj",
}

// huggingFaceName translates a GGUF tensor name; one without a counterpart keeps its name and is not ok.
func huggingFaceName(name string) (string, bool) {
	stem, kind, found := cutLast(name, ".")
	if !found || kind != "weight" && kind != "bias" {
		return name, false
	}
	if top, ok := ggufTop[stem]; ok {
		return top + "." + kind, true
	}
	rest, ok := strings.CutPrefix(stem, "blk.")
	if !ok {
		return name, false
	}
	layer, part, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(layer)
	to, known := ggufLayer[part]
	if err != nil || !known || n < 0 || strconv.Itoa(n) != layer {
		return name, false
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", n, to, kind), true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// bindTensors fills the model's tensors. One that the model needs, of a type the engine cannot use, is an error.
func (g *ggufFile) bindTensors(m *Model, arch string) error {
	for _, t := range g.tensors {
		name, needed := huggingFaceName(t.name)
		_, dup := m.Tensors[name]
		if _, dup2 := m.Unusable[name]; dup || dup2 {
			return malformed(g.path, "tensor "+quote(t.name), "its Hugging Face name %s is taken by another tensor", quote(name))
		}
		if !t.typ.usable {
			if needed {
				return &UnsupportedError{Path: g.path, Place: "tensor " + quote(t.name), Feature: "quantisation " + t.typ.name,
					Fix: "get the model in F16, BF16, Q8_0, Q4_0 or Q4_1"}
			}
			m.Unusable[name] = t.typ.name
			continue
		}
		shape := slices.Clone(t.dims)
		slices.Reverse(shape) // GGUF states the innermost dimension first
		m.Tensors[name] = Tensor{Name: name, DType: t.typ.dtype, Shape: shape, Data: t.data}
	}
	return nil
}

// describe fills what says who made the model and how it ends a turn.
func (g *ggufFile) describe(m *Model) (err error) {
	if m.Name, err = g.text("general.name"); err != nil {
		return err
	}
	if m.Licence, err = g.text("general.license"); err != nil {
		return err
	}
	if m.ChatTemplate, err = g.text("tokenizer.chat_template"); err != nil {
		return err
	}
	v := m.Vocab
	if v == nil {
		return nil
	}
	if v.BOS >= 0 {
		m.BOSToken = v.Tokens[v.BOS]
	}
	if v.EOS >= 0 {
		m.EOSToken = v.Tokens[v.EOS]
	}
	for _, key := range []string{"eos", "eot", "eom"} {
		id, err := g.tokenID(key+"_token_id", -1, len(v.Tokens))
		if err != nil {
			return err
		}
		if key == "eos" {
			id = v.EOS // with the kind's default
		}
		if id >= 0 && !slices.Contains(m.EOS, id) {
			m.EOS = append(m.EOS, id)
		}
	}
	return nil
}
