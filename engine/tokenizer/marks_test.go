package tokenizer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestByWord: cutting a text at its space marks changes no id and no offset.
func TestByWord(t *testing.T) {
	pieces := []string{"he", "hello", "t", " ", "  ", "▁", "▁▁ ", "a", "é", "中", "\n", "<s>", "😀", "12", ".", "the quick", " brown"}
	check := func(t *testing.T, words, whole *Tokenizer) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 3000 {
			text := randomText(r, pieces, 12)
			got, gotStarts := words.EncodeSpans(text, nil)
			want, wantStarts := whole.EncodeSpans(text, nil)
			if !slices.Equal(got, want) || !slices.Equal(gotStarts, wantStarts) {
				t.Fatalf("%q: by word %v at %v, whole %v at %v", text, got, gotStarts, want, wantStarts)
			}
		}
	}
	t.Run("sentencepiece", func(t *testing.T) {
		both := [2]*Tokenizer{}
		for i := range both {
			tok, err := FromVocab(storyVocab(" "))
			if err != nil {
				t.Fatal(err)
			}
			both[i] = tok
		}
		if !both[0].model.(*sentencePiece).byWord {
			t.Fatal("not cut by word")
		}
		both[1].model.(*sentencePiece).byWord = false
		check(t, both[0], both[1])
	})
	t.Run("bpe", func(t *testing.T) {
		words, whole := openModel(t, "llama2"), openModel(t, "llama2")
		if !words.model.(*bpe).byWord {
			t.Fatal("not cut by word")
		}
		whole.model.(*bpe).byWord = false
		check(t, words, whole)
	})
}
