package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// typeRepr is how Jinja names a value's type in its messages.
func typeRepr(v Value) string {
	switch v.(type) {
	case None:
		return "None"
	case *namespace:
		return "'jinja2.utils.Namespace object'"
	case *loop:
		return "'jinja2.runtime.LoopContext object'"
	case *macro:
		return "'jinja2.runtime.Macro object'"
	}
	return "'" + v.typeName() + " object'"
}

func noAttr(v Value, name string) *undefined {
	return newUndefined("%s has no attribute '%s'", typeRepr(v), name)
}

func unsafe(v Value, name string) *undefined {
	u := newUndefined("access to attribute '%s' of '%s' object is unsafe.", name, v.typeName())
	u.kind = KindSecurity
	return u
}

// mutating methods, which the immutable sandbox refuses.
var (
	listMutators = []string{"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}
	dictMutators = []string{"clear", "pop", "popitem", "setdefault", "update"}
)

// getattr is x.name: an attribute first, then a key.
func (in *interp) getattr(v Value, name string) (Value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if a, ok := in.attribute(v, name); ok {
		return a, nil
	}
	switch x := v.(type) {
	case *Dict:
		if it, ok := x.Get(name); ok {
			return it, nil
		}
	case *namespace:
		if it, ok := x.vals.Get(name); ok {
			return it, nil
		}
	}
	if strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") {
		return unsafe(v, name), nil
	}
	return noAttr(v, name), nil
}

// getitem is x[key]: an item first, then, for a string, an attribute.
func (in *interp) getitem(v, key Value) (Value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if it, ok := item(v, key); ok {
		return it, nil
	}
	name, ok := key.(Text)
	if !ok {
		r, err := in.repr(key)
		if err != nil {
			return nil, err
		}
		return newUndefined("%s has no element %s", typeRepr(v), r.s), nil
	}
	if a, ok := in.attribute(v, name.s); ok {
		return a, nil
	}
	if ns, ok := v.(*namespace); ok {
		if it, ok := ns.vals.Get(name.s); ok {
			return it, nil
		}
	}
	if strings.HasPrefix(name.s, "__") && strings.HasSuffix(name.s, "__") {
		return unsafe(v, name.s), nil
	}
	return noAttr(v, name.s), nil
}

// item is what x[key] finds without an error.
func item(v, key Value) (Value, bool) {
	switch x := v.(type) {
	case *Dict:
		h, err := hashKey(key)
		if err != nil {
			return nil, false
		}
		return x.get(h)
	case *List:
		if i, ok := index(key, len(x.items)); ok {
			return x.items[i], true
		}
	case *pyRange:
		if i, ok := index(key, int(x.length())); ok {
			return Int(x.start + int64(i)*x.step), true
		}
	case Text:
		at := offsets(x.s)
		n := len(x.s)
		if at != nil {
			n = len(at) - 1
		}
		i, ok := index(key, n)
		if !ok {
			return nil, false
		}
		if at == nil {
			return x.slice(i, i+1), true
		}
		return x.slice(at[i], at[i+1]), true
	}
	return nil, false
}

func index(key Value, n int) (int, bool) {
	i, ok := asInt(key)
	if i < 0 {
		i += int64(n)
	}
	return int(i), ok && i >= 0 && i < int64(n)
}

// attribute finds methods and the fields of our own objects; mutators come back as refused.
func (in *interp) attribute(v Value, name string) (Value, bool) {
	switch x := v.(type) {
	case Text:
		if m, ok := in.methods[name]; ok {
			return &function{name: name, call: func(in *interp, a *args) (Value, error) {
				if err := in.charge(len(x.s)); err != nil {
					return nil, err
				}
				return m(in, x, a)
			}}, true
		}
	case *Dict:
		if slices.Contains(dictMutators, name) {
			return unsafe(v, name), true
		}
		if m, ok := dictMethods[name]; ok {
			return &function{name: name, call: func(in *interp, a *args) (Value, error) { return m(in, x, a) }}, true
		}
	case *List:
		if !x.tuple && slices.Contains(listMutators, name) {
			return unsafe(v, name), true
		}
		if m, ok := listMethods[name]; ok && (!x.tuple || name != "copy") {
			return &function{name: name, call: func(in *interp, a *args) (Value, error) { return m(in, x, a) }}, true
		}
	case *loop:
		return x.attr(name)
	case *macro:
		return x.attr(name)
	case *cycler:
		return x.attr(name)
	case Int, Bool, Float, bigInt:
		return numberAttr(v, name)
	case *pyRange:
		switch name {
		case "start":
			return Int(x.start), true
		case "stop":
			return Int(x.stop), true
		case "step":
			return Int(x.step), true
		}
	}
	return nil, false
}

func numberAttr(v Value, name string) (Value, bool) {
	_, float := v.(Float)
	switch {
	case name == "real":
		if b, ok := v.(Bool); ok {
			n, _ := asInt(b)
			return Int(n), true
		}
		return v, true
	case name == "imag" && float:
		return Float(0), true
	case name == "imag":
		return Int(0), true
	case name == "numerator" && !float:
		return v, true
	case name == "denominator" && !float:
		return Int(1), true
	case name == "is_integer" && float:
		return &function{name: name, call: func(in *interp, a *args) (Value, error) {
			f := float64(v.(Float))
			return Bool(f == float64(int64(f)) || f > 1<<53 || f < -1<<53), nil
		}}, true
	case name == "bit_length" && !float:
		return &function{name: name, call: func(in *interp, a *args) (Value, error) {
			n, _ := asBig(v)
			return Int(n.BitLen()), nil
		}}, true
	}
	return nil, false
}

// slice is x[start:stop:step].
func (in *interp) slice(v, start, stop, step Value) (Value, error) {
	var n int
	var at []int
	switch x := v.(type) {
	case *undefined:
		return nil, x.err()
	case *List:
		n = len(x.items)
	case *pyRange:
		n = int(x.length())
	case Text:
		n = len(x.s)
		if at = offsets(x.s); at != nil {
			n = len(at) - 1
		}
		if err := in.charge(len(x.s)); err != nil {
			return nil, err
		}
	default:
		return nil, typeErr("'%s' object is not subscriptable", v.typeName())
	}
	i, j, k, err := sliceBounds(n, start, stop, step)
	if err != nil {
		return nil, err
	}
	r := &pyRange{int64(i), int64(j), int64(k)}
	if err := in.charge(int(r.length())); err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case *List:
		out := make([]Value, 0, r.length())
		for p := int64(0); p < r.length(); p++ {
			out = append(out, x.items[i+int(p)*k])
		}
		return &List{items: out, tuple: x.tuple}, nil
	case *pyRange:
		return &pyRange{x.start + int64(i)*x.step, x.start + int64(j)*x.step, x.step * int64(k)}, nil
	}
	return sliceText(v.(Text), at, r), nil
}

func sliceText(t Text, at []int, r *pyRange) Text {
	byteAt := func(i int64) int {
		if at == nil {
			return int(i)
		}
		return at[i]
	}
	if r.length() == 0 {
		return Text{safe: t.safe}
	}
	if r.step == 1 {
		return t.slice(byteAt(r.start), byteAt(r.stop))
	}
	var b builder
	for p := range r.length() {
		i := byteAt(r.start + p*r.step)
		_, w := utf8.DecodeRuneInString(t.s[i:])
		b.text(t.slice(i, i+w))
	}
	return b.take()
}

// sliceBounds is Python's slice.indices(n).
func sliceBounds(n int, start, stop, step Value) (i, j, k int, err error) {
	k = 1
	num := func(v Value) (int64, bool, error) {
		if _, none := v.(None); v == nil || none {
			return 0, false, nil
		}
		if b, ok := v.(bigInt); ok {
			return int64(b.n.Sign()) * (1 << 40), true, nil
		}
		x, ok := asInt(v)
		if !ok {
			return 0, false, typeErr("slice indices must be integers or None or have an __index__ method")
		}
		return max(min(x, 1<<40), -1<<40), true, nil
	}
	s, ok, err := num(step)
	if err != nil {
		return 0, 0, 0, err
	}
	if ok {
		if k = int(s); k == 0 {
			return 0, 0, 0, valueErr("slice step cannot be zero")
		}
	}
	low, high := 0, n
	if k < 0 {
		low, high = -1, n-1
	}
	clamp := func(v Value, def int) (int, error) {
		x, ok, err := num(v)
		if err != nil || !ok {
			return def, err
		}
		if x < 0 {
			x += int64(n)
		}
		return int(max(min(x, int64(high)), int64(low))), nil
	}
	first, last := low, high
	if k < 0 {
		first, last = high, low
	}
	if i, err = clamp(start, first); err != nil {
		return 0, 0, 0, err
	}
	j, err = clamp(stop, last)
	return i, j, k, err
}
