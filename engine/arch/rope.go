package arch

import (
	"encoding/json"
	"fmt"
	"math"
)

// ropeSpec is one entry of rope_parameters, or the older rope_theta with rope_scaling.
type ropeSpec struct {
	Type     string   `json:"rope_type"`
	OldType  string   `json:"type"`
	Theta    *float64 `json:"rope_theta"`
	Factor   float64  `json:"factor"`
	Low      float64  `json:"low_freq_factor"`
	High     float64  `json:"high_freq_factor"`
	Original *float64 `json:"original_max_position_embeddings"`
	Partial  *float64 `json:"partial_rotary_factor"`
}

// rope resolves the rotary settings of a layer kind ("full_attention" or "sliding_attention") and returns the
// inverse frequencies, half as many as rotated elements. Kinds of scaling we do not know are refused by name.
func (c *Config) rope(kind string) ([]float32, error) {
	spec, err := c.ropeSpec(kind)
	if err != nil {
		return nil, err
	}
	theta := *spec.Theta
	if !(theta > 0) || math.IsInf(theta, 0) {
		return nil, fmt.Errorf("config: rope_theta is %v", theta)
	}
	rotated := c.HeadDim
	if spec.Partial != nil {
		if !(*spec.Partial > 0) || *spec.Partial > 1 {
			return nil, fmt.Errorf("config: partial_rotary_factor is %v, want more than 0, at most 1", *spec.Partial)
		}
		rotated = int(float64(c.HeadDim) * *spec.Partial)
	}
	if rotated%2 != 0 || rotated == 0 {
		return nil, fmt.Errorf("config: %d rotated elements of a head is not a positive even number", rotated)
	}
	inv := make([]float32, rotated/2)
	for i := range inv {
		inv[i] = float32(1 / math.Pow(theta, float64(2*i)/float64(rotated)))
	}
	return inv, spec.scale(inv)
}

// ropeSpec finds the settings of a layer kind in whichever form the config has.
func (c *Config) ropeSpec(kind string) (ropeSpec, error) {
	spec := ropeSpec{}
	raw, key := c.RopeParameters, "rope_parameters"
	if isNull(raw) {
		raw, key = c.RopeScaling, "rope_scaling"
	}
	if !isNull(raw) {
		var perKind map[string]json.RawMessage
		if json.Unmarshal(raw, &perKind) == nil && perKind[kind] != nil {
			raw = perKind[kind]
		}
		if err := json.Unmarshal(raw, &spec); err != nil {
			return spec, fmt.Errorf("config: %s: %w", key, err)
		}
	}
	if spec.Type == "" {
		spec.Type = spec.OldType
	}
	if spec.Theta == nil {
		spec.Theta = c.RopeTheta
	}
	if spec.Theta == nil {
		theta := 10000.0
		spec.Theta = &theta
	}
	if spec.Partial == nil {
		spec.Partial = c.PartialRotary
	}
	if spec.Original == nil {
		original := float64(c.MaxPositions)
		spec.Original = &original
	}
	return spec, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// scale applies the spec's kind of scaling to the inverse frequencies.
func (s ropeSpec) scale(inv []float32) error {
	switch s.Type {
	case "", "default":
		return nil
	case "linear": // positions are divided by the factor (Chen et al. 2023, arXiv 2306.15595)
		if err := positive("factor", s.Factor); err != nil {
			return err
		}
		for i := range inv {
			inv[i] /= float32(s.Factor)
		}
		return nil
	case "llama3":
		return s.scaleLlama3(inv)
	}
	return fmt.Errorf("config: rope_type %q is not supported; supported are default, linear and llama3", s.Type)
}

// scaleLlama3 keeps high frequencies, divides low ones by the factor, and blends between (Llama 3.1's model card;
// the formula as transformers has it).
func (s ropeSpec) scaleLlama3(inv []float32) error {
	for _, f := range []struct {
		key string
		v   float64
	}{{"factor", s.Factor}, {"low_freq_factor", s.Low}, {"high_freq_factor", s.High}, {"original_max_position_embeddings", *s.Original}} {
		if err := positive(f.key, f.v); err != nil {
			return err
		}
	}
	if s.High == s.Low {
		return fmt.Errorf("config: rope low_freq_factor equals high_freq_factor")
	}
	for i, f := range inv {
		wavelength := 2 * math.Pi / float64(f)
		switch {
		case wavelength < *s.Original/s.High:
		case wavelength > *s.Original/s.Low:
			inv[i] = float32(float64(f) / s.Factor)
		default:
			smooth := (*s.Original/wavelength - s.Low) / (s.High - s.Low)
			inv[i] = float32((1-smooth)*float64(f)/s.Factor + smooth*float64(f))
		}
	}
	return nil
}

func positive(key string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("config: rope %s is %v, want a positive number", key, v)
	}
	return nil
}
