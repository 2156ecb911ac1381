package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"hone/engine/tensor"
)

// typed fails unless err, if any, is one of the package's own kinds.
func typed(t *testing.T, err error) {
	t.Helper()
	var f *FormatError
	var u *UnsupportedError
	var p *PickleError
	if err != nil && !errors.As(err, &f) && !errors.As(err, &u) && !errors.As(err, &p) {
		t.Fatalf("error %v (%T) is not typed", err, err)
	}
}

// readAll converts every tensor, which panics if a size is wrong.
func readAll(tensors map[string]Tensor) {
	for _, x := range tensors {
		AsF32(x)
	}
}

func FuzzSafetensors(f *testing.F) {
	for _, h := range hostileSafetensors {
		if len(h.data) < 4096 {
			f.Add(h.data)
		}
	}
	var b bytes.Buffer
	WriteSafetensors(&b, []Tensor{floats("a", []int{2}, 1, 2), {Name: "b", DType: tensor.BF16, Shape: []int{1, 1}, Data: []byte{0, 1}}}, map[string]string{"format": "pt"})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseSafetensors("x", data)
		typed(t, err)
		if err != nil {
			return
		}
		readAll(file.tensors)
		if len(file.unusable) > 0 {
			return
		}
		// What was read writes again, and reads the same.
		var list []Tensor
		for _, x := range file.tensors {
			list = append(list, x)
		}
		var out bytes.Buffer
		if err := WriteSafetensors(&out, list, file.metadata); err != nil {
			t.Fatal(err)
		}
		again, err := parseSafetensors("x", out.Bytes())
		if err != nil || len(again.tensors) != len(list) {
			t.Fatalf("%d tensors of %d come back, %v", len(again.tensors), len(list), err)
		}
		for name, x := range file.tensors {
			if !bytes.Equal(again.tensors[name].Data, x.Data) {
				t.Fatalf("tensor %q differs", name)
			}
		}
	})
}

func FuzzGGUF(f *testing.F) {
	for _, h := range hostileGGUF() {
		if len(h.data) < 4096 {
			f.Add(h.data)
		}
	}
	f.Add(withVocab(tinyGGUF("llama")).bytes())
	f.Add(tinyGGUF("qwen3").tensor("output.weight", 8, make([]byte, 8*34), 32, 8).bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ggufModel("x", data)
		typed(t, err)
		if err != nil {
			return
		}
		readAll(m.Tensors)
		if !json.Valid(m.Config) {
			t.Fatalf("config %s", m.Config)
		}
	})
}

func FuzzLlama2C(f *testing.F) {
	f.Add(tinyLlama2C(5), tinyTok(5))
	f.Add(tinyLlama2C(-5), tinyTok(4))
	f.Add([]byte("24ka"), []byte{})
	f.Fuzz(func(t *testing.T, model, tokens []byte) {
		m, err := Llama2C(model, tokens, "x")
		typed(t, err)
		if err == nil {
			readAll(m.Tensors)
		}
	})
}

func FuzzAdapterConfig(f *testing.F) {
	c, _ := testAdapter()
	c.RankPattern, c.AlphaPattern = map[string]int{"q": 3}, map[string]float64{".*v": 1.5}
	text, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":"(?!a).*","layers_to_transform":null}`))
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":-1e-300,"target_modules":["a"],"layers_to_transform":[0],"layers_pattern":"h"}`))
	f.Add([]byte(`{"peft_type":"LORA","r":1e9}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseAdapterConfig("x", data)
		typed(t, err)
		if err != nil {
			return
		}
		c.Match("model.layers.0.self_attn.q_proj")
		out, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseAdapterConfig("x", out)
		if err != nil {
			t.Fatalf("%s does not read back: %v", out, err)
		}
		again, err := back.encode()
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%s\nbecomes\n%s", out, again)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"llama","hidden_size":64,"rms_norm_eps":1e-05,"eos_token_id":[1,2],"auto_map":{"AutoModel":"x.Y"}}`))
	f.Add([]byte(`{"text_config":{"num_hidden_layers":1000000000},"chat_template":[{"name":"default","template":"x"}]}`))
	f.Add([]byte(`{"rms_norm_eps":NaN,"quantization_config":{"quant_method":7},"bos_token":{"content":"a"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		typed(t, checkConfig("x", data))
		var c struct {
			EOS      ids          `json:"eos_token_id"`
			Template chatTemplate `json:"chat_template"`
			BOS      tokenText    `json:"bos_token"`
		}
		typed(t, decodeJSON("x", data, &c))
	})
}
