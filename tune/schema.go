package tune

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is one key of a settings struct, found by reflection; files, flags and the reference are made of these.
type setting struct {
	key string // dotted: adapter.r
	doc string
	v   reflect.Value // addressable
}

// settings lists the keys of the struct that c points to, in the order of its fields.
func settings(c any) []setting {
	var out []setting
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			s := setting{key: prefix + f.Tag.Get("json"), doc: f.Tag.Get("doc"), v: v.Field(i)}
			if group(s.v) {
				walk(s.v, s.key+".")
				continue
			}
			out = append(out, s)
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return out
}

// group says whether v holds keys of its own.
func group(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(union); ok {
		return false
	}
	return v.Kind() == reflect.Struct
}

// read sets the value from the file's. The error completes "KEY …".
func (s setting) read(n *yaml.Node) error {
	if u, ok := s.v.Addr().Interface().(union); ok {
		return u.read(n)
	}
	switch p := s.v.Addr().Interface().(type) {
	case *string:
		if n.Kind != yaml.ScalarNode {
			return fmt.Errorf("must be text, not %s", describe(n))
		}
		if *p = n.Value; n.Tag == "!!null" {
			*p = ""
		}
	case *bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			return fmt.Errorf("must be true or false, not %s", describe(n))
		}
		*p = n.Value == "true"
	case *int:
		v, err := wholeNumber(n)
		if err != nil {
			return err
		}
		*p = v
	case *float64:
		v, err := number(n)
		if err != nil {
			return err
		}
		*p = v
	case *[]int:
		return readList(p, n)
	case *map[string]int:
		return readMap(p, n, wholeNumber)
	case *map[string]float64:
		return readMap(p, n, number)
	default:
		panic("tune: no reader for settings of type " + s.v.Type().String())
	}
	return nil
}

func readList(p *[]int, n *yaml.Node) error {
	if n.Tag == "!!null" {
		*p = nil
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("must be a list of whole numbers, as [0, 1], not %s", describe(n))
	}
	var out []int
	for _, item := range n.Content {
		v, err := wholeNumber(item)
		if err != nil {
			return fmt.Errorf("must be a list of whole numbers, and holds %s", describe(item))
		}
		out = append(out, v)
	}
	*p = out
	return nil
}

func readMap[T int | float64](p *map[string]T, n *yaml.Node, read func(*yaml.Node) (T, error)) error {
	if n.Tag == "!!null" {
		*p = nil
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("must be a group of names and numbers, as {q_proj: 8}, not %s", describe(n))
	}
	out := map[string]T{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if _, twice := out[key]; twice {
			return fmt.Errorf("has the name %s twice", clip(key))
		}
		v, err := read(n.Content[i+1])
		if err != nil {
			return fmt.Errorf("has for %s a value that %w", clip(key), err)
		}
		out[key] = v
	}
	if *p = out; len(out) == 0 {
		*p = nil
	}
	return nil
}

// node is the file's form of the value.
func (s setting) node() *yaml.Node {
	if u, ok := s.v.Addr().Interface().(union); ok {
		return u.node()
	}
	switch v := s.v.Interface().(type) {
	case string:
		return text(v)
	case bool:
		return scalar(strconv.FormatBool(v))
	case int:
		return scalar(strconv.Itoa(v))
	case float64:
		return scalar(float(v))
	case []int:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, i := range v {
			n.Content = append(n.Content, scalar(strconv.Itoa(i)))
		}
		return n
	case map[string]int:
		return mapNode(v, strconv.Itoa)
	case map[string]float64:
		return mapNode(v, float)
	}
	panic("tune: no writer for settings of type " + s.v.Type().String())
}

func mapNode[T int | float64](m map[string]T, write func(T) string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		n.Content = append(n.Content, text(key), scalar(write(m[key])))
	}
	return n
}

// String is the value as a flag or a message writes it.
func (s setting) String() string {
	n := s.node()
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	b, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Sprint(s.v.Interface())
	}
	return strings.TrimSpace(string(b))
}

// kind names the type for the reference.
func (s setting) kind() string {
	if u, ok := s.v.Addr().Interface().(union); ok {
		return u.kind()
	}
	switch s.v.Interface().(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	case int:
		return "whole number"
	case float64:
		return "number"
	case []int:
		return "list of whole numbers"
	case map[string]int:
		return "names and whole numbers"
	}
	return "names and numbers"
}
