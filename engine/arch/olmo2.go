package arch

import "hone/engine/nn"

// olmo2 normalises what a sublayer gives, not what it reads, and normalises all queries and all keys together
// (OLMo Team 2024, arXiv 2501.00656).
var olmo2 = family{
	defaults: func(c *Config) { c.NormEps = 1e-5 },
	check:    (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
			attn.QNorm = b.norm(layer(i, "self_attn.q_norm"), b.Heads*b.HeadDim, 0)
			attn.KNorm = b.norm(layer(i, "self_attn.k_norm"), b.KVHeads*b.HeadDim, 0)
			return &nn.Block{
				Attn: attn, PostAttn: b.norm(layer(i, "post_attention_layernorm"), b.Hidden, 0),
				MLP: b.mlp(i, false), PostMLP: b.norm(layer(i, "post_feedforward_layernorm"), b.Hidden, 0),
				Residual: 1,
			}
		})
	},
}
