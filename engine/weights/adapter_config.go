package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxRank is the largest LoRA rank accepted; beyond it an adapter has no advantage over the full matrix of any
// model this engine is for.
const maxRank = 2048

// peftVersion is the version of PEFT whose adapter_config.json WriteAdapter writes.
const peftVersion = "0.21.2"

// AdapterConfig is PEFT's adapter_config.json of a LoRA adapter.
type AdapterConfig struct {
	PeftType string // "LORA"
	R        int
	Alpha    float64
	Dropout  float64

	TargetModules  []string // names or endings of names
	TargetRegex    string   // instead of the list: a pattern for whole names, or AllLinear
	ExcludeModules []string
	ExcludeRegex   string

	RankPattern       map[string]int     // pattern for the end of a name -> rank
	AlphaPattern      map[string]float64 // likewise -> alpha
	LayersToTransform []int              // empty: all
	LayersPattern     []string           // names of the list of layers; empty: any

	UseRSLora     bool // scale by alpha/√r instead of alpha/r
	UseDora       bool
	LoraBias      bool
	FanInFanOut   bool
	Bias          string // "none"
	ModulesToSave []string

	BaseModel string // base_model_name_or_path; kept, never compared
	TaskType  string

	// Extra holds every other field as it was read, so that writing gives it back.
	Extra map[string]json.RawMessage
}

// Scale is the factor of B·A for a module of rank r and the given alpha.
func (c AdapterConfig) Scale(r int, alpha float64) float64 {
	if c.UseRSLora {
		return alpha / math.Sqrt(float64(r))
	}
	return alpha / float64(r)
}

// FieldError says which field of an adapter configuration is wrong.
type FieldError struct {
	Field, Problem string
	Unsupported    bool // a feature that hone lacks, as opposed to a mistake
}

func (e *FieldError) Error() string { return "field " + e.Field + ": " + e.Problem }

// Validate reports the first field that makes no sense or asks for what hone does not do, as *FieldError.
func (c AdapterConfig) Validate() error {
	if err := c.checkSupported(); err != nil {
		return err
	}
	wrong := func(field, format string, args ...any) error {
		return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	if c.R < 1 || c.R > maxRank {
		return wrong("r", "rank %d is not between 1 and %d", c.R, maxRank)
	}
	for _, key := range slices.Sorted(maps.Keys(c.RankPattern)) {
		if r := c.RankPattern[key]; r < 1 || r > maxRank {
			return wrong("rank_pattern", "rank %d for %s is not between 1 and %d", r, quote(key), maxRank)
		}
	}
	if !finite(c.Alpha) || c.Alpha == 0 {
		return wrong("lora_alpha", "%v is not a finite number other than 0 (with 0 the adapter does nothing)", c.Alpha)
	}
	for _, key := range slices.Sorted(maps.Keys(c.AlphaPattern)) {
		if a := c.AlphaPattern[key]; !finite(a) || a == 0 {
			return wrong("alpha_pattern", "%v for %s is not a finite number other than 0", a, quote(key))
		}
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		return wrong("lora_dropout", "%v is not in [0, 1)", c.Dropout)
	}
	switch {
	case len(c.TargetModules) == 0 && c.TargetRegex == "":
		return wrong("target_modules", "names no module")
	case c.TargetRegex != "" && len(c.TargetModules) > 0:
		return wrong("target_modules", "is both a list and a pattern")
	case c.TargetRegex != "" && len(c.LayersToTransform) > 0:
		return wrong("layers_to_transform", "only goes with a list of target_modules, not with a pattern")
	case len(c.LayersPattern) > 0 && len(c.LayersToTransform) == 0:
		return wrong("layers_pattern", "needs layers_to_transform")
	}
	for _, l := range c.LayersToTransform {
		if l < 0 {
			return wrong("layers_to_transform", "layer %d is negative", l)
		}
	}
	if _, err := c.Matcher(); err != nil {
		field, problem, _ := strings.Cut(err.Error(), ": ")
		return wrong(field, "%s", problem)
	}
	return nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// checkSupported refuses what would change the adapter's meaning if it were ignored.
func (c AdapterConfig) checkSupported() error {
	lacks := func(field, what string) error {
		return &FieldError{Field: field, Problem: what + " is not supported", Unsupported: true}
	}
	switch {
	case c.PeftType != "LORA":
		return lacks("peft_type", "adapter type "+quote(c.PeftType))
	case c.UseDora:
		return lacks("use_dora", "DoRA")
	case c.LoraBias:
		return lacks("lora_bias", "a trained bias on B")
	case c.Bias != "none":
		return lacks("bias", "training of biases ("+quote(c.Bias)+")")
	case len(c.ModulesToSave) > 0:
		return lacks("modules_to_save", "a full copy of the modules "+quote(strings.Join(c.ModulesToSave, ", ")))
	}
	for _, field := range []string{"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config",
		"monteclora_config", "target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora", "velora_config"} {
		switch raw := string(bytes.TrimSpace(c.Extra[field])); raw {
		case "", "null", "false", "{}", "[]":
		default:
			return lacks(field, "this PEFT feature")
		}
	}
	// These start from a base whose weights the initialisation has changed, so A and B alone are not the adapter.
	var init string
	if json.Unmarshal(c.Extra["init_lora_weights"], &init) == nil {
		for _, kind := range []string{"pissa", "olora", "corda", "loftq", "lora_ga"} {
			if strings.HasPrefix(strings.ToLower(init), kind) {
				return lacks("init_lora_weights", "initialisation "+quote(init)+", which changes the base weights,")
			}
		}
	}
	return nil
}

// parseAdapterConfig reads adapter_config.json and validates it.
func parseAdapterConfig(path string, data []byte) (AdapterConfig, error) {
	var fields map[string]json.RawMessage
	c := AdapterConfig{Bias: "none"}
	if err := decodeJSON(path, data, &fields); err != nil {
		return c, err
	}
	if fields == nil {
		return c, malformed(path, "", "not a JSON object")
	}
	for _, f := range c.fields() {
		raw, ok := fields[f.name]
		delete(fields, f.name)
		if !ok || string(bytes.TrimSpace(raw)) == "null" {
			continue
		}
		if err := f.read(raw); err != nil {
			return c, malformed(path, "field "+f.name, "%v", err)
		}
	}
	c.Extra = fields
	if err := c.Validate(); err != nil {
		return c, placed(path, err)
	}
	return c, nil
}

// placed turns a FieldError into the error of a file.
func placed(path string, err error) error {
	var f *FieldError
	switch {
	case !errors.As(err, &f):
		return fmt.Errorf("%s: %w", path, err)
	case f.Unsupported:
		return &UnsupportedError{Path: path, Place: "field " + f.Field, Feature: strings.TrimSuffix(f.Problem, " is not supported")}
	}
	return malformed(path, "field "+f.Field, "%s", f.Problem)
}

// adapterField is one field of the file: how to read its value and what to write.
type adapterField struct {
	name  string
	read  func(json.RawMessage) error
	write func() any
}

// fields lists the fields that AdapterConfig types, bound to c.
func (c *AdapterConfig) fields() []adapterField {
	return []adapterField{
		plain("peft_type", &c.PeftType), plain("r", &c.R), number("lora_alpha", &c.Alpha, false), number("lora_dropout", &c.Dropout, true),
		namesOrPattern("target_modules", &c.TargetModules, &c.TargetRegex), namesOrPattern("exclude_modules", &c.ExcludeModules, &c.ExcludeRegex),
		{"rank_pattern", into(&c.RankPattern), func() any { return orEmpty(c.RankPattern) }},
		{"alpha_pattern", into(&c.AlphaPattern), func() any {
			out := map[string]json.Number{}
			for k, v := range c.AlphaPattern {
				out[k] = pythonNumber(v, false)
			}
			return out
		}},
		oneOrMany("layers_to_transform", &c.LayersToTransform), oneOrMany("layers_pattern", &c.LayersPattern),
		plain("use_rslora", &c.UseRSLora), plain("use_dora", &c.UseDora), plain("lora_bias", &c.LoraBias), plain("fan_in_fan_out", &c.FanInFanOut),
		plain("bias", &c.Bias),
		{"modules_to_save", into(&c.ModulesToSave), func() any { return orNull(c.ModulesToSave) }},
		{"base_model_name_or_path", into(&c.BaseModel), func() any { return stringOrNull(c.BaseModel) }},
		{"task_type", into(&c.TaskType), func() any { return stringOrNull(c.TaskType) }},
	}
}

func into(to any) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		err := json.Unmarshal(raw, to)
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return fmt.Errorf("holds a %s, want %s", typ.Value, typ.Type)
		}
		return err
	}
}

func plain[V any](name string, to *V) adapterField {
	return adapterField{name, into(to), func() any { return *to }}
}

func number(name string, to *float64, point bool) adapterField {
	return adapterField{name, into(to), func() any { return pythonNumber(*to, point) }}
}

// pythonNumber writes whole numbers without a point unless point asks for it.
func pythonNumber(f float64, point bool) json.Number {
	s := pythonFloat(f, 64)
	if !point {
		s = strings.TrimSuffix(s, ".0")
	}
	return json.Number(s)
}

func namesOrPattern(name string, list *[]string, pattern *string) adapterField {
	return adapterField{name,
		func(raw json.RawMessage) error {
			if json.Unmarshal(raw, pattern) == nil || json.Unmarshal(raw, list) == nil {
				return nil
			}
			return errors.New("want a list of names or one pattern")
		},
		func() any {
			if *pattern != "" {
				return *pattern
			}
			return orNull(*list)
		}}
}

func oneOrMany[V any](name string, list *[]V) adapterField {
	return adapterField{name,
		func(raw json.RawMessage) error {
			var one V
			if json.Unmarshal(raw, &one) == nil {
				*list = []V{one}
				return nil
			}
			return into(list)(raw)
		},
		func() any { return orNull(*list) }}
}

func orNull[V any](list []V) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func stringOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// adapterDefaults are the remaining fields as PEFT writes them for a plain LoRA adapter.
var adapterDefaults = map[string]string{
	"alora_invocation_tokens": "null", "arrow_config": "null", "auto_mapping": "null", "corda_config": "null", "ensure_weight_tying": "false",
	"eva_config": "null", "inference_mode": "true", "init_lora_weights": "true", "kasa_config": "null", "layer_replication": "null",
	"loftq_config": "{}", "lora_ga_config": "null", "megatron_config": "null", "megatron_core": `"megatron.core"`, "monteclora_config": "null",
	"peft_version": `"` + peftVersion + `"`, "qalora_group_size": "16", "revision": "null", "target_parameters": "null",
	"trainable_token_indices": "null", "use_bdlora": "null", "use_qalora": "false", "velora_config": "null",
}

// encode writes adapter_config.json in PEFT's own form: keys sorted, two spaces, no newline at the end.
func (c AdapterConfig) encode() ([]byte, error) {
	out := map[string]any{}
	for name, v := range adapterDefaults {
		out[name] = json.RawMessage(v)
	}
	for name, v := range c.Extra {
		out[name] = v
	}
	for _, f := range c.fields() {
		out[f.name] = f.write()
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
