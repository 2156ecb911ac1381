package arch

import "hone/engine/nn"

// granite is Llama's shape with four factors: on embeddings, attention scores, what a sublayer adds, and (as a
// divisor) the logits (IBM Granite 3.0's card, 2024).
var granite = family{
	check: func(c *Config) error {
		for _, f := range []*float64{&c.EmbeddingMultiplier, &c.AttentionMultiplier, &c.ResidualMultiplier, &c.LogitsScaling} {
			if *f == 0 {
				*f = 1
			}
		}
		return c.wantSiLU()
	},
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		d := b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
			attn.Scale = float32(b.AttentionMultiplier)
			block := b.preNorm(i, attn, b.mlp(i, b.MLPBias))
			block.Residual = float32(b.ResidualMultiplier)
			return block
		})
		d.EmbedScale = float32(b.EmbeddingMultiplier)
		d.LogitScale = float32(1 / b.LogitsScaling)
		return d
	},
}
