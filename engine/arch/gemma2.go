package arch

import (
	"fmt"
	"math"

	"hone/engine/nn"
)

// gemma2 normalises sublayers' inputs and outputs, caps attention scores and logits, and alternates sliding and
// full attention (Gemma Team 2024, arXiv 2408.00118).
var gemma2 = family{
	check: checkGemma,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		d := b.decoder(true, 1, func(i int) *nn.Block {
			attn := b.gemmaAttention(i, rope)
			attn.Softcap = float32(b.AttnSoftcap)
			if b.slides(i, 2) {
				attn.Window = b.window()
			}
			return b.sandwich(i, attn)
		})
		d.EmbedScale = float32(math.Sqrt(float64(b.Hidden)))
		d.LogitCap = float32(b.FinalSoftcap)
		return d
	},
}

func checkGemma(c *Config) error {
	if g, err := c.gate(); err != nil || g != nn.GELUTanh {
		return fmt.Errorf("config: %s with activation %q is not supported", c.ModelType, c.Act)
	}
	if c.QueryPreScalar == 0 {
		c.QueryPreScalar = 256 // what the family's own code takes where the key is absent
	}
	return nil
}

// gemmaAttention takes layer i's projections; scores are scaled by query_pre_attn_scalar, not by the head size.
func (b *builder) gemmaAttention(i int, rope *nn.Rope) *nn.SelfAttention {
	attn := b.attention(i, b.AttnBias, b.AttnBias, rope)
	attn.Scale = float32(1 / math.Sqrt(b.QueryPreScalar))
	return attn
}

// sandwich is Gemma's block: norms before and after each sublayer, whose weights are stored less one.
func (b *builder) sandwich(i int, attn *nn.SelfAttention) *nn.Block {
	return &nn.Block{
		PreAttn: b.norm(layer(i, "input_layernorm"), b.Hidden, 1), Attn: attn, PostAttn: b.norm(layer(i, "post_attention_layernorm"), b.Hidden, 1),
		PreMLP: b.norm(layer(i, "pre_feedforward_layernorm"), b.Hidden, 1), MLP: b.mlp(i, false), PostMLP: b.norm(layer(i, "post_feedforward_layernorm"), b.Hidden, 1),
		Residual: 1,
	}
}
