package weights

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// tinyLlama2C is a llama2.c file of one layer: dim 4, hidden 3, two heads, one key-value head, vocabulary 5
// (negative: with a head of its own), two positions. Its floats count up from 0.
func tinyLlama2C(vocab int32) []byte {
	var b []byte
	for _, v := range []int32{4, 3, 1, 2, 1, vocab, 2} {
		b = le.AppendUint32(b, uint32(v))
	}
	n := 5*4 + 4 + 16 + 8 + 8 + 16 + 4 + 3*12 + 4 + 2*2
	if vocab < 0 {
		n += 5 * 4
	}
	return append(b, ramp(0, n)...)
}

func tinyTok(n int) []byte {
	b := le.AppendUint32(nil, 9)
	for i := range n {
		b = le.AppendUint32(b, math.Float32bits(-float32(i)))
		b = append(le.AppendUint32(b, 2), " a"...)
	}
	return b
}

func TestLlama2C(t *testing.T) {
	m, err := Llama2C(tinyLlama2C(-5), tinyTok(5), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	q := AsF32(m.Tensors["model.layers.0.self_attn.q_proj.weight"])
	// q begins at float 24; its heads of 2 need no permutation.
	if len(m.Tensors) != 12 || q[0] != 24 || AsF32(m.Tensors["lm_head.weight"])[19] != 20*5+39 {
		t.Errorf("%d tensors, q %v, head %v", len(m.Tensors), q, AsF32(m.Tensors["lm_head.weight"]))
	}
	order := []struct {
		name  string
		first float32
	}{{"model.embed_tokens", 0}, {"model.layers.0.input_layernorm", 20}, {"model.layers.0.self_attn.q_proj", 24}, {"model.layers.0.self_attn.k_proj", 40},
		{"model.layers.0.self_attn.v_proj", 48}, {"model.layers.0.self_attn.o_proj", 56}, {"model.layers.0.post_attention_layernorm", 72},
		{"model.layers.0.mlp.gate_proj", 76}, {"model.layers.0.mlp.down_proj", 88}, {"model.layers.0.mlp.up_proj", 100}, {"model.norm", 112}, {"lm_head", 120}}
	for _, o := range order {
		if got := AsF32(m.Tensors[o.name+".weight"]); got[0] != o.first {
			t.Errorf("%s begins with %v, want %v", o.name, got[0], o.first)
		}
	}
	if v := m.Vocab; v.Tokens[0] != "<unk>" || v.Tokens[3] != "<0x00>" || v.Types[3] != 6 || v.BOS != 1 || v.EOS != 2 || !v.AddBOS || !v.AddSpacePrefix {
		t.Errorf("vocabulary %+v", v)
	}
	var c struct {
		Tied bool    `json:"tie_word_embeddings"`
		Eps  float64 `json:"rms_norm_eps"`
		KV   int     `json:"num_key_value_heads"`
	}
	if err := json.Unmarshal(m.Config, &c); err != nil || c.Tied || c.Eps != 1e-5 || c.KV != 1 {
		t.Errorf("config %s: %+v, %v", m.Config, c, err)
	}
	if h, err := m.SHA256(); err != nil || len(h) != 64 {
		t.Errorf("hash %q, %v", h, err)
	}
	if m, err := Llama2C(tinyLlama2C(5), nil, "tied"); err != nil || m.Vocab != nil || len(m.Tensors) != 11 {
		t.Errorf("tied: %v", err)
	}
}

func TestLlama2CSpaces(t *testing.T) {
	v, err := llama2cVocab("x", tinyTok(260), 260)
	if err != nil || v.Tokens[259] != "\u2581a" || v.Types[259] != 1 || v.Tokens[258] != "<0xFF>" || v.Scores[259] != -259 {
		t.Errorf("%q %v", v.Tokens[258:], err)
	}
}

func TestHostileLlama2C(t *testing.T) {
	header := func(v ...int32) []byte {
		var b []byte
		for _, x := range v {
			b = le.AppendUint32(b, uint32(x))
		}
		return append(b, make([]byte, 64)...)
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "too few"},
		{"header cut off", make([]byte, 27), "too few"},
		{"zeros", make([]byte, 100), "header field dim"},
		{"negative layers", header(4, 3, -1, 2, 1, 5, 2), "n_layers"},
		{"10^9 layers", header(4, 3, 1e9, 2, 1, 5, 2), "n_layers"},
		{"no vocabulary", header(4, 3, 1, 2, 1, 0, 2), "vocab_size"},
		{"vocabulary of -2^31", header(4, 3, 1, 2, 1, math.MinInt32, 2), "vocab_size"},
		{"heads do not divide", header(4, 3, 1, 3, 1, 5, 2), "fit together"},
		{"odd heads", header(9, 3, 1, 3, 1, 5, 2), "fit together"},
		{"cut off", slices.Concat(tinyLlama2C(5)[:200]), "calls for"},
		{"too long", append(tinyLlama2C(5), 0), "calls for"},
		{"largest sizes", header(1<<16, 1<<18, 1000, 1<<10, 1<<10, 1<<24, 1<<24), "calls for"},
		{"new format", append([]byte("24ka"), make([]byte, 300)...), "version 1"},
		{"pickle", []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."), "pickle"},
	} {
		wantAllocates(t, len(test.data), func() {
			_, err := Llama2C(test.data, nil, "x.bin")
			wantTyped(t, err, test.want)
		})
	}
	tok := tinyTok(5)
	nan := bytes.Clone(tok)
	le.PutUint32(nan[4:], math.Float32bits(float32(math.NaN())))
	long := bytes.Clone(tok)
	le.PutUint32(long[8:], 1<<31)
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", []byte{}, "too few"}, {"cut off", tok[:len(tok)-1], "token 4"}, {"too long", append(bytes.Clone(tok), 0), "after the last"},
		{"NaN score", nan, "score"}, {"negative length", long, "length"},
	} {
		_, err := Llama2C(tinyLlama2C(5), test.data, "x.bin")
		wantTyped(t, err, test.want)
	}
}
