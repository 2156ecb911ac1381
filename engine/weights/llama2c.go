package weights

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"hone/engine/tensor"
)

// llama2cHeader is the start of a llama2.c file of the first ("legacy") version: seven int32. A negative
// vocabulary size says that the file ends with an output head of its own.
type llama2cHeader struct {
	Dim, Hidden, Layers, Heads, KVHeads, Vocab, Positions int32
}

// openLlama2C opens a llama2.c file and the tokenizer beside it, if there is one.
func openLlama2C(path string) (*Model, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	model, err := llama2c(path, m.data)
	if err == nil {
		err = model.readLlama2CVocab(filepath.Dir(path))
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	model.closers = append(model.closers, m)
	model.hashed = hashFiles([]*mapping{m})
	return model, nil
}

func (m *Model) readLlama2CVocab(dir string) error {
	for _, name := range []string{fmt.Sprintf("tok%d.bin", m.llama2cVocabSize()), "tokenizer.bin"} {
		path := filepath.Join(dir, name)
		data, err := readCapped(path, maxJSON)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		m.Vocab, err = llama2cVocab(path, data, m.llama2cVocabSize())
		return err
	}
	return nil
}

func (m *Model) llama2cVocabSize() int { return m.Tensors["model.embed_tokens.weight"].Shape[0] }

// Llama2C reads a llama2.c model and its tokenizer (nil for none) from memory; name stands for the path in
// errors. The model's tensors view the bytes.
func Llama2C(model, tokens []byte, name string) (*Model, error) {
	m, err := llama2c(name, model)
	if err != nil {
		return nil, err
	}
	m.hashed = hashFiles([]*mapping{{path: name, data: model}})
	if tokens != nil {
		m.Vocab, err = llama2cVocab(name+" (tokenizer)", tokens, m.llama2cVocabSize())
	}
	return m, err
}

// llama2c parses the file: the header, then f32 arrays in a fixed order, each for all layers together.
func llama2c(path string, data []byte) (*Model, error) {
	h, err := llama2cReadHeader(path, data)
	if err != nil {
		return nil, err
	}
	own := h.Vocab < 0
	vocab := int64(h.Vocab)
	if own {
		vocab = -vocab
	}
	dim, hidden, layers := int64(h.Dim), int64(h.Hidden), int64(h.Layers)
	head := dim / int64(h.Heads)
	kv := head * int64(h.KVHeads)
	// Bounds on the header keep every product below 2^53, so the sum cannot overflow.
	want := vocab*dim + layers*(2*dim+2*dim*dim+2*kv*dim+3*hidden*dim) + dim + int64(h.Positions)*(head/2)*2
	if own {
		want += vocab * dim
	}
	if got := int64(len(data)) - 28; got != 4*want {
		return nil, malformed(path, "byte 0", "the header %+v calls for %d bytes of weights, the file has %d", h, 4*want, got)
	}
	if n := 9*layers + 3; n > int64(maxTensors(len(data))) {
		return nil, malformed(path, "header field n_layers", "%d layers in a file of %d bytes", layers, len(data))
	}

	c := cursor{data: data, pos: 28}
	m := &Model{Path: path, Format: "llama2.c", Tensors: map[string]Tensor{}, Name: filepath.Base(path), EOS: []int32{2}}
	add := func(name string, shape ...int64) {
		n := int64(1)
		dims := make([]int, len(shape))
		for i, d := range shape {
			n *= d
			dims[i] = int(d)
		}
		m.Tensors[name] = Tensor{Name: name, DType: tensor.F32, Shape: dims, Data: c.take(4 * n)}
	}
	each := func(name string, shape ...int64) {
		for l := range layers {
			add(fmt.Sprintf("model.layers.%d.%s.weight", l, name), shape...)
		}
	}
	add("model.embed_tokens.weight", vocab, dim)
	each("input_layernorm", dim)
	each("self_attn.q_proj", dim, dim)
	each("self_attn.k_proj", kv, dim)
	each("self_attn.v_proj", kv, dim)
	each("self_attn.o_proj", dim, dim)
	each("post_attention_layernorm", dim)
	each("mlp.gate_proj", hidden, dim)
	each("mlp.down_proj", dim, hidden)
	each("mlp.up_proj", hidden, dim)
	add("model.norm.weight", dim)
	c.take(int64(h.Positions) * (head / 2) * 2 * 4) // tables of cosines and sines, which follow from the sizes
	if own {
		add("lm_head.weight", vocab, dim)
	}
	for l := range layers {
		for _, name := range []string{"q_proj", "k_proj"} {
			key := fmt.Sprintf("model.layers.%d.self_attn.%s.weight", l, name)
			m.Tensors[key] = halfSplitRows(m.Tensors[key], int(head))
		}
	}
	m.Config = plainJSON(map[string]any{
		"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_act": "silu",
		"hidden_size": dim, "intermediate_size": hidden, "num_hidden_layers": layers,
		"num_attention_heads": h.Heads, "num_key_value_heads": h.KVHeads, "head_dim": head,
		"vocab_size": vocab, "max_position_embeddings": h.Positions, "tie_word_embeddings": !own,
		"rms_norm_eps": json.Number("1e-5"), "rope_theta": json.Number("10000.0"),
		"attention_bias": false, "mlp_bias": false, "bos_token_id": 1, "eos_token_id": 2,
	})
	m.BOSToken, m.EOSToken, m.Quantisation = "<s>", "</s>", "F32"
	return m, nil
}

func llama2cReadHeader(path string, data []byte) (h llama2cHeader, err error) {
	if looksPickled(data) {
		return h, &PickleError{Path: path}
	}
	if len(data) < 28 {
		return h, malformed(path, "byte 0", "%d bytes are too few for a llama2.c file", len(data))
	}
	if string(data[:4]) == "24ka" {
		return h, &UnsupportedError{Path: path, Place: "byte 0", Feature: "llama2.c format version 1 or 2", Fix: "export with --version 0"}
	}
	if _, err := binary.Decode(data, binary.LittleEndian, &h); err != nil {
		return h, malformed(path, "byte 0", "%v", err)
	}
	fields := []struct {
		name      string
		v, lo, hi int32
	}{
		{"dim", h.Dim, 1, 1 << 16}, {"hidden_dim", h.Hidden, 1, 1 << 18}, {"n_layers", h.Layers, 1, 1000},
		{"n_heads", h.Heads, 1, 1 << 10}, {"n_kv_heads", h.KVHeads, 1, 1 << 10}, {"seq_len", h.Positions, 1, 1 << 24},
	}
	for _, f := range fields {
		if f.v < f.lo || f.v > f.hi {
			return h, malformed(path, "header field "+f.name, "%d is not between %d and %d; this is not a llama2.c file or it is damaged", f.v, f.lo, f.hi)
		}
	}
	switch {
	case h.Vocab == 0 || h.Vocab < -(1<<24) || h.Vocab > 1<<24:
		return h, malformed(path, "header field vocab_size", "%d is out of range", h.Vocab)
	case h.Dim%h.Heads != 0 || h.Heads%h.KVHeads != 0 || h.Dim/h.Heads%2 != 0:
		return h, malformed(path, "header", "%d dimensions, %d heads and %d key-value heads do not fit together", h.Dim, h.Heads, h.KVHeads)
	}
	return h, nil
}

// llama2cVocab reads llama2.c's tokenizer: an int32 (the longest token), then for each of n tokens an f32
// score, an int32 length and the bytes. Ids 0, 1 and 2 are unknown, begin and end; 3 to 258 are single bytes.
func llama2cVocab(path string, data []byte, n int) (*Vocab, error) {
	if len(data) < 4+8*n {
		return nil, malformed(path, "byte 0", "%d bytes are too few for %d tokens", len(data), n)
	}
	v := &Vocab{Model: "llama", BOS: 1, EOS: 2, UNK: 0, PAD: -1, AddBOS: true, AddSpacePrefix: true,
		Tokens: make([]string, n), Types: make([]int32, n), Scores: make([]float32, n)}
	c := cursor{data: data, pos: 4}
	for i := range n {
		place := fmt.Sprintf("token %d", i)
		if c.left() < 8 {
			return nil, malformed(path, place, "the file ends at byte %d", len(data))
		}
		v.Scores[i] = math.Float32frombits(c.u32())
		size := int64(int32(c.u32()))
		if size < 0 || size > c.left() {
			return nil, malformed(path, place, "its length %d does not fit the %d bytes left", size, c.left())
		}
		if s := v.Scores[i]; s != s || math.IsInf(float64(s), 0) {
			return nil, malformed(path, place, "its score %v is not a number", s)
		}
		// SentencePiece's own mark for a space, which the file writes plainly.
		v.Tokens[i] = strings.ReplaceAll(string(c.take(size)), " ", "\u2581")
		v.Types[i] = 1
		switch {
		case i == 0:
			v.Tokens[i], v.Types[i] = "<unk>", 2
		case i == 1:
			v.Tokens[i], v.Types[i] = "<s>", 3
		case i == 2:
			v.Tokens[i], v.Types[i] = "</s>", 3
		case i < 259:
			v.Tokens[i], v.Types[i] = fmt.Sprintf("<0x%02X>", i-3), 6
		}
	}
	if c.left() != 0 {
		return nil, malformed(path, fmt.Sprintf("byte %d", c.pos), "%d bytes after the last of %d tokens", c.left(), n)
	}
	return v, nil
}
