package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"hone/tune"
)

// trainCommand is "hone train".
type trainCommand struct {
	File      string
	Resume    bool
	Overwrite bool
	JSON      bool
	Nice      int
}

func (c *trainCommand) run(ctx context.Context, m *Main, args []string) error {
	c.Nice = 10
	config, err := c.parse(m, args)
	if err != nil {
		return err
	}
	if c.Nice > 0 && m.YieldTo != nil {
		if err := m.YieldTo(c.Nice); err != nil {
			fmt.Fprintf(m.Stderr, "%v\n", err)
		}
	}
	summary, err := train(ctx, m, config, tune.RunOptions{Resume: c.Resume, Overwrite: c.Overwrite}, c.JSON)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(map[string]any{"event": "summary", "summary": summary})
	}
	return printSummary(m.Stdout, config, summary)
}

// parse reads the training file, then the flags over it: what is given on the command line wins.
func (c *trainCommand) parse(m *Main, args []string) (tune.SFT, error) {
	config := tune.DefaultSFT()
	f := c.flags(&config)
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return config, err
	}
	if c.File == "" {
		return config, c.check(f, config)
	}
	config, err := tune.LoadSFT(c.File)
	if err != nil {
		return config, f.wrong("%w", err)
	}
	f = c.flags(&config)
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return config, err
	}
	return config, c.check(f, config)
}

// flags makes the command's flags: its own, and one for each key of the training file.
func (c *trainCommand) flags(config *tune.SFT) *flags {
	f := newFlags("train", "-c FILE.yaml [flags], or flags alone",
		"fine-tunes a model on your data and writes a run folder: adapter/ (or model/), metrics, loss plot, checkpoints. Every key of the training file is also a flag",
		"hone train -c examples/banking77/train.yaml",
		"hone train --model smollm2-135m-instruct --train mine.jsonl --out runs/mine --epochs 3 --adapter.r 8",
		"hone train -c train.yaml --resume")
	f.StringVar(&c.File, "c", c.File, "training `FILE` in YAML; flags win over it")
	f.BoolVar(&c.Resume, "resume", c.Resume, "go on from the run's last checkpoint; start afresh if there is none, do nothing if it is finished")
	f.BoolVar(&c.Overwrite, "overwrite", c.Overwrite, "start afresh in a folder that holds a run, and remove what that left")
	f.BoolVar(&c.JSON, "json", c.JSON, "print JSON, an event a line")
	f.IntVar(&c.Nice, "nice", c.Nice, "niceness to train at, 0 to 19: above 0 other work on the machine, such as a server, goes first (Linux)")
	config.Flags(f.FlagSet)
	return f
}

// check says what is wrong with the settings before anything is opened.
func (c *trainCommand) check(f *flags, config tune.SFT) error {
	if c.Nice < 0 || c.Nice > 19 {
		return f.wrong("--nice %d: use 0 to 19", c.Nice)
	}
	if c.Resume && c.Overwrite {
		return f.wrong("--resume and --overwrite exclude each other")
	}
	if err := config.Validate(); err != nil {
		return f.wrong("%w", err)
	}
	return nil
}

// train runs a training and shows how it goes on stderr, or as JSON lines on stdout.
func train(ctx context.Context, m *Main, config tune.SFT, o tune.RunOptions, asJSON bool) (tune.Summary, error) {
	show := &trainProgress{meter: newMeter(m.Stderr, "steps"), w: m.Stderr}
	o.Progress = show.report
	if asJSON {
		lines := json.NewEncoder(m.Stdout)
		o.Progress = func(p tune.Progress) { _ = lines.Encode(p) } // a reader that went away is no reason to lose a run
	}
	summary, err := tune.Run(ctx, config, o)
	show.meter.close()
	return summary, err
}

// trainProgress shows a run to a person.
type trainProgress struct {
	meter *meter
	w     io.Writer
}

// report shows one event.
func (t *trainProgress) report(p tune.Progress) {
	switch p.Event {
	case tune.Stepped:
		t.meter.showLeft(p.Step, p.Steps, fmt.Sprintf("loss %.4f  %.0f tokens/s%s", p.SmoothedLoss, p.TokensPerSecond, busyText("  cores %.0f %% busy", p.Utilisation)), p.ETA)
	case tune.Validated:
		t.meter.note(fmt.Sprintf("step %d: validation loss %.4f, token accuracy %.3f", p.Step, p.ValidLoss, p.ValidAccuracy))
	case tune.Loading:
		t.meter.note("reading " + p.Message)
	case tune.Warned:
		t.meter.note("warning: " + p.Message)
	case tune.Started, tune.Paused:
		t.meter.note(p.Message)
	}
}

// busyText says how busy the cores were, in percent, or nothing where that is not known.
func busyText(format string, utilisation float64) string {
	if utilisation <= 0 {
		return ""
	}
	return fmt.Sprintf(format, 100*utilisation)
}

// printSummary says what a run left and what to do with it.
func printSummary(w io.Writer, config tune.SFT, s tune.Summary) error {
	if s.AlreadyFinished {
		fmt.Fprintf(w, "%s is finished already; --overwrite trains it again\n", s.Out)
	}
	if s.Ended != "" {
		fmt.Fprintf(w, "ended after step %d: %s\n", s.Steps, s.Ended)
	}
	fmt.Fprintf(w, "%d steps, loss %.4f at first and %.4f at last, %d tokens in %s (%.0f tokens/s)%s\n", s.Steps, s.FirstLoss, s.LastLoss,
		s.Tokens, time.Duration(s.Seconds*float64(time.Second)).Round(time.Second), s.TokensPerSecond,
		busyText(", cores %.0f %% busy", s.Utilisation))
	if s.ValidLoss != nil && s.ValidAccuracy != nil {
		fmt.Fprintf(w, "validation loss %.4f, token accuracy %.3f\n", *s.ValidLoss, *s.ValidAccuracy)
	}
	if s.Best != nil {
		fmt.Fprintf(w, "lowest validation loss %.4f at step %d\n", s.Best.ValidLoss, s.Best.Step)
	}
	fmt.Fprintf(w, "weights in %s, loss plot %s\n", s.Weights, s.Out+"/loss.png")
	_, err := fmt.Fprintf(w, "try it: %s\n", tryCommand(config, s))
	return err
}

// tryCommand is the command that runs what was trained.
func tryCommand(config tune.SFT, s tune.Summary) string {
	command := "hone chat"
	if !s.Chats {
		command = "echo 'Once upon a time' | hone generate"
	}
	if config.Adapter.Type == "none" {
		return command + " --model " + quoteArg(s.Weights)
	}
	return command + " --model " + quoteArg(config.Model) + " --adapter " + quoteArg(s.Weights)
}

// quoteArg writes an argument so that a shell reads it as it is.
func quoteArg(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
