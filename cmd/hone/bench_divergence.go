package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"hone/engine/arch"
	"hone/engine/kernel"
	"hone/engine/nn"
	"hone/engine/tensor"
	"hone/engine/tokenizer"
	"hone/examples"
)

// The text of the divergence is read in windows.
const divergenceWindow, divergenceWindows = 512, 10

// benchDivergence is how far the fast paths' next-token distributions lie from the f32 path of the same weights.
type benchDivergence struct {
	Tokens  int                   `json:"tokens"`
	Default string                `json:"default"` // the precision that generate, chat and serve use
	Paths   map[string]divergence `json:"paths"`   // by precision
}

// divergence sums up one path over all positions: the Kullback-Leibler divergence KL(f32 ‖ path), in nats, and how
// often both have the same most probable token.
type divergence struct {
	MeanKL float64 `json:"mean_kl"`
	P99KL  float64 `json:"p99_kl"`
	MaxKL  float64 `json:"max_kl"`
	Top1   float64 `json:"top1_agreement"`
}

// divergence reads the text at every precision and compares whole distributions.
func (b *bench) divergence(ctx context.Context) error {
	if b.model.Tokenizer == nil {
		return errors.New("the model has no tokenizer to read text with")
	}
	text, err := b.divergenceText()
	if err != nil {
		return err
	}
	d, err := newDistributions(b)
	if err != nil {
		return err
	}
	windows := divergenceWindows
	if b.c.Quick {
		windows = 1
	}
	ids := b.model.Tokenizer.Encode(text, tokenizer.Options{})
	result := &benchDivergence{Default: b.model.Base.Precision().String(), Paths: map[string]divergence{}}
	paths := []tensor.Precision{tensor.Half, tensor.Fixed}
	kls, same := make([][]float64, len(paths)), make([]int, len(paths))
	for range windows {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(divergenceWindow, len(ids), d.cfg.MaxPositions)
		if b.c.Quick {
			n = min(n, 32)
		}
		if n == 0 {
			break
		}
		result.Tokens += n
		b.say(fmt.Sprintf("divergence, %d tokens", result.Tokens))
		exact := d.hidden(ids[:n], tensor.Single)
		for i, prec := range paths {
			kl, equal := d.compare(exact, d.hidden(ids[:n], prec), prec)
			kls[i], same[i] = append(kls[i], kl...), same[i]+equal
		}
		ids = ids[n:]
	}
	if result.Tokens == 0 {
		return errors.New("the text is empty")
	}
	for i, prec := range paths {
		result.Paths[prec.String()] = summarise(kls[i], same[i])
	}
	b.r.Divergence = result
	return nil
}

func summarise(kl []float64, same int) (d divergence) {
	slices.Sort(kl)
	for _, x := range kl {
		d.MeanKL += x / float64(len(kl))
	}
	d.P99KL, d.MaxKL = kl[len(kl)*99/100], kl[len(kl)-1]
	d.Top1 = float64(same) / float64(len(kl))
	return d
}

// divergenceText is the file's text, or else the messages of banking77's test rows joined by spaces and the stories.
func (b *bench) divergenceText() (string, error) {
	if b.c.Text != "" {
		text, err := os.ReadFile(b.c.Text)
		return string(text), err
	}
	var parts []string
	for _, name := range []string{"banking77/test.jsonl", "stories/train.jsonl", "stories/valid.jsonl"} {
		f, err := examples.Files.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var row struct {
				Text     string
				Messages []struct{ Role, Content string }
			}
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			if row.Text != "" {
				parts = append(parts, row.Text)
			}
			for _, m := range row.Messages {
				if m.Role == "user" {
					parts = append(parts, m.Content)
				}
			}
		}
	}
	return strings.Join(parts, " "), nil
}

// distributions computes a model's next-token distributions at any precision. It goes below package engine, whose
// verbs give out chosen tokens and never whole rows of logits.
type distributions struct {
	cfg *arch.Config
	dec *nn.Decoder
	c   *nn.Call
}

func newDistributions(b *bench) (*distributions, error) {
	cfg := b.model.Base.Config()
	dec, err := arch.Build(cfg, b.model.Weights, arch.Options{Pool: b.pool})
	if err != nil {
		return nil, err
	}
	c := &nn.Call{Pool: b.pool, WS: new(tensor.Workspace), Saved: new(tensor.Workspace)}
	for range b.pool.Threads() {
		c.Scratch = append(c.Scratch, new(tensor.Workspace))
	}
	return &distributions{cfg, dec, c}, nil
}

// hidden is the final hidden states (T, D) of a sequence.
func (d *distributions) hidden(ids []int32, prec tensor.Precision) []float32 {
	c := d.c
	c.T, c.Forward, c.Pos = len(ids), prec, c.Pos[:0]
	for i := range ids {
		c.Pos = append(c.Pos, int32(i))
	}
	c.Segs = []nn.Segment{{End: len(ids)}}
	h, _ := d.dec.Forward(c, ids)
	h = slices.Clone(h)
	c.WS.Release(tensor.Mark{})
	c.Saved.Release(tensor.Mark{})
	return h
}

// logProbs writes the log-probabilities (n, V) that follow hidden states h (n, D).
func (d *distributions) logProbs(out, h []float32, n int, prec tensor.Precision) {
	tensor.MulTAt(prec, d.c.Pool, d.c.WS, out, h, n, d.dec.Head.M, false)
	v := d.dec.Vocab()
	d.c.Pool.Run(n, func(i, _ int) {
		row := out[i*v : (i+1)*v]
		for j, x := range row {
			x *= d.dec.LogitScale
			if limit := d.dec.LogitCap; limit > 0 {
				x = limit * float32(math.Tanh(float64(x/limit)))
			}
			row[j] = x
		}
		lse := kernel.LogSumExp(row)
		for j := range row {
			row[j] -= lse
		}
	})
}

// compare returns KL(exact ‖ path) at each position, given hidden states, and how many likeliest tokens are equal.
func (d *distributions) compare(exact, path []float32, prec tensor.Precision) (kl []float64, same int) {
	hidden, v := d.dec.Hidden(), d.dec.Vocab()
	rows := len(exact) / hidden
	kl = make([]float64, rows)
	equal := make([]bool, rows)
	const block = 64
	p, q := make([]float32, block*v), make([]float32, block*v)
	for lo := 0; lo < rows; lo += block {
		n := min(block, rows-lo)
		d.logProbs(p[:n*v], exact[lo*hidden:(lo+n)*hidden], n, tensor.Single)
		d.logProbs(q[:n*v], path[lo*hidden:(lo+n)*hidden], n, prec)
		d.c.Pool.Run(n, func(i, _ int) {
			kl[lo+i], equal[lo+i] = klOf(p[i*v:(i+1)*v], q[i*v:(i+1)*v])
		})
	}
	for _, e := range equal {
		if e {
			same++
		}
	}
	return kl, same
}

// klOf is KL(p ‖ q) in nats of two rows of log-probabilities, and whether their greatest are at the same place.
func klOf(p, q []float32) (kl float64, same bool) {
	bestP, bestQ := 0, 0
	for i := range p {
		kl += math.Exp(float64(p[i])) * float64(p[i]-q[i])
		if p[i] > p[bestP] {
			bestP = i
		}
		if q[i] > q[bestQ] {
			bestQ = i
		}
	}
	return kl, bestP == bestQ
}
