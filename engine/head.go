package engine

import (
	"math"

	"hone/engine/kernel"
	"hone/engine/nn"
	"hone/engine/tensor"
)

// headBytes bounds the logits that exist at once.
const headBytes = 64 << 20

// headRows is how many rows go through the head together, from the model alone.
func (b *Base) headRows() int {
	return max(1, min(256, headBytes/4/b.cfg.VocabSize))
}

// logits writes the logits (n, V) of hidden rows h (n, D).
func (b *Base) logits(c *nn.Call, out, h []float32, n int) {
	tensor.MulTAt(c.Forward, c.Pool, c.WS, out, h, n, b.dec.Head.M, false)
	d, v := b.dec, b.dec.Vocab()
	if d.LogitScale == 1 && d.LogitCap == 0 {
		return
	}
	c.Pool.Run(n, func(r, _ int) {
		row := out[r*v : (r+1)*v]
		if d.LogitScale != 1 {
			kernel.Scale(row, d.LogitScale)
		}
		if d.LogitCap > 0 {
			for i, x := range row {
				row[i] = d.LogitCap * float32(math.Tanh(float64(x/d.LogitCap)))
			}
		}
	})
}

// target is one position whose next token matters: row of the hidden states, and that token.
type target struct {
	row   int // row of h
	token int32
	datum int // index in the micro-batch
	pos   int // index of the token in its datum
}

// gather copies the targets' rows of h (T, D) to out (len(ts), D).
func gather(out, h []float32, ts []target, d int) {
	for i, t := range ts {
		copy(out[i*d:(i+1)*d], h[t.row*d:(t.row+1)*d])
	}
}

// logProbs computes each target's log-probability, and whether it is the most probable token, through see.
// The head runs over blocks of rows, so that rows × vocabulary logits never exist at once.
func (b *Base) logProbs(c *nn.Call, h []float32, ts []target, see func(i int, logits []float32, lse float32)) {
	d, v := b.dec.Hidden(), b.dec.Vocab()
	for lo := 0; lo < len(ts); lo += b.headRows() {
		part := ts[lo:min(lo+b.headRows(), len(ts))]
		mark := c.WS.Mark()
		hs, out := c.WS.F32(len(part)*d), c.WS.F32(len(part)*v)
		gather(hs, h, part, d)
		b.logits(c, out, hs, len(part))
		c.Pool.Run(len(part), func(i, _ int) {
			row := out[i*v : (i+1)*v]
			see(lo+i, row, kernel.LogSumExp(row))
		})
		c.WS.Release(mark)
	}
}

// backHead runs the head over the targets and adds to dh (T, D) the gradient of Σ coef(i)·log p(target i),
// with −coef the weight of a cross-entropy. coef sees the row's log-probability, computed on the way. The
// gradient of the head's own weight goes to its buffer where it trains.
func (b *Base) backHead(c *nn.Call, dh, h []float32, ts []target, coef func(i int, logProb float32) float32) {
	d, v := b.dec.Hidden(), b.dec.Vocab()
	var gw []float32
	if c.Grads.P != nil {
		gw = c.Grads.P[b.dec.Head.ID]
	}
	for lo := 0; lo < len(ts); lo += b.headRows() {
		part := ts[lo:min(lo+b.headRows(), len(ts))]
		mark := c.WS.Mark()
		hs, out, dhs := c.WS.F32(len(part)*d), c.WS.F32(len(part)*v), c.WS.F32(len(part)*d)
		gather(hs, h, part, d)
		b.logits(c, out, hs, len(part))
		c.Pool.Run(len(part), func(i, _ int) {
			row := out[i*v : (i+1)*v]
			lse := kernel.LogSumExp(row)
			lp := row[part[i].token] - lse
			b.softmaxGrad(row, int(part[i].token), lse, coef(lo+i, lp))
		})
		tensor.MulAt(c.Backward, c.Pool, c.WS, dhs, out, len(part), b.dec.Head.M, false)
		if gw != nil {
			tensor.GemmAt(c.Backward, c.Pool, c.WS, v, d, len(part), 1, out, 1, v, hs, d, 1, 1, gw, d)
		}
		for i, t := range part {
			kernel.Add(dh[t.row*d:(t.row+1)*d], dhs[i*d:(i+1)*d])
		}
		c.WS.Release(mark)
	}
}

// softmaxGrad turns a row of logits into the gradient of k·log p(token) by the unscaled, uncapped logits.
func (b *Base) softmaxGrad(row []float32, token int, lse, k float32) {
	logit := row[token]
	d := b.dec
	if d.LogitCap == 0 {
		kernel.ExpInPlace(row, lse)
		kernel.Scale(row, -k*d.LogitScale)
		row[token] += k * d.LogitScale
		return
	}
	capped := func(z float32) float32 { return (1 - (z/d.LogitCap)*(z/d.LogitCap)) * d.LogitScale }
	for i, z := range row {
		row[i] = -k * float32(math.Exp(float64(z-lse))) * capped(z)
	}
	row[token] += k * capped(logit)
}
