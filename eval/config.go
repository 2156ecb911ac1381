// Package eval measures a model: it lets it answer the rows of a file, greedily, and compares the answers with the
// expected ones. Every accuracy comes with its 95 % interval.
package eval

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"hone/engine"
)

// Metrics a task may use.
const (
	ExactMatch = "exact_match" // the normalised answer equals the normalised expected one
	Contains   = "contains"    // the normalised answer contains the normalised expected one
	Regex      = "regex"       // the pattern matches the answer; its first group, if it has one, must equal the expected one
)

var metrics = []string{ExactMatch, Contains, Regex}

// Normalisations a task may use, applied to the answer and to the expected answer in the order given.
var normalisations = []string{"trim", "lower", "spaces", "punctuation", "first_line"}

// Config is one evaluation: a model, and the tasks it is measured on.
type Config struct {
	Model   string `yaml:"model"`   // catalogue name, folder or file
	Adapter string `yaml:"adapter"` // folder of a PEFT adapter; "" = the base alone
	Out     string `yaml:"out"`     // folder for report.json and a file of predictions for each task; "" = none is written
	Batch   int    `yaml:"batch"`   // answers decoded together; 0 = DefaultBatch. It changes the speed and never an answer
	Threads int    `yaml:"threads"` // 0 = all
	// Precision of the products with weights: f32, bf16, fixed or auto, the default; see engine.DecodingPrecision.
	Precision string `yaml:"precision"`
	Tasks     []Task `yaml:"tasks"`
}

// Task is one file of questions and how its answers are judged.
type Task struct {
	Name      string   `yaml:"name"`       // "" = the file's name without its ending
	File      string   `yaml:"file"`       // JSONL: chat rows (the last assistant message is the expected answer) or prompt/completion rows
	Metric    string   `yaml:"metric"`     // exact_match (the default), contains or regex
	Pattern   string   `yaml:"pattern"`    // of the regex metric, in Go's syntax
	Normalise []string `yaml:"normalise"`  // any of trim, lower, spaces, punctuation, first_line; not given = [trim]
	MaxTokens int      `yaml:"max_tokens"` // most tokens of an answer; 0 = DefaultMaxTokens
	Stop      []string `yaml:"stop"`       // strings that end an answer
	Limit     int      `yaml:"limit"`      // use the first so many rows; 0 = all
}

// Defaults of Config and Task.
const (
	DefaultBatch     = 16
	DefaultMaxTokens = 64
)

// ReadConfig reads and checks an evaluation file. Relative task files are looked up beside the evaluation file; an
// unknown key is an error.
func ReadConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read evaluation: %w", err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("read evaluation %s: %w", path, err)
	}
	for i, t := range c.Tasks {
		if beside := filepath.Join(filepath.Dir(path), t.File); !filepath.IsAbs(t.File) && !isFile(t.File) && isFile(beside) {
			c.Tasks[i].File = beside
		}
	}
	return c, nil
}

// ParseConfig reads an evaluation from YAML, fills in the defaults and checks it.
func ParseConfig(data []byte) (*Config, error) {
	c := &Config{}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	c.Defaults()
	return c, c.Validate()
}

// Defaults fills in what is not set.
func (c *Config) Defaults() {
	if c.Batch == 0 {
		c.Batch = DefaultBatch
	}
	if c.Precision == "" {
		c.Precision = engine.AutoPrecision
	}
	for i := range c.Tasks {
		t := &c.Tasks[i]
		if t.Name == "" {
			t.Name = strings.TrimSuffix(filepath.Base(t.File), filepath.Ext(t.File))
		}
		if t.Metric == "" {
			t.Metric = ExactMatch
		}
		if t.MaxTokens == 0 {
			t.MaxTokens = DefaultMaxTokens
		}
		if t.Normalise == nil {
			t.Normalise = []string{"trim"}
		}
	}
}

// Validate says what is wrong with the evaluation, naming the field.
func (c *Config) Validate() error {
	switch {
	case c.Model == "":
		return errors.New("model: is missing")
	case c.Batch < 0:
		return fmt.Errorf("batch: %d is negative", c.Batch)
	case c.Threads < 0:
		return fmt.Errorf("threads: %d is negative", c.Threads)
	case len(c.Tasks) == 0:
		return errors.New("tasks: is empty")
	}
	if err := new(engine.LoadOptions).SetPrecision(c.Precision); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, t := range c.Tasks {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("tasks[%d].%w", i, err)
		}
		if seen[t.Name] {
			return fmt.Errorf("tasks[%d].name: %q is taken by another task", i, t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

var taskName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate says what is wrong with the task, naming the field.
func (t Task) Validate() error {
	switch {
	case t.File == "":
		return errors.New("file: is missing")
	case !taskName.MatchString(t.Name):
		return fmt.Errorf("name: %q is not a name (letters, digits, '.', '_', '-')", t.Name)
	case !slices.Contains(metrics, t.Metric):
		return fmt.Errorf("metric: %q is not one of %s", t.Metric, strings.Join(metrics, ", "))
	case t.MaxTokens < 1:
		return fmt.Errorf("max_tokens: %d is not positive", t.MaxTokens)
	case t.Limit < 0:
		return fmt.Errorf("limit: %d is negative", t.Limit)
	case (t.Metric == Regex) != (t.Pattern != ""):
		return errors.New("pattern: goes with metric regex and is needed there")
	case slices.Contains(t.Stop, ""):
		return errors.New("stop: holds an empty string")
	}
	for _, n := range t.Normalise {
		if !slices.Contains(normalisations, n) {
			return fmt.Errorf("normalise: %q is not one of %s", n, strings.Join(normalisations, ", "))
		}
	}
	if _, err := regexp.Compile(t.Pattern); err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	return nil
}

// isFile reports whether path is a plain file.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
