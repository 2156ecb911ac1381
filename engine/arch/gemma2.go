package arch

import (
	"fmt"
	"math"

	"hone/engine/nn"
)

// gemma2 normalises sublayers' inputs and outputs, caps attention scores and logits, and alternates sliding and
// full attention (Gemma Team 2024, arXiv 2408.00118).
var gemma2 = family{
	defaults: func(c *Config) {
		attn, final := 50.0, 30.0
		c.AttnSoftcap, c.FinalSoftcap = &attn, &final
		gemmaDefaults(c)
	},
	check: checkGemma,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		d := b.decoder(true, 1, func(i int) *nn.Block {
			attn := b.gemmaAttention(i, rope)
			attn.Softcap = float32(softcap(b.AttnSoftcap))
			if b.slides(i, 2) {
				attn.Window = b.window()
			}
			return b.sandwich(i, attn)
		})
		d.EmbedScale = float32(math.Sqrt(float64(b.Hidden)))
		d.LogitCap = float32(softcap(b.FinalSoftcap))
		return d
	},
}

// gemmaDefaults are the defaults that Gemma 2 and 3 share.
func gemmaDefaults(c *Config) {
	window := 4096
	c.HeadDim, c.QueryPreScalar, c.SlidingWindow = 256, 256, &window
	c.Activation = "gelu_pytorch_tanh"
}

// checkGemma goes by hidden_activation alone: older files also have hidden_act, which the models do not follow.
func checkGemma(c *Config) error {
	c.Act = c.Activation
	if g, err := c.gate(); err != nil || g != nn.GELUTanh {
		return fmt.Errorf("config: %s with activation %q is not supported", c.ModelType, c.Act)
	}
	if c.Bidirectional {
		return fmt.Errorf("config: %s with use_bidirectional_attention is not supported", c.ModelType)
	}
	if c.QueryPreScalar == 0 {
		return fmt.Errorf("config: query_pre_attn_scalar is 0, want a positive number")
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
