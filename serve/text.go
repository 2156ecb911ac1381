package serve

import "hone/engine/tokenizer"

// Texts is the text of each token of ids, as a Token's Text is: joined they are the text of ids, control tokens
// have none, and a token that ends inside a character leaves it to the one that completes it.
func Texts(tok *tokenizer.Tokenizer, ids []int32) []string {
	texts := make([]string, len(ids))
	pieces := tok.NewStream()
	last := -1
	for i, id := range ids {
		if !tok.IsSpecial(id) {
			texts[i], last = pieces.Push(id), i
		}
	}
	if last >= 0 {
		texts[last] += pieces.Flush()
	}
	return texts
}
