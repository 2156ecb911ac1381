package arch

import (
	"math"

	"hone/engine/nn"
)

// phi3 is Llama's shape with joint projections: q, k and v in one, gate and up in one (Abdin et al. 2024,
// arXiv 2404.14219).
var phi3 = family{
	defaults: func(c *Config) { c.NormEps = 1e-5 },
	check:    (*Config).wantSiLU,
	build: func(b *builder) *nn.Decoder {
		rope := b.ropeFor("full_attention")
		h, g, e := b.Heads, b.KVHeads, b.HeadDim
		return b.decoder(false, 0, func(i int) *nn.Block {
			attn := &nn.SelfAttention{
				Attention: nn.Attention{Layer: i, Heads: h, Groups: g, E: e, Scale: float32(1 / math.Sqrt(float64(e))), Window: b.window()},
				QKV:       b.linear(layer(i, "self_attn.qkv_proj"), (h+2*g)*e, b.Hidden, false),
				O:         b.linear(layer(i, "self_attn.o_proj"), b.Hidden, h*e, false),
				Rope:      rope,
			}
			mlp := &nn.MLP{
				GateUp: b.linear(layer(i, "mlp.gate_up_proj"), 2*b.Intermediate, b.Hidden, false),
				Down:   b.linear(layer(i, "mlp.down_proj"), b.Hidden, b.Intermediate, false),
			}
			return b.preNorm(i, attn, mlp)
		})
	},
}
