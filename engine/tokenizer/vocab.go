package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Vocab is the vocabulary inside a GGUF or llama2.c file.
type Vocab struct {
	Model                          string // "gpt2" (byte-pair) or "llama" (SentencePiece)
	Pre                            string // how "gpt2" kinds split text: tokenizer.ggml.pre
	Tokens                         []string
	Types                          []int32 // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; none: all normal
	Scores                         []float32
	Merges                         []string
	BOS, EOS, UNK, PAD             int32 // -1: none
	AddBOS, AddEOS, AddSpacePrefix bool
}

// The types of tokens that matter here.
const (
	typeNormal      = 1
	typeUnknown     = 2
	typeControl     = 3
	typeUserDefined = 4
	typeByte        = 6
)

// FromVocab makes the tokenizer of a vocabulary. Control tokens (type 3) are special added tokens, user-defined
// ones (4) added tokens that are not. A Pre or Model it does not know is an error that lists what it knows.
func FromVocab(v Vocab) (*Tokenizer, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	t := &Tokenizer{name: "vocabulary", vocab: make(map[string]int32, len(v.Tokens))}
	definition, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	sum := sha256.Sum256(definition)
	t.hash = hex.EncodeToString(sum[:])
	if v.Model == "llama" {
		v = v.marked()
	}
	for id, token := range v.Tokens {
		if old, ok := t.vocab[token]; ok && v.kind(old) != typeUnused && v.kind(int32(id)) != typeUnused && token != "" {
			return nil, fmt.Errorf("vocabulary: tokens %d and %d are both %.100q", old, id, token)
		} else if ok && v.kind(int32(id)) == typeUnused {
			continue
		}
		t.vocab[token] = int32(id)
	}
	t.ids = idTable{dense: v.Tokens, have: allOnes(len(v.Tokens)), top: int32(len(v.Tokens)) - 1}
	t.addFromVocab(v)
	if v.AddBOS && v.BOS >= 0 {
		t.before = []int32{v.BOS}
	}
	if v.AddEOS && v.EOS >= 0 {
		t.after = []int32{v.EOS}
	}
	if v.Model == "gpt2" {
		return t, t.fromGPT2(v)
	}
	t.fromLlama(v)
	return t, nil
}

const typeUnused = 5

func allOnes(n int) []uint64 {
	b := make([]uint64, (n+63)/64)
	for i := range b {
		b[i] = ^uint64(0)
	}
	return b
}

// kind returns the type of a token.
func (v *Vocab) kind(id int32) int32 {
	if len(v.Types) == 0 {
		return typeNormal
	}
	return v.Types[id]
}

func (v *Vocab) check() error {
	n := len(v.Tokens)
	switch {
	case v.Model != "gpt2" && v.Model != "llama":
		return fmt.Errorf(`vocabulary: model %q is not supported; supported are "gpt2" and "llama"`, v.Model)
	case n == 0:
		return fmt.Errorf("vocabulary: no tokens")
	case len(v.Types) != 0 && len(v.Types) != n:
		return fmt.Errorf("vocabulary: %d tokens but %d token types", n, len(v.Types))
	case v.Model == "llama" && len(v.Scores) != n:
		return fmt.Errorf("vocabulary: %d tokens but %d scores", n, len(v.Scores))
	}
	for _, id := range []struct {
		name string
		id   int32
	}{{"BOS", v.BOS}, {"EOS", v.EOS}, {"UNK", v.UNK}, {"PAD", v.PAD}} {
		if id.id < -1 || int(id.id) >= n {
			return fmt.Errorf("vocabulary: the %s token is %d, of %d tokens", id.name, id.id, n)
		}
	}
	for id, s := range v.Scores {
		if s != s {
			return fmt.Errorf("vocabulary: the score of token %d is not a number", id)
		}
	}
	return nil
}

// addFromVocab makes added tokens of the control and user-defined ones.
func (t *Tokenizer) addFromVocab(v Vocab) {
	t.added = added{byID: map[int32]addedToken{}, ids: map[string]int32{}, raw: &matcher{}, normalized: &matcher{}}
	for i, token := range v.Tokens {
		id := int32(i)
		kind := v.kind(id)
		if token == "" || len(token) > maxAddedToken || kind != typeControl && kind != typeUserDefined {
			continue
		}
		tok := addedToken{content: token, id: id, special: kind == typeControl}
		t.added.byID[id], t.added.ids[token] = tok, id
		t.added.raw.insert(token, tok)
	}
}

// preSplit is how the "gpt2" kinds of one name split text: patterns applied one after the other.
type preSplit struct {
	names        []string
	patterns     []string
	ignoreMerges bool
	nfc          bool
}

const (
	digitPattern  = `\p{N}` // the step Digits in the models' own tokenizer.json
	gpt2Short     = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`
	bloomPattern  = ` ?[^(\s|.,!?…。，、।۔،)]+`
	tekkenPattern = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	deepseekV3    = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
	qwen35Pattern = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// preSplits lists the names that GGUF files use. The models behind llama3's and qwen2's patterns fold the case of
// contractions in their own tokenizer.json, so theirs are taken.
var preSplits = []preSplit{
	{names: []string{"default"}, patterns: []string{`[\p{P}\$\+<=>\^~\|]+`, gpt2Pattern, `\p{N}+`, `[0-9][0-9][0-9]`}},
	{names: []string{"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code",
		"jina-v1-en", "jina-v3-en", "gigachat", "roberta-bpe", "trillion", "exaone4", "a.x-4.0", "mellum", "modern-bert", "granite-docling"}, patterns: []string{gpt2Pattern}},
	{names: []string{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}, patterns: []string{digitPattern, gpt2Pattern}},
	{names: []string{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, patterns: []string{llama3Pattern}, ignoreMerges: true},
	{names: []string{"smaug-bpe", "dbrx", "chatglm-bpe", "glm4"}, patterns: []string{llama3Pattern}},
	{names: []string{"qwen2", "deepseek-r1-qwen", "kormo"}, patterns: []string{qwen2Pattern}, nfc: true},
	{names: []string{"stablelm2", "megrez", "hunyuan"}, patterns: []string{qwen2Pattern}},
	{names: []string{"qwen35"}, patterns: []string{qwen35Pattern}, nfc: true},
	{names: []string{"gpt-4o", "llama4", "kanana2"}, patterns: []string{o200kPattern}, ignoreMerges: true},
	{names: []string{"tekken"}, patterns: []string{tekkenPattern}, ignoreMerges: true},
	{names: []string{"deepseek-v3", "hunyuan-dense", "joyai-llm"}, patterns: []string{`\p{N}{1,3}`, `[一-龥぀-ゟ゠-ヿ]+`, deepseekV3}},
	{names: []string{"deepseek-coder"}, patterns: []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, digitPattern}},
	{names: []string{"falcon"}, patterns: []string{"[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2Pattern, `[0-9][0-9][0-9]`}},
	{names: []string{"bloom", "poro-chat", "gpt3-finnish"}, patterns: []string{bloomPattern}},
	{names: []string{"viking"}, patterns: []string{bloomPattern, digitPattern}},
	{names: []string{"seed-coder"}, patterns: []string{`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+`}},
	{names: []string{"bailingmoe", "bailingmoe2", "llada-moe"}, patterns: []string{`'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`}},
}

// findPre returns the split of a name; an empty one is the default.
func findPre(name string) (*preSplit, error) {
	if name == "" {
		name = "default"
	}
	var known []string
	for i := range preSplits {
		if slices.Contains(preSplits[i].names, name) {
			return &preSplits[i], nil
		}
		known = append(known, preSplits[i].names...)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("vocabulary: pre-tokenizer %q is not supported; supported are %s", name, strings.Join(known, ", "))
}

func (t *Tokenizer) fromGPT2(v Vocab) error {
	pre, err := findPre(v.Pre)
	if err != nil {
		return err
	}
	if pre.nfc {
		t.normalize = func(r *run, p piece) piece { return normalForm(p, r.track, false, true) }
	}
	for _, source := range pre.patterns {
		if source == digitPattern {
			t.splits = append(t.splits, digits(true))
			continue
		}
		pat, err := compileRegex(source)
		if err != nil {
			return fmt.Errorf("vocabulary: pre-tokenizer %q: pattern %q: %w", v.Pre, source, err)
		}
		t.splits = append(t.splits, func(r *run, p piece, emit func(piece)) {
			splitBy(p, isolated, false, func(f func(i, j int)) { pat.each(r, p.s, f) }, emit)
		})
	}
	m := &bpe{vocab: t.vocab, unk: -1, ignoreMerges: pre.ignoreMerges, cache: newWordCache()}
	m.readBytes()
	merges := make([][2]string, len(v.Merges))
	for i, s := range v.Merges {
		var ok bool
		if merges[i], ok = splitMerge(s); !ok {
			return fmt.Errorf("vocabulary: merge %d: %.100q is not two tokens with one space between", i, s)
		}
	}
	if err := m.addMerges(merges, func(i int) string { return fmt.Sprintf("vocabulary: merge %d", i) }); err != nil {
		return err
	}
	t.byteLevel, t.model = true, m
	t.decoder = []decodeStep{byteLevelDecoder{}}
	return nil
}
