package weights

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	const q0, q1, up1 = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj"
	list := func(names ...string) AdapterConfig { return AdapterConfig{R: 4, Alpha: 8, TargetModules: names} }
	regex := func(p string) AdapterConfig { return AdapterConfig{R: 4, Alpha: 8, TargetRegex: p} }
	with := func(c AdapterConfig, f func(*AdapterConfig)) AdapterConfig { f(&c); return c }
	for _, test := range []struct {
		name   string
		config AdapterConfig
		module string
		r      int // 0: no match
		alpha  float64
	}{
		{"suffix", list("q_proj"), q0, 4, 8},
		{"exact", list(q0), q0, 4, 8},
		{"other exact", list(q0), q1, 0, 0},
		{"suffix needs its dot", list("proj"), q0, 0, 0},
		{"longer suffix", list("self_attn.q_proj"), q0, 4, 8},
		{"list entries are no patterns", list(".*q_proj"), q0, 0, 0},
		{"regex is whole", regex(`.*q_proj`), q0, 4, 8},
		{"regex does not search", regex(`q_proj`), q0, 0, 0},
		{"regex alternatives", regex(`a|.*\.up_proj|b`), up1, 4, 8},
		{"regex look-ahead", regex(`(?!.*layers\.0).*q_proj`), q1, 4, 8},
		{"regex look-ahead excludes", regex(`(?!.*layers\.0).*q_proj`), q0, 0, 0},
		{"regex back-reference", regex(`model\.layers\.(\d)\.self_attn\.([kq])_proj`), q0, 4, 8},
		{"all-linear", regex("all-linear"), up1, 4, 8},
		{"all-linear in capitals", regex("All-Linear"), up1, 4, 8},
		{"all-linear leaves the head out", regex("all-linear"), "lm_head", 0, 0},
		{"exclude by suffix", with(list("q_proj"), func(c *AdapterConfig) { c.ExcludeModules = []string{"layers.0.self_attn.q_proj"} }), q0, 0, 0},
		{"exclude by pattern", with(list("q_proj"), func(c *AdapterConfig) { c.ExcludeRegex = `.*\.1\..*` }), q1, 0, 0},
		{"exclude others", with(list("q_proj"), func(c *AdapterConfig) { c.ExcludeRegex = `.*\.1\..*` }), q0, 4, 8},
		{"layer in", with(list("q_proj"), func(c *AdapterConfig) { c.LayersToTransform = []int{1} }), q1, 4, 8},
		{"layer out", with(list("q_proj"), func(c *AdapterConfig) { c.LayersToTransform = []int{1} }), q0, 0, 0},
		{"exact names ignore layers", with(list(q0), func(c *AdapterConfig) { c.LayersToTransform = []int{1} }), q0, 4, 8},
		{"no layer in the name", with(list("head"), func(c *AdapterConfig) { c.LayersToTransform = []int{1} }), "model.head", 0, 0},
		{"layers pattern", with(list("q_proj"), func(c *AdapterConfig) { c.LayersToTransform, c.LayersPattern = []int{1}, []string{"layers"} }), q1, 4, 8},
		{"other layers pattern", with(list("q_proj"), func(c *AdapterConfig) { c.LayersToTransform, c.LayersPattern = []int{1}, []string{"h"} }), q1, 0, 0},
		{"rank by suffix", with(list("q_proj"), func(c *AdapterConfig) { c.RankPattern = map[string]int{"q_proj": 2} }), q0, 2, 8},
		{"rank by whole part only", with(list("q_proj"), func(c *AdapterConfig) { c.RankPattern = map[string]int{"_proj": 2} }), q0, 4, 8},
		{"rank by pattern", with(list("q_proj"), func(c *AdapterConfig) { c.RankPattern = map[string]int{`layers\.[1-9].*`: 2} }), q1, 2, 8},
		{"first pattern wins", with(list("q_proj"), func(c *AdapterConfig) { c.RankPattern = map[string]int{"self_attn.q_proj": 3, "q_proj": 2} }), q0, 2, 8},
		{"alternatives stay inside", with(list("q_proj"), func(c *AdapterConfig) { c.RankPattern = map[string]int{"x|q": 2} }), q0, 4, 8},
		{"alpha", with(list("q_proj"), func(c *AdapterConfig) { c.AlphaPattern = map[string]float64{"q_proj": 0.5} }), q0, 4, 0.5},
	} {
		r, alpha, ok := test.config.Match(test.module)
		if r != test.r || alpha != test.alpha || ok != (test.r > 0) {
			t.Errorf("%s: %s gives r %d, alpha %v, %v; want r %d, alpha %v", test.name, test.module, r, alpha, ok, test.r, test.alpha)
		}
	}
}

func TestMatcherRefusesPatterns(t *testing.T) {
	long := make([]byte, maxPattern+1)
	for _, p := range []string{"(", ")", "a)|(b", "*", "[", `(?<=`, string(long), strings.Repeat("a{1000}", 500), "(((a{10}){10}){10}){10}"} {
		if _, err := (AdapterConfig{TargetRegex: p}).Matcher(); err == nil {
			t.Errorf("pattern %.20q is accepted", p)
		}
	}
}

// A pattern that backtracks without end must give an error soon, not hang.
func TestMatcherBoundsBacktracking(t *testing.T) {
	m, err := AdapterConfig{R: 1, Alpha: 1, TargetRegex: `(?!x)(a+)+b`}.Matcher()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := m.Match(strings.Repeat("a", 5000)); ok || err == nil {
		t.Errorf("match %v, error %v; want a time-out", ok, err)
	}
}
