package arch

import (
	"math"

	"hone/engine/nn"
)

// gemma3 is the text model of Gemma 3: Gemma 2's block with normalised queries and keys, five sliding layers to
// a full one, and a rotation base for each kind (Gemma Team 2025, arXiv 2503.19786). Its configs still have
// attn_logit_softcapping, but its attention scores are never capped.
var gemma3 = family{
	defaults: func(c *Config) {
		theta := 1e6
		c.RopeTheta, c.RopeLocalTheta = &theta, 1e4
		gemmaDefaults(c)
	},
	check: checkGemma,
	build: func(b *builder) *nn.Decoder {
		full, local := b.ropeFor("full_attention"), b.localRope()
		d := b.decoder(true, 1, func(i int) *nn.Block {
			rope, window := full, 0
			if b.slides(i, b.gemma3Pattern()) {
				rope, window = local, b.window()
			}
			attn := b.gemmaAttention(i, rope)
			attn.Window = window
			attn.QNorm = b.norm(layer(i, "self_attn.q_norm"), b.HeadDim, 1)
			attn.KNorm = b.norm(layer(i, "self_attn.k_norm"), b.HeadDim, 1)
			return b.sandwich(i, attn)
		})
		d.EmbedScale = float32(math.Sqrt(float64(b.Hidden)))
		d.LogitCap = float32(softcap(b.FinalSoftcap))
		return d
	},
}

// gemma3Pattern is how many layers go to one full layer where layer_types does not say.
func (b *builder) gemma3Pattern() int {
	for _, p := range []int{b.WindowPattern, b.WindowPattern2} {
		if p > 0 {
			return p
		}
	}
	return 6
}

// localRope is the sliding layers' rotation: rope_parameters has it by kind; the older form gives a base of its
// own, and its scaling is for the full layers alone.
func (b *builder) localRope() *nn.Rope {
	local := *b.Config
	local.RopeTheta, local.RopeScaling = &b.RopeLocalTheta, nil
	lb := *b
	lb.Config = &local
	r := lb.ropeFor("sliding_attention")
	b.errs = lb.errs
	return r
}
