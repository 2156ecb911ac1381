package arch

import "hone/engine/nn"

// qwen2 has biases on queries, keys and values, and may slide from layer max_window_layers on
// (Yang et al. 2024, arXiv 2407.10671).
var qwen2 = family{
	defaults: qwenDefaults,
	check:    (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, true, false, rope)
			attn.Window = b.qwenWindow(i)
			return b.preNorm(i, attn, b.mlp(i, false))
		})
	},
}

// qwenDefaults are the defaults that Qwen2 and Qwen3 share.
func qwenDefaults(c *Config) {
	window := 4096
	c.SlidingWindow, c.MaxWindowLayers = &window, 28
}

// qwenWindow is the window of layer i: layer_types decides, else the layers from max_window_layers on slide.
func (b *builder) qwenWindow(i int) int {
	if !b.UseSlidingWindow {
		return 0
	}
	slides := i >= b.MaxWindowLayers
	if len(b.LayerTypes) > 0 {
		slides = b.LayerTypes[i] == "sliding_attention"
	}
	if !slides {
		return 0
	}
	return b.window()
}
