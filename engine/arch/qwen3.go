package arch

import "hone/engine/nn"

// qwen3 normalises each head's query and key and has no biases by default (Yang et al. 2025, arXiv 2505.09388).
var qwen3 = family{
	defaults: func(c *Config) {
		c.HeadDim = 128
		qwenDefaults(c)
	},
	check: (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
			attn.QNorm = b.norm(layer(i, "self_attn.q_norm"), b.HeadDim, 0)
			attn.KNorm = b.norm(layer(i, "self_attn.k_norm"), b.HeadDim, 0)
			attn.Window = b.qwenWindow(i)
			return b.preNorm(i, attn, b.mlp(i, false))
		})
	},
}
