package engine

import (
	"fmt"
	"math"

	"hone/engine/nn"
)

// Adapter is a low-rank change to a base's linear layers (LoRA). It belongs to the base it was made for.
type Adapter struct {
	base    *Base
	mods    nn.Adapter
	dropout bool // some layer drops inputs in training
}

// modules is the adapter's layers, nil for a nil adapter.
func (a *Adapter) modules() *nn.Adapter {
	if a == nil {
		return nil
	}
	return &a.mods
}

// peftNames are the tensor names of a module's two matrices in a PEFT file.
func peftNames(module string) (a, b string) {
	p := "base_model.model." + module
	return p + ".lora_A.weight", p + ".lora_B.weight"
}

// Params is the number of the adapter's parameters.
func (a *Adapter) Params() (n int) {
	for _, l := range a.mods.LoRA {
		if l != nil {
			n += len(l.A) + len(l.B)
		}
	}
	return n
}

// initA fills a module's A as PEFT does: uniform in ±1/√in (He et al. 2015 with a = √5, arXiv 1502.01852). The
// draws depend on the seed and the module's name alone.
func initA(a []float32, in int, seed uint64, name string) {
	h := seed
	for _, r := range []byte(name) {
		h = (h ^ uint64(r)) * 0x100000001b3 // FNV-1a
	}
	bound := 1 / math.Sqrt(float64(in))
	for i := range a {
		a[i] = float32((2*uniform(h, uint64(i)) - 1) * bound) //nolint:gosec // i is an index
	}
}

// scaleOf is the factor of a LoRA's product.
func scaleOf(r int, alpha float64, rs bool) float32 {
	if rs {
		return float32(alpha / math.Sqrt(float64(r)))
	}
	return float32(alpha / float64(r))
}

// check refuses an adapter that belongs to another base.
func (b *Base) checkAdapter(a *Adapter) error {
	if a != nil && a.base != b {
		return fmt.Errorf("the adapter was loaded for another base")
	}
	return nil
}
