package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Value is a Python value as templates see it: one of None, Bool, Int, Float, Text, *List, *Dict and the
// interpreter's own objects.
type Value interface {
	// typeName is the name Python gives the type.
	typeName() string
}

type (
	// None is Python's None, JSON's null.
	None struct{}
	// Bool is a Python bool.
	Bool bool
	// Int is a Python int that fits 64 bits.
	Int int64
	// bigInt is any other Python int.
	bigInt struct{ n *big.Int }
	// Float is a Python float.
	Float float64
	// List is a Python list or tuple.
	List struct {
		items []Value
		tuple bool
	}
	// undefined is jinja2.Undefined: prints as nothing, refuses nearly everything else.
	undefined struct {
		msg  string
		kind Kind
	}
	// seq is what Python makes lazily or as a view: generators, dict views, reversed iterators.
	seq struct {
		kind  string
		items []Value
		once  bool // a generator: consumed by the first look
		// pull makes the items of a generator when they are first wanted, as Python would.
		pull func() ([]Value, error)
	}
	// pyRange is range(start, stop, step).
	pyRange struct{ start, stop, step int64 }
	// namespace is the object of namespace(): the only one templates may assign into.
	namespace struct{ vals *Dict }
	// function is a builtin or a bound method.
	function struct {
		name string
		kind string
		call func(in *interp, a *args) (Value, error)
	}
)

func (None) typeName() string       { return "NoneType" }
func (Bool) typeName() string       { return "bool" }
func (Int) typeName() string        { return "int" }
func (bigInt) typeName() string     { return "int" }
func (Float) typeName() string      { return "float" }
func (Text) typeName() string       { return "str" }
func (*undefined) typeName() string { return "Undefined" }
func (s *seq) typeName() string     { return s.kind }
func (*pyRange) typeName() string   { return "range" }
func (*namespace) typeName() string { return "Namespace" }
func (f *function) typeName() string {
	if f.kind != "" {
		return f.kind
	}
	return "builtin_function_or_method"
}
func (l *List) typeName() string {
	if l.tuple {
		return "tuple"
	}
	return "list"
}

func (u *undefined) err() error {
	return errf(u.kind, "%s", u.msg)
}

func newUndefined(format string, a ...any) *undefined {
	return &undefined{msg: fmt.Sprintf(format, a...), kind: KindUndefined}
}

func newList(items []Value) *List { return &List{items: items} }
func newTuple(items ...Value) *List {
	return &List{items: items, tuple: true}
}

// take gives the items; a generator is empty afterwards.
func (s *seq) take() ([]Value, error) {
	if pull := s.pull; pull != nil {
		s.pull = nil
		items, err := pull()
		return items, err
	}
	items := s.items
	if s.once {
		s.items = nil
	}
	return items, nil
}

func (r *pyRange) length() int64 {
	switch {
	case r.step > 0 && r.start < r.stop:
		return (r.stop-r.start-1)/r.step + 1
	case r.step < 0 && r.start > r.stop:
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

func (r *pyRange) items() []Value {
	out := make([]Value, r.length())
	for i := range out {
		out[i] = Int(r.start + int64(i)*r.step)
	}
	return out
}

// Dict is a Python dict: insertion order, keys compared as Python compares them. The zero value is ready.
type Dict struct {
	keys, vals []Value
	index      map[any]int
}

func (*Dict) typeName() string { return "dict" }

// NewDict makes an empty dict.
func NewDict() *Dict { return &Dict{} }

// Len is the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

// Set stores v under a string key, keeping the place of a key that is there already.
func (d *Dict) Set(key string, v Value) { d.set(key, plain(key), v) }

// Get looks a string key up.
func (d *Dict) Get(key string) (Value, bool) { return d.get(key) }

// Clone is a copy that shares the values.
func (d *Dict) Clone() *Dict {
	c := NewDict()
	for i, k := range d.keys {
		h, _ := hashKey(k)
		c.set(h, k, d.vals[i])
	}
	return c
}

func (d *Dict) get(h any) (Value, bool) {
	if i, ok := d.index[h]; ok {
		return d.vals[i], true
	}
	return nil, false
}

func (d *Dict) set(h any, key, v Value) {
	if i, ok := d.index[h]; ok {
		d.vals[i] = v
		return
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	d.index[h] = len(d.keys)
	d.keys = append(d.keys, key)
	d.vals = append(d.vals, v)
}

func (d *Dict) pairs() []Value {
	out := make([]Value, len(d.keys))
	for i := range d.keys {
		out[i] = newTuple(d.keys[i], d.vals[i])
	}
	return out
}

// hashKey maps values that Python holds equal to one comparable Go value; a string maps to itself.
func hashKey(v Value) (any, error) {
	switch x := v.(type) {
	case Text:
		return x.s, nil
	case Bool:
		if x {
			return int64(1), nil
		}
		return int64(0), nil
	case Int:
		return int64(x), nil
	case Float:
		if f := float64(x); f == math.Trunc(f) && math.Abs(f) < 1<<62 {
			return int64(f), nil
		}
		return float64(x), nil
	case None:
		return None{}, nil
	case bigInt:
		return bigKey(x.n.String()), nil
	case *undefined:
		return undefinedKey{}, nil
	case *List:
		if x.tuple {
			return tupleKey(x)
		}
	case *Dict:
	default:
		return v, nil // identity
	}
	return nil, typeErr("unhashable type: '%s'", v.typeName())
}

type (
	bigKey       string
	tupleHash    string
	undefinedKey struct{}
)

// tupleKey writes the keys of the items one after another, each with its length, so that equal tuples and no
// others share it. Nested tuples beyond a small depth are refused: their key would be long to build.
func tupleKey(l *List) (any, error) {
	var b []byte
	for _, it := range l.items {
		k, err := hashKey(it)
		if err != nil {
			return nil, err
		}
		var s string
		switch k := k.(type) {
		case string:
			s = "s" + k
		case int64:
			s = "i" + strconv.FormatInt(k, 10)
		case float64:
			s = "f" + strconv.FormatFloat(k, 'g', -1, 64)
		case None:
			s = "n"
		case bigKey:
			s = "i" + string(k)
		case tupleHash:
			s = "t" + string(k)
		default:
			return nil, typeErr("unhashable type: '%s' in a tuple", it.typeName())
		}
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
		if len(b) > 1<<16 {
			return nil, errf(KindLimit, "tuple too large for a dict key")
		}
	}
	return tupleHash(b), nil
}

// truth is Python's bool(v).
func truth(v Value) bool {
	switch x := v.(type) {
	case None, *undefined:
		return false
	case Bool:
		return bool(x)
	case Int:
		return x != 0
	case Float:
		return x != 0
	case Text:
		return x.s != ""
	case *List:
		return len(x.items) > 0
	case *Dict:
		return x.Len() > 0
	case *seq:
		return x.once || len(x.items) > 0
	case *pyRange:
		return x.length() > 0
	case *loop:
		return len(x.items) > 0
	}
	return true
}

// normal gives the smallest representation of an integer.
func normal(n *big.Int) Value {
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return bigInt{n}
}

// asBig reads a bool or int of any size.
func asBig(v Value) (*big.Int, bool) {
	switch x := v.(type) {
	case Bool:
		if x {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	case Int:
		return big.NewInt(int64(x)), true
	case bigInt:
		return x.n, true
	}
	return nil, false
}

// asInt reads a bool or an int that fits 64 bits.
func asInt(v Value) (int64, bool) {
	switch x := v.(type) {
	case Bool:
		if x {
			return 1, true
		}
		return 0, true
	case Int:
		return int64(x), true
	}
	return 0, false
}

// asFloat reads any number.
func asFloat(v Value) (float64, bool) {
	switch x := v.(type) {
	case Float:
		return float64(x), true
	case bigInt:
		f, _ := new(big.Float).SetInt(x.n).Float64()
		return f, true
	}
	n, ok := asInt(v)
	return float64(n), ok
}

// String makes a string value; bytes that are not UTF-8 become U+FFFD.
func String(s string) Value { return plain(strings.ToValidUTF8(s, "\uFFFD")) }

// NewList makes a list.
func NewList(items ...Value) *List { return newList(items) }
