package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"hone/catalog"
	"hone/data"
	"hone/engine"
	"hone/engine/tokenizer"
)

// dataCommand is "hone data", which has subcommands of its own.
type dataCommand struct{}

func (c *dataCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("data", "check FILE… | preview FILE --model M [flags]",
		"checks training data, or shows which of its tokens are trained; each has a --help of its own",
		"hone data check train.jsonl valid.jsonl --model smollm2-135m-instruct", "hone data preview train.jsonl --model smollm2-135m-instruct -n 3")
	if len(args) > 0 {
		switch args[0] {
		case "check":
			return (&dataCheckCommand{}).run(ctx, m, args[1:])
		case "preview":
			return (&dataPreviewCommand{}).run(ctx, m, args[1:])
		}
	}
	rest, err := f.parse(m, args, 0, -1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return f.wrong("say what to do: check or preview")
	}
	return f.wrong("unknown command %q%s", rest[0], didYouMean(rest[0], []string{"check", "preview"}))
}

// dataCheckCommand is "hone data check".
type dataCheckCommand struct {
	Model     string
	MaxLength int
	Truncate  bool
	Epochs    int
	Estimate  bool
	Threads   int
	JSON      bool
}

func (c *dataCheckCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("data check", "FILE… [flags]",
		"reads training data and says what is in it and what is wrong with it, with file, line, field and a fix; exit code 1 if a run would refuse it",
		"hone data check train.jsonl", "hone data check train.jsonl --model smollm2-135m-instruct --max-length 1024", "hone data check train.jsonl --json")
	f.StringVar(&c.Model, "model", "", "`M`: also count tokens as this model reads them, and measure how long training would take")
	f.IntVar(&c.MaxLength, "max-length", 2048, "rows of more tokens are over-long; 0 is no limit")
	f.BoolVar(&c.Truncate, "truncate", false, "over-long rows are to be cut, so they are only a warning")
	f.IntVar(&c.Epochs, "epochs", 1, "of the estimate")
	f.BoolVar(&c.Estimate, "estimate", true, "train a few steps to estimate the minutes")
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.BoolVar(&c.JSON, "json", false, "print JSON")
	files, err := f.parse(m, args, 1, -1)
	if err != nil {
		return err
	}
	if c.MaxLength < 0 || c.Epochs < 1 {
		return f.wrong("--max-length must not be negative and --epochs must be at least 1")
	}
	o := data.CheckOptions{MaxLength: c.MaxLength, Truncate: c.Truncate, Epochs: c.Epochs}
	if c.Model != "" {
		text, err := catalog.OpenText(c.Model)
		if err != nil {
			return err
		}
		defer text.Close()
		o.Encoder = &data.Encoder{Tokenizer: text.Tokenizer, Template: text.Template, EOS: text.EOS, Now: time.Now()}
		if c.Estimate {
			if o.TokensPerSecond, err = c.speed(ctx, m); err != nil {
				return err
			}
		}
	}
	report, err := data.Check(files, o)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(m.Stdout).Encode(report)
	} else {
		err = printCheck(m.Stdout, report)
	}
	if err == nil && !report.OK() {
		err = errReported
	}
	return err
}

// speed measures how many tokens a second this machine trains, a few seconds long.
func (c *dataCheckCommand) speed(ctx context.Context, m *Main) (float64, error) {
	spin := startSpinner(m.Stderr)
	defer spin.stop()
	spin.say("measuring how fast this machine trains " + c.Model)
	model, err := openModel(c.Model, "", engine.LoadOptions{Threads: c.Threads})
	if err != nil {
		return 0, err
	}
	defer model.Close()
	return trainingSpeed(ctx, model, 512, 1)
}

// printCheck writes a report for people.
func printCheck(out io.Writer, r *data.Report) error {
	for _, p := range r.Problems.List {
		fmt.Fprintln(out, p)
	}
	if left := r.Problems.Left(); left > 0 {
		fmt.Fprintf(out, "and %d more problems\n", left)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	kinds := ""
	for _, k := range []data.Kind{data.Chat, data.Prompt, data.Text, data.Tokens} {
		if n := r.Kinds[k]; n > 0 {
			kinds += fmt.Sprintf(", %d %s", n, k)
		}
	}
	fmt.Fprintf(w, "rows\t%d usable%s\n", r.Rows, kinds)
	if r.Skipped > 0 {
		fmt.Fprintf(w, "\t%d cannot be used\n", r.Skipped)
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(w, "\t%d equal to an earlier one\n", r.Duplicates)
	}
	if t := r.Tokens; t != nil {
		fmt.Fprintf(w, "tokens\t%d, of which %d trained\n", t.Total, t.Trained)
		fmt.Fprintf(w, "tokens a row\tmedian %d, 95 %% up to %d, longest %d\n", t.Median, t.P95, t.Max)
		if t.OverLong > 0 {
			fmt.Fprintf(w, "over-long\t%d rows\n", t.OverLong)
		}
		if t.Minutes > 0 {
			fmt.Fprintf(w, "training\tabout %.1f minutes here\n", t.Minutes)
		}
	}
	fmt.Fprintf(w, "problems\t%d errors, %d warnings\n", r.Problems.Errors, r.Problems.Warnings)
	fmt.Fprintf(w, "data SHA-256\t%s\n", r.DataSHA256)
	return w.Flush()
}

// dataPreviewCommand is "hone data preview".
type dataPreviewCommand struct {
	Model string
	Rows  int
	JSON  bool
}

// previewToken is one token of a previewed row.
type previewToken struct {
	ID      int32  `json:"id"`
	Text    string `json:"text"`
	Trained bool   `json:"trained"`
}

func (c *dataPreviewCommand) run(_ context.Context, m *Main, args []string) error {
	f := newFlags("data preview", "FILE --model M [flags]",
		"shows rows as the model sees them, token by token, with the trained tokens marked: green on a terminal, in [brackets] elsewhere",
		"hone data preview train.jsonl --model smollm2-135m-instruct", "hone data preview train.jsonl --model smollm2-135m-instruct -n 3 --json")
	f.StringVar(&c.Model, "model", "", "`M`: model name, folder or file")
	f.IntVar(&c.Rows, "n", 3, "rows to show")
	f.BoolVar(&c.JSON, "json", false, "print JSON, a row a line")
	rest, err := f.parse(m, args, 1, 1)
	if err != nil {
		return err
	}
	if c.Model == "" {
		return f.wrong("--model is missing")
	}
	if c.Rows < 1 {
		return f.wrong("-n must be at least 1")
	}
	text, err := catalog.OpenText(c.Model)
	if err != nil {
		return err
	}
	defer text.Close()
	file, err := data.Read(rest[0], data.ReadOptions{})
	if err != nil {
		return err
	}
	if len(file.Rows) == 0 {
		return errors.Join(file.Problems.Err(), fmt.Errorf("%s has no usable row", rest[0]))
	}
	e := &data.Encoder{Tokenizer: text.Tokenizer, Template: text.Template, EOS: text.EOS, Now: time.Now()}
	for _, row := range file.Rows[:min(c.Rows, len(file.Rows))] {
		x, err := e.Encode(row)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", rest[0], row.Line, err)
		}
		if err := c.show(m.Stdout, text.Tokenizer, row.Line, x); err != nil {
			return err
		}
	}
	return nil
}

// show writes one row.
func (c *dataPreviewCommand) show(w io.Writer, tok *tokenizer.Tokenizer, line int, x data.Example) error {
	tokens := make([]previewToken, len(x.Tokens))
	for i, id := range x.Tokens {
		tokens[i] = previewToken{ID: id, Text: visible(tok.Bytes(id)), Trained: x.Weights[i] != 0}
	}
	if c.JSON {
		text, err := plainJSON(map[string]any{"line": line, "tokens": tokens})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, text)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "line %d: %d tokens, %d trained\n", line, len(tokens), x.Trained)
	colour := isTerminal(w)
	for i, t := range tokens {
		switch {
		case colour:
			style := []string{"\033[2m", "\033[2;4m"}[i%2] // tokens are told apart by underlining every second
			if t.Trained {
				style = []string{"\033[32m", "\033[32;4m"}[i%2]
			}
			b.WriteString(style + strings.TrimSuffix(t.Text, "\n") + "\033[0m")
			if strings.HasSuffix(t.Text, "\n") {
				b.WriteByte('\n')
			}
		case t.Trained:
			body, feed := strings.CutSuffix(t.Text, "\n")
			b.WriteString("[" + body + "]")
			if feed {
				b.WriteByte('\n')
			}
		default:
			b.WriteString(t.Text)
		}
	}
	b.WriteString("\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// visible writes a token's bytes so that they cannot steer a terminal: a line feed as \n and itself, other control
// characters and bytes that are no UTF-8 escaped.
func visible(raw []byte) string {
	var b strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, raw[0])
		case r == '\n':
			b.WriteString("\\n\n")
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		raw = raw[n:]
	}
	return b.String()
}
