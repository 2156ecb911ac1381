package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"hone/engine/tensor"
	"hone/engine/weights"
	"hone/internal/golden"
)

// tiny opens a small reference model.
func tiny(t testing.TB, family string, threads int) *Base {
	t.Helper()
	return openBase(t, golden.Path(t, filepath.Join("arch", family)), LoadOptions{Threads: threads})
}

func loraConfig(dropout float64) weights.AdapterConfig {
	return weights.AdapterConfig{R: 4, Alpha: 8, Dropout: dropout, TargetRegex: weights.AllLinear}
}

// rowsOfLengths makes n rows of differing lengths with some masked tokens.
func rowsOfLengths(n int) (rows []Datum) {
	for i := range n {
		d := Datum{Row: int64(i)}
		for j := range 5 + 7*i%23 {
			d.Tokens = append(d.Tokens, int32((i*31+j*17)%250))
			w := float32(0)
			if j > 2 && (i+j)%4 != 0 {
				w = 1
			}
			d.Weights = append(d.Weights, w)
		}
		rows = append(rows, d)
	}
	return rows
}

// train runs steps and returns the trainer's state.
func train(t *testing.T, b *Base, rows []Datum, o TrainerOptions, dropout float64, steps int) (*Trainer, []float64) {
	t.Helper()
	a, err := b.NewAdapter(loraConfig(dropout), 5)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, a, o)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for s := range steps {
		losses = append(losses, step(t, tr, rows, s))
	}
	return tr, losses
}

func step(t *testing.T, tr *Trainer, rows []Datum, s int) float64 {
	t.Helper()
	res, err := tr.ForwardBackward(context.Background(), rows, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Step(adamW(1e-2, 0)); err != nil {
		t.Fatal(err)
	}
	return res.Loss
}

func sameState(t *testing.T, what string, a, b []weights.Tensor) {
	t.Helper()
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Data, b[i].Data) {
			t.Fatalf("%s: tensor %s differs", what, a[i].Name)
		}
	}
}

// TestThreadsDoNotChangeBits trains with one thread and with three.
func TestThreadsDoNotChangeBits(t *testing.T) {
	for _, f := range []string{"llama", "gemma2-hidden48"} {
		rows := rowsOfLengths(9)
		one, _ := train(t, tiny(t, f, 1), rows, TrainerOptions{Packing: true, Seed: 1}, 0.1, 4)
		three, _ := train(t, tiny(t, f, 3), rows, TrainerOptions{Packing: true, Seed: 1}, 0.1, 4)
		sameState(t, f, one.State(), three.State())
	}
}

// TestPackingAndAccumulation holds packed against unpacked, and micro-batches against one large batch, with
// dropout on: its masks must not depend on either.
func TestPackingAndAccumulation(t *testing.T) {
	b := tiny(t, "llama", 2)
	rows := rowsOfLengths(9)
	_, whole := train(t, b, rows, TrainerOptions{Packing: true, MicroTokens: 1 << 20}, 0.2, 5)
	for name, o := range map[string]TrainerOptions{
		"unpacked":     {},
		"small passes": {Packing: true, MicroTokens: 30},
		"two rows":     {Packing: true, MicroRows: 2},
	} {
		_, losses := train(t, b, rows, o, 0.2, 5)
		for i := range losses {
			if d := math.Abs(losses[i]/whole[i] - 1); !(d <= 1e-4) {
				t.Errorf("%s: step %d: loss %v, in one pass %v", name, i+1, losses[i], whole[i])
			}
		}
	}
}

// TestRestoreContinuesBitForBit stops after three steps and continues in a new trainer.
func TestRestoreContinuesBitForBit(t *testing.T) {
	b := tiny(t, "llama", 2)
	rows := rowsOfLengths(6)
	straight, _ := train(t, b, rows, TrainerOptions{Packing: true, Seed: 2}, 0.1, 6)
	first, _ := train(t, b, rows, TrainerOptions{Packing: true, Seed: 2}, 0.1, 3)
	second, _ := train(t, b, rows, TrainerOptions{Packing: true, Seed: 2}, 0.1, 0)
	state := map[string]weights.Tensor{}
	for _, x := range first.State() {
		state[x.Name] = x
	}
	if err := second.Restore(state); err != nil {
		t.Fatal(err)
	}
	for s := 3; s < 6; s++ {
		step(t, second, rows, s)
	}
	sameState(t, "resumed", straight.State(), second.State())
	delete(state, "m."+first.slots[0].Name)
	if err := second.Restore(state); err == nil {
		t.Error("a state without a moment was restored")
	}
}

// TestDropoutDropsAndIsKeyed checks that dropout changes the loss, by step and seed.
func TestDropoutDropsAndIsKeyed(t *testing.T) {
	b := tiny(t, "llama", 2)
	rows := rowsOfLengths(4)
	loss := func(p float64, seed uint64, s int) float64 {
		a, err := b.LoadAdapter(golden.Path(t, "arch/llama/adapter_init"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range a.mods.LoRA {
			l.Dropout = float32(p)
		}
		a.dropout = p > 0
		tr, err := NewTrainer(b, a, TrainerOptions{Packing: true, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.ForwardBackward(context.Background(), rows, s, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.Loss
	}
	base := loss(0.3, 1, 0)
	if base != loss(0.3, 1, 0) {
		t.Error("equal keys gave different masks")
	}
	for name, other := range map[string]float64{"no dropout": loss(0, 1, 0), "another seed": loss(0.3, 2, 0), "another step": loss(0.3, 1, 1)} {
		if other == base {
			t.Errorf("%s gave the same loss", name)
		}
	}
}

// TestCachedEqualsUncached decodes with a cache, through more than one prompt chunk, and scores the result at once.
func TestCachedEqualsUncached(t *testing.T) {
	for _, f := range []string{"llama", "mistral", "gemma3", "smollm3"} {
		b := tiny(t, f, 2)
		prompt := make([]int32, 130)
		for i := range prompt {
			prompt[i] = int32(i * 7 % 250)
		}
		toks := continueAlone(t, b, prompt, 60)
		ids := append([]int32(nil), prompt...)
		for _, x := range toks {
			ids = append(ids, x.ID)
		}
		s, err := b.Score(context.Background(), ids, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range toks {
			if d := math.Abs(float64(x.LogProb - s.LogProbs[len(prompt)+i-1])); !(d <= 1e-4) {
				t.Fatalf("%s: token %d: cached %v, uncached %v", f, i, x.LogProb, s.LogProbs[len(prompt)+i-1])
			}
		}
	}
}

// TestBatchMatesDoNotMatter decodes sampled streams with different adapters alone and together.
func TestBatchMatesDoNotMatter(t *testing.T) {
	for _, prec := range []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed} {
		t.Run(prec.String(), func(t *testing.T) {
			batchMates(t, openBase(t, golden.Path(t, "arch/qwen3"), LoadOptions{Threads: 2, Precision: prec}))
		})
	}
}

func batchMates(t *testing.T, b *Base) {
	var adapters [3]*Adapter
	for i := 1; i < 3; i++ {
		a, err := b.LoadAdapter(golden.Path(t, "arch/qwen3/adapter_"+[]string{"", "init", "after10"}[i]))
		if err != nil {
			t.Fatal(err)
		}
		adapters[i] = a
	}
	stream := func(i int) *Stream {
		prompt := make([]int32, 3+11*i)
		for j := range prompt {
			prompt[j] = int32((i + 3*j) % 250)
		}
		s, err := b.NewStream(prompt, adapters[i%3], Sampling{Temperature: 0.9, TopP: 0.95, Seed: uint64(i), RepetitionPenalty: 1.1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	run := func(ss []*Stream, steps int) [][]Token {
		got := make([][]Token, len(ss))
		out := make([]Token, len(ss))
		for range steps {
			if err := b.Decode(context.Background(), ss, out); err != nil {
				t.Fatal(err)
			}
			for i, x := range out {
				got[i] = append(got[i], x)
			}
		}
		return got
	}
	var all []*Stream
	for i := range 7 {
		all = append(all, stream(i))
	}
	together := run(all, 20)
	for i := range 7 {
		alone := run([]*Stream{stream(i)}, 20)[0]
		for j := range alone {
			if alone[j].ID != together[i][j].ID || alone[j].LogProb != together[i][j].LogProb {
				t.Fatalf("stream %d token %d: alone %+v, together %+v", i, j, alone[j], together[i][j])
			}
		}
	}
}

// TestCustomLossMatchesBuiltIn states cross-entropy as a Loss.
func TestCustomLossMatchesBuiltIn(t *testing.T) {
	b := tiny(t, "llama", 2)
	rows := rowsOfLengths(7)
	run := func(loss Loss) (float64, []weights.Tensor) {
		a, err := b.LoadAdapter(golden.Path(t, "arch/llama/adapter_init"))
		if err != nil {
			t.Fatal(err)
		}
		tr, err := NewTrainer(b, a, TrainerOptions{Packing: true, MicroTokens: 40})
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.ForwardBackward(context.Background(), rows, 0, loss)
		if err != nil {
			t.Fatal(err)
		}
		var gs []weights.Tensor
		for _, s := range tr.slots {
			gs = append(gs, f32Tensor(s.Name, s.Shape, s.G))
		}
		return res.Loss, gs
	}
	want, wantG := run(nil)
	got, gotG := run(func(rows []Datum, total Totals, out Out, grad *Out) (v float64, m Metrics) {
		for i, d := range rows {
			for j, w := range d.Weights {
				if j > 0 {
					v -= float64(w) * float64(out.LogProb[i][j]) / total.Weight
					grad.LogProb[i][j] = -w / float32(total.Weight)
				}
			}
		}
		return v, nil
	})
	if math.Abs(got/want-1) > 1e-6 {
		t.Errorf("loss %v, built in %v", got, want)
	}
	for i := range wantG {
		x, y := weights.AsF32(gotG[i]), weights.AsF32(wantG[i])
		if d := maxAbsDiff(x, y) / maxAbs(y); d > 1e-5 {
			t.Errorf("gradient %s differs by %.2g", wantG[i].Name, d)
		}
	}
}

// TestRefusals checks that bad input is an error that says where.
func TestRefusals(t *testing.T) {
	b := tiny(t, "llama", 1)
	ctx := context.Background()
	a, err := b.NewAdapter(loraConfig(0), 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, a, TrainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"token out of range": func() error { _, err := b.Score(ctx, []int32{1, 256}, nil, 0); return err },
		"negative token":     func() error { _, err := b.NewStream([]int32{-1}, nil, Sampling{}); return err },
		"empty prompt":       func() error { _, err := b.NewStream(nil, nil, Sampling{}); return err },
		"too long":           func() error { _, err := b.Score(ctx, make([]int32, 257), nil, 0); return err },
		"temperature":        func() error { _, err := b.NewStream([]int32{1}, nil, Sampling{Temperature: math.NaN()}); return err },
		"masked": func() error {
			_, err := tr.ForwardBackward(ctx, []Datum{{Tokens: []int32{1, 2}, Weights: []float32{1, 0}}}, 0, nil)
			return err
		},
		"weights": func() error {
			_, err := tr.ForwardBackward(ctx, []Datum{{Tokens: []int32{1, 2}, Weights: []float32{1}}}, 0, nil)
			return err
		},
		"no target": func() error {
			_, err := b.NewAdapter(weights.AdapterConfig{R: 2, Alpha: 2, TargetModules: []string{"wq"}}, 0)
			return err
		},
		"rank": func() error {
			_, err := b.NewAdapter(weights.AdapterConfig{R: 100, Alpha: 2, TargetRegex: weights.AllLinear}, 0)
			return err
		},
		"full on frozen": func() error { _, err := NewTrainer(b, nil, TrainerOptions{}); return err },
		"another base": func() error {
			_, err := tiny(t, "llama", 1).Score(ctx, []int32{1, 2}, a, 0)
			return err
		},
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// TestAdapterRoundTrip saves what PEFT wrote and reads equal tensors back.
func TestAdapterRoundTrip(t *testing.T) {
	b := tiny(t, "llama", 1)
	a, err := b.LoadAdapter(golden.Path(t, "arch/llama/adapter_after10"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	sum, err := b.SHA256()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Save(dir, weights.Facts{BaseSHA256: sum}); err != nil {
		t.Fatal(err)
	}
	back, err := b.LoadAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range a.mods.LoRA {
		if maxAbsDiff(l.A, back.mods.LoRA[i].A) != 0 || maxAbsDiff(l.B, back.mods.LoRA[i].B) != 0 || l.Scale != back.mods.LoRA[i].Scale {
			t.Fatalf("module %d changed", i)
		}
	}
	if _, err := tiny(t, "llama-bias-wide", 1).LoadAdapter(dir); err == nil {
		t.Error("an adapter of another base was loaded")
	}
}

// TestStepAllocatesLittle bounds what a training step takes from the heap once its arenas have grown. A worker's arena
// grows when the worker first gets a task, which may be in any step: so it is the median step that counts.
func TestStepAllocatesLittle(t *testing.T) {
	b := tiny(t, "llama", 2)
	rows := rowsOfLengths(9)
	tr, _ := train(t, b, rows, TrainerOptions{Packing: true}, 0.1, 2)
	if taken := allocations(t, tr, rows); taken[len(taken)/2] > 64<<10 {
		t.Errorf("a step of %d tokens allocates %d bytes; all steps: %d", totals(rows).Tokens, taken[len(taken)/2], taken)
	} else {
		t.Logf("steps allocate %d bytes", taken)
	}
}

// allocations returns the bytes that each of some steps takes from the heap, in ascending order.
func allocations(t *testing.T, tr *Trainer, rows []Datum) (taken []uint64) {
	t.Helper()
	for s := range 11 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step(t, tr, rows, s)
		runtime.ReadMemStats(&after)
		taken = append(taken, after.TotalAlloc-before.TotalAlloc)
	}
	slices.Sort(taken)
	return taken
}

// TestSaveModelLoadsBack trains all weights, writes them, and scores the same with what is read back.
func TestSaveModelLoadsBack(t *testing.T) {
	b := openBase(t, golden.Path(t, "arch/olmo2"), LoadOptions{Trainable: true})
	tr, err := NewTrainer(b, nil, TrainerOptions{Packing: true})
	if err != nil {
		t.Fatal(err)
	}
	step(t, tr, rowsOfLengths(3), 0)
	dir := filepath.Join(t.TempDir(), "model")
	if err := tr.SaveModel(dir, map[string][]byte{"tokenizer.json": []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := weights.VerifyFolder(dir); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "tokenizer.json")); err != nil || string(text) != "{}" {
		t.Errorf("the file beside is %q, %v", text, err)
	}
	back := openBase(t, dir, LoadOptions{})
	ids := []int32{1, 5, 9, 200, 3}
	if d := maxAbsDiff(b.allLogits(ids, nil), back.allLogits(ids, nil)); d != 0 {
		t.Errorf("logits differ by %v", d)
	}
}

// TestSaveModelWithDivisors saves a model whose frequencies a tensor divides, as in a GGUF of Llama 3: by the rule's
// divisors it becomes a model that others read, by any others one that keeps the tensor.
func TestSaveModelWithDivisors(t *testing.T) {
	reference := openBase(t, golden.Path(t, "arch/llama-rope-llama3"), LoadOptions{})
	divisors := make([]float32, 8) // of its head size 16, theta 10000, factor 4, original length 64
	for i := range divisors {
		wave := 2 * math.Pi * math.Pow(10000, float64(i)/8)
		s := min(1, max(0, (64/wave-1)/3))
		divisors[i] = float32(1 / ((1-s)/4 + s))
	}
	for _, odd := range []bool{false, true} {
		m, err := weights.Open(golden.Path(t, "arch/llama-rope-llama3"))
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, m)
		if odd {
			divisors[7] = 5
		}
		x := f32Tensor("rope_freqs.weight", []int{8}, divisors)
		m.Tensors[x.Name] = x
		var c map[string]any
		if err := json.Unmarshal(m.Config, &c); err != nil {
			t.Fatal(err)
		}
		delete(c, "rope_parameters")
		c["rope_theta"], c["rope_freqs"] = 10000.0, true
		if m.Config, err = json.Marshal(c); err != nil {
			t.Fatal(err)
		}
		b, err := Load(m, LoadOptions{Trainable: true})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, b)
		tr, err := NewTrainer(b, nil, TrainerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "model")
		if err := tr.SaveModel(dir, nil); err != nil {
			t.Fatal(err)
		}
		back := openBase(t, dir, LoadOptions{})
		ids := []int32{1, 5, 9, 200, 3, 77, 12, 9, 31, 250}
		if d := maxAbsDiff(b.allLogits(ids, nil), back.allLogits(ids, nil)); d > 1e-5 || odd && d != 0 {
			t.Errorf("odd %v: logits differ by %v from what was saved", odd, d)
		}
		if d := maxAbsDiff(reference.allLogits(ids, nil), back.allLogits(ids, nil)); (d > 1e-5) != odd {
			t.Errorf("odd %v: logits differ by %v from the reference", odd, d)
		}
		if _, ok := back.model.Tensors[x.Name]; ok != odd {
			t.Errorf("odd %v: the tensor is there: %v", odd, ok)
		}
	}
}

// TestSharedBeginnings holds rows that begin alike, computed once, against each row on its own: losses, gradients
// and validation.
func TestSharedBeginnings(t *testing.T) {
	for _, f := range []string{"llama", "mistral", "gemma3", "phi3"} {
		b := tiny(t, f, 2)
		var rows []Datum
		for i := range 7 {
			d := Datum{Row: int64(i)}
			for j := range 40 + 3*i {
				id := int32(j * 5 % 250)
				switch {
				case i%3 == 2:
					id = int32((j*7 + i/3) % 250) // another beginning, or one of its own
				case j > 20+i/2:
					id = int32((i*31 + j*17) % 250)
				}
				d.Tokens = append(d.Tokens, id)
				d.Weights = append(d.Weights, float32((i+j)%3)) // some within the common part
			}
			rows = append(rows, d)
		}
		l := b.lay(rows, nil, true)
		if total := totals(rows).Tokens; len(l.ids) > total-2*minShared {
			t.Fatalf("%s: %d of %d tokens are read: nothing is shared", f, len(l.ids), total)
		}
		a, err := b.LoadAdapter(golden.Path(t, "arch/"+f+"/adapter_init"))
		if err != nil {
			t.Fatal(err)
		}
		run := func(o TrainerOptions) (float64, []weights.Tensor) {
			tr, err := NewTrainer(b, a, o)
			if err != nil {
				t.Fatal(err)
			}
			res, err := tr.ForwardBackward(context.Background(), rows, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			var gs []weights.Tensor
			for _, s := range tr.slots {
				gs = append(gs, f32Tensor(s.Name, s.Shape, s.G))
			}
			return res.Loss, gs
		}
		got, gotG := run(TrainerOptions{Packing: true})
		want, wantG := run(TrainerOptions{})
		if d := math.Abs(got/want - 1); d > 1e-6 {
			t.Errorf("%s: loss %v shared, %v apart", f, got, want)
		}
		for i := range wantG {
			x, y := weights.AsF32(gotG[i]), weights.AsF32(wantG[i])
			if d := maxAbsDiff(x, y) / maxAbs(y); d > 2e-5 {
				t.Errorf("%s: gradient %s differs by %.2g", f, wantG[i].Name, d)
			}
		}
	}
}
