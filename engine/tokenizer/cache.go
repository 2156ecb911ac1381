package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// wordCache remembers how words were cut. It is a table of fixed size in which a newer word replaces the older one
// in its place, so it is bounded and needs no lock.
type wordCache struct {
	seed  maphash.Seed
	slots [1 << cacheBits]atomic.Pointer[cachedWord]
}

const (
	cacheBits   = 15
	cacheLength = 64 // longest word kept, in bytes
)

// cachedWord is one word and its tokens with the byte at which each begins.
type cachedWord struct {
	word   string
	ids    []int32
	starts []uint8
}

func newWordCache() *wordCache { return &wordCache{seed: maphash.MakeSeed()} }

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)>>(64-cacheBits)]
}

// get returns the word, nil where it is not there.
func (c *wordCache) get(word string) *cachedWord {
	if e := c.slot(word).Load(); e != nil && e.word == word {
		return e
	}
	return nil
}

// put remembers a word that is short enough.
func (c *wordCache) put(word string, syms []symbol) {
	if len(word) > cacheLength {
		return
	}
	e := &cachedWord{word: strings.Clone(word), ids: make([]int32, len(syms)), starts: make([]uint8, len(syms))}
	for i, s := range syms {
		e.ids[i], e.starts[i] = s.id, uint8(s.start)
	}
	c.slot(word).Store(e)
}

// replay appends the tokens of a word that is remembered and says whether it is.
func (c *wordCache) replay(r *run, p piece) bool {
	if len(p.s) > cacheLength {
		return false
	}
	e := c.get(p.s)
	if e == nil {
		return false
	}
	r.ids = append(r.ids, e.ids...)
	if r.track {
		for _, at := range e.starts {
			r.starts = append(r.starts, p.origin(int(at)))
		}
	}
	return true
}
