package tune

import (
	"flag"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

// issueFile has every key that the training file must have, at values other than the defaults.
const issueFile = `
method: sft
model: smollm2-135m-instruct   # catalogue name
train: train.jsonl
valid: valid.jsonl
out: runs/banking77
adapter: {type: lora, r: 8, alpha: 16, dropout: 0.1, targets: [q_proj, mlp.up_proj], rslora: true, init: path/to/peft/adapter, rank_pattern: {q_proj: 4}, alpha_pattern: {q_proj: 2.5}, layers: [0, 2]}
epochs: 2
max_steps: 7
batch: 4
micro_batch: 2
learning_rate: 2.0e-4
schedule: cosine
warmup: 3
weight_decay: 0.01
betas: [0.8, 0.95]
eps: 1.0e-6
max_grad_norm: 0
seed: 5
shuffle: false
packing: false
max_length: 512
truncate: true
precision: fixed
memory: low
threads: 2
date: 2025-07-10
eval_every: 5
save_every: 6
keep_checkpoints: 3
early_stopping: {patience: 2, min_delta: 0.01}
resume_other_cpu: true
`

func TestEveryKey(t *testing.T) {
	c, err := DecodeSFT("run.yaml", []byte(issueFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("validate: %v", err)
	}
	if d := Diff(DefaultSFT(), c); len(d) != len(Reference())-2 { // method, adapter.type have one value or keep it
		t.Errorf("%d of %d keys differ from the defaults: %v", len(d), len(Reference()), d)
	}
	want := Adapter{Type: "lora", R: 8, Alpha: 16, Dropout: 0.1, Targets: Targets{List: []string{"q_proj", "mlp.up_proj"}}, RSLora: true,
		RankPattern: map[string]int{"q_proj": 4}, AlphaPattern: map[string]float64{"q_proj": 2.5}, Layers: []int{0, 2}, Init: "path/to/peft/adapter"}
	if !reflect.DeepEqual(c.Adapter, want) {
		t.Errorf("adapter %+v", c.Adapter)
	}
}

// TestMarshal holds run.yaml to loading back as the same settings, for the defaults and for every key set.
func TestMarshal(t *testing.T) {
	full, err := DecodeSFT("run.yaml", []byte(issueFile))
	if err != nil {
		t.Fatal(err)
	}
	odd := DefaultSFT()
	odd.Model, odd.Train, odd.Valid, odd.Adapter.Targets = "123", "true", "a: b # c", Targets{Pattern: `.*\.(q|v)_proj`}
	odd.Out, odd.Date, odd.LearningRate = "über\n\"x\"", "", 0.1+0.2
	for _, c := range []SFT{DefaultSFT(), full, odd} {
		text, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeSFT("run.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(c, back) {
			t.Errorf("%v\n%s", Diff(c, back), text)
		}
	}
}

func TestStrict(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"learning_rat: 1", `f.yaml:1: unknown key "learning_rat" (did you mean "learning_rate"?)`},
		{"model: a\n\nadapter:\n  rnak: 2", `f.yaml:4: unknown key "adapter.rnak" (did you mean "adapter.r`},
		{"r: 8", `f.yaml:1: unknown key "r" (did you mean "adapter.r"?)`},
		{"apadter: {r: 8}", `(did you mean "adapter"?)`},
		{"lr: 1", `f.yaml:1: unknown key "lr" (did you mean "learning_rate"?)`},
		{"zz: 1", `f.yaml:1: unknown key "zz" (the keys are: method, model`},
		{"epochs: 1.5", `f.yaml:1: epochs must be a whole number, not "1.5"`},
		{"epochs: two", `epochs must be a whole number, not "two"`},
		{"epochs: \"2\"", `epochs must be a whole number, not the text "2"`},
		{"epochs:", `epochs must be a whole number, not nothing`},
		{"epochs: [1]", `epochs must be a whole number, not a list`},
		{"epochs: 0x10", `epochs must be a whole number`},
		{"epochs: 99999999999999999999", `epochs must be a whole number`},
		{"learning_rate: .nan", `learning_rate must be a number, not ".nan"`},
		{"learning_rate: 1e999", `learning_rate must be a number`},
		{"learning_rate: 1_000", `learning_rate must be a number`},
		{"shuffle: yes", `shuffle must be true or false, not "yes"`},
		{"shuffle: \"true\"", `shuffle must be true or false`},
		{"betas: 0.9", `betas must be a list of two numbers`},
		{"betas: [0.9, x]", `betas must be a list of two numbers, and holds "x"`},
		{"threads: many", `threads must be auto or a whole number from 1`},
		{"threads: 0", `threads must be auto or a whole number from 1`},
		{"adapter: lora", `adapter must be a group of keys, not "lora"`},
		{"adapter: {targets: [1]}", `adapter.targets must be a list of names, and holds "1"`},
		{"adapter: {targets: []}", `adapter.targets must be all-linear`},
		{"adapter: {layers: 1}", `adapter.layers must be a list of whole numbers`},
		{"adapter: {rank_pattern: {a: 1.5}}", `adapter.rank_pattern has for "a" a value that must be a whole number`},
		{"adapter: {rank_pattern: {a: 1, a: 2}}", `has the name "a" twice`},
		{"seed: 1\nseed: 2", `f.yaml:2: seed is there twice`},
		{"- a", `f.yaml:1: must be a group of keys, not a list`},
		{"hello", `f.yaml:1: must be a group of keys, not "hello"`},
		{"a: &x 1", "uses an anchor"},
		{"seed: &x 1\nepochs: *x", "uses an anchor"},
		{"<<: {seed: 1}", "a key must be a plain name"},
		{"seed: 1\n---\nseed: 2", "a second document begins"},
		{"seed: [1", "f.yaml:1: "},
		{"seed: 1\n\tepochs: 2", "f.yaml:2: "},
		{"model: {a: b}", "model must be text"},
	} {
		_, err := DecodeSFT("f.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
	if _, err := DecodeSFT("f", []byte("a: 1\nb: 2")); err == nil || strings.Count(err.Error(), "unknown key") != 2 {
		t.Errorf("not every error is told: %v", err)
	}
	for _, empty := range []string{"", "# only a comment\n", "\n", "null"} {
		if c, err := DecodeSFT("f", []byte(empty)); err != nil || !reflect.DeepEqual(c, DefaultSFT()) {
			t.Errorf("%q: %v %v", empty, c, err)
		}
	}
}

func TestJSON(t *testing.T) {
	c, err := DecodeSFTJSON("body", []byte(`{"model": "m", "seed": 3, "adapter": {"targets": "all-linear", "r": 4}, "threads": "auto", "micro_batch": 3, "betas": [0.5, 0.6], "shuffle": false}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Model != "m" || c.Seed != 3 || c.Adapter.R != 4 || c.Adapter.Alpha != 32 || c.Betas != (Betas{0.5, 0.6}) || c.MicroBatch != 3 || c.Shuffle {
		t.Errorf("%+v", c)
	}
	for _, bad := range []struct{ text, want string }{
		{`{"sed": 3}`, `did you mean "seed"?`}, {`{"seed": "3"}`, "seed must be a whole number"}, {`{"seed": 1, "seed": 2}`, "seed is there twice"},
		{`{"seed": 1`, "is not JSON"}, {`{"seed": 1} {}`, "text after the object"}, {`[1]`, "must be a group of keys, not a list"}, {``, "ends too early"},
		{"{\n\"seed\":\n true}", "body:3: seed must be"}, {strings.Repeat(`{"adapter":`, 1000), "nested deeper"}, {`null`, "must be a group of keys, not nothing"},
		{`{"seed": 1e400}`, "seed must be a whole number"}, {`{"model": "\ud800", "x": 1}`, "unknown key"},
	} {
		if _, err := DecodeSFTJSON("body", []byte(bad.text)); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q\ngot  %v\nwant %s", bad.text, err, bad.want)
		}
	}
}

func TestFlags(t *testing.T) {
	parse := func(args ...string) (SFT, error) {
		c := DefaultSFT()
		fs := flag.NewFlagSet("train", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		c.Flags(fs)
		return c, fs.Parse(args)
	}
	c, err := parse("--adapter.r", "8", "--learning_rate=1e-4", "--shuffle=false", "--truncate", "--betas", "0.8,0.9", "--threads", "auto", "--micro_batch=4",
		"--adapter.targets", "q_proj,v_proj", "--adapter.layers", "0,3", "--adapter.rank_pattern", "{q_proj: 8}", "--model", "true", "--early_stopping.patience=2", "--out", "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Adapter.R != 8 || c.LearningRate != 1e-4 || c.Shuffle || !c.Truncate || c.Betas != (Betas{0.8, 0.9}) || c.Threads != 0 || c.MicroBatch != 4 ||
		fmt.Sprint(c.Adapter.Targets.List) != "[q_proj v_proj]" || fmt.Sprint(c.Adapter.Layers) != "[0 3]" || c.Adapter.RankPattern["q_proj"] != 8 ||
		c.Model != "true" || c.EarlyStopping.Patience != 2 || c.Out != "" {
		t.Errorf("%+v", c)
	}
	for value, want := range map[string]Targets{
		"all-linear": {Pattern: AllLinear}, `.*\.(q|v)_proj$`: {Pattern: `.*\.(q|v)_proj$`}, "[q_proj]": {List: []string{"q_proj"}},
		`layers\.[0-9]{1,2}\.q`: {Pattern: `layers\.[0-9]{1,2}\.q`}, "mlp.up_proj,o_proj": {List: []string{"mlp.up_proj", "o_proj"}},
	} {
		c, err := parse("--adapter.targets", value)
		if err != nil || !reflect.DeepEqual(c.Adapter.Targets, want) {
			t.Errorf("targets %q: %+v %v", value, c.Adapter.Targets, err)
		}
	}
	for _, bad := range [][]string{{"--adapter.r", "x"}, {"--epochs", ""}, {"--betas", "1"}, {"--shuffle=maybe"}, {"--threads", "-1"}, {"--nope", "1"}, {"--adapter.rank_pattern", "q"}, {"--adapter.targets", ""}} {
		if _, err := parse(bad...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestValidate(t *testing.T) {
	ok := DefaultSFT()
	ok.Model, ok.Train = "m", "t"
	if err := ok.Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for key, change := range map[string]func(*SFT){
		"method": func(c *SFT) { c.Method = "dpo" }, "model": func(c *SFT) { c.Model = "" }, "train": func(c *SFT) { c.Train = "" }, "out": func(c *SFT) { c.Out = "" },
		"epochs": func(c *SFT) { c.Epochs = 0 }, "max_steps": func(c *SFT) { c.MaxSteps = -1 }, "batch": func(c *SFT) { c.Batch = 0 }, "micro_batch": func(c *SFT) { c.MicroBatch = -1 },
		"learning_rate": func(c *SFT) { c.LearningRate = math.NaN() }, "schedule": func(c *SFT) { c.Schedule = "step" }, "warmup": func(c *SFT) { c.Warmup = -1 },
		"weight_decay": func(c *SFT) { c.WeightDecay = -1 }, "betas": func(c *SFT) { c.Betas[1] = 1 }, "eps": func(c *SFT) { c.Eps = math.Inf(1) },
		"max_grad_norm": func(c *SFT) { c.MaxGradNorm = math.Inf(1) }, "seed": func(c *SFT) { c.Seed = -1 }, "max_length": func(c *SFT) { c.MaxLength = 1 },
		"precision": func(c *SFT) { c.Precision = "fp8" }, "memory": func(c *SFT) { c.Memory = "none" }, "threads": func(c *SFT) { c.Threads = -1 }, "date": func(c *SFT) { c.Date = "July" },
		"eval_every": func(c *SFT) { c.EvalEvery = -1 }, "save_every": func(c *SFT) { c.SaveEvery = -1 }, "keep_checkpoints": func(c *SFT) { c.KeepCheckpoints = 1 },
		"early_stopping.patience": func(c *SFT) { c.EarlyStopping.Patience = 1; c.EvalEvery = 1 }, "early_stopping.min_delta": func(c *SFT) { c.EarlyStopping.MinDelta = -1 },
		"adapter.type": func(c *SFT) { c.Adapter.Type = "lokr" }, "adapter.r": func(c *SFT) { c.Adapter.R = 5000 }, "adapter.alpha": func(c *SFT) { c.Adapter.Alpha = math.Inf(1) },
		"adapter.dropout": func(c *SFT) { c.Adapter.Dropout = 1 }, "adapter.targets": func(c *SFT) { c.Adapter.Targets.Pattern = "(" },
		"adapter.rank_pattern": func(c *SFT) { c.Adapter.RankPattern = map[string]int{"a": 0} }, "adapter.alpha_pattern": func(c *SFT) { c.Adapter.AlphaPattern = map[string]float64{"a": -1} },
		"adapter.layers": func(c *SFT) { c.Adapter.Layers = []int{-1} }, "adapter.init": func(c *SFT) { c.Adapter.Type, c.Adapter.Init = "none", "x" },
	} {
		c := ok
		change(&c)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), key+" ") || !strings.Contains(err.Error(), "(") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestReference holds every key to a meaning and to being read by a file.
func TestReference(t *testing.T) {
	for _, k := range Reference() {
		if k.Doc == "" || k.Type == "" || k.Key == "" {
			t.Errorf("unfinished %+v", k)
		}
	}
	if table := ReferenceMarkdown(); !strings.Contains(table, "| `adapter.r` | whole number | `16` | rank |") {
		t.Error(table)
	}
}

// TestSchedules holds the three schedules to values worked out by hand.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		schedule  string
		n, warmup int
		want      []float64 // of lr 1, steps 0…n−1
	}{
		{"linear", 4, 0, []float64{1, 0.75, 0.5, 0.25}},
		{"linear", 6, 2, []float64{0.5, 1, 1, 0.75, 0.5, 0.25}},
		{"linear", 1, 0, []float64{1}},
		{"linear", 3, 5, []float64{0.2, 0.4, 0.6}},
		{"cosine", 4, 0, []float64{1, (1 + math.Sqrt2/2) / 2, 0.5, (1 - math.Sqrt2/2) / 2}},
		{"cosine", 5, 1, []float64{1, 1, (1 + math.Sqrt2/2) / 2, 0.5, (1 - math.Sqrt2/2) / 2}},
		{"constant", 4, 2, []float64{0.5, 1, 1, 1}},
	} {
		for s, want := range c.want {
			if got := LearningRateAt(c.schedule, 1, s, c.n, c.warmup); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s of %d after %d, step %d: %v, want %v", c.schedule, c.n, c.warmup, s, got, want)
			}
		}
	}
}

// FuzzConfig holds both decoders to not panicking, and to accepting only what writes and reads back the same.
func FuzzConfig(f *testing.F) {
	f.Add(issueFile)
	f.Add("adapter: {targets: all-linear}\nseed: 1e3")
	f.Add(`{"model": "m", "adapter": {"rank_pattern": {"a": 1}}}`)
	f.Add("a: &a [*a]\n? b\n: c")
	f.Add("model: |\n  x\n  y\nout: >-\n  z")
	f.Fuzz(func(t *testing.T, text string) {
		for _, decode := range []func(string, []byte) (SFT, error){DecodeSFT, DecodeSFTJSON} {
			c, err := decode("f", []byte(text))
			if err != nil {
				continue
			}
			_ = c.Validate()
			out, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if back, err := DecodeSFT("f", out); err != nil || !reflect.DeepEqual(c, back) {
				t.Fatalf("%v %v\n%s", err, Diff(c, back), out)
			}
		}
	})
}
