package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"hone/engine"
	"hone/engine/optim"
	"hone/engine/weights"
)

// benchCommand is "hone bench".
type benchCommand struct {
	Model   string
	Tokens  int
	Steps   int
	Prompt  int
	Answer  int
	Threads int
	JSON    bool
}

// benchReport is what was measured. Rates are tokens per second.
type benchReport struct {
	Model        string      `json:"model"`
	Architecture string      `json:"architecture"`
	Quantisation string      `json:"quantisation"`
	CPU          string      `json:"cpu"` // level of the arithmetic
	Threads      int         `json:"threads"`
	Training     benchRate   `json:"training"` // LoRA r 16 on all linear layers, packed rows of 128 tokens
	Prefill      benchRate   `json:"prefill"`
	Decode       []benchRate `json:"decode"`
}

// benchRate is one measurement.
type benchRate struct {
	Streams         int     `json:"streams,omitempty"`
	Tokens          int     `json:"tokens"`
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

func (c *benchCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("bench", "[--model M] [flags]", "measures tokens per second of training, prefill and decode on this machine",
		"hone bench", "hone bench --model smollm2-135m-instruct --threads 1 --json")
	f.StringVar(&c.Model, "model", "smollm2-135m-instruct", "`M`: model name, folder or file")
	f.IntVar(&c.Tokens, "tokens", 1024, "tokens of a training step")
	f.IntVar(&c.Steps, "steps", 3, "training steps measured, after one that is not")
	f.IntVar(&c.Prompt, "prompt", 512, "tokens of the prompt that prefill reads")
	f.IntVar(&c.Answer, "answer", 64, "tokens that decode writes for each stream")
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.BoolVar(&c.JSON, "json", false, "print JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if c.Tokens < 8 || c.Steps < 1 || c.Prompt < 1 || c.Answer < 1 {
		return f.wrong("--tokens must be at least 8; --steps, --prompt and --answer at least 1")
	}
	report, err := c.measure(ctx, m)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(report)
	}
	return printBench(m.Stdout, report)
}

// measure runs the three measurements one after the other.
func (c *benchCommand) measure(ctx context.Context, m *Main) (*benchReport, error) {
	model, err := openModel(c.Model, "", engine.LoadOptions{Threads: c.Threads})
	if err != nil {
		return nil, err
	}
	defer model.Close()
	config := model.Base.Config()
	if room := config.MaxPositions - c.Answer; c.Prompt > room {
		if c.Prompt = room; room < 1 {
			return nil, fmt.Errorf("the model's context of %d has no room for an answer of %d", config.MaxPositions, c.Answer)
		}
	}
	r := &benchReport{Model: c.Model, Architecture: config.ModelType, Quantisation: model.Weights.Quantisation,
		CPU: model.Base.Level(), Threads: model.Base.Threads()}
	spin := startSpinner(m.Stderr)
	defer spin.stop()
	spin.say("training")
	start := time.Now()
	if r.Training.TokensPerSecond, err = trainingSpeed(ctx, model, c.Tokens, c.Steps); err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	r.Training.Tokens = c.Tokens * c.Steps
	r.Training.Seconds = time.Since(start).Seconds()
	spin.say("prefill")
	if r.Prefill, err = prefill(ctx, model.Base, c.Prompt); err != nil {
		return nil, fmt.Errorf("prefill: %w", err)
	}
	for _, streams := range []int{1, 4, 16} {
		spin.say(fmt.Sprintf("decode, %d streams", streams))
		rate, err := decode(ctx, model.Base, streams, c.Answer)
		if err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
		r.Decode = append(r.Decode, rate)
	}
	return r, nil
}

// trainingSpeed measures tokens per second of LoRA training steps of that many tokens, after one that is not counted.
func trainingSpeed(ctx context.Context, model *opened, tokens, steps int) (float64, error) {
	adapter, err := model.Base.NewAdapter(weights.AdapterConfig{R: 16, Alpha: 32, TargetRegex: weights.AllLinear}, 0)
	if err != nil {
		return 0, err
	}
	trainer, err := engine.NewTrainer(model.Base, adapter, engine.TrainerOptions{Packing: true})
	if err != nil {
		return 0, err
	}
	length := min(128, tokens, model.Base.Config().MaxPositions)
	var rows []engine.Datum
	for range max(1, tokens/length) {
		ids := randomIDs(model.Base, length, uint64(len(rows)))
		weights := make([]float32, length)
		for i := range weights {
			weights[i] = 1
		}
		rows = append(rows, engine.Datum{Tokens: ids, Weights: weights, Row: int64(len(rows))})
	}
	var start time.Time
	for step := range steps + 1 {
		if step == 1 {
			start = time.Now()
		}
		if _, err := trainer.ForwardBackward(ctx, rows, step, nil); err != nil {
			return 0, err
		}
		if _, err := trainer.Step(optim.AdamW{LearningRate: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1}); err != nil {
			return 0, err
		}
	}
	return float64(steps*len(rows)*length) / time.Since(start).Seconds(), nil
}

// prefill measures how fast a prompt is read, the first token of the answer included.
func prefill(ctx context.Context, base *engine.Base, prompt int) (benchRate, error) {
	for warm := true; ; warm = false {
		s, err := base.NewStream(randomIDs(base, prompt, 1), nil, engine.Sampling{})
		if err != nil {
			return benchRate{}, err
		}
		start := time.Now()
		err = untilToken(ctx, base, []*engine.Stream{s})
		took := time.Since(start).Seconds()
		s.Close()
		if err != nil {
			return benchRate{}, err
		}
		if !warm {
			return benchRate{Tokens: prompt, Seconds: took, TokensPerSecond: float64(prompt) / took}, nil
		}
	}
}

// decode measures how fast so many streams together write answers after short prompts.
func decode(ctx context.Context, base *engine.Base, streams, answer int) (benchRate, error) {
	all := make([]*engine.Stream, streams)
	for i := range all {
		s, err := base.NewStream(randomIDs(base, 8, uint64(i)), nil, engine.Sampling{})
		if err != nil {
			return benchRate{}, err
		}
		defer s.Close()
		all[i] = s
	}
	if err := untilToken(ctx, base, all); err != nil {
		return benchRate{}, err
	}
	out := make([]engine.Token, streams)
	start := time.Now()
	for range answer {
		if err := base.Decode(ctx, all, out); err != nil {
			return benchRate{}, err
		}
	}
	took := time.Since(start).Seconds()
	n := streams * answer
	return benchRate{Streams: streams, Tokens: n, Seconds: took, TokensPerSecond: float64(n) / took}, nil
}

// untilToken decodes until every stream has read its prompt and given a token.
func untilToken(ctx context.Context, base *engine.Base, streams []*engine.Stream) error {
	out := make([]engine.Token, len(streams))
	for {
		if err := base.Decode(ctx, streams, out); err != nil {
			return err
		}
		ready := true
		for _, t := range out {
			ready = ready && t.ID >= 0
		}
		if ready {
			return nil
		}
	}
}

// randomIDs returns n token ids, the same for the same stream.
func randomIDs(base *engine.Base, n int, stream uint64) []int32 {
	r := rand.New(rand.NewPCG(1, stream))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(int32(base.Config().VocabSize))
	}
	return ids
}

// printBench writes the report for people.
func printBench(out io.Writer, r *benchReport) error {
	fmt.Fprintf(out, "%s (%s, %s), cpu %s, %d threads\n", r.Model, dash(r.Architecture), dash(r.Quantisation), r.CPU, r.Threads)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "training\t%.0f tokens/s\tLoRA r 16, all linear layers\n", r.Training.TokensPerSecond)
	fmt.Fprintf(w, "prefill\t%.0f tokens/s\tprompt of %d\n", r.Prefill.TokensPerSecond, r.Prefill.Tokens)
	for _, d := range r.Decode {
		fmt.Fprintf(w, "decode\t%.0f tokens/s\t%d streams together\n", d.TokensPerSecond, d.Streams)
	}
	return w.Flush()
}
