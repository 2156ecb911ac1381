package tokenizer

import "strings"

// Models without a pre-tokeniser (Llama 2, Mistral, Gemma) take a whole text as one word. Their tokens hold the
// space mark in front only, or in a row of marks; where that is so of every token that merging can make, nothing
// merges over the border between another character and a mark, and the text falls apart into words that can be
// merged, and remembered, one by one.

// spaceMark stands for a space in SentencePiece vocabularies.
const spaceMark = "▁"

// marksLead says whether no mark in token follows another character.
func marksLead(token string) bool {
	return !strings.Contains(strings.TrimLeft(token, spaceMark), spaceMark)
}

// eachMarked calls f with the parts of s that begin with a mark after another character, and the first.
func eachMarked(s string, f func(i, j int)) {
	from := 0
	for i := 0; ; {
		k := strings.Index(s[i:], spaceMark)
		if k < 0 {
			break
		}
		if i += k; k > 0 && i > from {
			f(from, i)
			from = i
		}
		i += len(spaceMark)
	}
	if from < len(s) {
		f(from, len(s))
	}
}
