package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

type filterFunc func(in *interp, v Value, a *args) (Value, error)

// filters are the filters of Jinja2, with tojson as transformers replaces it.
var filters = map[string]filterFunc{
	"abs":         absFilter,
	"attr":        attrFilter,
	"batch":       lazily(batchFilter),
	"capitalize":  textFilter(capitalize),
	"center":      centerFilter,
	"count":       lengthFilter,
	"d":           defaultFilter,
	"default":     defaultFilter,
	"dictsort":    dictsortFilter,
	"e":           escapeFilter,
	"escape":      escapeFilter,
	"first":       firstFilter,
	"float":       floatFilter,
	"forceescape": forceescapeFilter,
	"format":      formatFilter,
	"groupby":     groupbyFilter,
	"indent":      indentFilter,
	"int":         intFilter,
	"items":       itemsFilter,
	"join":        joinFilter,
	"last":        lastFilter,
	"length":      lengthFilter,
	"list":        listFilter,
	"lower":       textFilter(lower),
	"map":         lazily(mapFilter),
	"max":         extreme(false),
	"min":         extreme(true),
	"pprint":      pprintFilter,
	"reject":      selectFilter(false, false),
	"rejectattr":  selectFilter(true, false),
	"replace":     replaceFilter,
	"reverse":     reverseFilter,
	"round":       roundFilter,
	"safe":        safeFilter,
	"select":      selectFilter(false, true),
	"selectattr":  selectFilter(true, true),
	"slice":       lazily(sliceFilter),
	"sort":        sortFilter,
	"string":      stringFilter,
	"striptags":   striptagsFilter,
	"sum":         sumFilter,
	"title":       textFilter(titleWords),
	"tojson":      toJSON,
	"trim":        trimFilter,
	"truncate":    truncateFilter,
	"unique":      lazily(uniqueFilter),
	"upper":       textFilter(upper),
	"urlencode":   urlencodeFilter,
	"wordcount":   wordcountFilter,
	"wordwrap":    wordwrapFilter,
	"xmlattr":     xmlattrFilter,
}

func textFilter(f func(Text) Text) filterFunc {
	return func(in *interp, v Value, a *args) (Value, error) {
		if len(a.pos)+len(a.names) > 0 {
			return nil, typeErr("the filter takes no arguments")
		}
		t, err := in.str(v)
		if err != nil {
			return nil, err
		}
		return f(t), in.charge(len(t.s))
	}
}

// titleWords is Jinja's own title: words begin after space, hyphens and opening brackets.
func titleWords(t Text) Text {
	low := lowerer(t)
	start := true
	return t.mapRunes(func(i int, r rune) string {
		if isSpace(r) || strings.ContainsRune("-({[<", r) {
			start = true
			return string(r)
		}
		if start {
			start = false
			return upperRune(r)
		}
		return low(i, r)
	})
}

func absFilter(in *interp, v Value, a *args) (Value, error) {
	if f, ok := v.(Float); ok {
		return Float(math.Abs(float64(f))), nil
	}
	n, ok := asBig(v)
	if u, und := v.(*undefined); und {
		return nil, u.err()
	}
	if !ok {
		return nil, typeErr("bad operand type for abs(): '%s'", v.typeName())
	}
	if n.Sign() < 0 {
		return negate(normal(n), true)
	}
	return normal(n), nil
}

func attrFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("attr", 1, "name")
	if err != nil {
		return nil, err
	}
	name, err := textArg("attr", p[0])
	if err != nil {
		return nil, err
	}
	if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if m, ok := in.attribute(v, name.s); ok {
		return m, nil
	}
	if ns, ok := v.(*namespace); ok {
		if it, ok := ns.vals.Get(name.s); ok {
			return it, nil
		}
	}
	if strings.HasPrefix(name.s, "__") {
		return unsafe(v, name.s), nil
	}
	return noAttr(v, name.s), nil
}

// length is len(v).
func length(v Value) (int, error) {
	switch x := v.(type) {
	case Text:
		return x.runes(), nil
	case *List:
		return len(x.items), nil
	case *Dict:
		return x.Len(), nil
	case *pyRange:
		return int(x.length()), nil
	case *loop:
		return len(x.items), nil
	case *undefined:
		if x.kind != KindUndefined {
			return 0, x.err()
		}
		return 0, nil
	case *seq:
		if !x.once {
			return len(x.items), nil
		}
	}
	return 0, typeErr("object of type '%s' has no len()", v.typeName())
}

func lengthFilter(in *interp, v Value, a *args) (Value, error) {
	n, err := length(v)
	return Int(n), err
}

func defaultFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("default", 0, "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	_, und := v.(*undefined)
	if und || p[1] != nil && truth(p[1]) && !truth(v) {
		if p[0] == nil {
			return Text{}, nil
		}
		return p[0], nil
	}
	return v, nil
}

func firstFilter(in *interp, v Value, a *args) (Value, error) {
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return newUndefined("No first item, sequence was empty."), nil
	}
	if s, ok := v.(*seq); ok && s.once {
		s.items = items[1:]
	}
	return items[0], nil
}

func lastFilter(in *interp, v Value, a *args) (Value, error) {
	if s, ok := v.(*seq); ok && s.once {
		return nil, typeErr("'%s' object is not reversible", v.typeName())
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return newUndefined("No last item, sequence was empty."), nil
	}
	return items[len(items)-1], nil
}

func listFilter(in *interp, v Value, a *args) (Value, error) {
	items, err := in.iterate(v)
	return newList(slices.Clone(items)), err
}

func itemsFilter(in *interp, v Value, a *args) (Value, error) {
	return generator(func() ([]Value, error) {
		switch x := v.(type) {
		case *undefined:
			return nil, nil
		case *Dict:
			return x.pairs(), in.count(x.Len())
		}
		return nil, typeErr("Can only get item pairs from a mapping.")
	}), nil
}

func stringFilter(in *interp, v Value, a *args) (Value, error) { return in.str(v) }

func intFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("int", 0, "default", "base")
	if err != nil {
		return nil, err
	}
	var def Value = Int(0)
	if p[0] != nil {
		def = p[0]
	}
	base, err := intArg("int", p[1], 10)
	if err != nil {
		return nil, err
	}
	if base != 0 && (base < 2 || base > 36) {
		return def, nil
	}
	switch x := v.(type) {
	case Text:
		if n, ok := parseInt(x.s, base); ok {
			return n, nil
		}
		if f, ok := parseFloat(x.s); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return truncate(f), nil
		}
		return def, nil
	case Float:
		if f := float64(x); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return truncate(f), nil
		}
		return def, nil
	case *undefined:
		return nil, x.err()
	}
	if n, ok := asBig(v); ok {
		return normal(n), nil
	}
	return def, nil
}

func floatFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("float", 0, "default")
	if err != nil {
		return nil, err
	}
	if t, ok := v.(Text); ok {
		if f, ok := parseFloat(t.s); ok {
			return Float(f), nil
		}
	} else if f, ok := asFloat(v); ok {
		return Float(f), nil
	} else if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if p[0] == nil {
		return Float(0), nil
	}
	return p[0], nil
}

func roundFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("round", 0, "precision", "method")
	if err != nil {
		return nil, err
	}
	places, err := intArg("round", p[0], 0)
	if err != nil {
		return nil, err
	}
	method := "common"
	if t, ok := p[1].(Text); ok {
		method = t.s
	}
	f, ok := asFloat(v)
	switch {
	case method != "common" && method != "ceil" && method != "floor":
		return nil, valueErr("method must be common, ceil or floor")
	case !ok:
		if u, und := v.(*undefined); und {
			return nil, u.err()
		}
		return nil, typeErr("type %s doesn't define __round__ method", v.typeName())
	case method == "common":
		if _, isFloat := v.(Float); !isFloat && places >= 0 {
			n, _ := asBig(v)
			return normal(n), nil
		} else if !isFloat {
			return truncate(roundFloat(f, places)), nil
		}
		return Float(roundFloat(f, places)), nil
	}
	scale := math.Pow(10, float64(places))
	if method == "ceil" {
		return Float((math.Ceil(f*scale) + 0) / scale), nil // + 0: no minus zero, as from an int
	}
	return Float((math.Floor(f*scale) + 0) / scale), nil
}

func reverseFilter(in *interp, v Value, a *args) (Value, error) {
	switch x := v.(type) {
	case Text:
		return in.slice(x, nil, nil, Int(-1))
	case *seq:
		if x.once { // no reversed() of an iterator: a list
			items, err := x.take()
			return newList(reversed(items)), err
		}
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, typeErr("argument must be iterable")
	}
	return &seq{kind: "list_reverseiterator", once: true, items: reversed(items)}, nil
}

func trimFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("trim", 0, "chars")
	if err != nil {
		return nil, err
	}
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	if isNone(p[0]) {
		return t.trim(true, true, isSpace), in.charge(len(t.s))
	}
	chars, err := textArg("trim", p[0])
	if err != nil {
		return nil, err
	}
	return t.trim(true, true, func(r rune) bool { return strings.ContainsRune(chars.s, r) }), in.charge(len(t.s))
}

func replaceFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	n := -1
	if !isNone(p[2]) {
		if n, err = intArg("replace", p[2], -1); err != nil {
			return nil, err
		}
	}
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	old, err := in.str(p[0])
	if err != nil {
		return nil, err
	}
	with, err := in.str(p[1])
	if err != nil {
		return nil, err
	}
	return in.replace(t, old, with, n)
}

func joinFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("join", 0, "d", "attribute")
	if err != nil {
		return nil, err
	}
	var sep Text
	if p[0] != nil {
		if sep, err = in.str(p[0]); err != nil {
			return nil, err
		}
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	if !isNone(p[1]) {
		if items, err = in.pluck(items, p[1], nil); err != nil {
			return nil, err
		}
	}
	return in.join(sep, items)
}

func centerFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("center", 0, "width")
	if err != nil {
		return nil, err
	}
	n, err := intArg("center", p[0], 80)
	if err != nil {
		return nil, err
	}
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	return in.pad(t, n, " ", true, true)
}

func formatFilter(in *interp, v Value, a *args) (Value, error) {
	if len(a.pos) > 0 && len(a.names) > 0 {
		return nil, typeErr("can't handle positional and keyword arguments at the same time")
	}
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	if len(a.names) > 0 {
		d := NewDict()
		for i, n := range a.names {
			d.Set(n, a.kw[i])
		}
		return in.percent(t, d)
	}
	return in.percent(t, newTuple(a.pos...))
}

func indentFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("indent", 0, "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	t, err := textArg("indent", v)
	if err != nil {
		return nil, err
	}
	pad, ok := p[0].(Text)
	if !ok {
		n, err := intArg("indent", p[0], 4)
		if err != nil {
			return nil, err
		}
		if err := in.size(n * (1 + strings.Count(t.s, "\n"))); n > 0 && err != nil {
			return nil, err
		}
		pad = plain(strings.Repeat(" ", max(n, 0)))
	}
	lines := concat(t, plain("\n")).splitlines(false)
	if err := in.size(len(t.s) + len(lines)*(len(pad.s)+1)); err != nil {
		return nil, err
	}
	var b builder
	if p[1] != nil && truth(p[1]) {
		b.text(pad)
	}
	blank := p[2] != nil && truth(p[2])
	for i, line := range lines {
		if i > 0 {
			b.plain("\n")
			if line.s != "" || blank {
				b.text(pad)
			}
		}
		b.text(line)
	}
	return b.take(), nil
}

func safeFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.str(v)
	t.safe = true
	return t, err
}

func escapeFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	return escapeText(t), in.size(len(t.s) * 5)
}

func forceescapeFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	t.safe = false
	return escapeText(t), in.size(len(t.s) * 5)
}

// escapeText is markupsafe.escape: what is Markup already stays.
func escapeText(t Text) Text {
	if t.safe {
		return t
	}
	out := t.mapRunes(func(_ int, r rune) string {
		switch r {
		case '&':
			return "&amp;"
		case '<':
			return "&lt;"
		case '>':
			return "&gt;"
		case '\'':
			return "&#39;"
		case '"':
			return "&#34;"
		}
		return string(r)
	})
	out.safe = true
	return out
}

func pprintFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.repr(v)
	if err == nil && t.runes() > 80 {
		return nil, errf(KindRuntime, "pprint of a value wider than 80 columns is not supported")
	}
	return t, err
}

func wordcountFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	return Int(len(strings.FieldsFunc(t.s, func(r rune) bool { return !wordRune(r) }))), in.charge(len(t.s))
}

func truncateFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("truncate", 0, "length", "killwords", "end", "leeway")
	if err != nil {
		return nil, err
	}
	n, err := intArg("truncate", p[0], 255)
	if err != nil {
		return nil, err
	}
	leeway := 5
	if !isNone(p[3]) {
		if leeway, err = intArg("truncate", p[3], 5); err != nil {
			return nil, err
		}
	}
	end := plain("...")
	if p[2] != nil {
		if end, err = textArg("truncate", p[2]); err != nil {
			return nil, err
		}
	}
	if n < end.runes() || leeway < 0 {
		return nil, valueErr("truncate: expected length >= %d and leeway >= 0", end.runes())
	}
	if have, err := length(v); err != nil || have <= n+leeway {
		return v, err
	}
	t, err := textArg("truncate", v)
	if err != nil {
		return nil, err
	}
	cut, err := in.slice(t, nil, Int(n-end.runes()), nil)
	if err != nil {
		return nil, err
	}
	head := cut.(Text)
	if p[1] == nil || !truth(p[1]) {
		head = head.rsplit(" ", 1)[0]
	}
	return concat(head, end), nil
}

func urlencodeFilter(in *interp, v Value, a *args) (Value, error) {
	pairs := func(items []Value) (Value, error) {
		var b builder
		for i, it := range items {
			kv, err := in.iterate(it)
			if err != nil {
				return nil, err
			}
			if len(kv) != 2 {
				return nil, valueErr("not enough values to unpack")
			}
			if i > 0 {
				b.plain("&")
			}
			for k, part := range kv {
				t, err := in.str(part)
				if err != nil {
					return nil, err
				}
				if k == 1 {
					b.plain("=")
				}
				b.text(t.like(percentEncode(t.s, "")))
			}
		}
		return b.take(), in.size(len(b.b))
	}
	switch x := v.(type) {
	case *Dict:
		return pairs(x.pairs())
	case *List:
		return pairs(x.items)
	}
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	if err := in.size(3 * len(t.s)); err != nil {
		return nil, err
	}
	return t.like(percentEncode(t.s, "/")), nil
}

func percentEncode(s, keep string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
		switch {
		case letter || strings.IndexByte("_.-~"+keep, c) >= 0:
			b.WriteByte(c)
		case c == ' ' && keep == "":
			b.WriteByte('+')
		default:
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(c)+256, 16)[1:]))
		}
	}
	return b.String()
}
