package tokenizer

import "math/rand/v2"

// symbol is a stretch of a word that is, or will be, a token.
type symbol struct {
	id         int32
	start, end int32 // bytes of the word
	prev, next int32 // neighbours, -1 at the ends
	dead       bool
}

// candidate is a pair of neighbours that may merge: the one at pos and the next.
type candidate struct {
	rank float64 // lower merges first
	pos  int32
	id   int32 // of the merged token
}

// wordScratch is the room that merging a word takes, kept between words.
type wordScratch struct {
	syms []symbol
	heap []candidate
	buf  []byte
	path []lattice
}

// symbol appends a symbol to the word.
func (w *wordScratch) symbol(id int32, start, end int) {
	n := int32(len(w.syms))
	w.syms = append(w.syms, symbol{id: id, start: int32(start), end: int32(end), prev: n - 1, next: n + 1})
}

// merge joins pairs of neighbours, the lowest rank first and the leftmost of equal ones, until find knows no pair
// that is left. It takes n log n steps in the length of the word.
func (w *wordScratch) merge(find func(a, b *symbol) (rank float64, id int32, ok bool)) {
	n := len(w.syms)
	if n < 2 {
		return
	}
	w.syms[n-1].next = -1
	w.heap = w.heap[:0]
	consider := func(i int32) {
		if i < 0 || w.syms[i].next < 0 {
			return
		}
		if rank, id, ok := find(&w.syms[i], &w.syms[w.syms[i].next]); ok {
			w.push(candidate{rank, i, id})
		}
	}
	for i := range n - 1 {
		consider(int32(i))
	}
	for len(w.heap) > 0 {
		c := w.pop()
		a := &w.syms[c.pos]
		if a.dead || a.next < 0 {
			continue
		}
		b := &w.syms[a.next]
		if _, id, ok := find(a, b); !ok || id != c.id {
			continue // one of the two has merged since
		}
		a.id, a.end, a.next = c.id, b.end, b.next
		b.dead = true
		if a.next >= 0 {
			w.syms[a.next].prev = c.pos
		}
		consider(a.prev)
		consider(c.pos)
	}
}

// mergeShort is merge for words of a few symbols: no queue, the symbols kept side by side.
func (w *wordScratch) mergeShort(pairs *pairTable) {
	var ranks [shortWord]int32
	var ids [shortWord]int32
	syms := w.syms
	for i := range len(syms) - 1 {
		ranks[i], ids[i] = pairs.get(syms[i].id, syms[i+1].id)
	}
	for n := len(syms); n > 1; n-- {
		best := 0
		for i := 1; i < n-1; i++ {
			if ranks[i] < ranks[best] {
				best = i
			}
		}
		if ranks[best] == noRank {
			break
		}
		syms[best].id, syms[best].end = ids[best], syms[best+1].end
		copy(syms[best+1:], syms[best+2:])
		syms = syms[:n-1]
		copy(ranks[best+1:n-1], ranks[best+2:n])
		copy(ids[best+1:n-1], ids[best+2:n])
		if best > 0 {
			ranks[best-1], ids[best-1] = pairs.get(syms[best-1].id, syms[best].id)
		}
		if best < n-2 {
			ranks[best], ids[best] = pairs.get(syms[best].id, syms[best+1].id)
		}
	}
	w.syms = syms
}

// shortWord is the longest word that mergeShort takes, in symbols.
const shortWord = 28

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.pos < d.pos
}

func (w *wordScratch) push(c candidate) {
	h := append(w.heap, c)
	i := len(h) - 1
	for i > 0 && c.before(h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = c
	w.heap = h
}

func (w *wordScratch) pop() candidate {
	h := w.heap
	top, c := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for {
		k := 2*i + 1
		if k >= len(h) {
			break
		}
		if k+1 < len(h) && h[k+1].before(h[k]) {
			k++
		}
		if !h[k].before(c) {
			break
		}
		h[i] = h[k]
		i = k
	}
	if len(h) > 0 {
		h[i] = c
	}
	w.heap = h
	return top
}

// pairTable maps a pair of ids to the rank and the id of their merge. The hash is seeded per table, so that a file
// cannot be made to collide.
type pairTable struct {
	keys  []uint64 // key plus one, 0: free
	vals  []pairValue
	shift uint
	seed  uint64
}

type pairValue struct{ rank, id int32 }

const noRank = int32(1<<31 - 1)

func newPairTable(n int) *pairTable {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	return &pairTable{make([]uint64, 1<<bits), make([]pairValue, 1<<bits), 64 - bits, rand.Uint64() | 1}
}

func (t *pairTable) slot(key uint64) uint64 {
	i := key * t.seed >> t.shift
	for t.keys[i] != 0 && t.keys[i] != key+1 {
		i = (i + 1) & uint64(len(t.keys)-1)
	}
	return i
}

// set stores a pair; a later one replaces an earlier.
func (t *pairTable) set(a, b, rank, id int32) {
	key := uint64(uint32(a))<<32 | uint64(uint32(b))
	i := t.slot(key)
	t.keys[i], t.vals[i] = key+1, pairValue{rank, id}
}

// get returns noRank where the pair does not merge.
func (t *pairTable) get(a, b int32) (rank, id int32) {
	i := t.slot(uint64(uint32(a))<<32 | uint64(uint32(b)))
	if t.keys[i] == 0 {
		return noRank, -1
	}
	return t.vals[i].rank, t.vals[i].id
}
