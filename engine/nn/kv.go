package nn

import "hone/engine/kernel"

// keyBlock is how many keys and values are stored, and scored, together. Blocks start at multiples of it in a
// sequence, whatever call brings the rows.
const keyBlock = kernel.KeyBlock

// KV holds the keys and values of one sequence, layer by layer, for decoding. It belongs to one stream and one
// base; the rows of a call that carry it are appended and then attended to. Blocks of keyBlock positions are
// allocated as they are reached and never move. Where products are not in f32, they hold half floats, which all
// readers see, those of the same call too, so that it makes no difference how a prompt is cut into calls.
type KV struct {
	layers []kvLayer
	length int // positions that every layer holds between calls
}

// kvLayer is one of the two, for all groups; see packing for what is in a block.
type kvLayer struct {
	f32 [][]float32
	f16 [][]byte
}

// NewKV returns an empty cache for a model of n layers.
func NewKV(n int) *KV { return &KV{layers: make([]kvLayer, n)} }

// Len is the number of positions held.
func (kv *KV) Len() int { return kv.length }

// Truncate forgets the positions from n on.
func (kv *KV) Truncate(n int) { kv.length = min(kv.length, n) }

// Advance makes n appended rows part of the cache, once every layer has them.
func (kv *KV) Advance(n int) { kv.length += n }

// reserve returns a layer's blocks, with room for n positions after those held; half says what a new cache holds.
func (kv *KV) reserve(layer, n int, half bool, p packing) kvLayer {
	l := &kv.layers[layer]
	for blocks := (kv.length + n + keyBlock - 1) / keyBlock; len(l.f32)+len(l.f16) < blocks; {
		if half {
			l.f16 = append(l.f16, make([]byte, 2*p.block()))
		} else {
			l.f32 = append(l.f32, make([]float32, p.block()))
		}
	}
	return *l
}
