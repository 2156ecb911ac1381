package arch

import (
	"math"
	"strings"
	"testing"
)

// TestFamilyDefaults holds what each family takes for absent keys against its own code's values.
func TestFamilyDefaults(t *testing.T) {
	parse := func(extra string) *Config {
		t.Helper()
		c, err := ParseConfig(llamaConfig(extra))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for family, eps := range map[string]float64{"llama": 1e-6, "phi3": 1e-5, "olmo2": 1e-5, "qwen3": 1e-6} {
		if c := parse(`"model_type":"` + family + `"`); c.NormEps != eps {
			t.Errorf("%s: rms_norm_eps %v, want %v", family, c.NormEps, eps)
		}
	}
	for family, want := range map[string]int{"llama": 8, "qwen3": 128, "gemma2": 256, "gemma3_text": 256} {
		if c := parse(`"model_type":"` + family + `"`); c.HeadDim != want {
			t.Errorf("%s: head_dim %d, want %d", family, c.HeadDim, want)
		}
	}
	for family, want := range map[string]int{"llama": 0, "mistral": 4096, "qwen2": 4096, "gemma2": 4096, "gemma3_text": 4096, "phi3": 0, "smollm3": 0} {
		if c := parse(`"model_type":"` + family + `"`); c.window() != want {
			t.Errorf("%s: sliding_window %d, want %d", family, c.window(), want)
		}
		if c := parse(`"model_type":"` + family + `","sliding_window":null`); c.window() != 0 {
			t.Errorf("%s: sliding_window null gives %d", family, c.window())
		}
	}
	if c := parse(`"model_type":"qwen2","use_sliding_window":true`); c.MaxWindowLayers != 28 {
		t.Errorf("qwen2: max_window_layers %d, want 28", c.MaxWindowLayers)
	}
	g := parse(`"model_type":"gemma2"`)
	if softcap(g.AttnSoftcap) != 50 || softcap(g.FinalSoftcap) != 30 || g.QueryPreScalar != 256 {
		t.Errorf("gemma2: caps %v and %v, scalar %v", softcap(g.AttnSoftcap), softcap(g.FinalSoftcap), g.QueryPreScalar)
	}
	g = parse(`"model_type":"gemma2","attn_logit_softcapping":null,"final_logit_softcapping":7`)
	if softcap(g.AttnSoftcap) != 0 || softcap(g.FinalSoftcap) != 7 {
		t.Errorf("gemma2: null and 7 give caps %v and %v", softcap(g.AttnSoftcap), softcap(g.FinalSoftcap))
	}
}

// TestRopeBaseDefaults reads the base off the second inverse frequency: theta^(-2/rotated).
func TestRopeBaseDefaults(t *testing.T) {
	theta := func(extra string) float64 {
		t.Helper()
		c, err := ParseConfig(llamaConfig(extra + `,"head_dim":8`))
		if err != nil {
			t.Fatal(err)
		}
		inv, err := c.rope("full_attention")
		if err != nil {
			t.Fatal(err)
		}
		return math.Pow(float64(inv[1]), -4)
	}
	for extra, want := range map[string]float64{
		`"model_type":"llama"`:       1e4,
		`"model_type":"smollm3"`:     2e6,
		`"model_type":"gemma3_text"`: 1e6,
		`"model_type":"smollm3","rope_parameters":{"rope_type":"default","rope_theta":500}`: 500,
	} {
		if got := theta(extra); math.Abs(got/want-1) > 1e-5 {
			t.Errorf("%s: base %v, want %v", extra, got, want)
		}
	}
}

func TestLlama3OriginalLength(t *testing.T) {
	scaling := `"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4`
	var inv [2][]float32
	for i, extra := range []string{scaling + `}`, scaling + `,"original_max_position_embeddings":128}`} {
		c, err := ParseConfig(llamaConfig(extra))
		if err != nil {
			t.Fatal(err)
		}
		if inv[i], err = c.rope("full_attention"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range inv[0] {
		if inv[0][i] != inv[1][i] {
			t.Fatalf("absent, the length is not max_position_embeddings: %v, want %v", inv[0], inv[1])
		}
	}
}

func TestPadToken(t *testing.T) {
	for extra, want := range map[string]int32{``: -1, `"pad_token_id":null`: -1, `"pad_token_id":3`: 3, `"pad_token_id":-1`: -1, `"pad_token_id":64`: -1} {
		c, err := ParseConfig(llamaConfig(extra))
		if err != nil {
			t.Fatal(err)
		}
		if c.pad() != want {
			t.Errorf("%q: padding token %d, want %d", extra, c.pad(), want)
		}
	}
}

func TestConfigOddities(t *testing.T) {
	if _, err := ParseConfig(llamaConfig(`"model_type":"smollm3","no_rope_layers":[1,0,1,1]`)); err != nil {
		t.Errorf("no_rope_layers with more entries than layers: %v", err)
	}
	if _, err := ParseConfig(llamaConfig(`"model_type":"smollm3","no_rope_layers":[1]`)); err == nil {
		t.Error("no_rope_layers with fewer entries than layers was read")
	}
	_, err := ParseConfig(llamaConfig(`"model_type":"gemma3_text","use_bidirectional_attention":true`))
	if err == nil || !strings.Contains(err.Error(), "use_bidirectional_attention") {
		t.Errorf("bidirectional attention: %v", err)
	}
	if _, err := ParseConfig(llamaConfig(`"model_type":"gemma2","hidden_act":"gelu","hidden_activation":"gelu_pytorch_tanh"`)); err != nil {
		t.Errorf("gemma2 goes by hidden_act: %v", err)
	}
}
