package tokenizer

import (
	"cmp"
	"slices"
	"strings"
)

// addLlama adds what the SentencePiece kinds have: marks for spaces, merges by score, bytes for unknown characters.
func (f *jsonFile) addLlama(t *Tokenizer, v Vocab) {
	mark := jsonObject{"type": "Replace", "pattern": jsonObject{"String": " "}, "content": spaceMark}
	decoders := []jsonObject{
		{"type": "Replace", "pattern": jsonObject{"String": spaceMark}, "content": " "},
		{"type": "ByteFallback"},
		{"type": "Fuse"},
	}
	f.Normalizer = mark
	if v.AddSpacePrefix {
		f.Normalizer = jsonObject{"type": "Sequence", "normalizers": []jsonObject{{"type": "Prepend", "prepend": spaceMark}, mark}}
		decoders = append(decoders, jsonObject{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	f.Decoder = jsonObject{"type": "Sequence", "decoders": decoders}
	f.Model.ByteFallback = slices.ContainsFunc(v.Tokens, func(s string) bool { _, ok := isByteToken(s); return ok })
	if v.UNK >= 0 {
		unk := v.Tokens[v.UNK]
		f.Model.UnkToken = &unk
	}
	f.Model.Merges = mergesByScore(t.vocab, v)
}

// scoredMerge is a pair of tokens that forms a third.
type scoredMerge struct {
	left, right string
	id          int32 // of the token it forms
	ids         [2]int32
}

// mergesByScore lists every pair of tokens whose joined text is a token, the highest score of that first, then
// the lowest id of that, of the left half and of the right: the order of the published files. Byte tokens and the unknown token, which stand for text other than their own, merge with nothing.
func mergesByScore(vocab map[string]int32, v Vocab) []string {
	merges := []scoredMerge{}
	mergeable := func(s string) bool {
		id, ok := vocab[s]
		if !ok || id == v.UNK {
			return false
		}
		_, isByte := isByteToken(s)
		return !isByte
	}
	for token, id := range vocab {
		if strings.Contains(token, " ") {
			continue // a text has marks for its spaces
		}
		for i := range token {
			if i > 0 && mergeable(token[:i]) && mergeable(token[i:]) {
				merges = append(merges, scoredMerge{token[:i], token[i:], id, [2]int32{vocab[token[:i]], vocab[token[i:]]}})
			}
		}
	}
	slices.SortFunc(merges, func(a, b scoredMerge) int {
		return cmp.Or(cmp.Compare(v.Scores[b.id], v.Scores[a.id]), cmp.Compare(a.id, b.id), slices.Compare(a.ids[:], b.ids[:]))
	})
	list := make([]string, len(merges))
	for i, m := range merges {
		list[i] = m.left + " " + m.right
	}
	return list
}
