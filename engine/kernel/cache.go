package kernel

import "fmt"

// The two products of a decoding step's attention: one query with cached keys, and its weights with cached values.
// Rows of a cache lie stride values apart. They are Dot and Axpy for many rows in one call, bit for bit, without
// going through memory between rows.

// DotRows sets s[j] = Dot(q, k[j·stride : j·stride+len(q)]) for every j.
func DotRows(s, q, k []float32, stride int) {
	checkRows("DotRows", s, q, k, stride)
	if len(s) > 0 {
		active.dotRows(s, q, k, stride)
	}
}

// AddRows computes y += Σ_j p[j]·v[j·stride : j·stride+len(y)], j ascending, as Axpy for one j after the other.
func AddRows(y, p, v []float32, stride int) {
	checkRows("AddRows", p, y, v, stride)
	if len(p) > 0 {
		active.addRows(y, p, v, stride)
	}
}

func checkRows(op string, each, row, cache []float32, stride int) {
	if stride < 0 || len(each) > 0 && len(cache) < (len(each)-1)*stride+len(row) {
		panic(fmt.Sprintf("kernel.%s: %d rows of %d, %d apart, in a cache of %d", op, len(each), len(row), stride, len(cache)))
	}
}

func dotRowsGeneric(s, q, k []float32, stride int) {
	for j := range s {
		s[j] = dotGeneric(q, k[j*stride:][:len(q)])
	}
}

func addRowsGeneric(y, p, v []float32, stride int) {
	for j, w := range p {
		axpyGeneric(y, w, v[j*stride:][:len(y)])
	}
}
