package arch

import "hone/engine/nn"

// llama is Llama 1 to 3 and what shares its shape, SmolLM2 among them (Touvron et al. 2023, arXiv 2302.13971).
var llama = family{
	check: (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
			attn.Window = b.window() // a GGUF names Mistral's shape llama too
			return b.preNorm(i, attn, b.mlp(i, b.MLPBias))
		})
	},
}
