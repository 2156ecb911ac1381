package nn

// KV holds the keys and values of one sequence, layer by layer, for decoding. It belongs to one stream and one
// base; the rows of a call that carry it are appended and then attended to.
type KV struct {
	layers []kvLayer
	length int // positions that every layer holds between calls
}

type kvLayer struct {
	k, v []float32 // (positions, G·E)
}

// NewKV returns an empty cache for a model of n layers.
func NewKV(n int) *KV { return &KV{layers: make([]kvLayer, n)} }

// Len is the number of positions held.
func (kv *KV) Len() int { return kv.length }

// Truncate forgets the positions from n on.
func (kv *KV) Truncate(n int) { kv.length = min(kv.length, n) }

// Advance makes n appended rows part of the cache, once every layer has them.
func (kv *KV) Advance(n int) { kv.length += n }

// put stores the rows k and v, (n, width) each, after the positions held, and returns all keys and values with
// them. Room grows by half again, so appending is linear over a sequence.
func (kv *KV) put(layer int, k, v []float32, width int) (ks, vs []float32) {
	l := &kv.layers[layer]
	at := kv.length * width
	l.k = append(grow(l.k, at, len(k)), k...)
	l.v = append(grow(l.v, at, len(v)), v...)
	return l.k, l.v
}

// grow returns s cut to n elements with room for m more.
func grow(s []float32, n, m int) []float32 {
	if cap(s) >= n+m {
		return s[:n]
	}
	g := make([]float32, n, n+m+(n+m)/2)
	copy(g, s[:n])
	return g
}
