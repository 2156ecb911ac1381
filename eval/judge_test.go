package eval

import (
	"math"
	"regexp"
	"strings"
	"testing"
)

// TestWilson compares with values worked out from the closed formula by hand.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 10, 0, 0.2775328},
		{10, 10, 0.7224672, 1},
		{5, 10, 0.2365931, 0.7634069},
		{183, 300, 0.5537486, 0.6634700},
	} {
		low, high := Wilson(c.k, c.n)
		if math.Abs(low-c.low) > 1e-6 || math.Abs(high-c.high) > 1e-6 {
			t.Errorf("Wilson(%d, %d) = %.7f, %.7f; want %.7f, %.7f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name             string
		task             Task
		answer, expected string
		want             bool
	}{
		{"equal", Task{Metric: ExactMatch}, "card_arrival", "card_arrival", true},
		{"spaces count unless trimmed", Task{Metric: ExactMatch}, " card_arrival\n", "card_arrival", false},
		{"trimmed", Task{Metric: ExactMatch, Normalise: []string{"trim"}}, " card_arrival\n", "card_arrival", true},
		{"case", Task{Metric: ExactMatch, Normalise: []string{"lower"}}, "Yes", "yes", true},
		{"inner spaces", Task{Metric: ExactMatch, Normalise: []string{"spaces"}}, "a  b\tc ", "a b c", true},
		{"punctuation", Task{Metric: ExactMatch, Normalise: []string{"punctuation"}}, "card_arrival.", "card_arrival", true},
		{"first line", Task{Metric: ExactMatch, Normalise: []string{"first_line"}}, "\nyes\nbecause", "yes", true},
		{"contains", Task{Metric: Contains}, "the answer is 42, I think", "42", true},
		{"contains not", Task{Metric: Contains}, "the answer is 41", "42", false},
		{"regex group", Task{Metric: Regex, Pattern: `####\s*(\d+)`}, "so #### 12", "12", true},
		{"regex other group", Task{Metric: Regex, Pattern: `####\s*(\d+)`}, "so #### 13", "12", false},
		{"regex without group", Task{Metric: Regex, Pattern: `(?i)sorry`}, "I am Sorry", "whatever", true},
		{"regex no match", Task{Metric: Regex, Pattern: `^\d+$`}, "twelve", "12", false},
	} {
		if got := c.task.judge(c.answer, c.expected, regexp.MustCompile(c.task.Pattern)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte("model: m\ntasks:\n  - file: a/test.jsonl\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Tasks[0]; got.Name != "test" || got.Metric != ExactMatch || got.MaxTokens != DefaultMaxTokens || len(got.Normalise) != 1 {
		t.Errorf("defaults: %+v", got)
	}
	for text, want := range map[string]string{
		"":                      "model",
		"model: m":              "tasks",
		"model: m\nmodle: x":    "modle",
		"model: m\ntasks: [{}]": "tasks[0].file",
		"model: m\ntasks: [{file: a, metric: bleu}]":                "bleu",
		"model: m\ntasks: [{file: a, metric: regex}]":               "pattern",
		"model: m\ntasks: [{file: a, metric: regex, pattern: '('}]": "pattern",
		"model: m\ntasks: [{file: a, normalise: [upper]}]":          "upper",
		"model: m\ntasks: [{file: a, name: ../x}]":                  "name",
		"model: m\ntasks: [{file: a}, {file: b/a}]":                 "taken",
		"model: m\ntasks: [{file: a, limit: -1}]":                   "limit",
		"model: m\ntasks: [{file: a, max_tokens: -1}]":              "max_tokens",
		"model: m\ntasks: [{file: a, stop: ['']}]":                  "stop",
		"model: [": "yaml",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not name %q", text, err, want)
		}
	}
}
