package tune

import (
	"flag"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Flags adds a flag for every key to fs, named as the key is (adapter.r) and setting c. The values that c holds
// are the defaults that help shows: to let flags win over a file, load the file into c, then parse.
func (c *SFT) Flags(fs *flag.FlagSet) {
	for _, s := range settings(c) {
		fs.Var(&flagValue{s: s}, s.key, s.doc)
	}
}

// flagValue is a setting as a flag.
type flagValue struct{ s setting }

// String returns the present value; the flag package also calls it on a zero flagValue.
func (f *flagValue) String() string {
	if f == nil || !f.s.v.IsValid() {
		return ""
	}
	return f.s.String()
}

// IsBoolFlag lets --shuffle stand for --shuffle=true.
func (f *flagValue) IsBoolFlag() bool {
	_, ok := f.s.v.Interface().(bool)
	return ok
}

var nameList = regexp.MustCompile(`^[\w.\-]+(,[\w.\-]+)+$`)

// Set reads text as a training file would; a list may also be written a,b.
func (f *flagValue) Set(text string) error {
	if _, ok := f.s.v.Interface().(string); ok {
		return f.s.read(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text})
	}
	if _, ok := f.s.v.Interface().(Targets); ok && !strings.HasPrefix(text, "[") && !nameList.MatchString(text) {
		return f.s.read(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text})
	}
	if f.isList() && !strings.HasPrefix(text, "[") && text != AllLinear {
		text = "[" + text + "]"
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 || text == "" {
		return fmt.Errorf("must be %s, not %s", f.s.kind(), clip(text))
	}
	return f.s.read(doc.Content[0])
}

func (f *flagValue) isList() bool {
	switch f.s.v.Interface().(type) {
	case Targets, Betas, []int:
		return true
	}
	return false
}
