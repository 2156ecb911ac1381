// Package arch builds decoders of each model family from a Hugging Face config and named tensors: one file per
// family says how its layers are put together and what its config keys mean.
package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"hone/engine/nn"
)

// Config is the part of a model's config.json that its shape depends on. Keys that are not here are ignored;
// nothing in a config is ever executed.
type Config struct {
	ModelType    string  `json:"model_type"`
	VocabSize    int     `json:"vocab_size"`
	Hidden       int     `json:"hidden_size"`
	Intermediate int     `json:"intermediate_size"`
	Layers       int     `json:"num_hidden_layers"`
	Heads        int     `json:"num_attention_heads"`
	KVHeads      int     `json:"num_key_value_heads"`
	HeadDim      int     `json:"head_dim"`
	MaxPositions int     `json:"max_position_embeddings"`
	NormEps      float64 `json:"rms_norm_eps"`
	Tied         *bool   `json:"tie_word_embeddings"`
	Act          string  `json:"hidden_act"`
	Activation   string  `json:"hidden_activation"` // Gemma's name for it
	AttnBias     bool    `json:"attention_bias"`
	MLPBias      bool    `json:"mlp_bias"`

	PadToken *int64 `json:"pad_token_id"` // its embedding is not trained from inputs, as in PyTorch

	RopeTheta      *float64        `json:"rope_theta"`
	RopeScaling    json.RawMessage `json:"rope_scaling"`
	RopeParameters json.RawMessage `json:"rope_parameters"`
	RopeLocalTheta float64         `json:"rope_local_base_freq"` // Gemma 3, older form
	PartialRotary  *float64        `json:"partial_rotary_factor"`
	RopeFreqs      bool            `json:"rope_freqs"` // a tensor rope_freqs.weight divides the frequencies (GGUF)

	SlidingWindow    *int     `json:"sliding_window"`
	UseSlidingWindow bool     `json:"use_sliding_window"`
	MaxWindowLayers  int      `json:"max_window_layers"`
	WindowPattern    int      `json:"sliding_window_pattern"`
	WindowPattern2   int      `json:"_sliding_window_pattern"`
	LayerTypes       []string `json:"layer_types"`
	NoRopeLayers     []int    `json:"no_rope_layers"`
	NoRopeInterval   int      `json:"no_rope_layer_interval"`

	AttnSoftcap    *float64 `json:"attn_logit_softcapping"`
	FinalSoftcap   *float64 `json:"final_logit_softcapping"`
	QueryPreScalar float64  `json:"query_pre_attn_scalar"`
	Bidirectional  bool     `json:"use_bidirectional_attention"`

	EmbeddingMultiplier float64 `json:"embedding_multiplier"` // Granite
	AttentionMultiplier float64 `json:"attention_multiplier"`
	ResidualMultiplier  float64 `json:"residual_multiplier"`
	LogitsScaling       float64 `json:"logits_scaling"`
}

// family is one architecture: what its own code takes for keys that a config leaves out (where that is not every
// family's), its config's checks, then its decoder.
type family struct {
	defaults func(*Config) // nil: none
	check    func(*Config) error
	build    func(*builder) *nn.Decoder
}

// lookup finds a family by its model_type.
func lookup(modelType string) (family, bool) {
	switch modelType {
	case "llama":
		return llama, true
	case "mistral":
		return mistral, true
	case "qwen2":
		return qwen2, true
	case "qwen3":
		return qwen3, true
	case "gemma2":
		return gemma2, true
	case "gemma3_text":
		return gemma3, true
	case "phi3":
		return phi3, true
	case "smollm3":
		return smollm3, true
	case "granite":
		return granite, true
	case "olmo2":
		return olmo2, true
	}
	return family{}, false
}

// Supported lists the model types that can be built.
func Supported() []string {
	return []string{"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "smollm3", "granite", "olmo2"}
}

// ParseConfig reads and checks a config.json. Errors name the key.
func ParseConfig(data []byte) (*Config, error) {
	c := &Config{}
	if err := c.read(data); err != nil {
		return nil, err
	}
	f, ok := lookup(c.ModelType)
	if !ok {
		return nil, fmt.Errorf("config: model_type %q is not supported; supported are %v", c.ModelType, Supported())
	}
	if f.defaults != nil { // read once more, over them: an absent key leaves its default, null in a pointer clears it
		c = &Config{}
		f.defaults(c)
		if err := c.read(data); err != nil {
			return nil, err
		}
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.NormEps == 0 {
		c.NormEps = 1e-6
	}
	if c.MaxPositions == 0 {
		c.MaxPositions = 2048
	}
	if c.Act == "" {
		c.Act = c.Activation
	}
	if err := c.checkShape(); err != nil {
		return nil, err
	}
	return c, f.check(c)
}

// read puts the keys of a config.json into c and leaves what they do not name.
func (c *Config) read(data []byte) error {
	err := json.Unmarshal(data, c)
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return fmt.Errorf("config: %s is a %s, want a %s", te.Field, te.Value, te.Type)
	}
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// checkShape refuses sizes that no real model has, before anything is allocated for them.
func (c *Config) checkShape() error {
	for _, f := range []struct {
		key    string
		v, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 22}, {"hidden_size", c.Hidden, 1 << 17}, {"intermediate_size", c.Intermediate, 1 << 20},
		{"num_hidden_layers", c.Layers, 1024}, {"num_attention_heads", c.Heads, 4096}, {"num_key_value_heads", c.KVHeads, 4096},
		{"head_dim", c.HeadDim, 4096}, {"max_position_embeddings", c.MaxPositions, 1 << 28},
	} {
		if f.v < 1 || f.v > f.max {
			return fmt.Errorf("config: %s is %d, want 1 to %d", f.key, f.v, f.max)
		}
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("config: num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	if c.HeadDim%2 != 0 {
		return fmt.Errorf("config: head_dim %d is odd", c.HeadDim)
	}
	for _, f := range []struct {
		key string
		v   float64
	}{
		{"rms_norm_eps", c.NormEps}, {"attn_logit_softcapping", softcap(c.AttnSoftcap)}, {"final_logit_softcapping", softcap(c.FinalSoftcap)},
		{"query_pre_attn_scalar", c.QueryPreScalar}, {"embedding_multiplier", c.EmbeddingMultiplier}, {"attention_multiplier", c.AttentionMultiplier},
		{"residual_multiplier", c.ResidualMultiplier}, {"logits_scaling", c.LogitsScaling},
	} {
		if f.v < 0 || math.IsNaN(f.v) || math.IsInf(f.v, 0) {
			return fmt.Errorf("config: %s is %v", f.key, f.v)
		}
	}
	if c.SlidingWindow != nil && *c.SlidingWindow < 0 {
		return fmt.Errorf("config: sliding_window is %d", *c.SlidingWindow)
	}
	if len(c.LayerTypes) > 0 && len(c.LayerTypes) != c.Layers {
		return fmt.Errorf("config: layer_types has %d entries for %d layers", len(c.LayerTypes), c.Layers)
	}
	for _, t := range c.LayerTypes {
		if t != "full_attention" && t != "sliding_attention" {
			return fmt.Errorf("config: layer type %q is not supported", t)
		}
	}
	return nil
}

// tied reports whether the head shares the embedding, given the family's default.
func (c *Config) tied(byDefault bool) bool {
	if c.Tied == nil {
		return byDefault
	}
	return *c.Tied
}

// pad is the padding token's id, -1 where there is none.
func (c *Config) pad() int32 {
	if c.PadToken == nil || *c.PadToken < 0 || *c.PadToken >= int64(c.VocabSize) {
		return -1
	}
	return int32(*c.PadToken)
}

// window is the sliding window, 0 where there is none.
func (c *Config) window() int {
	if c.SlidingWindow == nil {
		return 0
	}
	return *c.SlidingWindow
}

// softcap is a cap's value, 0 where there is none.
func softcap(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

// gate maps an activation's name.
func (c *Config) gate() (nn.Gate, error) {
	switch c.Act {
	case "", "silu", "swish":
		return nn.SiLU, nil
	case "gelu_pytorch_tanh":
		return nn.GELUTanh, nil
	}
	return 0, fmt.Errorf("config: activation %q is not supported", c.Act)
}

// wantSiLU is the check of families whose only activation is SiLU.
func (c *Config) wantSiLU() error {
	if g, err := c.gate(); err != nil || g != nn.SiLU {
		return fmt.Errorf("config: %s with activation %q is not supported", c.ModelType, c.Act)
	}
	return nil
}

// slides reports whether layer i attends in a window, by layer_types or else by pattern: every nth layer is full.
func (c *Config) slides(i, pattern int) bool {
	if len(c.LayerTypes) > 0 {
		return c.LayerTypes[i] == "sliding_attention"
	}
	return (i+1)%pattern != 0
}
