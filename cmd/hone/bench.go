package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"hone/engine"
	"hone/engine/kernel"
	"hone/engine/tensor"
	"hone/internal/busy"
)

// benchCommand is "hone bench".
type benchCommand struct {
	Model         string
	Only          string
	Runs          int
	Quick         bool
	Batch, Length int
	Rank          int
	Precision     string
	Memory        string
	Text          string
	Threads       int
	JSON          bool
}

// benchReport is what was measured on this machine; what was not asked for is left out.
type benchReport struct {
	Hone         string   `json:"hone"`
	Commit       string   `json:"commit,omitempty"` // that this program was built from
	Time         string   `json:"time"`             // when the measurements began
	Model        string   `json:"model"`
	Architecture string   `json:"architecture"`
	Quantisation string   `json:"quantisation"`
	CPU          string   `json:"cpu"`      // the model, as the system names it
	Level        string   `json:"level"`    // of the kernels in use
	Levels       []string `json:"levels"`   // that this build can run here
	Features     []string `json:"features"` // of the CPU, those that kernels ask for
	Threads      int      `json:"threads"`
	Precision    struct {
		Training string `json:"training"`
		Decoding string `json:"decoding"`
	} `json:"precision"`

	// GFLOPS are medians of the product 2048×576×1536, by precision; Limits has their spread.
	GFLOPS    map[string]float64   `json:"gflops,omitempty"`
	Bandwidth float64              `json:"bandwidth_gbs,omitempty"` // median of a streaming read by all threads
	Limits    map[string]benchRate `json:"limits,omitempty"`

	// Tokens per second.
	Train           *benchRate `json:"train,omitempty"`
	TrainF32        *benchRate `json:"train_f32,omitempty"`
	TrainChat       *benchRate `json:"train_chat,omitempty"`
	Prefill         *benchRate `json:"prefill512,omitempty"`
	Decode1         *benchRate `json:"decode1,omitempty"`
	Decode8         *benchRate `json:"decode8,omitempty"`
	Decode8Adapters *benchRate `json:"decode8_adapters8,omitempty"`

	// AdaptersOfBase is Decode8Adapters as a share of the same streams on the base alone, run by run in turn.
	AdaptersOfBase *benchRate `json:"decode8_adapters8_of_base,omitempty"`

	PeakMemory int64            `json:"peak_memory_bytes,omitempty"`  // of a process that trains as Train does
	ColdStart  *benchRate       `json:"cold_start_seconds,omitempty"` // of a process, to the first token it prints
	Products   []productRate    `json:"products,omitempty"`
	Divergence *benchDivergence `json:"divergence,omitempty"`
}

// benchRate is a figure over several runs.
type benchRate struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	Tokens int     `json:"tokens,omitempty"` // of one run
	Limit  float64 `json:"limit,omitempty"`  // what the measured limits allow

	// Utilisation is how busy the cores were: processor time over wall time and threads. It is left out where the
	// system does not say.
	Utilisation float64 `json:"utilisation,omitempty"`
}

// figure is one thing that can be measured.
type figure struct {
	name, about string
	extra       bool                                // only when it is asked for
	measure     func(*bench, context.Context) error // a method of bench
}

// figures lists them in the order they are measured: the limits first, which later ones are held against.
func figures() []figure {
	return []figure{
		{"gflops", "products of 2048×576×1536", false, (*bench).gflops},
		{"bandwidth", "streaming read", false, (*bench).bandwidth},
		{"products", "every product of forward and backward", true, (*bench).products},
		{"train", "LoRA training, every token supervised", false, (*bench).train},
		{"train_f32", "LoRA training in f32", false, (*bench).trainF32},
		{"train_chat", "LoRA training on short chats", false, (*bench).trainChat},
		{"prefill512", "reading a prompt", false, (*bench).prefill},
		{"decode1", "decoding, 1 stream", false, (*bench).decode1},
		{"decode8", "decoding, 8 streams", false, (*bench).decode8},
		{"decode8_adapters8", "decoding, 8 streams on 8 adapters", false, (*bench).decode8Adapters},
		{"memory", "peak memory of training", false, (*bench).memory},
		{"cold_start", "start to first token", false, (*bench).coldStart},
		{"divergence", "what the fast paths cost", true, (*bench).divergence},
	}
}

// bench is a measurement under way.
type bench struct {
	c     *benchCommand
	m     *Main
	model *opened
	pool  *tensor.Pool // of the limits
	r     *benchReport
	say   func(string)
}

func (c *benchCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("bench", "[--model M] [flags]",
		"measures this machine's limits, and tokens per second of training, prefill and decode against them",
		"hone bench", "hone bench --json > results.json", "hone bench --only train,train_f32 --batch 4 --length 512 --rank 8")
	f.StringVar(&c.Model, "model", "smollm2-135m-instruct", "`M`: model name, folder or file")
	var all []string
	for _, x := range figures() {
		all = append(all, x.name)
	}
	f.StringVar(&c.Only, "only", "", "`NAMES` of the figures to measure, with commas: "+strings.Join(all, ", ")+"; products and divergence are measured only when named, or with all")
	f.IntVar(&c.Runs, "runs", 5, "timed runs of each figure, after one that is not timed")
	f.BoolVar(&c.Quick, "quick", false, "small work and one run: shows that everything runs, measures little")
	f.IntVar(&c.Batch, "batch", 8, "rows of a training step")
	f.IntVar(&c.Length, "length", 256, "tokens of a row")
	f.IntVar(&c.Rank, "rank", 16, "of adapters")
	f.StringVar(&c.Precision, "precision", engine.AutoPrecision, "of training and decoding: f32, bf16, fixed, or auto, each one's default")
	f.StringVar(&c.Memory, "memory", engine.AutoMemory, "how activations wait in training: fast, balanced, low, or auto, the default of hone train")
	f.StringVar(&c.Text, "text", "", "`FILE` of text for divergence; otherwise what ships with hone")
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.BoolVar(&c.JSON, "json", false, "print JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	for _, n := range []struct {
		name         string
		value, least int
	}{{"runs", c.Runs, 1}, {"batch", c.Batch, 1}, {"length", c.Length, 2}, {"rank", c.Rank, 1}, {"threads", c.Threads, 0}} {
		if n.value < n.least {
			return f.wrong("--%s must be at least %d", n.name, n.least)
		}
	}
	if _, err := engine.ParsePrecision(c.Precision, tensor.Single); err != nil {
		return f.wrong("--precision: %w", err)
	}
	if _, err := engine.ParseMemory(c.Memory, tensor.Single); err != nil {
		return f.wrong("--memory: %w", err)
	}
	chosen, err := c.chosen(f, all)
	if err != nil {
		return err
	}
	if c.Quick {
		c.Runs, c.Batch, c.Length = 1, min(c.Batch, 2), min(c.Length, 64)
	}
	report, err := c.measure(ctx, m, chosen)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(m.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return printBench(m.Stdout, report)
}

// chosen is the figures that --only names.
func (c *benchCommand) chosen(f *flags, all []string) (chosen []figure, err error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(c.Only, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if name == "all" {
			return figures(), nil
		}
		if !slices.Contains(all, name) {
			return nil, f.wrong("--only: there is no figure %s%s; there are %s", name, didYouMean(name, all), strings.Join(all, ", "))
		}
		wanted[name] = true
	}
	for _, x := range figures() {
		if wanted[x.name] || len(wanted) == 0 && !x.extra {
			chosen = append(chosen, x)
		}
	}
	return chosen, nil
}

// measure opens the model and measures the chosen figures one after the other.
func (c *benchCommand) measure(ctx context.Context, m *Main, chosen []figure) (*benchReport, error) {
	o := engine.LoadOptions{Threads: c.Threads}
	if err := o.SetPrecision(c.Precision); err != nil {
		return nil, err
	}
	model, err := openModel(c.Model, "", o)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	spin := startSpinner(m.Stderr)
	defer spin.stop()
	b := &bench{c: c, m: m, model: model, pool: tensor.NewPool(c.Threads), say: spin.say}
	defer b.pool.Close()
	b.r = &benchReport{Hone: release, Commit: builtFrom(), Time: time.Now().Format("2006-01-02 15:04"), Model: filepath.Base(c.Model), Architecture: model.Base.Config().ModelType, Quantisation: model.Weights.Quantisation,
		CPU: cpuName(), Level: kernel.Level(), Levels: kernel.Levels(), Features: cpuFeatures(), Threads: model.Base.Threads()}
	b.r.Precision.Training, b.r.Precision.Decoding = b.trainingPrecision().String(), model.Base.Precision().String()
	for _, x := range chosen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		spin.say(x.about)
		if err := x.measure(b, ctx); err != nil {
			return nil, fmt.Errorf("measure %s: %w", x.name, err)
		}
	}
	if len(chosen) == 1 && chosen[0].name == "train" {
		b.r.PeakMemory = peakMemory()
	}
	return b.r, nil
}

// trainingPrecision is what --precision means in training.
func (b *bench) trainingPrecision() tensor.Precision {
	p, _ := engine.ParsePrecision(b.c.Precision, engine.TrainingPrecision()) // checked with the flags
	return p
}

// timings are the runs of one work: the seconds of each, in order, and the processor time of all together.
type timings struct {
	seconds []float64
	used    float64
}

// timed is something to time; prepare, if it is there, comes before each run and is not timed.
type timed struct{ prepare, run func() error }

// times runs f once untimed and then so often as runs says, each after prepare.
func (b *bench) times(ctx context.Context, prepare, f func() error) (timings, error) {
	t, err := b.inTurn(ctx, timed{prepare, f})
	return t[0], err
}

// inTurn runs each work once untimed and then all of them one after the other, so often as runs says.
func (b *bench) inTurn(ctx context.Context, works ...timed) ([]timings, error) {
	t := make([]timings, len(works))
	for i := range b.c.Runs + 1 {
		for j, w := range works {
			if err := ctx.Err(); err != nil {
				return t, err
			}
			if w.prepare != nil {
				if err := w.prepare(); err != nil {
					return t, err
				}
			}
			start := time.Now()
			before, _ := busy.Seconds()
			if err := w.run(); err != nil {
				return t, err
			}
			after, _ := busy.Seconds()
			if i > 0 {
				t[j].seconds, t[j].used = append(t[j].seconds, time.Since(start).Seconds()), t[j].used+after-before
			}
		}
	}
	return t, nil
}

// rateOf turns the runs of so much work on so many threads into a rate.
func rateOf(work float64, t timings, threads int) benchRate {
	rates, wall := make([]float64, len(t.seconds)), 0.0
	for i, s := range t.seconds {
		rates[i] = work / s
		wall += s
	}
	rate := spread(rates)
	rate.Utilisation = busy.Share(t.used, wall, threads)
	return rate
}

// spread is the median, least and greatest of values.
func spread(values []float64) benchRate {
	sort.Float64s(values)
	n := len(values)
	return benchRate{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1], Runs: n}
}
