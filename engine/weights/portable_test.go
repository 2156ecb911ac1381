package weights

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"hone/engine/tensor"
)

// divided is a model whose configuration divides frequencies by divisors.
func divided(config string, divisors []float32) *Model {
	data := make([]byte, 0, 4*len(divisors))
	for _, d := range divisors {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(d))
	}
	t := Tensor{Name: "rope_freqs.weight", DType: tensor.F32, Shape: []int{len(divisors)}, Data: data}
	return &Model{Config: json.RawMessage(config), Tensors: map[string]Tensor{t.Name: t}}
}

// llama32 are the divisors of Llama 3.2 1B (head size 64, theta 500000, factor 32, length 8192), worked out as the
// converter of GGUF files does, by wavelengths.
func llama32() []float32 {
	out := make([]float32, 32)
	for i := range out {
		wave := 2 * math.Pi * math.Pow(500000, float64(2*i)/64)
		switch {
		case wave < 8192/4.0:
			out[i] = 1
		case wave > 8192/1.0:
			out[i] = 32
		default:
			smooth := (8192/wave - 1) / (4 - 1)
			out[i] = float32(1 / ((1-smooth)/32 + smooth))
		}
	}
	return out
}

func TestPortable(t *testing.T) {
	const config = `{"model_type":"llama","rope_freqs":true,"rope_theta":500000.0,"rms_norm_eps":1e-05}`
	got, tensors := divided(config, llama32()).Portable()
	var c map[string]any
	if err := json.Unmarshal(got, &c); err != nil || tensors != nil {
		t.Fatal(err, tensors)
	}
	want := map[string]any{"model_type": "llama", "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "rope_scaling": map[string]any{
		"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192.0}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("config %v, want %v", c, want)
	}
	odd := llama32()
	odd[20] *= 1.01
	ones := []float32{1, 1, 1, 1}
	for name, m := range map[string]*Model{
		"odd divisors":  divided(config, odd),
		"all one":       divided(config, ones),
		"none":          divided(config, nil),
		"not a number":  divided(config, append(llama32()[:31], float32(math.NaN()))),
		"huge theta":    divided(`{"rope_freqs":true,"rope_theta":1e300}`, llama32()),
		"two scalings":  divided(`{"rope_freqs":true,"rope_theta":500000.0,"rope_scaling":{"rope_type":"linear","factor":2.0}}`, llama32()),
		"other theta":   divided(`{"rope_freqs":true,"rope_theta":10000.0}`, llama32()),
		"without theta": divided(`{"rope_freqs":true}`, llama32()),
	} {
		if got, tensors := m.Portable(); string(got) != string(m.Config) || len(tensors) != 1 {
			t.Errorf("%s: %s and %d tensors", name, got, len(tensors))
		}
	}
	plain := &Model{Config: json.RawMessage(config), Tensors: map[string]Tensor{}}
	if got, tensors := plain.Portable(); string(got) != config || tensors != nil {
		t.Errorf("no divisors: %s and %v", got, tensors)
	}
}
