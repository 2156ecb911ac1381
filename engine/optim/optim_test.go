package optim

import (
	"math"
	"math/rand/v2"
	"testing"

	"hone/engine/tensor"
)

// slots makes two tensors, one longer than a block, with random weights and gradients.
func slots(seed uint64) []Slot {
	r := rand.New(rand.NewPCG(seed, 1))
	var ss []Slot
	for _, n := range []int{7, block + 13} {
		s := Slot{W: make([]float32, n), G: make([]float32, n), M: make([]float32, n), V: make([]float32, n)}
		for i := range n {
			s.W[i], s.G[i] = float32(r.NormFloat64()), float32(r.NormFloat64())*0.01
		}
		ss = append(ss, s)
	}
	return ss
}

// TestStepAgainstFormula takes three clipped steps with decay and holds every weight to the definition in f64.
func TestStepAgainstFormula(t *testing.T) {
	o := AdamW{LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, MaxGradNorm: 1}
	ss := slots(1)
	type state struct{ w, m, v []float64 }
	var ref []state
	norm := 0.0
	for _, s := range ss {
		r := state{make([]float64, len(s.W)), make([]float64, len(s.W)), make([]float64, len(s.W))}
		for i := range s.W {
			r.w[i] = float64(s.W[i])
			norm += float64(s.G[i]) * float64(s.G[i])
		}
		ref = append(ref, r)
	}
	norm = math.Sqrt(norm)
	scale := min(1, o.MaxGradNorm/(norm+1e-6))
	if scale == 1 {
		t.Fatal("the test's gradients are too small to be clipped")
	}
	for step := 1; step <= 3; step++ {
		got, err := o.Step(nil, ss, step)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got/norm-1) > 1e-12 {
			t.Fatalf("norm %v, want %v", got, norm)
		}
		for n, s := range ss {
			for i := range s.W {
				r, g := &ref[n], float64(s.G[i])*scale
				r.w[i] *= 1 - o.LearningRate*o.WeightDecay
				r.m[i] = 0.9*r.m[i] + 0.1*g
				r.v[i] = 0.999*r.v[i] + 0.001*g*g
				mhat, vhat := r.m[i]/(1-math.Pow(0.9, float64(step))), r.v[i]/(1-math.Pow(0.999, float64(step)))
				r.w[i] -= o.LearningRate * mhat / (math.Sqrt(vhat) + o.Eps)
				if d := math.Abs(float64(s.W[i]) - r.w[i]); d > 2e-6*(1+math.Abs(r.w[i])) {
					t.Fatalf("step %d tensor %d element %d: %v, want %v", step, n, i, s.W[i], r.w[i])
				}
			}
		}
	}
}

func TestNormDoesNotDependOnThreads(t *testing.T) {
	p := tensor.NewPool(3)
	defer p.Close()
	if a, b := Norm(nil, slots(2)), Norm(p, slots(2)); a != b {
		t.Errorf("norm with one thread %v, with three %v", a, b)
	}
}

func TestNoUpdateFromBadGradients(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		ss := slots(3)
		ss[1].G[block+5] = bad
		before := append([]float32(nil), ss[1].W...)
		if _, err := (AdamW{LearningRate: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}).Step(nil, ss, 1); err == nil {
			t.Errorf("a gradient of %v was accepted", bad)
		}
		for i := range before {
			if ss[1].W[i] != before[i] {
				t.Fatalf("a gradient of %v changed the weights", bad)
			}
		}
	}
}
