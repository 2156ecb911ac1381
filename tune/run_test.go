package tune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hone/catalog"
	"hone/engine"
	"hone/engine/tokenizer"
	"hone/engine/weights"
	"hone/internal/busy"
	"hone/internal/golden"
)

// writeGoldenRows writes the batch of the reference curves as a training file of input_ids rows.
func writeGoldenRows(t testing.TB, path string) {
	t.Helper()
	tensors, _, closer, err := weights.ReadSafetensors(golden.Path(t, "arch/llama/golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	ints := func(name string) []int32 {
		var out []int32
		data := tensors[name].Data
		for i := 0; i < len(data); i += 4 { // I32
			out = append(out, int32(uint32(data[i])|uint32(data[i+1])<<8|uint32(data[i+2])<<16|uint32(data[i+3])<<24))
		}
		return out
	}
	ids, labels := ints("input_ids"), ints("labels")
	cols := tensors["input_ids"].Shape[1]
	var b bytes.Buffer
	for i := 0; i < len(ids); i += cols {
		line, err := json.Marshal(map[string][]int32{"input_ids": ids[i : i+cols], "labels": labels[i : i+cols]})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	write(t, path, b.String())
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// curves reads reference curves.
func curves(t testing.TB, rel string, names ...string) (out [][]float32) {
	t.Helper()
	tensors, _, closer, err := weights.ReadSafetensors(golden.Path(t, rel))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	for _, n := range names {
		out = append(out, weights.AsF32(tensors[n]))
	}
	return out
}

// tiny is a run on the tiny Llama, with rows of which each differs from the others.
func tiny(t testing.TB, out string) SFT {
	t.Helper()
	dir := t.TempDir()
	c := DefaultSFT()
	c.Model = golden.Path(t, "arch/llama")
	c.Train, c.Valid, c.Out = filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "valid.jsonl"), out
	row := func(i int) string {
		var ids []int
		for j := range 5 + i%7 {
			ids = append(ids, 3+(i*31+j*17)%250)
		}
		b, _ := json.Marshal(map[string][]int{"input_ids": ids})
		return string(b) + "\n"
	}
	var train, valid strings.Builder
	for i := range 22 {
		train.WriteString(row(i))
	}
	for i := 30; i < 34; i++ {
		valid.WriteString(row(i))
	}
	write(t, c.Train, train.String())
	write(t, c.Valid, valid.String())
	c.Adapter.R, c.Adapter.Alpha, c.Adapter.Dropout = 4, 8, 0.1
	c.Epochs, c.Batch, c.LearningRate, c.EvalEvery, c.SaveEvery, c.Date = 3, 4, 5e-3, 5, 4, "2025-07-10"
	c.Threads, c.Precision, c.Memory = 1, "f32", "fast"
	return c
}

func mustRun(t testing.TB, c SFT, o RunOptions) Summary {
	t.Helper()
	s, err := Run(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGoldenCurve holds ten LoRA steps through files, settings and checkpoints to PyTorch's.
func TestGoldenCurve(t *testing.T) {
	dir := t.TempDir()
	c := DefaultSFT()
	c.Model, c.Train, c.Out = golden.Path(t, "arch/llama"), filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out")
	writeGoldenRows(t, c.Train)
	c.Adapter = Adapter{Type: "lora", R: 4, Alpha: 8, Targets: Targets{Pattern: AllLinear}, Init: golden.Path(t, "arch/llama/adapter_init")}
	c.Epochs, c.Batch, c.LearningRate, c.Schedule, c.Shuffle = 10, 2, 1e-2, "constant", false
	c.Precision = "f32"
	s := mustRun(t, c, RunOptions{})
	metrics, err := ReadMetrics(filepath.Join(c.Out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	want := curves(t, "arch/llama/golden_lora.safetensors", "loss_curve", "grad_norm_curve")
	if len(metrics) != len(want[0]) || s.Steps != 10 {
		t.Fatalf("%d lines for %d steps", len(metrics), len(want[0]))
	}
	for i, m := range metrics {
		for j, got := range []float64{*m.Loss, *m.GradNorm} {
			ref := float64(want[j][i])
			if off := math.Abs(got-ref) / ref; off > 1e-4 {
				t.Errorf("step %d: %v, PyTorch has %v (%.1e off)", i+1, got, ref, off)
			}
		}
	}
	compareAdapters(t, s.Weights, golden.Path(t, "arch/llama/adapter_init"), golden.Path(t, "arch/llama/adapter_after10"))
}

// TestGoldenPatterns starts from adapters with patterns and layers that the settings leave to them.
func TestGoldenPatterns(t *testing.T) {
	for name, a := range map[string]Adapter{
		"rslora-patterns": {Type: "lora", R: 4, Alpha: 8, RSLora: true, Targets: Targets{List: []string{"q_proj", "v_proj", "down_proj"}}},
		"lora-layers":     {Type: "lora", R: 3, Alpha: 5, Targets: Targets{List: []string{"v_proj", "up_proj"}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := DefaultSFT()
			c.Model, c.Train, c.Out = golden.Path(t, "arch/llama"), filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out")
			writeGoldenRows(t, c.Train)
			c.Adapter, c.Adapter.Init = a, golden.Path(t, "peft/"+name+"/adapter_init")
			c.Epochs, c.Batch, c.LearningRate, c.Schedule, c.Shuffle = 10, 2, 1e-2, "constant", false
			c.Precision = "f32"
			s := mustRun(t, c, RunOptions{})
			want := curves(t, "peft/"+name+"/golden_lora.safetensors", "loss_curve")[0]
			if off := math.Abs(s.LastLoss-float64(want[9])) / float64(want[9]); off > 1e-4 {
				t.Errorf("last loss %v, PyTorch has %v", s.LastLoss, want[9])
			}
			resolved, err := LoadSFT(filepath.Join(c.Out, "run.yaml"))
			if err != nil || len(resolved.Adapter.RankPattern)+len(resolved.Adapter.Layers) == 0 {
				t.Errorf("run.yaml has not what was inherited: %+v %v", resolved.Adapter, err)
			}
			if s = mustRun(t, c, RunOptions{Resume: true}); !s.AlreadyFinished {
				t.Error("resumed a finished run")
			}
			c.Adapter.R, c.Out = 5, filepath.Join(dir, "other")
			if _, err := Run(context.Background(), c, RunOptions{}); err == nil || !strings.Contains(err.Error(), "rank") {
				t.Errorf("another rank than its start: %v", err)
			}
		})
	}
}

// compareAdapters holds ours to theirs within one percent of what training changed.
func compareAdapters(t *testing.T, ours, initial, theirs string) {
	t.Helper()
	var files [3]*weights.AdapterFiles
	for i, dir := range []string{ours, initial, theirs} {
		f, err := weights.ReadAdapter(dir)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	var off, moved float64
	for name, x := range files[2].Tensors {
		a, b, c := weights.AsF32(files[0].Tensors[name]), weights.AsF32(files[1].Tensors[name]), weights.AsF32(x)
		for i := range c {
			off += math.Pow(float64(a[i]-c[i]), 2)
			moved += math.Pow(float64(b[i]-c[i]), 2)
		}
	}
	if r := math.Sqrt(off / moved); r > 0.01 || moved == 0 {
		t.Errorf("adapter is off by %.2g of what training changed", r)
	}
	f := files[0].Facts
	if f == nil || f.BaseSHA256 == "" || f.DataHash == "" || f.LossMask == "" {
		t.Errorf("facts %+v", f)
	} else if c, err := DecodeSFTJSON("hone.json", f.Config); err != nil || c.Adapter.R != 4 {
		t.Errorf("config in hone.json: %v", err)
	}
}

func TestFullFineTuning(t *testing.T) {
	dir := t.TempDir()
	c := DefaultSFT()
	c.Model, c.Train, c.Out = golden.Path(t, "arch/llama"), filepath.Join(dir, "rows.jsonl"), filepath.Join(dir, "out")
	writeGoldenRows(t, c.Train)
	c.Adapter.Type = "none"
	c.Epochs, c.Batch, c.WeightDecay, c.Schedule, c.Shuffle = 10, 2, 0.01, "constant", false
	c.Precision = "f32"
	s := mustRun(t, c, RunOptions{})
	metrics, err := ReadMetrics(filepath.Join(c.Out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	want := curves(t, "arch/llama/golden.safetensors", "full_loss_curve")[0]
	for i, m := range metrics {
		if off := math.Abs(*m.Loss-float64(want[i])) / float64(want[i]); off > 1e-4 {
			t.Errorf("step %d: %v, PyTorch has %v", i+1, *m.Loss, want[i])
		}
	}
	// The model that came out is a base for the next run, and starts where this one ended.
	c.Model, c.Out = s.Weights, filepath.Join(dir, "next")
	next := mustRun(t, c, RunOptions{})
	if next.FirstLoss >= s.LastLoss {
		t.Errorf("first loss %v on the trained model, the last before was %v", next.FirstLoss, s.LastLoss)
	}
}

func TestStops(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	c.LearningRate, c.MaxGradNorm, c.Schedule, c.Epochs = 1e5, 0, "constant", 10
	c.Adapter.Type = "none" // everything moves by about 1e5 a step
	_, err := Run(context.Background(), c, RunOptions{})
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !strings.Contains(err.Error(), "lower learning_rate") {
		t.Fatalf("a learning rate of 1e5: %v", err)
	}
	if stopped.Checkpoint != "" {
		if _, err := readCheckpoint(stopped.Checkpoint); err != nil {
			t.Errorf("its checkpoint: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Out, "adapter")); err == nil {
		t.Error("a stopped run wrote an adapter")
	}
}

func TestGuard(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	r, err := begin(context.Background(), c, RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	limit := 2 * math.Log(256)
	for i, step := range []struct {
		loss float64
		want string
	}{{5, ""}, {limit + 1, ""}, {limit + 1, ""}, {1, ""}, {limit + 1, ""}, {limit + 1, ""}, {limit + 1, "the loss explodes"}, {math.NaN(), "the loss is NaN"}, {math.Inf(1), "the loss is +Inf"}} {
		if got := r.guard(step.loss); !strings.HasPrefix(got, step.want) || (got == "") != (step.want == "") {
			t.Errorf("loss %d: %q, want %q", i, got, step.want)
		}
	}
}

func TestEarlyStopping(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	c.EvalEvery, c.EarlyStopping = 1, EarlyStopping{Patience: 2, MinDelta: 100}
	s := mustRun(t, c, RunOptions{})
	if s.Steps != 3 || !strings.Contains(s.Ended, "early stopping") || s.Best.Step != 1 {
		t.Errorf("%+v", s)
	}
	if s = mustRun(t, c, RunOptions{Resume: true}); !s.AlreadyFinished || s.Steps != 3 {
		t.Errorf("resumed: %+v", s)
	}
}

// TestMaskedBatch holds a step whose rows train nothing to be noted and to change nothing.
func TestMaskedBatch(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	write(t, c.Train, `{"input_ids": [1, 2, 3]}`+"\n"+`{"input_ids": [4, 5], "labels": [-100, -100]}`+"\n"+`{"input_ids": [6, 7, 8]}`+"\n")
	c.Valid, c.EvalEvery, c.Batch, c.Epochs, c.Shuffle, c.Adapter.Dropout = "", 0, 1, 1, false, 0
	s := mustRun(t, c, RunOptions{})
	metrics, err := ReadMetrics(filepath.Join(c.Out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Steps != 3 || len(metrics) != 3 || metrics[1].Loss != nil || !strings.Contains(metrics[1].Skipped, "train.jsonl: 2)") || metrics[1].TrainedTokens != 0 || metrics[1].Tokens != 2 {
		t.Errorf("%+v", metrics)
	}
}

func TestThreadsAndMicroBatches(t *testing.T) {
	root := t.TempDir()
	c := tiny(t, filepath.Join(root, "one"))
	mustRun(t, c, RunOptions{})
	want := result(t, c.Out)
	c.Out, c.Threads = filepath.Join(root, "two"), 2
	mustRun(t, c, RunOptions{})
	got := result(t, c.Out)
	delete(got, "run.yaml")
	delete(want, "run.yaml")
	compareResults(t, "two threads", got, want)

	c.Out, c.MicroBatch = filepath.Join(root, "micro"), 1
	c.Adapter.Dropout = 0.1
	mustRun(t, c, RunOptions{})
	a, _ := ReadMetrics(filepath.Join(root, "one", "metrics.jsonl"))
	b, _ := ReadMetrics(filepath.Join(root, "micro", "metrics.jsonl"))
	for i := range a {
		if a[i].Loss != nil && math.Abs(*a[i].Loss-*b[i].Loss) > 1e-4 {
			t.Errorf("step %d: %v, in micro-batches %v", a[i].Step, *a[i].Loss, *b[i].Loss)
		}
	}
}

// TestOutput looks at what a run leaves for people.
func TestOutput(t *testing.T) {
	c := tiny(t, filepath.Join(t.TempDir(), "out"))
	var events []Event
	var last Progress
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := mustRun(t, c, RunOptions{
		Now:      func() time.Time { clock = clock.Add(500 * time.Millisecond); return clock },
		Progress: func(p Progress) { events = append(events, p.Event); last = p },
	})
	if last.Event != Finished || last.Step != 18 || last.ETA != 0 || last.Epoch != 3 || last.Epochs != 3 || last.TokensPerSecond <= 0 || last.SmoothedLoss <= 0 {
		t.Errorf("last progress %+v", last)
	}
	for _, e := range []Event{Loading, Started, Stepped, Evaluating, Validated, Saved, Finished} {
		if !slices.Contains(events, e) {
			t.Errorf("no %s", e)
		}
	}
	if _, ok := busy.Seconds(); ok && (last.Utilisation <= 0 || s.Utilisation <= 0) {
		t.Errorf("the cores were %v busy, in all %v", last.Utilisation, s.Utilisation)
	}
	if s.Seconds != 9 || s.FirstLoss <= s.LastLoss || s.ValidLoss == nil || s.Tokens == 0 {
		t.Errorf("summary %+v", s)
	}
	table, err := os.ReadFile(filepath.Join(c.Out, "metrics.csv"))
	if err != nil || strings.Count(string(table), "\n") != 19 || !strings.HasPrefix(string(table), "step,loss,grad_norm,learning_rate,tokens,trained_tokens,seconds,valid_loss,valid_token_accuracy\n1,") {
		t.Errorf("metrics.csv: %v\n%s", err, table)
	}
	picture, err := os.Open(filepath.Join(c.Out, "loss.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if _, err := png.Decode(picture); err != nil {
		t.Errorf("loss.png: %v", err)
	}
	back, err := LoadSFT(filepath.Join(c.Out, "run.yaml"))
	if err != nil || len(Diff(c, back)) != 0 {
		t.Errorf("run.yaml: %v %v", err, Diff(c, back))
	}
	dirs, _ := checkpoints(c.Out)
	if len(dirs) != 2 {
		t.Errorf("kept %v", dirs)
	}
	if _, err := lock(filepath.Join(c.Out, ".lock")); err != nil {
		t.Errorf("the folder is still locked: %v", err)
	}
}

func TestBadRuns(t *testing.T) {
	for _, b := range []struct {
		name   string
		change func(*SFT)
		want   string
	}{
		{"no file", func(c *SFT) { c.Train += "x" }, "train: read rows: open"},
		{"bad rows", func(c *SFT) { write(t, c.Train, "{}\n[") }, "train.jsonl:1: the row has none of the keys"},
		{"long rows", func(c *SFT) { c.MaxLength = 6 }, "rows are longer than max_length 6; the longest, this one, has 11 tokens"},
		{"chat without tokenizer", func(c *SFT) {
			write(t, c.Train, `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}`)
		}, "the model has no tokenizer"},
		{"targets that are not there", func(c *SFT) { c.Adapter.Targets = Targets{List: []string{"nope"}} }, "the targets select no layer"},
		{"no model", func(c *SFT) { c.Model = "/nowhere" }, "nowhere"},
		{"bad settings", func(c *SFT) { c.Batch = 0 }, "batch is 0"},
	} {
		c := tiny(t, filepath.Join(t.TempDir(), "out"))
		b.change(&c)
		if _, err := Run(context.Background(), c, RunOptions{}); err == nil || !strings.Contains(err.Error(), b.want) {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

// TestText trains the embedded model on raw text: no template, a SentencePiece vocabulary, every token.
func TestText(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir()) // the model is unpacked there
	dir := t.TempDir()
	c := DefaultSFT()
	c.Model, c.Train, c.Out = "stories260k", filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "out")
	write(t, c.Train, strings.Repeat(`{"text": "The robot counted stars. It was happy."}`+"\n", 12))
	c.Batch, c.Epochs, c.LearningRate, c.Adapter.R = 4, 10, 5e-3, 8
	s := mustRun(t, c, RunOptions{})
	if s.Steps != 30 || s.LastLoss > s.FirstLoss/2 || s.Tokens != s.TrainedTokens+12*10 { // all but the beginning token
		t.Errorf("%+v", s)
	}
}

// fullStories trains all weights of the embedded model m for one epoch and returns the folder and the warnings.
func fullStories(t *testing.T, m *catalog.Model) (folder string, warned []string) {
	t.Helper()
	dir := t.TempDir()
	c := DefaultSFT()
	c.Model, c.Train, c.Out = "stories260k", filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "out")
	write(t, c.Train, strings.Repeat(`{"text": "The robot counted stars."}`+"\n", 12))
	c.Batch, c.Adapter.Type = 12, "none"
	s := mustRun(t, c, RunOptions{Model: m, Progress: func(p Progress) {
		if p.Event == Warned {
			warned = append(warned, p.Message)
		}
	}})
	if err := weights.VerifyFolder(s.Weights); err != nil {
		t.Error(err)
	}
	return s.Weights, warned
}

// TestFullModelIsWhole trains a base that has its tokenizer inside its file, and uses what comes out with text.
func TestFullModelIsWhole(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	m, err := catalog.Open("stories260k", engine.LoadOptions{Trainable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	folder, warned := fullStories(t, m)
	if len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	trained, err := catalog.Open(folder, engine.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Close()
	const text = "Once upon a time é <s>"
	o := tokenizer.Options{Control: true, AddSpecial: true}
	ids := m.Tokenizer.Encode(text, o)
	if got := trained.Tokenizer.Encode(text, o); !slices.Equal(got, ids) || !slices.Equal(trained.EOS, m.EOS) {
		t.Errorf("ids %v and stops %v, the base has %v and %v", got, trained.EOS, ids, m.EOS)
	}
	a, err := m.Base.Score(t.Context(), ids, nil, 0) // the trainer changed the base in place
	if err != nil {
		t.Fatal(err)
	}
	b, err := trained.Base.Score(t.Context(), ids, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.LogProbs, b.LogProbs) {
		t.Errorf("log-probabilities %v, before writing %v", b.LogProbs, a.LogProbs)
	}
}

// TestFullModelWithoutTokenizer: a vocabulary that cannot be written costs the tokenizer, not the weights.
func TestFullModelWithoutTokenizer(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	m, err := catalog.Open("stories260k", engine.LoadOptions{Trainable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Weights.Vocab.Tokens[300] = "\xff"
	folder, warned := fullStories(t, m)
	if !strings.Contains(strings.Join(warned, "\n"), "gets no tokenizer: tokenizer.json: vocabulary: token 300") {
		t.Errorf("warned %q", warned)
	}
	trained, err := catalog.Open(folder, engine.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Close()
	if trained.Tokenizer != nil {
		t.Error("there is a tokenizer")
	}
}
