package engine

import (
	"fmt"
	"strings"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// AutoPrecision as a setting stands for what is fastest here and loses nothing that matters.
const AutoPrecision = "auto"

// ParsePrecision reads a setting: f32, bf16, fixed, or auto, which is the given one.
func ParsePrecision(name string, auto tensor.Precision) (tensor.Precision, error) {
	all := []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed}
	names := []string{AutoPrecision}
	for _, p := range all {
		if p.String() == name {
			return p, nil
		}
		names = append(names, p.String())
	}
	if name == AutoPrecision {
		return auto, nil
	}
	return 0, fmt.Errorf("precision %q is unknown; there are %s", name, strings.Join(names, ", "))
}

// SetPrecision reads a setting into o.
func (o *LoadOptions) SetPrecision(name string) (err error) {
	o.Auto = name == AutoPrecision
	o.Precision, err = ParsePrecision(name, tensor.Single)
	return err
}

// TrainingPrecision is what auto means in training: bf16 where the CPU multiplies it, else f32.
func TrainingPrecision() tensor.Precision {
	if kernel.Level() == "avx512bf16" {
		return tensor.Half
	}
	return tensor.Single
}

// DecodingPrecision is what auto means in decoding, for weights of which most are stored as d: fixed point for
// quantised ones where the CPU is at avx512 or above, bf16 for 16-bit ones where it multiplies that, else f32.
func DecodingPrecision(d tensor.DType) tensor.Precision {
	level := kernel.Level()
	bf16 := level == "avx512bf16"
	switch {
	case d.Quantised() && (bf16 || level == "avx512"):
		return tensor.Fixed
	case (d == tensor.BF16 || d == tensor.F16) && bf16:
		return tensor.Half
	}
	return tensor.Single
}
