// Package optim updates parameters: AdamW with gradient clipping, and learning-rate schedules.
package optim

import (
	"fmt"
	"math"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// AdamW holds the settings of one step (Loshchilov and Hutter 2019, arXiv 1711.05101), as torch.optim.AdamW
// defines them: weight decay is decoupled and applies to every trainable parameter.
type AdamW struct {
	LearningRate float64
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64
	MaxGradNorm  float64 // gradients are scaled by min(1, MaxGradNorm/(norm+1e-6)); 0: not
}

// Slot is one trainable tensor with its gradient and moments, all of one length.
type Slot struct {
	Name       string
	Shape      []int
	W, G, M, V []float32
}

// block is how many elements one task handles. Sums are taken block by block, so they do not depend on threads.
const block = 1 << 15

// Norm returns the Euclidean norm of all gradients.
func Norm(p *tensor.Pool, slots []Slot) float64 {
	var blocks [][]float32
	for _, s := range slots {
		for lo := 0; lo < len(s.G); lo += block {
			blocks = append(blocks, s.G[lo:min(lo+block, len(s.G))])
		}
	}
	sums := make([]float64, len(blocks))
	p.Run(len(blocks), func(i, _ int) {
		for _, g := range blocks[i] {
			sums[i] += float64(g) * float64(g)
		}
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total)
}

// Step clips and updates every slot; step counts from 1. It returns the gradient norm before clipping. A norm
// that is not finite is an error, and nothing is updated.
func (o AdamW) Step(p *tensor.Pool, slots []Slot, step int) (norm float64, err error) {
	norm = Norm(p, slots)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("gradient norm is %v", norm)
	}
	scale := 1.0
	if o.MaxGradNorm > 0 {
		scale = min(1, o.MaxGradNorm/(norm+1e-6))
	}
	bc1, bc2 := 1-math.Pow(o.Beta1, float64(step)), 1-math.Pow(o.Beta2, float64(step))
	type task struct {
		s      *Slot
		lo, hi int
	}
	var tasks []task
	for i := range slots {
		for lo := 0; lo < len(slots[i].W); lo += block {
			tasks = append(tasks, task{&slots[i], lo, min(lo+block, len(slots[i].W))})
		}
	}
	p.Run(len(tasks), func(i, _ int) {
		s, lo, hi := tasks[i].s, tasks[i].lo, tasks[i].hi
		kernel.AdamW(s.W[lo:hi], s.G[lo:hi], s.M[lo:hi], s.V[lo:hi], o.LearningRate, o.Beta1, o.Beta2,
			o.Eps, o.WeightDecay, bc1, bc2, scale)
	})
	return norm, nil
}
