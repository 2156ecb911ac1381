package engine

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"hone/engine/nn"
	"hone/engine/tensor"
	"hone/engine/weights"
	"hone/internal/golden"
)

// beginAlike makes rows of which some have a common beginning that is worth sharing.
func beginAlike(n int) (rows []Datum) {
	for i := range n {
		d := Datum{Row: int64(i)}
		for j := range 30 + 5*i%17 {
			id := int32((i*31 + j*17) % 250)
			if j < 20 && i%4 != 3 {
				id = int32(j * 5 % 250)
			}
			d.Tokens = append(d.Tokens, id)
			d.Weights = append(d.Weights, float32((i+j)%3))
		}
		rows = append(rows, d)
	}
	return rows
}

// gradients returns the loss and gradients of rows with the family's reference adapter, or with one of its own where
// there is dropout.
func gradients(t *testing.T, b *Base, family string, rows []Datum, o TrainerOptions, dropout float64) (float64, []weights.Tensor) {
	t.Helper()
	a, err := b.LoadAdapter(golden.Path(t, filepath.Join("arch", family, "adapter_init")))
	if dropout > 0 {
		a, err = b.NewAdapter(loraConfig(dropout), 5)
	}
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, a, o)
	if err != nil {
		t.Fatal(err)
	}
	if dropout > 0 { // B starts as zero, which lets no gradient through
		step(t, tr, rows, 0)
	}
	res, err := tr.ForwardBackward(context.Background(), rows, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	var gs []weights.Tensor
	for _, s := range tr.slots {
		gs = append(gs, f32Tensor(s.Name, s.Shape, s.G))
	}
	return res.Loss, gs
}

// TestLowMemoryHasTheBitsOfFast computes layers again in every kind of model, at every precision, with common
// beginnings and with dropout.
func TestLowMemoryHasTheBitsOfFast(t *testing.T) {
	for i, f := range []string{"llama", "qwen3", "olmo2", "gemma2-hidden48", "gemma3", "phi3", "smollm3"} {
		b := tiny(t, f, 2)
		for _, prec := range []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed} {
			for j, dropout := range []float64{0, 0.2} {
				if testing.Short() && f != "qwen3" && (int(prec) != i%3 || j != i%2) {
					continue // one family in all ways, the others in one way each
				}
				o := TrainerOptions{Packing: true, Precision: prec, Seed: 3, MicroTokens: 120}
				fast, fastG := gradients(t, b, f, beginAlike(9), o, dropout)
				o.Memory = nn.MemoryLow
				low, lowG := gradients(t, b, f, beginAlike(9), o, dropout)
				if low != fast {
					t.Errorf("%s, %s, dropout %v: loss %v, computed once %v", f, prec, dropout, low, fast)
				}
				sameState(t, f+" "+prec.String(), lowG, fastG)
			}
		}
	}
}

// TestBalancedMemoryStaysClose holds gradients of rounded activations against exact ones: the loss is the same, and
// the gradients differ by about as much as bf16 products make them differ.
func TestBalancedMemoryStaysClose(t *testing.T) {
	for _, f := range []string{"llama", "qwen3", "olmo2", "gemma2-hidden48", "gemma3", "phi3", "smollm3"} {
		b := tiny(t, f, 2)
		o := TrainerOptions{Packing: true, MicroTokens: 120}
		fast, exact := gradients(t, b, f, beginAlike(9), o, 0)
		o.Memory = nn.MemoryBalanced
		balanced, rounded := gradients(t, b, f, beginAlike(9), o, 0)
		o.Memory, o.Precision = nn.MemoryFast, tensor.Half
		_, half := gradients(t, b, f, beginAlike(9), o, 0)
		if balanced != fast {
			t.Errorf("%s: loss %v, in f32 %v", f, balanced, fast)
		}
		d, h := distance(rounded, exact), distance(half, exact)
		if d > 1e-2 || d == 0 {
			t.Errorf("%s: gradients differ by %.2g of their norm, those of bf16 products by %.2g", f, d, h)
		}
		t.Logf("%s: gradients differ by %.2g of their norm, those of bf16 products by %.2g", f, d, h)
	}
}

// distance is the norm of x − y in parts of y's.
func distance(x, y []weights.Tensor) float64 {
	var d, n float64
	for i := range x {
		a, b := weights.AsF32(x[i]), weights.AsF32(y[i])
		for j, v := range b {
			d += float64(a[j]-v) * float64(a[j]-v)
			n += float64(v) * float64(v)
		}
	}
	return math.Sqrt(d / n)
}

// TestMemoryDoesNotHangOnThreads trains with one thread and with three.
func TestMemoryDoesNotHangOnThreads(t *testing.T) {
	for _, m := range []nn.Memory{nn.MemoryBalanced, nn.MemoryLow} {
		o := TrainerOptions{Packing: true, Seed: 1, Memory: m}
		one, _ := train(t, tiny(t, "qwen3", 1), beginAlike(9), o, 0.1, 3)
		three, _ := train(t, tiny(t, "qwen3", 3), beginAlike(9), o, 0.1, 3)
		sameState(t, m.String(), one.State(), three.State())
	}
}

// TestMemoryAllocatesLittle is TestStepAllocatesLittle for the ways that keep less.
func TestMemoryAllocatesLittle(t *testing.T) {
	for _, m := range []nn.Memory{nn.MemoryBalanced, nn.MemoryLow} {
		rows := rowsOfLengths(9)
		tr, _ := train(t, tiny(t, "llama", 2), rows, TrainerOptions{Packing: true, Memory: m}, 0.1, 2)
		taken := allocations(t, tr, rows)
		if got := taken[len(taken)/2]; got > 64<<10 {
			t.Errorf("%s: a step allocates %d bytes; all steps: %d", m, got, taken)
		}
	}
}

func TestParseMemory(t *testing.T) {
	for _, name := range MemoryNames()[1:] {
		if got, err := ParseMemory(name, tensor.Half); err != nil || got.String() != name {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	for p, want := range map[tensor.Precision]nn.Memory{tensor.Single: nn.MemoryFast, tensor.Half: nn.MemoryBalanced, tensor.Fixed: nn.MemoryBalanced} {
		if got, err := ParseMemory(AutoMemory, p); err != nil || got != want {
			t.Errorf("auto at %v is %v, %v", p, got, err)
		}
	}
	if _, err := ParseMemory("none", tensor.Single); err == nil {
		t.Error("none was accepted")
	}
}
