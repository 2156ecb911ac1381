package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"hone/data"
)

// maxConfig is the longest training file read.
const maxConfig = 1 << 20

// ConfigError is one thing wrong with settings.
type ConfigError struct {
	File    string // "" where the settings come from no file
	Line    int    // from 1; 0 = not known
	Key     string // dotted; "" = the file as a whole
	Message string
	Fix     string
}

// Error gives FILE:LINE: KEY MESSAGE (FIX).
func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + " ")
	}
	b.WriteString(e.Message)
	if e.Fix != "" {
		fmt.Fprintf(&b, " (%s)", e.Fix)
	}
	return b.String()
}

// LoadSFT reads the training file at path over the defaults.
func LoadSFT(path string) (SFT, error) {
	f, err := os.Open(path)
	if err != nil {
		return SFT{}, fmt.Errorf("load training file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return SFT{}, fmt.Errorf("load training file %s: %w", path, err)
	}
	return DecodeSFT(path, text)
}

// DecodeSFT reads YAML over the defaults; name stands for the file in errors. A key that is not one of SFT's is an
// error, as is a value of the wrong type; the error joins a *ConfigError for each. It does not Validate.
func DecodeSFT(name string, text []byte) (SFT, error) {
	c := DefaultSFT()
	if len(text) > maxConfig {
		return SFT{}, &ConfigError{File: name, Message: fmt.Sprintf("is longer than %d bytes", maxConfig), Fix: "name the training file, not the data"}
	}
	root, err := parseYAML(name, text)
	if err != nil {
		return SFT{}, err
	}
	if root == nil {
		return c, nil
	}
	return c, decode(name, root, &c)
}

// DecodeSFTJSON reads a JSON object over the defaults, as strictly as DecodeSFT.
func DecodeSFTJSON(name string, text []byte) (SFT, error) {
	c := DefaultSFT()
	if len(text) > maxConfig {
		return SFT{}, &ConfigError{File: name, Message: fmt.Sprintf("is longer than %d bytes", maxConfig)}
	}
	d := jsonNodes{name: name, text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	d.dec.UseNumber()
	root, err := d.value(0)
	if err != nil {
		return SFT{}, d.fault(err)
	}
	if _, err := d.dec.Token(); !errors.Is(err, io.EOF) {
		return SFT{}, d.fault(errors.New("there is text after the object"))
	}
	return c, decode(name, root, &c)
}

func parseYAML(name string, text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, yamlFault(name, err)
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, &ConfigError{File: name, Line: more.Line, Message: "a second document begins", Fix: "keep one, without ---"}
	case !errors.Is(err, io.EOF):
		return nil, yamlFault(name, err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// yamlFault takes the line out of the library's message.
func yamlFault(name string, err error) error {
	e := &ConfigError{File: name, Message: strings.TrimPrefix(err.Error(), "yaml: "), Fix: "check the indentation and the quotes"}
	if rest, ok := strings.CutPrefix(e.Message, "line "); ok {
		if line, message, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				e.Line, e.Message = n, message
			}
		}
	}
	return e
}

// decode sets the struct that c points to from a mapping.
func decode(name string, root *yaml.Node, c any) error {
	d := decoder{name: name, all: settings(c)}
	d.mapping(root, reflect.ValueOf(c).Elem(), "")
	return errors.Join(d.errs...)
}

type decoder struct {
	name string
	all  []setting
	errs []error
}

func (d *decoder) fail(line int, key, message, fix string) {
	d.errs = append(d.errs, &ConfigError{File: d.name, Line: line, Key: key, Message: message, Fix: fix})
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, prefix string) {
	if n.Kind != yaml.MappingNode {
		key := strings.TrimSuffix(prefix, ".")
		d.fail(n.Line, key, "must be a group of keys, not "+describe(n), "write it as key: value lines")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		dotted := prefix + key.Value
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "<<":
			d.fail(key.Line, "", "a key must be a plain name", "write key: value")
			continue
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			d.fail(value.Line, dotted, "uses an anchor or alias", "write the value out")
			continue
		case seen[key.Value]:
			d.fail(key.Line, dotted, "is there twice", "keep one of them")
			continue
		}
		seen[key.Value] = true
		d.key(dotted, key, value, v, prefix)
	}
}

func (d *decoder) key(dotted string, key, value *yaml.Node, v reflect.Value, prefix string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("json") != key.Value {
			continue
		}
		if group(v.Field(i)) {
			d.mapping(value, v.Field(i), dotted+".")
		} else if err := (setting{v: v.Field(i)}).read(value); err != nil {
			d.fail(value.Line, dotted, err.Error(), f.Tag.Get("doc"))
		}
		return
	}
	d.fail(key.Line, "", "unknown key "+clip(dotted), d.suggest(dotted, key.Value))
}

// otherNames are keys that other trainers have for ours.
var otherNames = map[string]string{
	"lr": "learning_rate", "batch_size": "batch", "num_epochs": "epochs", "num_train_epochs": "epochs", "lora_r": "adapter.r", "rank": "adapter.r",
	"lora_alpha": "adapter.alpha", "lora_dropout": "adapter.dropout", "target_modules": "adapter.targets", "lora_target_modules": "adapter.targets",
	"use_rslora": "adapter.rslora", "lr_scheduler": "schedule", "lr_scheduler_type": "schedule", "warmup_steps": "warmup", "output_dir": "out",
	"base_model": "model", "model_name_or_path": "model", "train_file": "train", "dataset": "train", "validation_file": "valid", "max_seq_length": "max_length",
	"sequence_len": "max_length", "save_steps": "save_every", "eval_steps": "eval_every", "save_total_limit": "keep_checkpoints", "sample_packing": "packing",
	"per_device_train_batch_size": "batch", "layers_to_transform": "adapter.layers", "iters": "max_steps", "dtype": "precision",
}

// suggest finds the key that was meant: another trainer's name, near in full, or of another group.
func (d *decoder) suggest(dotted, last string) string {
	if key := otherNames[last]; key != "" {
		return fmt.Sprintf("did you mean %q?", key)
	}
	var known, names []string
	groups := map[string]bool{}
	for _, s := range d.all {
		known = append(known, s.key)
		if g, _, ok := strings.Cut(s.key, "."); ok && !groups[g] {
			groups[g] = true
			known = append(known, g)
		}
	}
	if near := data.Nearest(dotted, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, k := range known {
		name := k[strings.LastIndexByte(k, '.')+1:]
		if names = append(names, name); name == last {
			return fmt.Sprintf("did you mean %q?", k)
		}
	}
	if near := data.Nearest(last, names); near != "" {
		for i, n := range names {
			if n == near {
				return fmt.Sprintf("did you mean %q?", known[i])
			}
		}
	}
	return "the keys are: " + strings.Join(known, ", ")
}

// jsonNodes reads JSON into the same nodes as YAML, so that one decoder serves both.
type jsonNodes struct {
	name string
	text []byte
	dec  *json.Decoder
}

func (d *jsonNodes) line() int {
	return 1 + bytes.Count(d.text[:min(int(d.dec.InputOffset()), len(d.text))], []byte("\n"))
}

func (d *jsonNodes) fault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the text ends too early")
	}
	return &ConfigError{File: d.name, Line: d.line(), Message: "is not JSON: " + err.Error(), Fix: "write one JSON object"}
}

func (d *jsonNodes) value(depth int) (*yaml.Node, error) {
	const most = 20
	if depth > most {
		return nil, fmt.Errorf("nested deeper than %d levels", most)
	}
	token, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: d.line()}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for d.dec.More() {
			item, err := d.value(depth + 1) // a key of an object is a token of its own
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err := d.dec.Token()
		return n, err
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}
