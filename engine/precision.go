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

// DecodingPrecision is what auto means in decoding: fixed point where the CPU is at avx512 or above, which for
// weights that are not quantised is bf16 and wants a CPU that multiplies it; else f32.
func DecodingPrecision(quantised bool) tensor.Precision {
	level := kernel.Level()
	if level == "avx512bf16" || (level == "avx512" && quantised) {
		return tensor.Fixed
	}
	return tensor.Single
}
