package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// JSON writes the vocabulary as a tokenizer.json: Parse of it gives the ids, texts and special tokens of FromVocab,
// and so do the libraries that read such files.
//
// "gpt2" kinds carry over exactly. A "llama" kind has scores where the file has a list of merges: every pair of
// tokens that forms a token, by falling score. The two agree where no two tokens that texts form share a score and
// every character of a token is a token itself, as in vocabularies that SentencePiece trains. Elsewhere
//   - of two pairs with one score FromVocab merges the one on the left first, and Parse the one that forms the token
//     of the lower id;
//   - FromVocab may form a token over a character that is no token, which Parse spells as bytes;
//   - FromVocab spells a character that lacks some of its byte tokens with the others and one unknown token per
//     missing byte, and Parse with one unknown token.
//
// A token that is unused and has the text of another is left out. Tokens that are not UTF-8 are an error, as the
// file cannot hold them; so is whatever FromVocab refuses.
func (v Vocab) JSON() ([]byte, error) {
	t, err := FromVocab(v)
	if err != nil {
		return nil, err
	}
	for id, token := range v.Tokens {
		if !utf8.ValidString(token) {
			return nil, fmt.Errorf("vocabulary: token %d, %.100q, is not UTF-8, which a tokenizer.json cannot hold", id, token)
		}
	}
	file := &jsonFile{Version: "1.0", AddedTokens: t.exportAdded(), PostProcessor: v.exportPost(t)}
	file.Model.Type, file.Model.Vocab = "BPE", t.vocab
	if v.Model == "gpt2" {
		err = file.addGPT2(v)
	} else {
		file.addLlama(t, v)
	}
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	return b.Bytes(), nil
}

// jsonFile is a tokenizer.json, its fields in the customary order.
type jsonFile struct {
	Version       string      `json:"version"`
	Truncation    any         `json:"truncation"`
	Padding       any         `json:"padding"`
	AddedTokens   []jsonAdded `json:"added_tokens"`
	Normalizer    any         `json:"normalizer"`
	PreTokenizer  any         `json:"pre_tokenizer"`
	PostProcessor any         `json:"post_processor"`
	Decoder       any         `json:"decoder"`
	Model         jsonModel   `json:"model"`
}

// jsonAdded is one entry of added_tokens.
type jsonAdded struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	Lstrip     bool   `json:"lstrip"`
	Rstrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// jsonModel is a byte-pair model.
type jsonModel struct {
	Type         string    `json:"type"`
	Dropout      any       `json:"dropout"`
	UnkToken     *string   `json:"unk_token"`
	Prefix       any       `json:"continuing_subword_prefix"`
	Suffix       any       `json:"end_of_word_suffix"`
	FuseUnk      bool      `json:"fuse_unk"`
	ByteFallback bool      `json:"byte_fallback"`
	IgnoreMerges bool      `json:"ignore_merges"`
	Vocab        jsonVocab `json:"vocab"`
	Merges       []string  `json:"merges"` // "left right": no token that merges has a space
}

// jsonVocab is written by ascending id.
type jsonVocab map[string]int32

// MarshalJSON writes {"token": id, …}.
func (v jsonVocab) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, token := range sortedTokens(v) {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(token)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(append(b, key...), ":%d", v[token])
	}
	return append(b, '}'), nil
}

// sortedTokens lists the tokens of a vocabulary by their ids.
func sortedTokens(vocab map[string]int32) []string {
	tokens := make([]string, 0, len(vocab))
	for token := range vocab {
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b string) int { return cmp.Compare(vocab[a], vocab[b]) })
	return tokens
}

// jsonObject is a part of the file whose fields vary by its type.
type jsonObject map[string]any

// exportAdded lists the added tokens by id, all of them matched in the text as it came.
func (t *Tokenizer) exportAdded() []jsonAdded {
	list := []jsonAdded{}
	for id, tok := range t.added.byID {
		if t.added.ids[tok.content] == id {
			list = append(list, jsonAdded{ID: id, Content: tok.content, Special: tok.special})
		}
	}
	slices.SortFunc(list, func(a, b jsonAdded) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// exportPost puts BOS and EOS around a text where the vocabulary asks for them.
func (v Vocab) exportPost(t *Tokenizer) any {
	if len(t.before)+len(t.after) == 0 {
		return nil
	}
	special := jsonObject{}
	around := func(sequence string, kind int) (list []jsonObject) {
		add := func(ids []int32) {
			for _, id := range ids {
				token, _ := t.Token(id)
				special[token] = jsonObject{"id": token, "ids": []int32{id}, "tokens": []string{token}}
				list = append(list, jsonObject{"SpecialToken": jsonObject{"id": token, "type_id": kind}})
			}
		}
		add(t.before)
		list = append(list, jsonObject{"Sequence": jsonObject{"id": sequence, "type_id": kind}})
		add(t.after)
		return list
	}
	single := around("A", 0)
	return jsonObject{"type": "TemplateProcessing", "single": single, "pair": slices.Concat(single, around("B", 1)), "special_tokens": special}
}

// addGPT2 adds what the byte-pair kinds have: patterns, the byte alphabet, the merges as they stand.
func (f *jsonFile) addGPT2(v Vocab) error {
	pre, err := findPre(v.Pre)
	if err != nil {
		return err
	}
	if pre.nfc {
		f.Normalizer = jsonObject{"type": "NFC"}
	}
	var steps []jsonObject
	regex := false // GPT-2's own pattern is part of ByteLevel
	for i, pattern := range pre.patterns {
		switch {
		case pattern == digitPattern:
			steps = append(steps, jsonObject{"type": "Digits", "individual_digits": true})
		case pattern == gpt2Pattern && i == len(pre.patterns)-1:
			regex = true
		default:
			steps = append(steps, jsonObject{"type": "Split", "pattern": jsonObject{"Regex": pattern}, "behavior": "Isolated", "invert": false})
		}
	}
	byteLevel := func(regex bool) jsonObject {
		return jsonObject{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
	}
	f.PreTokenizer = jsonObject{"type": "Sequence", "pretokenizers": append(steps, byteLevel(regex))}
	f.Decoder = byteLevel(true)
	f.Model.IgnoreMerges = pre.ignoreMerges
	f.Model.Merges = append([]string{}, v.Merges...)
	return nil
}
