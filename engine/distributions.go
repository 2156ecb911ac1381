package engine

import (
	"hone/engine/kernel"
	"hone/engine/nn"
	"hone/engine/tensor"
)

// Distributions reads ids once at each of precs, without an adapter, and shows the distributions that follow: see gets
// a position and, for each precision, the log-probabilities of the token after it. It may be called for several positions
// at once, and must not keep the slices. Whole distributions are for measuring what a fast path costs; Score gives
// what a text is worth.
func (b *Base) Distributions(ids []int32, precs []tensor.Precision, see func(at int, logProbs [][]float32)) error {
	if err := b.check(ids); err != nil {
		return err
	}
	d, v := b.dec.Hidden(), b.dec.Vocab()
	c := b.begin(len(ids))
	defer b.end(c)
	addSegment(c, len(ids), 0, nn.Segment{})
	hidden := make([][]float32, len(precs)) // (T, D) each
	for i, prec := range precs {
		ws, saved := c.WS.Mark(), c.Saved.Mark()
		c.Forward = prec
		h, _ := b.dec.Forward(c, ids)
		hidden[i] = append([]float32(nil), h[:len(ids)*d]...)
		c.WS.Release(ws)
		c.Saved.Release(saved)
	}
	block := max(1, b.headRows()/max(1, len(precs)))
	for lo := 0; lo < len(ids); lo += block {
		n := min(block, len(ids)-lo)
		mark := c.WS.Mark()
		logits := make([][]float32, len(precs)) // (n, V) each
		for i, prec := range precs {
			c.Forward = prec
			logits[i] = c.WS.F32(n * v)
			b.logits(c, logits[i], hidden[i][lo*d:(lo+n)*d], n)
		}
		c.Pool.Run(n, func(r, _ int) {
			rows := make([][]float32, len(precs))
			for i := range rows {
				rows[i] = logits[i][r*v : (r+1)*v]
				lse := kernel.LogSumExp(rows[i])
				for j := range rows[i] {
					rows[i][j] -= lse
				}
			}
			see(lo+r, rows)
		})
		c.WS.Release(mark)
	}
	return nil
}
