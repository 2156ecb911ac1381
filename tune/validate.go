package tune

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"hone/engine"
)

// Validate says what is wrong with the settings themselves; what only the model or the files can tell, Run says.
// The error joins a *ConfigError for each key, which names it and the fix.
func (c SFT) Validate() error {
	var errs []error
	wrong := func(bad bool, key, message, fix string) {
		if bad {
			errs = append(errs, &ConfigError{Key: key, Message: message, Fix: fix})
		}
	}
	oneOf := func(key, value string, known ...string) {
		wrong(!slices.Contains(known, value), key, fmt.Sprintf("is %q", value), "use "+strings.Join(known, ", "))
	}
	atLeast := func(key string, value, least int) {
		wrong(value < least, key, fmt.Sprintf("is %d", value), fmt.Sprintf("use %d or more", least))
	}
	within := func(key string, v, low, high float64, fix string) {
		wrong(math.IsNaN(v) || v < low || v >= high, key, "is "+float(v), fix)
	}
	oneOf("method", c.Method, "sft")
	wrong(c.Model == "", "model", "is empty", "name a model; hone models lists those that are here")
	wrong(c.Train == "", "train", "is empty", "name a JSONL file of rows")
	wrong(c.Out == "", "out", "is empty", "name a folder")
	atLeast("epochs", c.Epochs, 1)
	atLeast("max_steps", c.MaxSteps, 0)
	atLeast("batch", c.Batch, 1)
	atLeast("micro_batch", int(c.MicroBatch), 0)
	atLeast("threads", int(c.Threads), 0)
	atLeast("warmup", c.Warmup, 0)
	atLeast("seed", c.Seed, 0)
	atLeast("max_length", c.MaxLength, 2)
	atLeast("eval_every", c.EvalEvery, 0)
	atLeast("save_every", c.SaveEvery, 0)
	atLeast("keep_checkpoints", c.KeepCheckpoints, 2)
	atLeast("early_stopping.patience", c.EarlyStopping.Patience, 0)
	oneOf("schedule", c.Schedule, "linear", "cosine", "constant")
	oneOf("precision", c.Precision, engine.PrecisionNames()...)
	oneOf("memory", c.Memory, engine.MemoryNames()...)
	within("learning_rate", c.LearningRate, 0, 1e6, "use a small number such as 1.0e-3")
	within("weight_decay", c.WeightDecay, 0, 1e6, "use 0 or a small number such as 0.01")
	within("eps", c.Eps, 0, 1, "use a small number such as 1.0e-8")
	within("max_grad_norm", c.MaxGradNorm, 0, math.Inf(1), "use 1.0, or 0 for off")
	within("early_stopping.min_delta", c.EarlyStopping.MinDelta, 0, 1e6, "use 0 or a small number")
	for i, b := range c.Betas {
		within("betas", b, 0, 1, fmt.Sprintf("entry %d must be from 0 to less than 1", i+1))
	}
	wrong(c.EarlyStopping.Patience > 0 && c.Valid == "", "early_stopping.patience", "is set and there is no valid file", "name one in valid, or set it to 0")
	wrong(c.EarlyStopping.Patience > 0 && c.EvalEvery == 0, "early_stopping.patience", "is set and eval_every is 0", "set eval_every, or patience to 0")
	if c.Date != "" {
		_, err := time.Parse(time.DateOnly, c.Date)
		wrong(err != nil, "date", fmt.Sprintf("is %q", c.Date), "write it as 2025-07-10")
	}
	errs = append(errs, c.Adapter.validate()...)
	return errors.Join(errs...)
}

func (a Adapter) validate() []error {
	var errs []error
	wrong := func(bad bool, key, message, fix string) {
		if bad {
			errs = append(errs, &ConfigError{Key: "adapter." + key, Message: message, Fix: fix})
		}
	}
	switch a.Type {
	case "none":
		wrong(a.Init != "", "init", "is set with type none", "leave it out, or set type: lora")
		return errs
	case "lora":
	default:
		wrong(true, "type", fmt.Sprintf("is %q", a.Type), "use lora, none")
	}
	const maxRank = 2048
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	wrong(a.R < 1 || a.R > maxRank, "r", fmt.Sprintf("is %d", a.R), fmt.Sprintf("use 1 to %d; 8 or 16 is usual", maxRank))
	wrong(!finite(a.Alpha) || a.Alpha <= 0, "alpha", "is "+float(a.Alpha), "use a number above 0; twice r is usual")
	wrong(math.IsNaN(a.Dropout) || a.Dropout < 0 || a.Dropout >= 1, "dropout", "is "+float(a.Dropout), "use 0 to less than 1")
	wrong(a.Targets.Pattern == "" && len(a.Targets.List) == 0, "targets", "is empty", "use all-linear, or a list of layer names")
	if p := a.Targets.Pattern; p != "" && p != AllLinear {
		_, err := regexp.Compile(p)
		// Python's lookarounds are fine for PEFT; whoever matches the names decides about those.
		wrong(err != nil && !strings.Contains(p, "(?"), "targets", fmt.Sprintf("is no regular expression: %v", err), "use all-linear, a list of layer names, or a pattern")
	}
	for name, r := range a.RankPattern {
		wrong(name == "" || r < 1 || r > maxRank, "rank_pattern", fmt.Sprintf("has %d for %q", r, name), fmt.Sprintf("use 1 to %d", maxRank))
	}
	for name, alpha := range a.AlphaPattern {
		wrong(name == "" || !finite(alpha) || alpha <= 0, "alpha_pattern", fmt.Sprintf("has %s for %q", float(alpha), name), "use a number above 0")
	}
	for _, n := range a.Layers {
		wrong(n < 0, "layers", fmt.Sprintf("has %d", n), "blocks are numbered from 0")
	}
	return errs
}
