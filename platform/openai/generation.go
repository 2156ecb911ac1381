package openai

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// Bounds of requests. OpenAI's own are the same but for n (128), which here would be 128 texts in memory at once,
// and stop (4).
const (
	MaxChoices    = 16
	MaxStops      = 16
	MaxStopLength = 4096 // bytes of one stop string
	MaxPrompts    = 128
	MaxTools      = 128
)

// Generation is what chat and plain completions have in common.
type Generation struct {
	Model        string
	MaxTokens    int // most tokens of each choice; 0: not given
	N            int // choices, 1 to MaxChoices
	Stop         []string
	IgnoreEOS    bool
	Stream       bool
	IncludeUsage bool // a last chunk with the usage; only with Stream
	Sampling     Sampling
}

// Sampling says how tokens are drawn. Temperature 0 is greedy; TopP is above 0; TopK 0, MinP 0 and
// RepetitionPenalty 1 are off.
type Sampling struct {
	Temperature       float64
	TopP              float64
	TopK              int
	MinP              float64
	RepetitionPenalty float64
	FrequencyPenalty  float64
	PresencePenalty   float64
	LogitBias         map[int32]float64
	Seed              *int64 // nil: not given
}

// smallest temperature and top_p that are not 0 in effect: dividing logits by less would leave float32.
const smallest = 1e-6

// generation reads the common fields.
func (o *object) generation() Generation {
	g := Generation{N: 1}
	var ok bool
	if g.Model, ok = o.text("model"); o.err == nil && (!ok || g.Model == "") {
		o.fail(invalid("model", "missing_required_parameter", "Missing required parameter: 'model'."))
	}
	if n, ok := o.integer("n", 1, MaxChoices); ok {
		g.N = int(n)
	}
	g.Stop = o.stops()
	g.IgnoreEOS = o.boolean("ignore_eos")
	g.Stream = o.boolean("stream")
	g.IncludeUsage = o.streamOptions(g.Stream)
	g.Sampling = o.sampling()
	o.text("user")
	return g
}

func (o *object) sampling() Sampling {
	s := Sampling{
		Temperature:       o.number("temperature", 0, 2, 1),
		TopP:              max(o.number("top_p", 0, 1, 1), smallest),
		MinP:              o.number("min_p", 0, 1, 0),
		RepetitionPenalty: o.number("repetition_penalty", 0.01, 10, 1),
		FrequencyPenalty:  o.number("frequency_penalty", -2, 2, 0),
		PresencePenalty:   o.number("presence_penalty", -2, 2, 0),
		LogitBias:         o.logitBias(),
	}
	if s.Temperature < smallest {
		s.Temperature = 0
	}
	if k, ok := o.integer("top_k", -1, math.MaxInt32); ok {
		s.TopK = max(int(k), 0) // some clients write "off" as -1
	}
	if seed, ok := o.integer("seed", math.MinInt64, math.MaxInt64); ok {
		s.Seed = &seed
	}
	return s
}

// logitBias reads a map from token ids, written as strings, to −100 … 100.
func (o *object) logitBias() map[int32]float64 {
	c := o.child("logit_bias")
	if c == nil {
		return nil
	}
	bias := make(map[int32]float64, len(c.names))
	for _, name := range c.names {
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil || id < 0 || strconv.FormatInt(id, 10) != name {
			o.fail(invalid("logit_bias", "invalid_value", "Invalid key in 'logit_bias': %s is not a token id.", quote(name)))
			return nil
		}
		bias[int32(id)] = c.number(name, -100, 100, 0)
	}
	if c.err != nil {
		o.fail(c.err)
	}
	return bias
}

// stops reads stop: a string or an array of strings.
func (o *object) stops() []string {
	raw, ok := o.take("stop")
	if !ok {
		return nil
	}
	elements := []json.RawMessage{raw}
	switch kind(raw) {
	case "a string":
	case "an array":
		elements = nil
		_ = json.Unmarshal(raw, &elements)
	default:
		o.fail(wrongType("stop", "a string or an array of strings", raw))
		return nil
	}
	if len(elements) > MaxStops {
		o.fail(invalid("stop", "array_above_max_length", "Invalid 'stop': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", MaxStops, len(elements)))
		return nil
	}
	var stops []string
	for i, e := range elements {
		path := "stop"
		if kind(raw) == "an array" {
			path += "[" + strconv.Itoa(i) + "]"
		}
		if kind(e) != "a string" {
			o.fail(wrongType(path, "a string", e))
			return nil
		}
		s := unquote(e)
		if s == "" || len(s) > MaxStopLength {
			o.fail(invalid(path, "invalid_value", "Invalid '%s': a stop string has 1 to %d bytes, this one has %d.", path, MaxStopLength, len(s)))
			return nil
		}
		stops = append(stops, s)
	}
	return stops
}

// streamOptions reads stream_options and returns include_usage.
func (o *object) streamOptions(stream bool) bool {
	c := o.child("stream_options")
	if c == nil {
		return false
	}
	if !stream {
		o.fail(invalid("stream_options", "invalid_value", "The 'stream_options' parameter is only allowed when 'stream' is enabled."))
	}
	usage := c.boolean("include_usage")
	if c.boolean("include_obfuscation") {
		c.fail(invalid(c.at("include_obfuscation"), "unsupported_parameter", "Unsupported parameter: '%s' is not supported by this server. Leave it out.", c.at("include_obfuscation")))
	}
	if err := c.finish(); err != nil {
		o.fail(err)
	}
	return usage
}

// unquotedEmpty says whether raw is an empty string, which some clients send for an absent one.
func unquotedEmpty(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte(`""`)) }
