package weights

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// AllLinear as TargetRegex stands for every linear layer but the output head.
const AllLinear = "all-linear"

// matchTimeout bounds one match of a pattern that needs backtracking; patterns without look-around or
// back-references run in linear time and need no bound.
const matchTimeout = 50 * time.Millisecond

// Bounds on patterns: bytes of one, states one compiles to once its counted repetitions are written out, and how
// many there may be.
const (
	maxPattern       = 4096
	maxPatternStates = 50_000
	maxPatterns      = 4096
)

// Match reports whether the configuration gives the module called module (without the "base_model.model."
// prefix) an adapter, and of which rank and alpha. Invalid patterns match nothing; Validate names them. To match
// many modules, compile once with Matcher.
func (c AdapterConfig) Match(module string) (r int, alpha float64, ok bool) {
	m, err := c.Matcher()
	if err != nil {
		return 0, 0, false
	}
	r, alpha, ok, err = m.Match(module)
	return r, alpha, ok && err == nil
}

// Matcher is the compiled form of a configuration's module selection.
type Matcher struct {
	config         AdapterConfig
	target, except pattern // nil where lists are used
	layers         []pattern
	ranks          []override[int]
	alphas         []override[float64]
}

type override[V any] struct {
	pattern pattern
	value   V
}

// Matcher compiles the configuration's patterns, of which each error names its field.
//
// The rules are PEFT's: a target string must match the whole module name; a list entry matches a module of that
// name or one that ends in it after a dot; layers_to_transform narrows only matches by ending; keys of
// rank_pattern and alpha_pattern are patterns for the end of the name after a dot, tried in the order in which
// PEFT saves them (sorted), and the first match counts.
func (c AdapterConfig) Matcher() (*Matcher, error) {
	m := &Matcher{config: c}
	var err error
	if c.TargetRegex != "" && !isAllLinear(c.TargetRegex) {
		if m.target, err = compilePattern("", c.TargetRegex, ""); err != nil {
			return nil, fmt.Errorf("target_modules: %w", err)
		}
	}
	if c.ExcludeRegex != "" {
		if m.except, err = compilePattern("", c.ExcludeRegex, ""); err != nil {
			return nil, fmt.Errorf("exclude_modules: %w", err)
		}
	}
	if len(c.LayersToTransform) > 0 {
		kinds := c.LayersPattern
		if len(kinds) == 0 {
			kinds = []string{`[^.]*`}
		}
		for _, p := range kinds {
			compiled, err := compilePattern(`.*\.(?:`, p, `)\.(\d+)\..*`)
			if err != nil {
				return nil, fmt.Errorf("layers_pattern: %w", err)
			}
			m.layers = append(m.layers, compiled)
		}
	}
	if m.ranks, err = compileOverrides(c.RankPattern); err != nil {
		return nil, fmt.Errorf("rank_pattern: %w", err)
	}
	if m.alphas, err = compileOverrides(c.AlphaPattern); err != nil {
		return nil, fmt.Errorf("alpha_pattern: %w", err)
	}
	return m, nil
}

func isAllLinear(s string) bool { return strings.EqualFold(s, AllLinear) }

func compileOverrides[V any](values map[string]V) ([]override[V], error) {
	if len(values) > maxPatterns {
		return nil, fmt.Errorf("%d patterns exceed the limit of %d", len(values), maxPatterns)
	}
	var out []override[V]
	for _, key := range slices.Sorted(maps.Keys(values)) {
		p, err := compilePattern(`(?:.*\.)?(?:`, key, `)`)
		if err != nil {
			return nil, err
		}
		out = append(out, override[V]{p, values[key]})
	}
	return out, nil
}

// Match is as AdapterConfig.Match; the error says that a pattern took too long.
func (m *Matcher) Match(module string) (r int, alpha float64, ok bool, err error) {
	if ok, err = m.selects(module); !ok || err != nil {
		return 0, 0, false, err
	}
	if r, err = firstMatch(m.ranks, module, m.config.R); err != nil {
		return 0, 0, false, fmt.Errorf("rank_pattern: %w", err)
	}
	if alpha, err = firstMatch(m.alphas, module, m.config.Alpha); err != nil {
		return 0, 0, false, fmt.Errorf("alpha_pattern: %w", err)
	}
	return r, alpha, true, nil
}

func firstMatch[V any](list []override[V], module string, fallback V) (V, error) {
	for _, o := range list {
		if groups, err := o.pattern.match(module); err != nil || groups != nil {
			return o.value, err
		}
	}
	return fallback, nil
}

// selects decides between targets and exclusions.
func (m *Matcher) selects(module string) (bool, error) {
	c := m.config
	if m.except != nil {
		if groups, err := m.except.match(module); err != nil || groups != nil {
			return false, err
		}
	}
	if slices.ContainsFunc(c.ExcludeModules, func(e string) bool { return endsWith(module, e) }) {
		return false, nil
	}
	switch {
	case isAllLinear(c.TargetRegex):
		return !endsWith(module, "lm_head"), nil
	case m.target != nil:
		groups, err := m.target.match(module)
		return groups != nil, err
	case slices.Contains(c.TargetModules, module):
		return true, nil
	case !slices.ContainsFunc(c.TargetModules, func(t string) bool { return endsWith(module, t) }):
		return false, nil
	case len(c.LayersToTransform) == 0:
		return true, nil
	}
	for _, p := range m.layers {
		groups, err := p.match(module)
		if err != nil {
			return false, fmt.Errorf("layers_pattern: %w", err)
		}
		if groups == nil {
			continue
		}
		n, err := strconv.Atoi(groups[len(groups)-1])
		return err == nil && slices.Contains(c.LayersToTransform, n), nil
	}
	return false, nil
}

func endsWith(module, name string) bool {
	return module == name || strings.HasSuffix(module, "."+name)
}

// pattern matches a whole string and returns its groups, nil for no match.
type pattern interface {
	match(s string) ([]string, error)
}

// compilePattern compiles before+text+after for matching whole strings. Python's look-around and
// back-references, which Go's own engine lacks, go to a backtracking one with a time limit.
func compilePattern(before, text, after string) (pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes exceeds the limit of %d", len(text), maxPattern)
	}
	if !validAlone(text) {
		return nil, fmt.Errorf("pattern %s: unbalanced parentheses", quote(text))
	}
	whole := `\A(?:` + before + text + after + `)\z`
	tree, err := syntax.Parse(whole, syntax.Perl)
	if err == nil {
		if states(tree) > maxPatternStates {
			return nil, fmt.Errorf("pattern %s: its repetitions are too large", quote(text))
		}
		re, err := regexp.Compile(whole)
		return linear{re}, err
	}
	var bad *syntax.Error
	if errors.As(err, &bad) && (bad.Code == syntax.ErrInvalidPerlOp || bad.Code == syntax.ErrInvalidEscape) {
		slow, err := regexp2.Compile(whole, regexp2.OptionMaxBacktrackingStackSize(1<<20))
		if err == nil {
			slow.MatchTimeout = matchTimeout
			return backtracking{slow}, nil
		}
	}
	return nil, fmt.Errorf("pattern %s: %w", quote(text), err)
}

// states is about how many states a pattern compiles to.
func states(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += states(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

// validAlone reports whether text closes no group that it did not open, which would let it break out of the
// parentheses it is put into.
func validAlone(text string) bool {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if i+1 < len(text) && text[i+1] == '^' {
				i++
			}
			if i+1 < len(text) && text[i+1] == ']' {
				i++
			}
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return false
			}
		}
	}
	return depth == 0
}

type linear struct{ re *regexp.Regexp }

func (p linear) match(s string) ([]string, error) { return p.re.FindStringSubmatch(s), nil }

type backtracking struct{ re *regexp2.Regexp }

func (p backtracking) match(s string) ([]string, error) {
	m, err := p.re.FindStringMatch(s)
	if err != nil {
		return nil, fmt.Errorf("pattern %s on module %s: %w", quote(p.re.String()), quote(s), err)
	}
	if m == nil {
		return nil, nil
	}
	var out []string
	for _, g := range m.Groups() {
		out = append(out, g.String())
	}
	return out, nil
}
