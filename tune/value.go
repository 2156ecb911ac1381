package tune

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// union is a setting that has a form of its own in a file.
type union interface {
	read(n *yaml.Node) error // sets the value from the file's; the error says what it must be
	node() *yaml.Node        // the file's form of the value
	kind() string            // for the reference: "auto or whole number"
}

// Auto is a whole number from 1, or 0 for auto.
type Auto int

func (a *Auto) read(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Value == "auto" {
		*a = 0
		return nil
	}
	v, err := wholeNumber(n)
	if err != nil || v < 1 {
		return fmt.Errorf("must be auto or a whole number from 1, not %s", describe(n))
	}
	*a = Auto(v)
	return nil
}

func (a *Auto) node() *yaml.Node {
	if *a == 0 {
		return scalar("auto")
	}
	return scalar(strconv.Itoa(int(*a)))
}

func (a *Auto) kind() string { return "auto or a whole number" }

// MarshalJSON writes "auto" or the number.
func (a Auto) MarshalJSON() ([]byte, error) {
	if a == 0 {
		return []byte(`"auto"`), nil
	}
	return []byte(strconv.Itoa(int(a))), nil
}

// AllLinear as a target means every linear layer but the head.
const AllLinear = "all-linear"

// Targets names layers: Pattern is AllLinear or a regular expression over whole names, else List holds names or
// suffixes of names.
type Targets struct {
	List    []string
	Pattern string
}

func (t *Targets) read(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value != "":
		*t = Targets{Pattern: n.Value}
		return nil
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		var list []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag != "!!str" || item.Value == "" {
				return fmt.Errorf("must be a list of names, and holds %s", describe(item))
			}
			list = append(list, item.Value)
		}
		*t = Targets{List: list}
		return nil
	}
	return fmt.Errorf("must be %s, a list of layer names, or a regular expression, not %s", AllLinear, describe(n))
}

func (t *Targets) node() *yaml.Node {
	if t.List == nil {
		return text(t.Pattern)
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, name := range t.List {
		n.Content = append(n.Content, text(name))
	}
	return n
}

func (t *Targets) kind() string { return "all-linear, list of names, or pattern" }

// MarshalJSON writes the list, or the string.
func (t Targets) MarshalJSON() ([]byte, error) {
	if t.List == nil {
		return json.Marshal(t.Pattern)
	}
	return json.Marshal(t.List)
}

// Betas are AdamW's two decay rates.
type Betas [2]float64

func (b *Betas) read(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode || len(n.Content) != 2 {
		return fmt.Errorf("must be a list of two numbers, as [0.9, 0.999], not %s", describe(n))
	}
	for i, item := range n.Content {
		v, err := number(item)
		if err != nil {
			return fmt.Errorf("must be a list of two numbers, and holds %s", describe(item))
		}
		b[i] = v
	}
	return nil
}

func (b *Betas) node() *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{scalar(float(b[0])), scalar(float(b[1]))}}
}

func (b *Betas) kind() string { return "two numbers" }

// wholeNumber reads an integer, also one written as 16.0 or 2e3.
func wholeNumber(n *yaml.Node) (int, error) {
	v, err := number(n)
	if err != nil || v != float64(int64(v)) || v > 1<<53 || v < -(1<<53) {
		return 0, fmt.Errorf("must be a whole number, not %s", describe(n))
	}
	return int(v), nil
}

// number reads a finite decimal number; a quoted one is text.
func number(n *yaml.Node) (float64, error) {
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 &&
		strings.Trim(n.Value, "0123456789+-.eE") == "" {
		if v, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return v, nil
		}
	}
	return 0, fmt.Errorf("must be a number, not %s", describe(n))
}

// describe names a value of the file for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch {
	case n.Tag == "!!null":
		return "nothing"
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return "the text " + clip(n.Value)
	}
	return clip(n.Value)
}

func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// scalar is a plain value: a number, true, auto.
func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// text is a string, quoted where a plain one would be read as something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if s == "" || s == "auto" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// float writes the shortest digits that read back as v.
func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
