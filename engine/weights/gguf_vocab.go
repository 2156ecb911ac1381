package weights

import (
	"math"
	"slices"
)

// ggufAddsBOS are the pre-tokenizers of the gpt2 kind that begin a text with BOS unless the file says otherwise.
var ggufAddsBOS = []string{"llama3", "llama-v3", "llama-bpe", "falcon3"}

// vocab reads the tokenizer inside the file; nil if there is none. embed is the embedding, which must have a row
// for each token; this is checked before anything is allocated by the number of tokens.
func (g *ggufFile) vocab(embed Tensor) (*Vocab, error) {
	const prefix = "tokenizer.ggml."
	model, err := g.text(prefix + "model")
	if err != nil || model == "" || model == "none" {
		return nil, err
	}
	if model != "gpt2" && model != "llama" {
		return nil, &UnsupportedError{Path: g.path, Place: "key " + prefix + "model", Feature: "tokenizer " + quote(model), Fix: "supported are gpt2 and llama"}
	}
	v := &Vocab{Model: model}
	if v.Pre, err = g.text(prefix + "pre"); err != nil {
		return nil, err
	}
	list := g.values[prefix+"tokens"]
	if len(embed.Shape) == 2 && list.count > embed.Shape[0] {
		return nil, malformed(g.path, `tensor "token_embd.weight"`, "%d rows for %d tokens", embed.Shape[0], list.count)
	}
	tokens, ok := list.strings()
	if !ok || len(tokens) == 0 || len(tokens) > 1<<24 {
		return nil, malformed(g.path, "key "+prefix+"tokens", "missing, empty, or not an array of strings")
	}
	v.Tokens = tokens
	if err := g.vocabArrays(v, prefix); err != nil {
		return nil, err
	}
	return v, g.vocabOptions(v, prefix)
}

// vocabArrays reads types, scores and merges, which run beside the tokens.
func (g *ggufFile) vocabArrays(v *Vocab, prefix string) error {
	n := len(v.Tokens)
	if a, ok := g.values[prefix+"token_type"]; ok {
		types, ok := a.integers()
		if !ok || len(types) != n {
			return malformed(g.path, "key "+prefix+"token_type", "want an array of %d integers, one a token", n)
		}
		v.Types = make([]int32, n)
		for i, t := range types {
			if t < 0 || t > 6 {
				return malformed(g.path, "key "+prefix+"token_type", "token %d has type %d, want 0 to 6", i, t)
			}
			v.Types[i] = int32(t)
		}
	} else {
		v.Types = make([]int32, n)
		for i := range v.Types {
			v.Types[i] = 1
		}
	}
	if a, ok := g.values[prefix+"scores"]; ok {
		scores, ok := a.floats32()
		if !ok || len(scores) != n {
			return malformed(g.path, "key "+prefix+"scores", "want an array of %d floats, one a token", n)
		}
		for i, s := range scores {
			if s != s || math.IsInf(float64(s), 0) {
				return malformed(g.path, "key "+prefix+"scores", "the score of token %d is %v", i, s)
			}
		}
		v.Scores = scores
	}
	if a, ok := g.values[prefix+"merges"]; ok {
		merges, ok := a.strings()
		if !ok {
			return malformed(g.path, "key "+prefix+"merges", "not an array of strings")
		}
		v.Merges = merges
	}
	if v.Model == "llama" && v.Scores == nil {
		return malformed(g.path, "key "+prefix+"scores", "missing, and a llama tokenizer needs them")
	}
	if v.Model == "gpt2" && v.Merges == nil {
		return malformed(g.path, "key "+prefix+"merges", "missing, and a gpt2 tokenizer needs them")
	}
	return nil
}

// vocabOptions reads special ids and switches; absent ones have the defaults that llama.cpp gives each kind.
func (g *ggufFile) vocabOptions(v *Vocab, prefix string) (err error) {
	sp := v.Model == "llama"
	bos, eos, unk := int32(-1), int32(-1), int32(-1)
	if sp && len(v.Tokens) > 2 {
		bos, eos, unk = 1, 2, 0
	}
	for _, f := range []struct {
		to       *int32
		key      string
		fallback int32
	}{{&v.BOS, "bos_token_id", bos}, {&v.EOS, "eos_token_id", eos}, {&v.UNK, "unknown_token_id", unk}, {&v.PAD, "padding_token_id", -1}} {
		if *f.to, err = g.tokenID(f.key, f.fallback, len(v.Tokens)); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		to       *bool
		key      string
		fallback bool
	}{{&v.AddBOS, "add_bos_token", sp || slices.Contains(ggufAddsBOS, v.Pre)}, {&v.AddEOS, "add_eos_token", false}, {&v.AddSpacePrefix, "add_space_prefix", sp}} {
		*f.to = f.fallback
		if a, ok := g.values[prefix+f.key]; ok {
			if a.typ != ggufBool {
				return malformed(g.path, "key "+prefix+f.key, "want a boolean")
			}
			*f.to = a.raw[0] == 1
		}
	}
	return nil
}

// tokenID reads a special token's id. The value 2^32−1, which some converters write, means none.
func (g *ggufFile) tokenID(key string, fallback int32, n int) (int32, error) {
	key = "tokenizer.ggml." + key
	a, ok := g.values[key]
	if !ok {
		return fallback, nil
	}
	id, ok := a.integer()
	if id == math.MaxUint32 || id == -1 {
		return -1, nil
	}
	if !ok || id < 0 || id >= int64(n) {
		return 0, malformed(g.path, "key "+key, "%d is not the id of one of the %d tokens", id, n)
	}
	return int32(id), nil
}
