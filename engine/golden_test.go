package engine

import (
	"context"
	"io"
	"math"
	"path/filepath"
	"testing"

	"hone/engine/nn"
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
	out = make([]float32, len(ids)*b.cfg.Vocab)
	b.logProbs(c, h, ts, func(i int, logits []float32, _ float32) { copy(out[i*b.cfg.Vocab:], logits) })
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
