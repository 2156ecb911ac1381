package engine

import (
	"context"
	"io"
	"math"
	"path/filepath"
	"testing"

	"hone/engine/nn"
	"hone/engine/optim"
	"hone/engine/tensor"
	"hone/engine/weights"
	"hone/internal/golden"
)

// families are the tiny models of the reference vectors.
var families = []string{"llama", "llama-bias-wide", "llama-rope-linear", "llama-rope-llama3", "mistral", "qwen2", "qwen3",
	"gemma2", "gemma2-hidden48", "gemma3", "gemma3-hidden48", "phi3", "smollm3", "granite", "olmo2"}

// vectors is a file of reference tensors.
type vectors map[string]weights.Tensor

func readVectors(t testing.TB, path string) vectors {
	t.Helper()
	ts, _, c, err := weights.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, c)
	return ts
}

func closeAtEnd(t testing.TB, c io.Closer) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (v vectors) f32(t testing.TB, name string) []float32 {
	t.Helper()
	x, ok := v[name]
	if !ok {
		t.Fatalf("no tensor %s among the reference vectors", name)
	}
	return weights.AsF32(x)
}

// ints reads an I32 matrix.
func (v vectors) ints(t testing.TB, name string) [][]int32 {
	t.Helper()
	x, ok := v[name]
	if !ok || x.DType != tensor.I32 || len(x.Shape) != 2 {
		t.Fatalf("no I32 matrix %s among the reference vectors", name)
	}
	out := make([][]int32, x.Shape[0])
	for i := range out {
		for j := range x.Shape[1] {
			at := 4 * (i*x.Shape[1] + j)
			out[i] = append(out[i], int32(uint32(x.Data[at])|uint32(x.Data[at+1])<<8|uint32(x.Data[at+2])<<16|uint32(x.Data[at+3])<<24))
		}
	}
	return out
}

// data makes training rows of the vectors' input_ids and labels.
func (v vectors) data(t testing.TB) (rows []Datum) {
	t.Helper()
	labels := v.ints(t, "labels")
	for i, ids := range v.ints(t, "input_ids") {
		w := make([]float32, len(ids))
		for j := 1; j < len(ids); j++ {
			if labels[i][j] != -100 {
				w[j] = 1
			}
		}
		rows = append(rows, Datum{Tokens: ids, Weights: w, Row: int64(i)})
	}
	return rows
}

func openBase(t testing.TB, path string, o LoadOptions) *Base {
	t.Helper()
	m, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, m)
	b, err := Load(m, o)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, b)
	return b
}

// allLogits runs ids through the model.
func (b *Base) allLogits(ids []int32, a *Adapter) []float32 {
	var out []float32
	c := b.begin(len(ids))
	defer b.end(c)
	ts := make([]target, len(ids))
	for i := range ts {
		ts[i].row = i
	}
	addWhole(c, len(ids), a)
	h, _ := b.dec.Forward(c, ids)
	out = make([]float32, len(ids)*b.cfg.VocabSize)
	b.logProbs(c, h, ts, func(i int, logits []float32, _ float32) { copy(out[i*b.cfg.VocabSize:], logits) })
	return out
}

func maxAbsDiff(a, b []float32) (d float64) {
	for i := range a {
		d = math.Max(d, math.Abs(float64(a[i])-float64(b[i])))
	}
	return d
}

func maxAbs(a []float32) (d float64) {
	for _, x := range a {
		d = math.Max(d, math.Abs(float64(x)))
	}
	return d
}

// TestLogits compares each family's logits, without and with an adapter.
func TestLogits(t *testing.T) {
	for _, f := range families {
		t.Run(f, func(t *testing.T) {
			dir := golden.Path(t, filepath.Join("arch", f))
			b := openBase(t, dir, LoadOptions{})
			v := readVectors(t, filepath.Join(dir, "golden.safetensors"))
			want := v.f32(t, "logits")
			for i, ids := range v.ints(t, "input_ids") {
				got := b.allLogits(ids, nil)
				if d := maxAbsDiff(got, want[i*len(got):(i+1)*len(got)]); !(d <= 5e-5) {
					t.Errorf("row %d: logits differ by %.2g", i, d)
				}
			}
		})
	}
}

// TestGradients compares the loss, and the gradient of every parameter, with full training.
func TestGradients(t *testing.T) {
	for _, f := range families {
		t.Run(f, func(t *testing.T) {
			dir := golden.Path(t, filepath.Join("arch", f))
			b := openBase(t, dir, LoadOptions{Trainable: true})
			v := readVectors(t, filepath.Join(dir, "golden.safetensors"))
			tr, err := NewTrainer(b, nil, TrainerOptions{Packing: true})
			if err != nil {
				t.Fatal(err)
			}
			res, err := tr.ForwardBackward(context.Background(), v.data(t), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := float64(v.f32(t, "loss")[0]); math.Abs(res.Loss-want) > 5e-5*want {
				t.Errorf("loss %v, want %v", res.Loss, want)
			}
			for _, s := range tr.slots {
				want := v.f32(t, "grad."+s.Name)
				if d := maxAbsDiff(s.G, want) / maxAbs(want); !(d <= 5e-5) {
					t.Errorf("gradient of %s is off by %.2g of its largest element", s.Name, d)
				}
			}
		})
	}
}

func addWhole(c *nn.Call, n int, a *Adapter) { addSegment(c, n, 0, nn.Segment{Adapter: a.modules()}) }

// adamW is the optimiser of the reference curves.
func adamW(lr, decay float64) optim.AdamW {
	return optim.AdamW{LearningRate: lr, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: decay, MaxGradNorm: 1}
}

// curve trains ten steps on one batch and compares the losses, and the gradient norms where given.
func curve(t *testing.T, tr *Trainer, rows []Datum, o optim.AdamW, losses, norms []float32) {
	t.Helper()
	for i, want := range losses {
		res, err := tr.ForwardBackward(context.Background(), rows, i, nil)
		if err != nil {
			t.Fatal(err)
		}
		norm, err := tr.Step(o)
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(res.Loss/float64(want) - 1); !(d <= 1e-4) {
			t.Errorf("step %d: loss %v, want %v (%.2g relative)", i+1, res.Loss, want, d)
		}
		if norms != nil {
			if d := math.Abs(norm/float64(norms[i]) - 1); !(d <= 1e-3) {
				t.Errorf("step %d: gradient norm %v, want %v", i+1, norm, norms[i])
			}
		}
	}
}

// TestFullCurve trains all weights of each family for ten steps.
func TestFullCurve(t *testing.T) {
	for _, f := range families {
		t.Run(f, func(t *testing.T) {
			dir := golden.Path(t, filepath.Join("arch", f))
			b := openBase(t, dir, LoadOptions{Trainable: true})
			v := readVectors(t, filepath.Join(dir, "golden.safetensors"))
			tr, err := NewTrainer(b, nil, TrainerOptions{Packing: true})
			if err != nil {
				t.Fatal(err)
			}
			curve(t, tr, v.data(t), adamW(1e-3, 0.01), v.f32(t, "full_loss_curve"), nil)
		})
	}
}

// loraDirs are the folders with LoRA vectors: each family, and PEFT's variants on the llama model.
func loraDirs() map[string]string {
	dirs := map[string]string{"peft/rslora-patterns": "arch/llama", "peft/lora-layers": "arch/llama"}
	for _, f := range families {
		dirs["arch/"+f] = "arch/" + f
	}
	return dirs
}

// TestLoRA compares logits, gradients, ten training steps and the trained adapter with PEFT's.
func TestLoRA(t *testing.T) {
	for dir, model := range loraDirs() {
		t.Run(dir, func(t *testing.T) {
			dir, model := golden.Path(t, dir), golden.Path(t, model)
			b := openBase(t, model, LoadOptions{})
			v, lv := readVectors(t, filepath.Join(model, "golden.safetensors")), readVectors(t, filepath.Join(dir, "golden_lora.safetensors"))
			a, err := b.LoadAdapter(filepath.Join(dir, "adapter_init"))
			if err != nil {
				t.Fatal(err)
			}
			want := lv.f32(t, "logits")
			for i, ids := range v.ints(t, "input_ids") {
				got := b.allLogits(ids, a)
				if d := maxAbsDiff(got, want[i*len(got):(i+1)*len(got)]); !(d <= 5e-5) {
					t.Errorf("row %d: logits differ by %.2g", i, d)
				}
			}
			tr, err := NewTrainer(b, a, TrainerOptions{Packing: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.ForwardBackward(context.Background(), v.data(t), 0, nil); err != nil {
				t.Fatal(err)
			}
			for _, s := range tr.slots {
				want := lv.f32(t, "grad."+s.Name)
				if d := maxAbsDiff(s.G, want) / maxAbs(want); !(d <= 5e-5) {
					t.Errorf("gradient of %s is off by %.2g of its largest element", s.Name, d)
				}
			}
			tr.ZeroGrad()
			initial := tr.State()
			curve(t, tr, v.data(t), adamW(1e-2, 0), lv.f32(t, "loss_curve"), lv.f32(t, "grad_norm_curve"))
			compareAdapter(t, tr, initial, filepath.Join(dir, "adapter_after10"), 0.01)
		})
	}
}

// compareAdapter holds ‖ours − theirs‖ against ‖theirs − init‖, all tensors together.
func compareAdapter(t *testing.T, tr *Trainer, initial []weights.Tensor, dir string, limit float64) {
	t.Helper()
	theirs, err := weights.ReadAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	start := map[string][]float32{}
	for _, x := range initial {
		if x.DType == tensor.F32 {
			start[x.Name] = weights.AsF32(x)
		}
	}
	var off, moved float64
	for _, s := range tr.slots {
		want := weights.AsF32(theirs.Tensors[s.Name])
		for i, w := range want {
			d, m := float64(s.W[i])-float64(w), float64(w)-float64(start["param."+s.Name][i])
			off += d * d
			moved += m * m
		}
	}
	if r := math.Sqrt(off / moved); !(r <= limit) {
		t.Errorf("the adapter is off by %.3g of the way it moved", r)
	} else {
		t.Logf("the adapter is off by %.2g of the way it moved", r)
	}
}
