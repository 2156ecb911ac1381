package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"hone/engine/nn"
	"hone/engine/optim"
	"hone/engine/tensor"
)

// TrainerOptions are choices that change how a step is computed, not what it means.
type TrainerOptions struct {
	Seed      uint64 // keys dropout
	MicroRows int    // rows of a forward pass; 0: as many as MicroTokens allow
	// MicroTokens bounds the tokens of a forward pass; 0: from the model's shape and Memory. It never depends on free memory.
	MicroTokens int
	Packing     bool             // rows share forward passes; otherwise each has its own
	Precision   tensor.Precision // of the products with weights and adapters
	Memory      nn.Memory        // how activations wait for the backward pass
}

// Trainer holds what changes in training: an adapter's weights, or with a nil adapter the whole base's, with
// their gradients and moments. One goroutine uses it at a time.
type Trainer struct {
	base    *Base
	adapter *Adapter
	opts    TrainerOptions
	slots   []optim.Slot
	grads   *nn.Grads
	matrix  []*nn.Param // by slot: the matrix to refresh after a step, or nil
	steps   int         // optimiser steps done
}

// NewTrainer prepares to train a, or all of b where a is nil; b must then have been loaded as trainable.
func NewTrainer(b *Base, a *Adapter, o TrainerOptions) (*Trainer, error) {
	t := &Trainer{base: b, adapter: a, opts: o, grads: &nn.Grads{}}
	if a == nil {
		if !b.train {
			return nil, errors.New("full fine-tuning wants a base loaded as trainable")
		}
		t.trainBase()
		return t, nil
	}
	if a.sealed {
		return nil, errSealed
	}
	t.trainAdapter()
	return t, nil
}

// slot makes room for the gradient and moments of w.
func (t *Trainer) slot(name string, w []float32, m *nn.Param, shape ...int) []float32 {
	g := make([]float32, len(w))
	t.slots = append(t.slots, optim.Slot{Name: name, Shape: shape, W: w, G: g, M: make([]float32, len(w)), V: make([]float32, len(w))})
	t.matrix = append(t.matrix, m)
	return g
}

func (t *Trainer) trainAdapter() {
	t.grads.LoRA = make([]nn.LoRAGrad, len(t.base.dec.Linears))
	t.adapter.mods.Thaw()
	for i, l := range t.adapter.mods.LoRA {
		if l == nil {
			continue
		}
		lin := t.base.dec.Linears[i]
		a, b := peftNames(lin.Name)
		t.grads.LoRA[i].A = t.slot(a, l.A, nil, l.R, lin.In())
		t.grads.LoRA[i].B = t.slot(b, l.B, nil, lin.Out(), l.R)
	}
}

func (t *Trainer) trainBase() {
	t.grads.P = make([][]float32, len(t.base.dec.Params))
	for _, p := range t.base.dec.Params {
		if p.M == nil {
			t.grads.P[p.ID] = t.slot(p.Name, p.W, nil, len(p.W))
			continue
		}
		w := make([]float32, p.Size())
		for r := range p.M.Rows {
			p.M.Row(r, w[r*p.M.Cols:(r+1)*p.M.Cols])
		}
		t.grads.P[p.ID] = t.slot(p.Name, w, p, p.M.Rows, p.M.Cols)
	}
}

// Steps is the number of optimiser steps done.
func (t *Trainer) Steps() int { return t.steps }

// Params is the number of trained parameters.
func (t *Trainer) Params() (n int) {
	for _, s := range t.slots {
		n += len(s.W)
	}
	return n
}

// Result is what one ForwardBackward says.
type Result struct {
	Loss    float64
	Tokens  int // of all rows, without padding
	Trained int
	Metrics Metrics
}

// ForwardBackward computes the loss of rows and adds its gradients to those waiting for Step. Rows go through in
// micro-batches whose losses and gradients add up to those of one large batch. step keys dropout.
func (t *Trainer) ForwardBackward(ctx context.Context, rows []Datum, step int, loss Loss) (Result, error) {
	if err := t.base.checkRows(rows); err != nil {
		return Result{}, err
	}
	total := totals(rows)
	if total.Trained == 0 || total.Weight == 0 {
		return Result{Tokens: total.Tokens}, ErrNothingTrained
	}
	res := Result{Tokens: total.Tokens, Trained: total.Trained, Metrics: Metrics{}}
	for _, part := range t.base.microBatches(rows, t.opts) {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		l, m := t.pass(part, total, step, loss)
		res.Loss += l
		for k, v := range m {
			res.Metrics[k] += v
		}
	}
	return res, nil
}

// pass runs one micro-batch forward and backward.
func (t *Trainer) pass(rows []Datum, total Totals, step int, loss Loss) (float64, Metrics) {
	b := t.base
	// Dropout draws masks of its own for each row, so nothing is common to rows that have it.
	dropout := t.adapter != nil && t.adapter.dropout
	l := b.lay(rows, t.adapter, t.opts.Packing && !dropout)
	if len(l.ids) == 0 {
		return 0, nil
	}
	c, ts := b.start(l), l.ts
	defer b.end(c)
	c.Grads = t.grads
	c.Forward, c.Backward = t.opts.Precision, t.opts.Precision
	c.Memory = t.opts.Memory
	if dropout {
		c.Dropout = &nn.Dropout{Seed: t.opts.Seed, Step: uint64(step)} //nolint:gosec // a key
	}
	h, p := b.dec.Forward(c, l.ids)
	dh := c.WS.Zeros(len(h))
	var value float64
	var metrics Metrics
	if loss == nil {
		lps := make([]float32, len(ts))
		b.backHead(c, dh, h, ts, func(i int, lp float32) float32 {
			lps[i] = lp
			return -float32(float64(rows[ts[i].datum].Weights[ts[i].pos]) / total.Weight)
		})
		for i, lp := range lps {
			value -= float64(rows[ts[i].datum].Weights[ts[i].pos]) * float64(lp)
		}
		value /= total.Weight
	} else {
		value, metrics = t.customHead(c, dh, h, ts, rows, total, loss)
	}
	// The gradient handed down is that of +Σ coef·log p; coef carried the minus sign of the loss.
	b.dec.Backward(c, dh, p)
	return value, metrics
}

// customHead asks loss for the derivative by each log-probability and takes it through the head.
func (t *Trainer) customHead(c *nn.Call, dh, h []float32, ts []target, rows []Datum, total Totals, loss Loss) (float64, Metrics) {
	out, grad := newOut(rows), newOut(rows)
	t.base.logProbs(c, h, ts, func(i int, logits []float32, lse float32) {
		out.LogProb[ts[i].datum][ts[i].pos] = logits[ts[i].token] - lse
	})
	value, metrics := loss(rows, total, out, &grad)
	t.base.backHead(c, dh, h, ts, func(i int, _ float32) float32 { return grad.LogProb[ts[i].datum][ts[i].pos] })
	return value, metrics
}

func newOut(rows []Datum) (o Out) {
	for _, d := range rows {
		o.LogProb = append(o.LogProb, make([]float32, len(d.Tokens)))
	}
	return o
}

// Step updates the trained weights with the gradients gathered since the last one, and clears them. It returns
// the gradient norm before clipping.
func (t *Trainer) Step(o optim.AdamW) (norm float64, err error) {
	norm, err = o.Step(t.base.pool, t.slots, t.steps+1)
	if err != nil {
		return norm, fmt.Errorf("step %d: %w", t.steps+1, err)
	}
	t.steps++
	t.ZeroGrad()
	t.refresh()
	return norm, nil
}

// ZeroGrad drops the gradients gathered so far.
func (t *Trainer) ZeroGrad() {
	for _, s := range t.slots {
		clear(s.G)
	}
}

// refresh gives changed values to the base's matrices.
func (t *Trainer) refresh() {
	for i, p := range t.matrix {
		if p != nil {
			p.M.SetF32(t.slots[i].W)
		}
	}
}

// Eval is what Evaluate counts.
type Eval struct {
	LossSum   float64 // Σ −w·log p
	WeightSum float64
	Correct   int // trained positions whose token is the most probable one
	Count     int // trained positions
}

// Loss is the weighted mean loss.
func (e Eval) Loss() float64 { return e.LossSum / e.WeightSum }

// Accuracy is the share of positions whose token is the most probable one.
func (e Eval) Accuracy() float64 { return float64(e.Correct) / float64(e.Count) }

// Evaluate computes loss and token accuracy of rows with a, or with the base alone where it is nil, without
// dropout.
func (b *Base) Evaluate(ctx context.Context, rows []Datum, a *Adapter) (e Eval, err error) {
	if err := errors.Join(b.checkRows(rows), b.checkAdapter(a)); err != nil {
		return e, err
	}
	return b.evaluate(ctx, rows, a, b.prec)
}

func (b *Base) evaluate(ctx context.Context, rows []Datum, a *Adapter, prec tensor.Precision) (e Eval, err error) {
	for _, part := range b.microBatches(rows, TrainerOptions{Packing: true}) {
		if err := ctx.Err(); err != nil {
			return e, err
		}
		b.evaluatePart(part, a, prec, &e)
	}
	return e, nil
}

// Evaluate is the base's with the trainer's adapter and precision.
func (t *Trainer) Evaluate(ctx context.Context, rows []Datum) (Eval, error) {
	if err := t.base.checkRows(rows); err != nil {
		return Eval{}, err
	}
	return t.base.evaluate(ctx, rows, t.adapter, t.opts.Precision)
}

func (b *Base) evaluatePart(rows []Datum, a *Adapter, prec tensor.Precision, e *Eval) {
	l := b.lay(rows, a, true)
	if len(l.ids) == 0 {
		return
	}
	c, ts := b.start(l), l.ts
	defer b.end(c)
	c.Forward = prec
	h, _ := b.dec.Forward(c, l.ids)
	lps, best := make([]float32, len(ts)), make([]bool, len(ts))
	b.logProbs(c, h, ts, func(i int, logits []float32, lse float32) {
		lps[i] = logits[ts[i].token] - lse
		best[i] = argmax(logits) == ts[i].token
	})
	for i, t := range ts {
		w := float64(rows[t.datum].Weights[t.pos])
		e.LossSum -= w * float64(lps[i])
		e.WeightSum += w
		e.Count++
		if best[i] {
			e.Correct++
		}
	}
}

// checkRows refuses rows that cannot be computed, naming the dataset row.
func (b *Base) checkRows(rows []Datum) error {
	for _, d := range rows {
		if len(d.Weights) != len(d.Tokens) {
			return fmt.Errorf("row %d: %d weights for %d tokens", d.Row, len(d.Weights), len(d.Tokens))
		}
		if err := b.check(d.Tokens); err != nil {
			return fmt.Errorf("row %d: %w", d.Row, err)
		}
		for i, w := range d.Weights {
			if math.IsNaN(float64(w)) || math.IsInf(float64(w), 0) {
				return fmt.Errorf("row %d: weight of token %d is %v", d.Row, i, w)
			}
		}
	}
	return nil
}

// microBatches cuts rows into runs for one forward pass each. It depends on rows, options and model alone.
func (b *Base) microBatches(rows []Datum, o TrainerOptions) (parts [][]Datum) {
	limit, maxRows := o.MicroTokens, o.MicroRows
	if limit == 0 {
		limit = b.microTokens(o.Memory)
		if maxRows > 0 {
			limit = math.MaxInt
		}
	}
	if !o.Packing {
		maxRows = 1
	}
	start, tokens := 0, 0
	for i := 0; i < len(rows); {
		n, end := 0, i // the rows i..end-1 belong together
		for end < len(rows) && (end == i || (rows[i].Group != 0 && rows[end].Group == rows[i].Group)) {
			n += rows[end].inputs()
			end++
		}
		if i > start && (tokens+n > limit || (maxRows > 0 && end-start > maxRows)) {
			parts = append(parts, rows[start:i])
			start, tokens = i, 0
		}
		tokens += n
		i = end
	}
	return append(parts, rows[start:])
}
