package tokenizer

import (
	"fmt"
	"math"
	"strings"
)

// unigram cuts a text into the tokens whose scores add up highest (Kudo, 2018).
type unigram struct {
	vocab    map[string]int32
	scores   []float64
	trie     matcher
	unk      int32 // -1: none
	unkScore float64
	fallback bool
	byteID   [256]int32
}

// unknownPenalty is how far an unknown character scores below the worst token.
const unknownPenalty = 10

// maxUnigramToken bounds the bytes of a token: cutting takes text times longest token steps.
const maxUnigramToken = 1024

// lattice is the best way to reach a byte of the text.
type lattice struct {
	score float64
	from  int32 // -1: not reached
	id    int32
}

func (m *unigram) index(tokens []string) error {
	lowest := math.Inf(1)
	for id, token := range tokens {
		if len(token) > maxUnigramToken {
			return fmt.Errorf("model.vocab[%d]: the token is %d bytes long; the limit is %d", id, len(token), maxUnigramToken)
		}
		lowest = min(lowest, m.scores[id])
		m.trie.insert(token, addedToken{id: int32(id)})
	}
	m.unkScore = lowest - unknownPenalty
	return nil
}

func (m *unigram) tokenize(r *run, p piece) {
	path := m.best(r, p.s)
	// Walk back from the end; neighbouring unknowns become one.
	type cut struct{ i, j int }
	var cuts []cut
	fused := false
	for j := len(p.s); j > 0; {
		node := path[j]
		i := int(node.from)
		if m.unk >= 0 && node.id == m.unk {
			if fused {
				cuts[len(cuts)-1].i = i
			} else {
				cuts = append(cuts, cut{i, j})
			}
			fused = true
		} else {
			cuts = append(cuts, cut{i, j})
			fused = false
		}
		j = i
	}
	for k := len(cuts) - 1; k >= 0; k-- {
		m.add(r, p, cuts[k].i, cuts[k].j)
	}
}

// add appends the token p.s[i:j], or its bytes, or the unknown token.
func (m *unigram) add(r *run, p piece, i, j int) {
	if id, ok := m.vocab[p.s[i:j]]; ok {
		r.add(id, p, i)
		return
	}
	if m.fallback && m.hasBytes(p.s[i:j]) {
		for ; i < j; i++ {
			r.add(m.byteID[p.s[i]], p, i)
		}
		return
	}
	if m.unk < 0 {
		r.fail(p.s[i:j])
		return
	}
	r.add(m.unk, p, i)
}

func (m *unigram) hasBytes(s string) bool {
	for k := range len(s) {
		if m.byteID[s[k]] < 0 {
			return false
		}
	}
	return true
}

// best fills the lattice from the left.
func (m *unigram) best(r *run, s string) []lattice {
	path := r.word.path[:0]
	for range len(s) + 1 {
		path = append(path, lattice{from: -1})
	}
	r.word.path = path
	reach := func(j int, score float64, from int, id int32) {
		if path[j].from < 0 || score > path[j].score {
			path[j] = lattice{score, int32(from), id}
		}
	}
	for i := 0; i < len(s); {
		here := path[i].score
		w := charLen(s, i)
		single := false
		m.trie.prefixes(s, i, func(id int32, j int) {
			reach(j, m.scores[id]+here, i, id)
			single = single || j == i+w
		})
		if !single {
			reach(i+w, m.unkScore+here, i, m.unk)
		}
		i += w
	}
	return path
}

// prefixes calls f with every token that begins at s[i], the shortest first.
func (m *matcher) prefixes(s string, i int, f func(id int32, j int)) {
	n := m.root[s[i]]
	for j := i + 1; n != 0; j++ {
		if k := m.nodes[n].tok; k != 0 {
			f(m.toks[k-1].id, j)
		}
		if j == len(s) {
			return
		}
		n = m.nodes[n].child
		for n != 0 && m.nodes[n].b != s[j] {
			n = m.nodes[n].sibling
		}
	}
}

// longestToken returns the length in bytes of the longest token.
func longestToken(vocab map[string]int32) int {
	n := 0
	for token := range vocab {
		n = max(n, len(token))
	}
	return n
}

// isByteToken reads a token of the form <0xNN>.
func isByteToken(s string) (b byte, ok bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	for _, c := range []byte(s[3:5]) {
		switch {
		case '0' <= c && c <= '9':
			b = b<<4 | (c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			b = b<<4 | (c | 0x20 - 'a' + 10)
		default:
			return 0, false
		}
	}
	return b, true
}
