package arch

import (
	"fmt"

	"hone/engine/nn"
)

// smollm3 is Llama's shape in which some layers, by default every fourth, have no rotation at all (NoPE; the
// model's card, 2025).
var smollm3 = family{
	defaults: func(c *Config) {
		theta := 2e6
		c.RopeTheta = &theta
	},
	check: func(c *Config) error {
		if len(c.NoRopeLayers) > 0 && len(c.NoRopeLayers) < c.Layers { // entries beyond the layers say nothing
			return fmt.Errorf("config: no_rope_layers has %d entries for %d layers", len(c.NoRopeLayers), c.Layers)
		}
		return c.wantSiLU()
	},
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(true, 0, func(i int) *nn.Block {
			attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
			if !b.rotates(i) {
				attn.Rope = nil
			}
			attn.Window = b.smollm3Window(i)
			return b.preNorm(i, attn, b.mlp(i, b.MLPBias))
		})
	},
}

// rotates reports whether layer i of a SmolLM3 has positions: no_rope_layers holds 1 where it does.
func (b *builder) rotates(i int) bool {
	if len(b.NoRopeLayers) > 0 {
		return b.NoRopeLayers[i] != 0
	}
	interval := b.NoRopeInterval
	if interval == 0 {
		interval = 4
	}
	return (i+1)%interval != 0
}

// smollm3Window is the window of layer i: where sliding is on, layer_types decides, else the layers without
// positions slide.
func (b *builder) smollm3Window(i int) int {
	slides := !b.rotates(i)
	if len(b.LayerTypes) > 0 {
		slides = b.LayerTypes[i] == "sliding_attention"
	}
	if !b.UseSlidingWindow || !slides {
		return 0
	}
	return b.window()
}
