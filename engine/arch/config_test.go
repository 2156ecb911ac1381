package arch

import (
	"strings"
	"testing"
)

// llamaConfig is a small valid config with the given keys put in or replaced.
func llamaConfig(extra string) []byte {
	if extra != "" {
		extra = "," + extra
	}
	return []byte(`{"model_type":"llama","vocab_size":64,"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":128` + extra + `}`)
}

func TestParseConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ extra, want string }{
		"layers":         {`"num_hidden_layers":1000000000`, "num_hidden_layers"},
		"overflow":       {`"hidden_size":1e30`, "hidden_size"},
		"negative heads": {`"num_attention_heads":-4`, "num_attention_heads"},
		"uneven groups":  {`"num_key_value_heads":3`, "num_key_value_heads"},
		"odd head":       {`"head_dim":7`, "head_dim"},
		"negative eps":   {`"rms_norm_eps":-1`, "rms_norm_eps"},
		"text for eps":   {`"rms_norm_eps":"NaN"`, "rms_norm_eps"},
		"unknown family": {`"model_type":"mamba"`, "mamba"},
		"activation":     {`"hidden_act":"relu2"`, "relu2"},
		"layer kinds":    {`"layer_types":["full_attention"]`, "layer_types"},
		"layer kind":     {`"layer_types":["full_attention","linear_attention"]`, "linear_attention"},
		"window":         {`"sliding_window":-1`, "sliding_window"},
	} {
		if _, err := ParseConfig(llamaConfig(c.extra)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not name %s", name, err, c.want)
		}
	}
	for _, junk := range []string{"", "[]", "{", `"x"`, "null"} {
		if _, err := ParseConfig([]byte(junk)); err == nil {
			t.Errorf("%q was read as a config", junk)
		}
	}
}

// TestRopeForms holds the two ways of writing rotary settings against each other.
func TestRopeForms(t *testing.T) {
	rope := func(extra string) ([]float32, error) {
		c, err := ParseConfig(llamaConfig(extra))
		if err != nil {
			t.Fatal(err)
		}
		return c.rope("full_attention")
	}
	for _, pair := range [][2]string{
		{`"rope_theta":500000`, `"rope_parameters":{"rope_type":"default","rope_theta":500000}`},
		{`"rope_theta":10000,"rope_scaling":{"type":"linear","factor":4}`, `"rope_parameters":{"rope_type":"linear","factor":4,"rope_theta":10000}`},
		{`"rope_theta":10000,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}`,
			`"rope_parameters":{"rope_type":"llama3","rope_theta":10000,"factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}`},
		{`"rope_scaling":null`, `"rope_parameters":{"full_attention":{"rope_theta":10000},"sliding_attention":{"rope_theta":7}}`},
	} {
		old, err := rope(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		now, err := rope(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		for i := range old {
			if old[i] != now[i] {
				t.Errorf("%s gives %v, %s gives %v", pair[0], old, pair[1], now)
				break
			}
		}
	}
	for _, bad := range []struct{ extra, want string }{
		{`"rope_scaling":{"type":"yarn","factor":4}`, "yarn"},
		{`"rope_parameters":{"rope_type":"longrope"}`, "longrope"},
		{`"rope_scaling":{"type":"linear"}`, "factor"},
		{`"rope_theta":-1`, "rope_theta"},
		{`"rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":1,"original_max_position_embeddings":64}`, "high_freq_factor"},
		{`"partial_rotary_factor":3`, "partial_rotary_factor"},
	} {
		if _, err := rope(bad.extra); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v does not name %s", bad.extra, err, bad.want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(llamaConfig(""))
	f.Add(llamaConfig(`"model_type":"gemma3_text","hidden_act":"gelu_pytorch_tanh"`))
	f.Add(llamaConfig(`"model_type":"smollm3","no_rope_layers":[1,0]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseConfig(data); err == nil {
			if _, err := c.rope("full_attention"); err != nil {
				t.Skip()
			}
		}
	})
}
