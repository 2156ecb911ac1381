package engine

import (
	"fmt"
	"strings"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// AutoPrecision as a setting stands for what is fastest here and loses nothing that matters.
const AutoPrecision = "auto"

// precisions are the settings by name. int8 is another name of fixed: integer products of stored 4- and 8-bit weights
// with integer activations.
var precisions = []struct {
	name string
	p    tensor.Precision
}{{"f32", tensor.Single}, {"bf16", tensor.Half}, {"fixed", tensor.Fixed}, {"int8", tensor.Fixed}}

// PrecisionNames lists the settings.
func PrecisionNames() []string {
	names := []string{AutoPrecision}
	for _, x := range precisions {
		names = append(names, x.name)
	}
	return names
}

// ParsePrecision reads a setting: f32, bf16, fixed or its other name int8, or auto, which is the given one.
func ParsePrecision(name string, auto tensor.Precision) (tensor.Precision, error) {
	for _, x := range precisions {
		if x.name == name {
			return x.p, nil
		}
	}
	if name == AutoPrecision {
		return auto, nil
	}
	return 0, fmt.Errorf("precision %q is unknown; there are %s", name, strings.Join(PrecisionNames(), ", "))
}

// SetPrecision reads a setting into o.
func (o *LoadOptions) SetPrecision(name string) (err error) {
	o.Auto = name == AutoPrecision
	o.Precision, err = ParsePrecision(name, tensor.Single)
	return err
}

// TrainingPrecision is what auto means in training: bf16 where the CPU multiplies it, else f32.
func TrainingPrecision() tensor.Precision {
	if multipliesHalf() {
		return tensor.Half
	}
	return tensor.Single
}

// Emulated reports whether products at p run without the instructions that make them fast, as bf16's do below the
// level avx512bf16: the same bits, at a fraction of the speed of f32.
func Emulated(p tensor.Precision) bool { return p == tensor.Half && !multipliesHalf() }

func multipliesHalf() bool { return kernel.Level() == "avx512bf16" }

// DecodingPrecision is what auto means in decoding, for weights of which most are stored as d: fixed point for
// quantised ones where the CPU is at avx512 or above, bf16 for 16-bit ones where it multiplies that, else f32.
func DecodingPrecision(d tensor.DType) tensor.Precision {
	switch {
	case d.Quantised() && (multipliesHalf() || kernel.Level() == "avx512"):
		return tensor.Fixed
	case (d == tensor.BF16 || d == tensor.F16) && multipliesHalf():
		return tensor.Half
	}
	return tensor.Single
}
