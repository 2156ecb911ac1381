package weights

import (
	"encoding/binary"
	"math"
	"strings"
)

// Types of metadata values, as GGUF numbers them.
const (
	ggufU8 uint32 = iota
	ggufI8
	ggufU16
	ggufI16
	ggufU32
	ggufI32
	ggufF32
	ggufBool
	ggufString
	ggufArray
	ggufU64
	ggufI64
	ggufF64
)

// ggufWidth is the size of the fixed-width types.
var ggufWidth = map[uint32]int64{ggufU8: 1, ggufI8: 1, ggufBool: 1, ggufU16: 2, ggufI16: 2,
	ggufU32: 4, ggufI32: 4, ggufF32: 4, ggufU64: 8, ggufI64: 8, ggufF64: 8}

// ggufMaxNesting bounds arrays of arrays.
const ggufMaxNesting = 8

// ggufValue is a metadata value, checked but still in the file's bytes.
type ggufValue struct {
	typ   uint32
	elem  uint32 // of an array
	count int    // of an array
	raw   []byte // a scalar's bytes, a string's text, an array's elements
}

// value reads the value of a key and checks that all of it lies inside the file.
func (r *ggufReader) value(key string) (ggufValue, error) {
	if r.left() < 4 {
		return ggufValue{}, r.fail(r.pos, "the file ends before the value of key %s", quote(key))
	}
	return r.valueOf(key, r.u32(), ggufMaxNesting)
}

func (r *ggufReader) valueOf(key string, typ uint32, depth int) (v ggufValue, err error) {
	at := r.pos
	v.typ = typ
	switch width := ggufWidth[typ]; {
	case width > 0:
		if r.left() < width {
			return v, r.fail(at, "the file ends inside the value of key %s", quote(key))
		}
		v.raw = r.take(width)
		if typ == ggufBool && v.raw[0] > 1 {
			return v, r.fail(at, "key %s: boolean of value %d", quote(key), v.raw[0])
		}
		return v, nil
	case typ == ggufString:
		v.raw, err = r.bytes("value of key " + quote(key))
		return v, err
	case typ == ggufArray:
		return r.array(key, depth)
	}
	return v, r.fail(at, "key %s has unknown value type %d", quote(key), int32(typ))
}

func (r *ggufReader) array(key string, depth int) (ggufValue, error) {
	at := r.pos
	if depth == 0 {
		return ggufValue{}, r.fail(at, "key %s: arrays nested deeper than %d", quote(key), ggufMaxNesting)
	}
	if r.left() < 12 {
		return ggufValue{}, r.fail(at, "the file ends inside the array of key %s", quote(key))
	}
	v := ggufValue{typ: ggufArray, elem: r.u32()}
	n := r.u64()
	least := int64(12) // of an inner array
	if w := ggufWidth[v.elem]; w > 0 {
		least = w
	} else if v.elem == ggufString {
		least = 8
	} else if v.elem != ggufArray {
		return v, r.fail(at, "array of key %s has unknown element type %d", quote(key), int32(v.elem))
	}
	if n > uint64(r.left()/least) {
		return v, r.fail(at, "array of key %s: %d elements do not fit the %d bytes left", quote(key), n, r.left())
	}
	v.count = int(n)
	start := r.pos
	switch v.elem {
	case ggufString:
		for range v.count {
			if _, err := r.bytes("a string in the array of the key"); err != nil {
				return v, err
			}
		}
	case ggufArray:
		for range v.count {
			if _, err := r.array(key, depth-1); err != nil {
				return v, err
			}
		}
	default:
		r.pos += int64(n) * least
	}
	v.raw = r.data[start:r.pos:r.pos]
	return v, nil
}

// integer returns a scalar of any integer type that fits int64.
func (v ggufValue) integer() (int64, bool) {
	switch v.typ {
	case ggufU8, ggufI8, ggufU16, ggufI16, ggufU32, ggufI32, ggufU64, ggufI64:
		return integerOf(v.typ, v.raw)
	}
	return 0, false
}

// integerOf decodes one element; u64 beyond int64 is not ok.
func integerOf(typ uint32, b []byte) (int64, bool) {
	le := binary.LittleEndian
	switch typ {
	case ggufU8:
		return int64(b[0]), true
	case ggufI8:
		return int64(int8(b[0])), true
	case ggufU16:
		return int64(le.Uint16(b)), true
	case ggufI16:
		return int64(int16(le.Uint16(b))), true
	case ggufU32:
		return int64(le.Uint32(b)), true
	case ggufI32:
		return int64(int32(le.Uint32(b))), true
	case ggufU64:
		u := le.Uint64(b)
		return int64(u), u <= math.MaxInt64
	case ggufI64:
		return int64(le.Uint64(b)), true
	}
	return 0, false
}

// float returns a float scalar and how many bits it has, so that it can be written to parse back exactly.
func (v ggufValue) float() (f float64, bits int, ok bool) {
	switch v.typ {
	case ggufF32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.raw))), 32, true
	case ggufF64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.raw)), 64, true
	}
	return 0, 0, false
}

// integers returns an array of integers of 32 or 64 bits (so that the copy is at most twice what the file has).
func (v ggufValue) integers() ([]int64, bool) {
	w := ggufWidth[v.elem]
	if v.typ != ggufArray || w < 4 {
		return nil, false
	}
	out := make([]int64, v.count)
	for i := range out {
		var ok bool
		if out[i], ok = integerOf(v.elem, v.raw[int64(i)*w:]); !ok {
			return nil, false
		}
	}
	return out, true
}

// floats32 returns an array of f32.
func (v ggufValue) floats32() ([]float32, bool) {
	if v.typ != ggufArray || v.elem != ggufF32 {
		return nil, false
	}
	out := make([]float32, v.count)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.raw[4*i:]))
	}
	return out, true
}

// strings returns an array of strings as copies. They share one allocation, since there are often a hundred
// thousand of them.
func (v ggufValue) strings() ([]string, bool) {
	if v.typ != ggufArray || v.elem != ggufString {
		return nil, false
	}
	var text strings.Builder
	text.Grow(len(v.raw) - 8*v.count)
	for c := (cursor{data: v.raw}); c.left() > 0; {
		text.Write(c.take(int64(c.u64())))
	}
	all := text.String()
	out := make([]string, v.count)
	c := cursor{data: v.raw}
	for i := range out {
		n := int64(c.u64())
		c.take(n)
		out[i], all = all[:n], all[n:]
	}
	return out, true
}
