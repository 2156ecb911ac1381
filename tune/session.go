package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hone/catalog"
	"hone/data"
	"hone/engine"
	"hone/engine/tensor"
	"hone/engine/weights"
	"hone/tune/batch"
)

// run is one session of a run: from its start, or a resume, to its end or an interruption.
type run struct {
	c    SFT // resolved
	o    RunOptions
	yaml []byte // c as run.yaml has it

	model     *catalog.Model
	adapter   *engine.Adapter // nil in full fine-tuning
	trainer   *engine.Trainer
	options   engine.TrainerOptions
	train     *batch.Set
	valid     *batch.Set // nil: none
	order     batch.Order
	metrics   *metricsLog
	facts     weights.Facts
	meter     meter
	resumedAt int
	lastSaved string // folder of the newest good checkpoint
	closers   []func() error

	cursor            // what a checkpoint keeps
	finished *Summary // set where nothing was left to do
}

// begin does everything that comes before the first step, the cheap checks first.
func begin(ctx context.Context, c SFT, o RunOptions) (r *run, err error) {
	r = &run{c: c, o: o}
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	if r.o.Sleep == nil {
		r.o.Sleep = sleep
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := c.Validate(); err != nil {
		return r, err
	}
	from, err := r.claim()
	if err != nil || r.finished != nil {
		return r, err
	}
	trainFile, validFile, err := r.readFiles()
	if err != nil {
		return r, err
	}
	r.Identity.Data = data.Hash(trainFile.SHA256)
	if r.finished = r.done(from); r.finished != nil || err != nil {
		return r, err
	}
	if err := r.open(from != nil); err != nil {
		return r, err
	}
	if err := r.encode(trainFile, validFile); err != nil {
		return r, err
	}
	if err := r.restore(from); err != nil {
		return r, err
	}
	if err := r.openOutput(ctx); err != nil {
		return r, err
	}
	r.tell(Started, r.describe())
	return r, nil
}

// claim locks the out folder, decides whether the run starts afresh, and resolves the settings.
func (r *run) claim() (from *checkpoint, err error) {
	out := r.c.Out
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	unlock, err := lock(filepath.Join(out, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("another run is writing to %s: %w; wait for it, or name another out folder", out, err)
	}
	r.closers = append(r.closers, unlock)
	if err := recoverOutputs(out); err != nil {
		return nil, err
	}
	switch {
	case r.o.Resume:
		if from, err = newest(out, func(m string) { r.tell(Warned, m) }); err != nil {
			return nil, err
		}
	case occupied(out) && !r.o.Overwrite:
		return nil, fmt.Errorf("%s holds a run already: continue it with --resume, start over with --overwrite, or name another out folder", out)
	}
	return from, r.resolve(from)
}

// resolve fills in the date and what auto stands for, and refuses settings that are not those of the run to resume. A
// run that was killed before its first checkpoint has left its settings in run.yaml alone.
func (r *run) resolve(from *checkpoint) error {
	var before *SFT
	place := filepath.Join(r.c.Out, configName)
	if from != nil {
		before, place = &from.config, from.dir
	} else if r.o.Resume {
		if c, err := LoadSFT(place); err == nil {
			before = &c
		}
	}
	if r.c.Date == "" && before != nil {
		r.c.Date = before.Date
	}
	if r.c.Date == "" {
		r.c.Date = r.o.Now().Format(time.DateOnly)
	}
	if err := r.resolveArithmetic(before); err != nil {
		return err
	}
	if err := r.inherit(from); err != nil {
		return err
	}
	// Without a checkpoint a run with other settings may start afresh, but not over finished weights.
	if before != nil && (from != nil || finished(r.c.Out) != nil) {
		if differences := differing(*before, r.c); len(differences) > 0 {
			return &ResumeError{place, differences}
		}
	}
	return nil
}

// resolveArithmetic fills in what auto stands for: what it stood for before, if the run resumes.
func (r *run) resolveArithmetic(before *SFT) error {
	if before != nil {
		if before.Memory == engine.AutoMemory { // made before there was the setting
			before.Memory = "fast"
		}
		if r.c.Precision == engine.AutoPrecision {
			r.c.Precision = before.Precision
		}
		if r.c.Memory == engine.AutoMemory {
			r.c.Memory = before.Memory
		}
	}
	p, err := engine.ParsePrecision(r.c.Precision, engine.TrainingPrecision())
	if err != nil {
		return err
	}
	m, err := engine.ParseMemory(r.c.Memory, p)
	if err != nil {
		return err
	}
	r.c.Precision, r.c.Memory = p.String(), m.String()
	r.options = engine.TrainerOptions{Seed: uint64(r.c.Seed), MicroRows: int(r.c.MicroBatch), Packing: r.c.Packing, Precision: p, Memory: m}
	if engine.Emulated(min(p, tensor.Half)) { // fixed point has backward products in bf16
		r.tell(Warned, fmt.Sprintf("this CPU has no bf16 instructions: precision %s has the same results here, but is slower than f32; name auto or f32", p))
	}
	return nil
}

// inherit takes the patterns and layers that the settings leave open from the adapter to start from: that must
// agree in r, alpha and targets, which say nothing of them.
func (r *run) inherit(from *checkpoint) error {
	a := &r.c.Adapter
	if a.Init == "" {
		return nil
	}
	var rank map[string]int
	var alpha map[string]float64
	var layers []int
	if from != nil { // what the run began with, should the folder be gone or changed
		rank, alpha, layers = from.config.Adapter.RankPattern, from.config.Adapter.AlphaPattern, from.config.Adapter.Layers
	} else {
		files, err := weights.ReadAdapter(a.Init)
		if err != nil {
			return fmt.Errorf("adapter.init: %w", err)
		}
		rank, alpha, layers = files.Config.RankPattern, files.Config.AlphaPattern, files.Config.LayersToTransform
	}
	if len(a.RankPattern) == 0 {
		a.RankPattern = rank
	}
	if len(a.AlphaPattern) == 0 {
		a.AlphaPattern = alpha
	}
	if len(a.Layers) == 0 {
		a.Layers = layers
	}
	return nil
}

// done returns the summary of the run where nothing is left to do and its data is what it was.
func (r *run) done(from *checkpoint) *Summary {
	if !r.o.Resume || from != nil && from.Step < from.Steps && from.Ended == "" {
		return nil
	}
	s := finished(r.c.Out)
	if s == nil || s.Data != r.Identity.Data {
		return nil
	}
	s.ResumedAt = s.Steps
	return s
}

// readFiles reads the rows. What is wrong with them is an error with all their lines; warnings are passed on.
func (r *run) readFiles() (train, valid *data.File, err error) {
	read := func(key, path string) (*data.File, error) {
		r.tell(Loading, path)
		f, err := data.Read(path, data.ReadOptions{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if err := f.Problems.Err(); err != nil {
			return nil, err
		}
		for _, p := range f.Problems.List {
			r.tell(Warned, p.String())
		}
		return f, nil
	}
	if train, err = read("train", r.c.Train); err != nil {
		return nil, nil, err
	}
	if n := len(train.Rows); n < data.FewRows {
		r.tell(Warned, fmt.Sprintf("%s has %d rows, fewer than %d", r.c.Train, n, data.FewRows))
	}
	if r.c.Valid != "" {
		valid, err = read("valid", r.c.Valid)
	}
	return train, valid, err
}

// open loads the model and makes what is trained, where it resumes only in shape.
func (r *run) open(resumes bool) error {
	if r.model = r.o.Model; r.model == nil {
		r.tell(Loading, r.c.Model)
		m, err := catalog.Open(r.c.Model, engine.LoadOptions{Threads: int(r.c.Threads), Trainable: r.c.Adapter.Type == "none"})
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		r.model = m
		r.closers = append(r.closers, m.Close)
	}
	sum, err := r.model.Base.SHA256()
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	r.Identity.Base, r.Identity.Kernel = sum, r.model.Base.Level()
	if r.model.Template != nil {
		r.Identity.Template = r.model.Template.Hash()
	}
	if r.model.Tokenizer != nil {
		r.Identity.Tokenizer = r.model.Tokenizer.Hash()
	}
	if err := r.makeAdapter(resumes); err != nil {
		return err
	}
	r.trainer, err = engine.NewTrainer(r.model.Base, r.adapter, r.options)
	return err
}

func (r *run) makeAdapter(resumes bool) (err error) {
	a := r.c.Adapter
	if a.Type == "none" {
		return nil
	}
	config := weights.AdapterConfig{R: a.R, Alpha: a.Alpha, Dropout: a.Dropout, TargetModules: a.Targets.List, TargetRegex: a.Targets.Pattern,
		RankPattern: a.RankPattern, AlphaPattern: a.AlphaPattern, LayersToTransform: a.Layers, UseRSLora: a.RSLora}
	if a.Init != "" && !resumes { // a checkpoint has all values
		r.adapter, err = r.model.Base.InitAdapter(config, a.Init)
	} else {
		r.adapter, err = r.model.Base.NewAdapter(config, uint64(r.c.Seed))
	}
	return err
}

// encode turns the rows into tokens.
func (r *run) encode(train, valid *data.File) (err error) {
	day, err := time.Parse(time.DateOnly, r.c.Date)
	if err != nil {
		return err
	}
	config := r.model.Base.Config()
	e := &data.Encoder{Tokenizer: r.model.Tokenizer, Template: r.model.Template, EOS: r.model.EOS, Vocab: config.VocabSize, Now: day}
	o := batch.Options{MaxLength: r.c.MaxLength, Truncate: r.c.Truncate}
	if config.MaxPositions > 0 && config.MaxPositions < o.MaxLength {
		o.MaxLength, o.Key = config.MaxPositions, "the model's positions,"
	}
	set := func(f *data.File) (*batch.Set, error) {
		s, err := batch.Encode(f, e, o)
		if err != nil {
			return nil, err
		}
		if s.Truncated > 0 {
			r.tell(Warned, fmt.Sprintf("%d rows of %s were cut at %d tokens", s.Truncated, f.Path, o.MaxLength))
		}
		if s.Masked > 0 {
			r.tell(Warned, fmt.Sprintf("%d rows of %s train nothing: no token of theirs is trained", s.Masked, f.Path))
		}
		return s, nil
	}
	if r.train, err = set(train); err != nil {
		return err
	}
	if valid != nil {
		if r.valid, err = set(valid); err != nil {
			return err
		}
	}
	r.order = batch.Order{Rows: len(r.train.Rows), Batch: r.c.Batch, Seed: uint64(r.c.Seed), Shuffle: r.c.Shuffle}
	if r.Steps = r.c.MaxSteps; r.Steps == 0 {
		r.Steps = r.c.Epochs * r.order.PerEpoch()
	}
	return nil
}

// restore takes over a checkpoint.
func (r *run) restore(from *checkpoint) error {
	r.Format = checkpointFormat
	if from != nil {
		differences := from.checkIdentity(r.Identity, r.c.ResumeOtherCPU)
		if len(differences) == 0 && from.Steps != r.Steps {
			differences = append(differences, fmt.Sprintf("it has %d steps, was %d", r.Steps, from.Steps))
		}
		if len(differences) > 0 {
			return &ResumeError{from.dir, differences}
		}
		tensors, _, closer, err := weights.ReadSafetensors(filepath.Join(from.dir, tensorsName))
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		err = r.trainer.Restore(tensors)
		if err := errors.Join(err, closer.Close()); err != nil {
			return fmt.Errorf("resume from %s: %w", from.dir, err)
		}
		if r.Identity.Kernel != from.Identity.Kernel {
			r.tell(Warned, fmt.Sprintf("the run goes on with %s arithmetic, it began with %s: it will differ from an uninterrupted one", r.Identity.Kernel, from.Identity.Kernel))
		}
		now := r.Identity
		r.cursor, r.lastSaved, r.resumedAt = from.cursor, from.dir, from.Step
		r.Identity = now
	}
	config, err := json.Marshal(r.c)
	if err != nil {
		return err
	}
	r.Config = config
	r.facts = weights.Facts{BaseSHA256: r.Identity.Base, TemplateHash: r.Identity.Template, TokenizerHash: r.Identity.Tokenizer,
		LossMask: data.LossMask, DataHash: r.Identity.Data, Config: config}
	r.yaml, err = r.c.Marshal()
	return err
}

// openOutput writes run.yaml and opens the metrics, after removing what a run that starts afresh would mix with.
func (r *run) openOutput(ctx context.Context) error {
	out := r.c.Out
	if r.lastSaved == "" {
		if err := clearRun(out); err != nil {
			return fmt.Errorf("clear %s: %w", out, err)
		}
	} else if err := os.RemoveAll(filepath.Join(out, summaryName)); err != nil {
		return err
	}
	if err := r.write(ctx, configName, func() error { return writeText(filepath.Join(out, configName), r.yaml) }); err != nil {
		return err
	}
	err := r.write(ctx, metricsName, func() error {
		log, lines, err := openMetrics(out, r.Step, r.EvalDue)
		if err == nil && lines != r.Step {
			r.tell(Warned, fmt.Sprintf("%s has lines for %d of the %d steps before this one", metricsName, lines, r.Step))
		}
		r.metrics = log
		return err
	})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, r.metrics.close)
	r.meter.p = Progress{Step: r.Step, Steps: r.Steps, Epochs: (r.Steps + r.order.PerEpoch() - 1) / r.order.PerEpoch()}
	return nil
}

// describe says what is about to be trained.
func (r *run) describe() string {
	from := ""
	if r.resumedAt > 0 {
		from = fmt.Sprintf(", from step %d", r.resumedAt)
	}
	return fmt.Sprintf("%d parameters on %d rows (%d tokens, %d trained), %d steps of %d rows%s",
		r.trainer.Params(), len(r.train.Rows), r.train.Tokens, r.train.Trained, r.Steps, r.c.Batch, from)
}

func (r *run) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		_ = r.closers[i]() // everything that matters has been synced
	}
	r.closers = nil
}
