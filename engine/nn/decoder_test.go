package nn

import "testing"

// TestPadEmbeddingGradient: the padding token's embedding gets nothing from where it is read, every other its sum.
func TestPadEmbeddingGradient(t *testing.T) {
	for _, pad := range []int32{-1, 1} {
		r := newRig(t)
		embed := r.linear(3, 2, false).W
		d := &Decoder{Embed: embed, Head: embed, EmbedScale: 2, Pad: pad, Norm: &RMSNorm{W: r.vector(2), Eps: 1e-6}}
		r.call.T, r.call.Segs = 4, []Segment{{End: 4}}
		r.call.Grads = &Grads{P: [][]float32{make([]float32, 6), nil}}
		h, pass := d.Forward(r.call, []int32{0, 1, 1, 2})
		d.Backward(r.call, r.random(len(h)), pass)
		for id := range 3 {
			g := r.call.Grads.P[0][2*id : 2*id+2]
			if zero := g[0] == 0 && g[1] == 0; zero != (int32(id) == pad) {
				t.Errorf("pad %d: the gradient of token %d's embedding is %v", pad, id, g)
			}
		}
	}
}
