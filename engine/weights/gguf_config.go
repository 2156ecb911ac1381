package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ggufConfig makes the Hugging Face config.json of a GGUF file.
type ggufConfig struct {
	file  *ggufFile
	arch  string
	model *Model

	heads, kvHeads int // for putting permuted rows back
}

// build reads the header's sizes, checks them against the tensors, and writes the config.
func (c *ggufConfig) build() (json.RawMessage, error) {
	embed, ok := c.model.Tensors["model.embed_tokens.weight"]
	if !ok || len(embed.Shape) != 2 {
		return nil, malformed(c.file.path, `tensor "token_embd.weight"`, "missing or not a matrix")
	}
	out := map[string]any{"model_type": c.arch, "hidden_act": "silu", "vocab_size": embed.Shape[0]}
	sizes, err := c.sizes()
	if err != nil {
		return nil, err
	}
	for k, v := range sizes {
		out[k] = v
	}
	if err := c.checkShapes(sizes, embed); err != nil {
		return nil, err
	}
	if err := c.rope(out); err != nil {
		return nil, err
	}
	eps, err := c.float("attention.layer_norm_rms_epsilon", "")
	if err != nil {
		return nil, err
	}
	out["rms_norm_eps"] = eps
	_, untied := c.model.Tensors["lm_head.weight"]
	out["tie_word_embeddings"] = !untied
	out["attention_bias"] = c.hasAny("self_attn.q_proj.bias")
	out["mlp_bias"] = c.hasAny("mlp.gate_proj.bias")
	if err := c.window(out); err != nil {
		return nil, err
	}
	if v := c.model.Vocab; v != nil {
		out["bos_token_id"], out["eos_token_id"] = idOrNull(v.BOS), idOrNull(v.EOS)
	}
	out["architectures"] = []string{map[string]string{"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
		"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[out["model_type"].(string)]}
	data := plainJSON(out)
	return data, checkConfig(c.file.path, data)
}

func idOrNull(id int32) any {
	if id < 0 {
		return nil
	}
	return id
}

// sizes reads the model's dimensions under their Hugging Face names.
func (c *ggufConfig) sizes() (map[string]int, error) {
	out := map[string]int{}
	for _, f := range []struct{ to, key string }{
		{"hidden_size", "embedding_length"}, {"intermediate_size", "feed_forward_length"}, {"num_hidden_layers", "block_count"},
		{"num_attention_heads", "attention.head_count"}, {"num_key_value_heads", "attention.head_count_kv"},
		{"max_position_embeddings", "context_length"}, {"head_dim", "attention.key_length"},
	} {
		n, found, err := c.integer(f.key)
		if err != nil {
			return nil, err
		}
		if !found {
			switch f.to {
			case "num_key_value_heads":
				n = out["num_attention_heads"]
			case "head_dim":
				if n, err = c.headDim(out); err != nil {
					return nil, err
				}
			default:
				return nil, malformed(c.file.path, "key "+c.arch+"."+f.key, "missing")
			}
		}
		out[f.to] = n
	}
	head := out["head_dim"]
	for _, key := range []string{"attention.value_length", "rope.dimension_count"} {
		n, found, err := c.integer(key)
		if err != nil {
			return nil, err
		}
		if found && n != head {
			return nil, &UnsupportedError{Path: c.file.path, Place: "key " + c.arch + "." + key, Feature: fmt.Sprintf("a value of %d where heads have %d dimensions", n, head)}
		}
	}
	c.heads, c.kvHeads = out["num_attention_heads"], out["num_key_value_heads"]
	return out, nil
}

// headDim is the size of a head where the file does not state it.
func (c *ggufConfig) headDim(sizes map[string]int) (int, error) {
	if n, found, err := c.integer("rope.dimension_count"); found || err != nil {
		return n, err
	}
	hidden, heads := sizes["hidden_size"], sizes["num_attention_heads"]
	if hidden%heads != 0 {
		return 0, malformed(c.file.path, "key "+c.arch+".attention.head_count", "%d heads do not divide %d dimensions", heads, hidden)
	}
	return hidden / heads, nil
}

// checkShapes holds the stated sizes against the tensors, so that nothing later trusts a number of the header.
func (c *ggufConfig) checkShapes(s map[string]int, embed Tensor) error {
	hidden, head, layers := s["hidden_size"], s["head_dim"], s["num_hidden_layers"]
	if head%2 != 0 || c.heads%c.kvHeads != 0 {
		return malformed(c.file.path, "header", "%d heads, %d key-value heads and head size %d do not fit together", c.heads, c.kvHeads, head)
	}
	if embed.Shape[1] != hidden {
		return malformed(c.file.path, `tensor "token_embd.weight"`, "rows of %d elements, but %s.embedding_length is %d", embed.Shape[1], c.arch, hidden)
	}
	rows := map[string]int{"self_attn.q_proj": c.heads * head, "self_attn.k_proj": c.kvHeads * head, "self_attn.v_proj": c.kvHeads * head,
		"self_attn.o_proj": hidden, "mlp.gate_proj": s["intermediate_size"], "mlp.up_proj": s["intermediate_size"], "mlp.down_proj": hidden}
	cols := map[string]int{"self_attn.o_proj": c.heads * head, "mlp.down_proj": s["intermediate_size"]}
	for name, t := range c.model.Tensors {
		rest, ok := strings.CutPrefix(name, "model.layers.")
		if !ok {
			continue
		}
		layer, part, _ := strings.Cut(rest, ".")
		stem, kind, _ := cutLast(part, ".")
		if n, _ := strconv.Atoi(layer); n >= layers {
			return malformed(c.file.path, "tensor of layer "+layer, "the file states %d layers", layers)
		}
		want, ok := rows[stem]
		if !ok {
			continue // norms are checked by the architecture, which knows their sizes
		}
		shape := []int{want}
		if kind == "weight" {
			in, ok := cols[stem]
			if !ok {
				in = hidden
			}
			shape = append(shape, in)
		}
		if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
			return malformed(c.file.path, "tensor "+quote(name), "shape %v, but the header's sizes call for %v", t.Shape, shape)
		}
	}
	return nil
}

// rope writes rotation base and scaling. A Llama 3 file carries its scaling as divisors of the frequencies in
// the tensor rope_freqs.weight, which "rope_freqs": true points to.
func (c *ggufConfig) rope(out map[string]any) error {
	theta, err := c.float("rope.freq_base", "10000.0")
	if err != nil {
		return err
	}
	out["rope_theta"] = theta
	if t, ok := c.model.Tensors["rope_freqs.weight"]; ok {
		head := out["head_dim"].(int)
		if len(t.Shape) != 1 || t.Shape[0] != head/2 || t.DType.String() != "F32" {
			return malformed(c.file.path, `tensor "rope_freqs.weight"`, "%v %v, want F32 of half the head size %d", t.DType, t.Shape, head)
		}
		for i, f := range AsF32(t) {
			if !(f > 0) || math.IsInf(float64(f), 0) {
				return malformed(c.file.path, `tensor "rope_freqs.weight"`, "element %d is %v, want a positive number", i, f)
			}
		}
		out["rope_freqs"] = true
	}
	kind, err := c.file.text(c.arch + ".rope.scaling.type")
	if err != nil {
		return err
	}
	legacy := "rope.scale_linear" // of older files, linear without a type
	if _, ok := c.file.values[c.arch+"."+legacy]; ok && kind == "" {
		factor, err := c.float(legacy, "")
		if err != nil {
			return err
		}
		if factor != "1.0" && factor != "0.0" {
			out["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
		}
		return nil
	}
	if kind == "" || kind == "none" {
		return nil
	}
	factor, err := c.float("rope.scaling.factor", "1.0")
	if err != nil {
		return err
	}
	out["rope_scaling"] = map[string]any{"rope_type": kind, "factor": factor} // kinds the engine lacks it refuses by name
	return nil
}

// window turns a llama file with a sliding window into a Mistral config, the family that has one.
func (c *ggufConfig) window(out map[string]any) error {
	n, found, err := c.integer("attention.sliding_window")
	if err != nil || !found {
		return err
	}
	if c.arch != "llama" {
		return &UnsupportedError{Path: c.file.path, Place: "key " + c.arch + ".attention.sliding_window", Feature: "a sliding window in " + c.arch}
	}
	out["model_type"], out["sliding_window"] = "mistral", n
	return nil
}

func (c *ggufConfig) hasAny(suffix string) bool {
	for name := range c.model.Tensors {
		if strings.HasSuffix(name, "."+suffix) {
			return true
		}
	}
	return false
}

// integer reads a positive size. An array that gives every layer the same number counts as that number.
func (c *ggufConfig) integer(key string) (n int, found bool, err error) {
	key = c.arch + "." + key
	v, ok := c.file.values[key]
	if !ok {
		return 0, false, nil
	}
	list, isList := v.integers()
	if !isList {
		var one int64
		if one, ok = v.integer(); !ok {
			return 0, true, malformed(c.file.path, "key "+key, "want an integer")
		}
		list = []int64{one}
	}
	for i, x := range list {
		if x != list[0] {
			return 0, true, &UnsupportedError{Path: c.file.path, Place: "key " + key, Feature: fmt.Sprintf("layers of different sizes (layer %d has %d, layer 0 has %d)", i, x, list[0])}
		}
	}
	if len(list) == 0 || list[0] < 1 || list[0] > math.MaxInt32 {
		return 0, true, malformed(c.file.path, "key "+key, "want a positive size, not %v", list)
	}
	return int(list[0]), true, nil
}

// float reads a float as the shortest number that parses back to the same value of its width, with a decimal
// point or an exponent. fallback "" makes the key necessary.
func (c *ggufConfig) float(key, fallback string) (json.Number, error) {
	key = c.arch + "." + key
	v, ok := c.file.values[key]
	if !ok {
		if fallback == "" {
			return "", malformed(c.file.path, "key "+key, "missing")
		}
		return json.Number(fallback), nil
	}
	f, bits, ok := v.float()
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return "", malformed(c.file.path, "key "+key, "want a finite non-negative float")
	}
	return json.Number(pythonFloat(f, bits)), nil
}

// pythonFloat writes a float so that every JSON reader sees a float: with a decimal point or an exponent.
func pythonFloat(f float64, bits int) string {
	s := strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
