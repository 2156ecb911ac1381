package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// addedToken is a token found in the text before anything else happens to it.
type addedToken struct {
	content    string
	id         int32
	special    bool
	normalized bool // matched after normalisation, its content normalised too
	lstrip     bool
	rstrip     bool
	singleWord bool
}

// maxAddedToken bounds the length of an added token in bytes: the search is linear in text times longest token.
const maxAddedToken = 4096

// added holds the added tokens and their two searches.
type added struct {
	byID       map[int32]addedToken
	ids        map[string]int32
	raw        *matcher // tokens matched in the text as it came
	normalized *matcher // tokens matched in normalised text
}

// assign gives tokens their ids by the reference's rule: a token of the model's vocabulary keeps that id, any
// other gets the next free one after the vocabulary, whatever the file says.
func (a *added) assign(tokens []addedToken, vocab map[string]int32) {
	a.byID, a.ids = map[int32]addedToken{}, map[string]int32{}
	next := int32(len(vocab))
	for _, tok := range tokens {
		if tok.content == "" {
			continue
		}
		id, known := vocab[tok.content]
		if !known {
			if id, known = a.ids[tok.content]; !known {
				id = next
			}
		}
		if id >= next {
			next = id + 1
		}
		tok.id = id
		a.ids[tok.content] = id
		a.byID[id] = tok
	}
}

// index builds the searches; normalize may be nil.
func (a *added) index(r *run, normalize normalizer) {
	a.raw, a.normalized = &matcher{}, &matcher{}
	for _, tok := range a.byID {
		if !tok.normalized {
			a.raw.insert(tok.content, tok)
			continue
		}
		content := tok.content
		if normalize != nil {
			content = normalize(r, piece{s: content, head: true}).s
		}
		a.normalized.insert(content, tok)
	}
}

// guarded says whether a token must not be read out of text that came from a user: special tokens, and those of
// their look, which some files forget to mark.
func (t addedToken) guarded() bool {
	return t.special || strings.HasPrefix(t.content, "<|") && strings.HasSuffix(t.content, "|>") ||
		strings.HasPrefix(t.content, "<｜") && strings.HasSuffix(t.content, "｜>")
}

// matcher is a trie over bytes: the first level a table, deeper levels lists of siblings.
type matcher struct {
	root  [256]int32 // index of the node for a first byte, 0: none
	nodes []trieNode // nodes[0] is unused
	toks  []addedToken
}

type trieNode struct {
	b              byte
	child, sibling int32
	tok            int32 // index into toks plus one
}

func (m *matcher) insert(content string, tok addedToken) {
	if content == "" {
		return
	}
	if m.nodes == nil {
		m.nodes = make([]trieNode, 1)
	}
	at := m.root[content[0]]
	if at == 0 {
		at = m.node(content[0], 0)
		m.root[content[0]] = at
	}
	for i := 1; i < len(content); i++ {
		n := m.nodes[at].child
		for n != 0 && m.nodes[n].b != content[i] {
			n = m.nodes[n].sibling
		}
		if n == 0 {
			n = m.node(content[i], m.nodes[at].child)
			m.nodes[at].child = n
		}
		at = n
	}
	if old := m.nodes[at].tok; old != 0 && m.toks[old-1].id < tok.id {
		return // two tokens normalise to the same text: the lower id wins
	}
	m.toks = append(m.toks, tok)
	m.nodes[at].tok = int32(len(m.toks))
}

func (m *matcher) node(b byte, sibling int32) int32 {
	m.nodes = append(m.nodes, trieNode{b: b, sibling: sibling})
	return int32(len(m.nodes) - 1)
}

// longest returns the longest allowed token that begins at s[i], nil if none does.
func (m *matcher) longest(s string, i int, allowed func(t *addedToken, i, j int) bool) (tok *addedToken, end int) {
	n := m.root[s[i]]
	for j := i + 1; n != 0; j++ {
		if k := m.nodes[n].tok; k != 0 && allowed(&m.toks[k-1], i, j) {
			tok, end = &m.toks[k-1], j
		}
		if j == len(s) {
			break
		}
		n = m.nodes[n].child
		for n != 0 && m.nodes[n].b != s[j] {
			n = m.nodes[n].sibling
		}
	}
	return tok, end
}

// split cuts p at the tokens found in it: text gets the parts between, token the tokens with the place of each.
func (m *matcher) split(p piece, allowed func(t *addedToken, i, j int) bool, text func(piece), token func(id int32, at int)) {
	if len(m.nodes) == 0 {
		text(p)
		return
	}
	from := 0
	for i := 0; i < len(p.s); {
		if m.root[p.s[i]] == 0 {
			i++
			continue
		}
		tok, end := m.longest(p.s, i, allowed)
		if tok == nil {
			i++
			continue
		}
		start, stop := i, end
		i = end
		if tok.singleWord && !standsAlone(p.s, start, stop) {
			continue
		}
		if tok.lstrip {
			start = max(len(strings.TrimRightFunc(p.s[:start], isSpace)), from)
		}
		if tok.rstrip {
			stop = len(p.s) - len(strings.TrimLeftFunc(p.s[stop:], isSpace))
		}
		if from < start {
			text(p.slice(from, start))
		}
		token(tok.id, p.origin(start))
		from = stop
	}
	if from < len(p.s) {
		text(p.slice(from, len(p.s)))
	}
}

// standsAlone says whether no word character touches s[i:j].
func standsAlone(s string, i, j int) bool {
	before, n := utf8.DecodeLastRuneInString(s[:i])
	after, m := utf8.DecodeRuneInString(s[j:])
	return (n == 0 || !isWord(before)) && (m == 0 || !isWord(after))
}
