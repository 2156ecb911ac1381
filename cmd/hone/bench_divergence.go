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
	windows, length := divergenceWindows, min(divergenceWindow, b.model.Base.Config().MaxPositions)
	if b.c.Quick {
		windows, length = 1, min(length, 32)
	}
	ids := b.model.Tokenizer.Encode(text, tokenizer.Options{})
	result := &benchDivergence{Default: b.model.Base.Precision().String(), Paths: map[string]divergence{}}
	paths := []tensor.Precision{tensor.Half, tensor.Fixed}
	kls, same := make([][]float64, len(paths)), make([]int, len(paths))
	for range windows {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(length, len(ids))
		if n == 0 {
			break
		}
		result.Tokens += n
		b.say(fmt.Sprintf("divergence, %d tokens", result.Tokens))
		kl, equal, err := b.compare(ids[:n], paths)
		if err != nil {
			return err
		}
		for i := range paths {
			kls[i], same[i] = append(kls[i], kl[i]...), same[i]+equal[i]
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

// compare returns for each path KL(f32 ‖ path) at each position, and how many likeliest tokens are equal.
func (b *bench) compare(ids []int32, paths []tensor.Precision) (kl [][]float64, same []int, err error) {
	kl, same = make([][]float64, len(paths)), make([]int, len(paths))
	equal := make([][]bool, len(paths))
	for i := range paths {
		kl[i], equal[i] = make([]float64, len(ids)), make([]bool, len(ids))
	}
	precs := append([]tensor.Precision{tensor.Single}, paths...)
	err = b.model.Base.Distributions(ids, precs, func(at int, logProbs [][]float32) {
		for i := range paths {
			kl[i][at], equal[i][at] = klOf(logProbs[0], logProbs[i+1])
		}
	})
	for i := range paths {
		for _, e := range equal[i] {
			if e {
				same[i]++
			}
		}
	}
	return kl, same, err
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
