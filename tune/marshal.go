package tune

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Marshal writes all settings as a training file that loads back to the same run.
func (c SFT) Marshal() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	groups := map[string]*yaml.Node{"": root}
	for _, s := range settings(&c) {
		group, name, ok := strings.Cut(s.key, ".")
		if !ok {
			group, name = "", s.key
		}
		into := groups[group]
		if into == nil {
			into = &yaml.Node{Kind: yaml.MappingNode}
			groups[group] = into
			root.Content = append(root.Content, scalar(group), into)
		}
		into.Content = append(into.Content, scalar(name), s.node())
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// Key is one line of the reference of the training file.
type Key struct {
	Key     string `json:"key"`     // dotted
	Type    string `json:"type"`    // in words
	Default string `json:"default"` // as a training file writes it
	Doc     string `json:"doc"`
}

// Reference lists every key of the training file with its default and meaning, in the order of SFT.
func Reference() []Key {
	c := DefaultSFT()
	var out []Key
	for _, s := range settings(&c) {
		out = append(out, Key{s.key, s.kind(), s.String(), s.doc})
	}
	return out
}

// ReferenceMarkdown is Reference as a Markdown table.
func ReferenceMarkdown() string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	escape := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, k := range Reference() {
		value := "–"
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Key, escape.Replace(k.Type), value, escape.Replace(k.Doc))
	}
	return b.String()
}

// Difference is a key in which two settings differ.
type Difference struct{ Key, Was, Is string }

// Diff lists the keys in which is differs from was.
func Diff(was, is SFT) []Difference {
	var out []Difference
	old := settings(&was)
	for i, s := range settings(&is) {
		if a, b := old[i].String(), s.String(); a != b {
			out = append(out, Difference{s.key, a, b})
		}
	}
	return out
}
