package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"hone/engine/tensor"
)

// ggufBuilder writes GGUF files, broken ones too.
type ggufBuilder struct {
	version uint32
	align   int
	keys    [][]byte
	infos   [][]byte
	body    []byte
}

func newGGUF() *ggufBuilder { return &ggufBuilder{version: 3, align: 32} }

var le = binary.LittleEndian

func ggufText(s string) []byte { return append(le.AppendUint64(nil, uint64(len(s))), s...) }

// raw adds a metadata key whose value is the given bytes after its type.
func (b *ggufBuilder) raw(key string, typ uint32, value []byte) *ggufBuilder {
	b.keys = append(b.keys, append(le.AppendUint32(ggufText(key), typ), value...))
	return b
}

func (b *ggufBuilder) set(key string, v any) *ggufBuilder {
	switch v := v.(type) {
	case string:
		return b.raw(key, ggufString, ggufText(v))
	case int:
		return b.raw(key, ggufU32, le.AppendUint32(nil, uint32(v)))
	case float32:
		return b.raw(key, ggufF32, le.AppendUint32(nil, math.Float32bits(v)))
	case bool:
		return b.raw(key, ggufBool, []byte{map[bool]byte{true: 1}[v]})
	case []string:
		out := le.AppendUint64(le.AppendUint32(nil, ggufString), uint64(len(v)))
		for _, s := range v {
			out = append(out, ggufText(s)...)
		}
		return b.raw(key, ggufArray, out)
	case []int:
		out := le.AppendUint64(le.AppendUint32(nil, ggufI32), uint64(len(v)))
		for _, n := range v {
			out = le.AppendUint32(out, uint32(n))
		}
		return b.raw(key, ggufArray, out)
	case []float32:
		out := le.AppendUint64(le.AppendUint32(nil, ggufF32), uint64(len(v)))
		for _, f := range v {
			out = le.AppendUint32(out, math.Float32bits(f))
		}
		return b.raw(key, ggufArray, out)
	}
	panic(fmt.Sprintf("no GGUF type for %T", v))
}

// info adds a tensor info as it is given.
func (b *ggufBuilder) info(name string, typ uint32, offset uint64, dims ...uint64) *ggufBuilder {
	i := le.AppendUint32(ggufText(name), uint32(len(dims)))
	for _, d := range dims {
		i = le.AppendUint64(i, d)
	}
	b.infos = append(b.infos, le.AppendUint64(le.AppendUint32(i, typ), offset))
	return b
}

// tensor adds a tensor, dims innermost first, with its bytes.
func (b *ggufBuilder) tensor(name string, typ uint32, data []byte, dims ...uint64) *ggufBuilder {
	for len(b.body)%b.align != 0 {
		b.body = append(b.body, 0)
	}
	b.info(name, typ, uint64(len(b.body)), dims...)
	b.body = append(b.body, data...)
	return b
}

func (b *ggufBuilder) bytes() []byte {
	out := le.AppendUint32([]byte("GGUF"), b.version)
	out = le.AppendUint64(out, uint64(len(b.infos)))
	out = le.AppendUint64(out, uint64(len(b.keys)))
	for _, k := range b.keys {
		out = append(out, k...)
	}
	for _, i := range b.infos {
		out = append(out, i...)
	}
	for len(out)%b.align != 0 {
		out = append(out, 0)
	}
	return append(out, b.body...)
}

// ramp is n float32 that count from start.
func ramp(start float32, n int) (b []byte) {
	for i := range n {
		b = le.AppendUint32(b, math.Float32bits(start+float32(i)))
	}
	return b
}

// tinyGGUF is a whole model of one layer: hidden 32, two heads of 16, one key-value head, 8 tokens.
func tinyGGUF(arch string) *ggufBuilder {
	b := newGGUF().set("general.architecture", arch).set("general.name", "tiny").set("general.license", "mit")
	for k, v := range map[string]int{"block_count": 1, "embedding_length": 32, "feed_forward_length": 64, "context_length": 128,
		"attention.head_count": 2, "attention.head_count_kv": 1, "rope.dimension_count": 16} {
		b.set(arch+"."+k, v)
	}
	b.set(arch+".attention.layer_norm_rms_epsilon", float32(1e-6))
	b.tensor("token_embd.weight", 0, ramp(0, 8*32), 32, 8)
	for _, t := range []struct {
		name    string
		in, out uint64
	}{{"attn_q", 32, 32}, {"attn_k", 32, 16}, {"attn_v", 32, 16}, {"attn_output", 32, 32}, {"ffn_gate", 32, 64}, {"ffn_up", 32, 64}, {"ffn_down", 64, 32}} {
		b.tensor("blk.0."+t.name+".weight", 0, ramp(0, int(t.in*t.out)), t.in, t.out)
	}
	for _, n := range []string{"blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"} {
		b.tensor(n+".weight", 0, ramp(1, 32), 32)
	}
	return b
}

func withVocab(b *ggufBuilder) *ggufBuilder {
	return b.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "smollm").set("tokenizer.ggml.tokens", []string{"<e>", "a", "b", "c", "ab", "abc", "<s>", "<t>"}).
		set("tokenizer.ggml.token_type", []int{3, 1, 1, 1, 1, 1, 3, 3}).set("tokenizer.ggml.merges", []string{"a b", "ab c"}).
		set("tokenizer.ggml.bos_token_id", 6).set("tokenizer.ggml.eos_token_id", 0).set("tokenizer.ggml.eot_token_id", 7).set("tokenizer.chat_template", "{{ x }}")
}

func TestGGUFModel(t *testing.T) {
	m, err := ggufModel("x.gguf", withVocab(tinyGGUF("llama")).bytes())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "tiny" || m.Licence != "mit" || m.ChatTemplate != "{{ x }}" || m.BOSToken != "<s>" || m.EOSToken != "<e>" ||
		!slices.Equal(m.EOS, []int32{0, 7}) || m.Quantisation != "F32" || len(m.Tensors) != 11 {
		t.Errorf("model %+v", m)
	}
	if v := m.Vocab; v.BOS != 6 || v.UNK != -1 || v.PAD != -1 || v.AddBOS || v.AddSpacePrefix || v.Tokens[5] != "abc" || v.Merges[1] != "ab c" || v.Types[0] != 3 {
		t.Errorf("vocabulary %+v", v)
	}
	want := map[string]any{"model_type": "llama", "hidden_size": 32.0, "intermediate_size": 64.0, "num_hidden_layers": 1.0, "num_attention_heads": 2.0,
		"num_key_value_heads": 1.0, "head_dim": 16.0, "vocab_size": 8.0, "max_position_embeddings": 128.0, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
		"tie_word_embeddings": true, "attention_bias": false, "bos_token_id": 6.0, "eos_token_id": 0.0}
	var got map[string]any
	if err := json.Unmarshal(m.Config, &got); err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("config %s is %v, want %v", k, got[k], v)
		}
	}
	if s := m.Tensors["model.layers.0.mlp.down_proj.weight"].Shape; fmt.Sprint(s) != "[32 64]" {
		t.Errorf("shape %v", s)
	}
}

// Rows of a llama's q and k are permuted, those of the other families are not.
func TestGGUFPermutation(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		b := tinyGGUF(arch).tensor("blk.0.attn_q.bias", 0, ramp(0, 32), 32)
		m, err := ggufModel("x", b.bytes())
		if err != nil {
			t.Fatal(err)
		}
		q := AsF32(m.Tensors["model.layers.0.self_attn.q_proj.weight"])
		bias := AsF32(m.Tensors["model.layers.0.self_attn.q_proj.bias"])
		v := AsF32(m.Tensors["model.layers.0.self_attn.v_proj.weight"])
		for row := range 32 {
			from := row
			if arch == "llama" { // head of 16: row j of the first half is file row 2j, of the second 2j+1
				head, i := row/16*16, row%16
				from = head + i%8*2 + i/8
			}
			if q[row*32] != float32(from*32) || q[row*32+31] != float32(from*32+31) || bias[row] != float32(from) {
				t.Errorf("%s: row %d begins with %v, bias %v; want row %d", arch, row, q[row*32], bias[row], from)
			}
			if row < 16 && v[row*32] != float32(row*32) {
				t.Errorf("%s: v is permuted", arch)
			}
		}
	}
}

// Quantised rows move whole: permuting and dequantising commute.
func TestPermuteQuantisedRows(t *testing.T) {
	data := make([]byte, 16*2*34)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for i := 0; i < len(data); i += 34 {
		le.PutUint16(data[i:], 0x3c00)
	}
	x := Tensor{DType: tensor.Q8_0, Shape: []int{16, 64}, Data: data}
	plain, moved := AsF32(x), AsF32(halfSplitRows(x, 8))
	for row := range 16 {
		from := row/8*8 + row%8%4*2 + row%8/4
		if !slices.Equal(moved[row*64:row*64+64], plain[from*64:from*64+64]) {
			t.Errorf("row %d is not row %d of the file", row, from)
		}
	}
}

func TestGGUFConfig(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ggufBuilder)
		arch   string
		want   map[string]any
	}{
		{"untied", func(b *ggufBuilder) { b.tensor("output.weight", 0, ramp(0, 256), 32, 8) }, "llama", map[string]any{"tie_word_embeddings": false}},
		{"eps exact", func(b *ggufBuilder) {}, "qwen3", map[string]any{"rms_norm_eps": 1e-6, "model_type": "qwen3"}},
		{"theta", func(b *ggufBuilder) { b.set("llama.rope.freq_base", float32(500000)) }, "llama", map[string]any{"rope_theta": 500000.0}},
		{"linear", func(b *ggufBuilder) {
			b.set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", float32(4))
		}, "llama",
			map[string]any{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 4.0}}},
		{"old linear", func(b *ggufBuilder) { b.set("llama.rope.scale_linear", float32(2.5)) }, "llama",
			map[string]any{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 2.5}}},
		{"none", func(b *ggufBuilder) { b.set("llama.rope.scaling.type", "none") }, "llama", map[string]any{"rope_scaling": nil}},
		{"llama3 factors", func(b *ggufBuilder) { b.tensor("rope_freqs.weight", 0, ramp(1, 8), 8) }, "llama", map[string]any{"rope_freqs": true}},
		{"window", func(b *ggufBuilder) { b.set("llama.attention.sliding_window", 64) }, "llama", map[string]any{"model_type": "mistral", "sliding_window": 64.0}},
		{"bias", func(b *ggufBuilder) { b.tensor("blk.0.attn_q.bias", 0, ramp(0, 32), 32) }, "qwen2", map[string]any{"attention_bias": true, "mlp_bias": false}},
	} {
		b := tinyGGUF(test.arch)
		test.change(b)
		m, err := ggufModel("x", b.bytes())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(m.Config, &got); err != nil {
			t.Fatal(err)
		}
		for k, v := range test.want {
			if fmt.Sprint(got[k]) != fmt.Sprint(v) {
				t.Errorf("%s: %s is %v, want %v", test.name, k, got[k], v)
			}
		}
	}
}

// Floats of the header must come back from the config's JSON with the same bits.
func TestPythonFloat(t *testing.T) {
	for _, f := range []float32{1e-5, 1e-6, 9.999999e-6, 10000, 500000, 1.0 / 3, math.SmallestNonzeroFloat32, math.MaxFloat32, 0} {
		var back float64
		s := pythonFloat(float64(f), 32)
		if err := json.Unmarshal([]byte(s), &back); err != nil || float32(back) != f {
			t.Errorf("%v is written %s and comes back as %v, %v", f, s, back, err)
		}
	}
}

func TestHuggingFaceNames(t *testing.T) {
	for in, want := range map[string]string{
		"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight", "output_norm.weight": "model.norm.weight",
		"blk.12.attn_q.bias": "model.layers.12.self_attn.q_proj.bias", "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
		"blk.3.attn_q_norm.weight": "model.layers.3.self_attn.q_norm.weight", "rope_freqs.weight": "rope_freqs.weight",
		"blk.00.attn_q.weight": "blk.00.attn_q.weight", "blk.-1.attn_q.weight": "blk.-1.attn_q.weight", "blk.x.attn_q.weight": "blk.x.attn_q.weight",
	} {
		if got, _ := huggingFaceName(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

// hostileGGUF is every way of breaking a file that faults.md lists, and some more.
func hostileGGUF() []struct {
	name string
	data []byte
	want string
} {
	type file = struct {
		name string
		data []byte
		want string
	}
	head := func(version uint32, tensors, keys uint64) []byte {
		return append(le.AppendUint64(le.AppendUint64(le.AppendUint32([]byte("GGUF"), version), tensors), keys), make([]byte, 64)...)
	}
	array := func(elem uint32, n uint64, rest ...byte) []byte {
		return append(le.AppendUint64(le.AppendUint32(nil, elem), n), rest...)
	}
	nested := func(depth int) []byte {
		v := array(ggufU8, 0)
		for range depth {
			v = append(array(ggufArray, 1), v...)
		}
		return v
	}
	tiny := func(f func(*ggufBuilder)) []byte {
		b := tinyGGUF("llama")
		f(b)
		return b.bytes()
	}
	q := func(k string, v any) []byte { // replaces a key of the tiny model
		b := tinyGGUF("llama")
		b.keys = slices.DeleteFunc(b.keys, func(e []byte) bool { return bytes.HasPrefix(e, ggufText(k)) })
		if v != nil {
			b.set(k, v)
		}
		return b.bytes()
	}
	vocab := func(f func(*ggufBuilder)) []byte {
		b := tinyGGUF("llama").set("tokenizer.ggml.model", "gpt2")
		f(b)
		return b.bytes()
	}
	return []file{
		{"empty", nil, "not a GGUF"},
		{"magic alone", []byte("GGUF"), "cut off"},
		{"other magic", []byte("GGML" + strings.Repeat("\x00", 40)), "not a GGUF"},
		{"version 0", head(0, 0, 0), "unknown GGUF version"},
		{"version 1", head(1, 0, 0), "GGUF version 1"},
		{"version 4", head(4, 0, 0), "unknown GGUF version 4"},
		{"big endian", head(3<<24, 0, 0), "big-endian"},
		{"2^63 keys", head(3, 0, 1<<63), "keys do not fit"},
		{"2^64-1 keys", head(3, 0, math.MaxUint64), "keys do not fit"},
		{"2^63 tensors", head(3, 1<<63, 0), "tensors do not fit"},
		{"more keys than bytes", head(3, 0, 60), "keys do not fit"},
		{"key length 2^63", append(head(3, 0, 1)[:24], append(le.AppendUint64(nil, 1<<63), make([]byte, 50)...)...), "does not fit"},
		{"string length 2^63", newGGUF().raw("k", ggufString, le.AppendUint64(nil, 1<<63)).bytes(), "does not fit"},
		{"string past the end", newGGUF().raw("k", ggufString, le.AppendUint64(nil, 1000)).bytes(), "does not fit"},
		{"empty key", newGGUF().set("", 1).bytes(), "want 1 to"},
		{"long key", newGGUF().set(strings.Repeat("k", 2000), 1).bytes(), "want 1 to"},
		{"NUL in a key", newGGUF().set("a\x00", 1).bytes(), "NUL"},
		{"key not UTF-8", newGGUF().set("a\xff", 1).bytes(), "UTF-8"},
		{"value type 13", newGGUF().raw("k", 13, make([]byte, 8)).bytes(), "unknown value type 13"},
		{"value type -1", newGGUF().raw("k", math.MaxUint32, make([]byte, 8)).bytes(), "unknown value type -1"},
		{"boolean 2", newGGUF().raw("k", ggufBool, []byte{2}).bytes(), "boolean"},
		{"array of 2^63", newGGUF().raw("k", ggufArray, array(ggufU8, 1<<63)).bytes(), "do not fit"},
		{"array of 2^61 u64", newGGUF().raw("k", ggufArray, array(ggufU64, 1<<61)).bytes(), "do not fit"},
		{"array of 2^60 strings", newGGUF().raw("k", ggufArray, array(ggufString, 1<<60)).bytes(), "do not fit"},
		{"array of unknown type", newGGUF().raw("k", ggufArray, array(99, 1, 0)).bytes(), "unknown element type"},
		{"arrays nested deep", newGGUF().raw("k", ggufArray, nested(10_000)).bytes(), "nested deeper"},
		{"duplicate key", newGGUF().set("k", 1).set("k", 1).bytes(), "there twice"},
		{"alignment 0", newGGUF().set("general.alignment", 0).bytes(), "power of two"},
		{"alignment 3", newGGUF().set("general.alignment", 3).bytes(), "power of two"},
		{"alignment 2^31", newGGUF().set("general.alignment", 1<<31).bytes(), "power of two"},
		{"alignment a string", newGGUF().set("general.alignment", "32").bytes(), "power of two"},
		{"tensor type -1", newGGUF().tensor("a", math.MaxUint32, make([]byte, 64), 4).bytes(), "unknown element type -1"},
		{"tensor type 999", newGGUF().tensor("a", 999, make([]byte, 64), 4).bytes(), "unknown element type 999"},
		{"removed tensor type 4", newGGUF().tensor("a", 4, make([]byte, 64), 32).bytes(), "unknown element type 4"},
		{"dimension 0", newGGUF().tensor("a", 0, make([]byte, 64), 4, 0).bytes(), "zero, negative"},
		{"dimension negative", newGGUF().tensor("a", 0, make([]byte, 64), math.MaxUint64).bytes(), "zero, negative"},
		{"dimension overflow", newGGUF().tensor("a", 0, make([]byte, 64), 1<<32, 1<<32).bytes(), "overflow"},
		{"byte size overflow", newGGUF().tensor("a", 0, make([]byte, 64), 1<<62).bytes(), "overflow"},
		{"no dimensions", newGGUF().tensor("a", 0, make([]byte, 64)).bytes(), "0 dimensions"},
		{"five dimensions", newGGUF().tensor("a", 0, make([]byte, 64), 1, 1, 1, 1, 1).bytes(), "5 dimensions"},
		{"2^32-1 dimensions", append(append(head(3, 1, 0)[:24], append(ggufText("a"), 0xff, 0xff, 0xff, 0xff)...), make([]byte, 64)...), "dimensions"},
		{"half a block", newGGUF().tensor("a", 8, make([]byte, 64), 33).bytes(), "not a multiple"},
		{"past the end", newGGUF().tensor("a", 0, make([]byte, 60), 16).bytes(), "past the 60"},
		{"offset past the end", newGGUF().info("a", 0, 1<<40, 1).bytes(), "past the 0"},
		{"offset 2^63", newGGUF().info("a", 0, 1<<63, 1).bytes(), "alignment"},
		{"offset misaligned", newGGUF().tensor("a", 0, make([]byte, 64), 16).info("b", 0, 4, 1).bytes(), "alignment"},
		{"overlap", newGGUF().tensor("a", 0, make([]byte, 64), 16).info("b", 0, 32, 1).bytes(), "overlap"},
		{"same bytes", newGGUF().tensor("a", 0, make([]byte, 64), 16).info("b", 0, 0, 1).bytes(), "overlap"},
		{"duplicate tensor", newGGUF().tensor("a", 0, make([]byte, 4), 1).tensor("a", 0, make([]byte, 4), 1).bytes(), "listed twice"},
		{"infos cut off", tinyGGUF("llama").bytes()[:900], ""},
		{"no architecture", newGGUF().bytes(), "general.architecture"},
		{"architecture a number", newGGUF().set("general.architecture", 1).bytes(), "want a string"},
		{"unknown architecture", newGGUF().set("general.architecture", "mamba").bytes(), `"mamba"`},
		{"an adapter", newGGUF().set("general.type", "adapter").bytes(), "adapter"},
		{"split", newGGUF().set("split.count", 2).bytes(), "split"},
		{"experts", tiny(func(b *ggufBuilder) { b.set("llama.expert_count", 8) }), "mixture"},
		{"unusable quantisation", tiny(func(b *ggufBuilder) { b.tensor("output.weight", 12, make([]byte, 144), 256) }), "Q4_K"},
		{"no embedding", newGGUF().set("general.architecture", "llama").bytes(), "token_embd"},
		{"no layer count", q("llama.block_count", nil), "block_count"},
		{"10^9 layers", q("llama.block_count", 1_000_000_000), "num_hidden_layers"},
		{"fewer layers than tensors", tiny(func(b *ggufBuilder) { b.tensor("blk.1.attn_q.weight", 0, ramp(0, 1024), 32, 32) }), "states 1 layers"},
		{"no heads", q("llama.attention.head_count", 0), "positive size"},
		{"heads do not divide", q("llama.attention.head_count_kv", 3), "do not fit together"},
		{"wrong head size", q("llama.rope.dimension_count", 14), "call for"},
		{"partial rotation", tiny(func(b *ggufBuilder) { b.set("llama.attention.key_length", 32) }), "rope.dimension_count"},
		{"heads of a size", q("llama.attention.head_count", "two"), "want an integer"},
		{"layers of different sizes", q("llama.feed_forward_length", []int{64, 32}), "different sizes"},
		{"no epsilon", q("llama.attention.layer_norm_rms_epsilon", nil), "layer_norm_rms_epsilon"},
		{"NaN epsilon", q("llama.attention.layer_norm_rms_epsilon", float32(math.NaN())), "finite"},
		{"negative epsilon", q("llama.attention.layer_norm_rms_epsilon", float32(-1)), "finite"},
		{"epsilon an integer", q("llama.attention.layer_norm_rms_epsilon", 1), "finite"},
		{"theta zero", tiny(func(b *ggufBuilder) { b.set("llama.rope.freq_base", float32(0)) }), "rope_theta"},
		{"rope factors of other size", tiny(func(b *ggufBuilder) { b.tensor("rope_freqs.weight", 0, ramp(1, 4), 4) }), "rope_freqs"},
		{"rope factor zero", tiny(func(b *ggufBuilder) { b.tensor("rope_freqs.weight", 0, ramp(0, 8), 8) }), "rope_freqs"},
		{"two names for one tensor", tiny(func(b *ggufBuilder) { b.tensor("model.norm.weight", 0, ramp(0, 32), 32) }), "taken"},
		{"unknown tokenizer", vocab(func(b *ggufBuilder) { b.set("tokenizer.ggml.model", "t5") }), ""},
		{"no tokens", vocab(func(b *ggufBuilder) {}), "tokens"},
		{"tokens are numbers", vocab(func(b *ggufBuilder) { b.set("tokenizer.ggml.tokens", []int{1}) }), "tokens"},
		{"more tokens than rows", vocab(func(b *ggufBuilder) {
			b.set("tokenizer.ggml.tokens", make([]string, 9)).set("tokenizer.ggml.merges", []string{})
		}), "8 rows for 9 tokens"},
		{"types of other length", vocab(func(b *ggufBuilder) {
			b.set("tokenizer.ggml.tokens", []string{"a"}).set("tokenizer.ggml.token_type", []int{1, 1})
		}), "token_type"},
		{"token type 99", vocab(func(b *ggufBuilder) {
			b.set("tokenizer.ggml.tokens", []string{"a"}).set("tokenizer.ggml.token_type", []int{99})
		}), "token_type"},
		{"NaN score", vocab(func(b *ggufBuilder) {
			b.set("tokenizer.ggml.tokens", []string{"a"}).set("tokenizer.ggml.scores", []float32{float32(math.NaN())})
		}), "scores"},
		{"no merges", vocab(func(b *ggufBuilder) { b.set("tokenizer.ggml.tokens", []string{"a"}) }), "merges"},
		{"EOS outside", vocab(func(b *ggufBuilder) {
			b.set("tokenizer.ggml.tokens", []string{"a"}).set("tokenizer.ggml.merges", []string{}).set("tokenizer.ggml.eos_token_id", 1)
		}), "eos_token_id"},
	}
}

func TestHostileGGUF(t *testing.T) {
	for _, test := range hostileGGUF() {
		t.Run(test.name, func(t *testing.T) {
			wantAllocates(t, len(test.data), func() {
				_, err := ggufModel("x.gguf", test.data)
				wantTyped(t, err, test.want)
			})
		})
	}
}

// A file cut off anywhere, or with any byte of its header changed, gives an error or a model, never a panic.
func TestGGUFCutAndFlipped(t *testing.T) {
	data := withVocab(tinyGGUF("llama")).bytes()
	header := len(data) - len(tinyGGUF("llama").body)
	for n := range header {
		if _, err := ggufModel("x", data[:n]); err == nil {
			t.Fatalf("cut off at %d of %d: accepted", n, len(data))
		}
	}
	for i := range header {
		for _, x := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(data)
			b[i] ^= x
			m, err := ggufModel("x", b)
			if err == nil {
				for _, x := range m.Tensors {
					AsF32(x)
				}
			}
		}
	}
}

func TestGGUFWithoutTokenizer(t *testing.T) {
	m, err := ggufModel("x", tinyGGUF("llama").bytes())
	if err != nil || m.Vocab != nil || m.EOS != nil {
		t.Errorf("model %+v, error %v", m, err)
	}
}

// Many tiny metadata keys and empty strings may not cost more than twice the file.
func TestGGUFAllocation(t *testing.T) {
	b := newGGUF().set("general.architecture", "llama").set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.tokens", make([]string, 1_000_000))
	b.tensor("token_embd.weight", 0, ramp(0, 32), 32, 1)
	data := b.bytes()
	wantAllocates(t, len(data), func() {
		_, err := ggufModel("x", data)
		if err == nil {
			t.Error("accepted")
		}
	})
	b = newGGUF()
	for i := range 100_000 {
		b.infos = append(b.infos, nil)
		b.infos[i] = le.AppendUint64(le.AppendUint32(le.AppendUint64(le.AppendUint32(ggufText(fmt.Sprint(i)), 1), 1), 24), uint64(i*32))
	}
	b.body = make([]byte, 100_000*32)
	data = b.bytes()
	wantAllocates(t, len(data), func() {
		_, err := ggufModel("x", data)
		wantTyped(t, err, "tensors do not fit")
	})
}
