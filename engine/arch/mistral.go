package arch

import "hone/engine/nn"

// mistral is Llama's shape with attention in a sliding window (Jiang et al. 2023, arXiv 2310.06825).
var mistral = family{
	defaults: func(c *Config) {
		window := 4096
		c.SlidingWindow = &window
	},
	check: (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, false, false, rope)
			attn.Window = b.window()
			return b.preNorm(i, attn, b.mlp(i, false))
		})
	},
}
