package weights

import (
	"encoding/json"
	"math"
	"slices"
)

// The constants of Llama 3's rotation that every published model shares.
const (
	llama3Low  = 1.0
	llama3High = 4.0
)

// Portable returns the configuration for trained weights as other programs read it too, and the tensors beside the
// trained ones that it points to. The two differ from Config and nothing for a GGUF that divides its rotation's
// frequencies by the tensor rope_freqs.weight, which Hugging Face's config.json has no word for: where the divisors
// are those of Llama 3's rule it becomes that rule's rope_scaling, which gives the frequencies to within rounding;
// any other divisors stay a tensor, which hone alone reads.
func (m *Model) Portable() (config json.RawMessage, tensors []Tensor) {
	var c map[string]json.RawMessage
	divisors, ok := m.Tensors["rope_freqs.weight"]
	if !ok || json.Unmarshal(m.Config, &c) != nil || string(c["rope_freqs"]) != "true" {
		return m.Config, nil
	}
	var theta float64
	_, scaled := c["rope_scaling"]
	if scaled || json.Unmarshal(c["rope_theta"], &theta) != nil {
		return m.Config, []Tensor{divisors}
	}
	factor, original, ok := llama3Rule(AsF32(divisors), theta)
	if !ok {
		return m.Config, []Tensor{divisors}
	}
	delete(c, "rope_freqs")
	c["rope_scaling"] = plainJSON(map[string]any{"rope_type": "llama3", "factor": json.Number(pythonFloat(factor, 64)),
		"low_freq_factor": json.Number(pythonFloat(llama3Low, 64)), "high_freq_factor": json.Number(pythonFloat(llama3High, 64)),
		"original_max_position_embeddings": original})
	return plainJSON(c), nil
}

// llama3Rule finds the factor and the original length of Llama 3's rule from its divisors: waves longer than the
// original length are divided by the factor, those shorter than a quarter of it by 1, and between the divisor's
// inverse is blended by s = (length/wave - low)/(high - low). ok is false where the divisors are not the rule's.
func llama3Rule(divisors []float32, theta float64) (factor float64, original int, ok bool) {
	if len(divisors) == 0 {
		return 0, 0, false
	}
	wave := func(i int) float64 { return 2 * math.Pi * math.Pow(theta, float64(i)/float64(len(divisors))) }
	factor = float64(slices.Max(divisors))
	blended := slices.IndexFunc(divisors, func(d float32) bool { return d > 1 && float64(d) < factor })
	if blended < 0 {
		return 0, 0, false
	}
	share := (1/float64(divisors[blended]) - 1/factor) / (1 - 1/factor)
	length := math.Round(wave(blended) * (llama3Low + share*(llama3High-llama3Low)))
	if !(length >= 1 && length <= math.MaxInt32) {
		return 0, 0, false
	}
	for i, d := range divisors {
		s := min(1, max(0, (length/wave(i)-llama3Low)/(llama3High-llama3Low)))
		if want := 1 / ((1-s)/factor + s); math.Abs(float64(d)-want) > 1e-5*want {
			return 0, 0, false
		}
	}
	return factor, int(length), true
}
