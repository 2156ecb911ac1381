package weights

import (
	"bytes"
	"encoding/json"
	"math"
)

// configBounds are limits that no real model comes near; a config beyond them is damaged or hostile, and its
// numbers would be used to size memory.
var configBounds = map[string]struct{ low, high float64 }{
	"num_hidden_layers":       {1, 10_000},
	"hidden_size":             {1, 1 << 20},
	"intermediate_size":       {1, 1 << 22},
	"num_attention_heads":     {1, 1 << 16},
	"num_key_value_heads":     {1, 1 << 16},
	"head_dim":                {1, 1 << 16},
	"vocab_size":              {1, 1 << 24},
	"max_position_embeddings": {1, 1 << 31},
	"sliding_window":          {0, 1 << 31},
	"rms_norm_eps":            {0, 1},
	"rope_theta":              {math.SmallestNonzeroFloat64, math.MaxFloat32},
}

// checkConfig checks what every reader of a config.json relies on: that it is a JSON object and that its sizes
// are plausible numbers. Unknown keys are ignored, those that name code (auto_map, trust_remote_code) included.
func checkConfig(path string, data []byte) error {
	var c map[string]json.RawMessage
	if err := decodeJSON(path, data, &c); err != nil {
		return err
	}
	if c == nil {
		return malformed(path, "", "not a JSON object")
	}
	if err := checkBounds(path, "", c); err != nil {
		return err
	}
	var text map[string]json.RawMessage
	if raw, ok := c["text_config"]; ok && json.Unmarshal(raw, &text) == nil {
		if err := checkBounds(path, "text_config.", text); err != nil {
			return err
		}
	}
	if raw, ok := c["quantization_config"]; ok && string(bytes.TrimSpace(raw)) != "null" {
		var q struct {
			Method string `json:"quant_method"`
		}
		_ = json.Unmarshal(raw, &q) // a method of another type stays unnamed
		return &UnsupportedError{Path: path, Place: "field quantization_config", Feature: "quantisation method " + quote(q.Method),
			Fix: "use the unquantised safetensors, or a GGUF in Q8_0, Q4_0 or Q4_1"}
	}
	return nil
}

func checkBounds(path, prefix string, c map[string]json.RawMessage) error {
	for key, bound := range configBounds {
		raw, ok := c[key]
		if !ok || string(bytes.TrimSpace(raw)) == "null" {
			continue
		}
		var v float64
		if err := json.Unmarshal(raw, &v); err != nil {
			return malformed(path, "field "+prefix+key, "want a number")
		}
		if !(v >= bound.low && v <= bound.high) {
			return malformed(path, "field "+prefix+key, "%v is not between %v and %v", v, bound.low, bound.high)
		}
	}
	return nil
}
