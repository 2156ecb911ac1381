package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type strMethod func(in *interp, t Text, a *args) (Value, error)

// strMethods are the methods of str that templates may call.
var strMethods = map[string]strMethod{
	"upper":        simple(upper),
	"lower":        simple(lower),
	"casefold":     simple(func(t Text) Text { return lower(t.replace(plain("ß"), plain("ss"), -1)) }),
	"capitalize":   simple(capitalize),
	"title":        simple(title),
	"swapcase":     simple(swapcase),
	"strip":        stripMethod("strip", true, true),
	"lstrip":       stripMethod("lstrip", true, false),
	"rstrip":       stripMethod("rstrip", false, true),
	"split":        splitMethod("split", Text.splitSpace, Text.split),
	"rsplit":       splitMethod("rsplit", Text.rsplitSpace, Text.rsplit),
	"splitlines":   splitlinesMethod,
	"partition":    partition,
	"rpartition":   rpartition,
	"replace":      replaceMethod,
	"removeprefix": affixMethod("removeprefix", true),
	"removesuffix": affixMethod("removesuffix", false),
	"startswith":   affixTest("startswith", strings.HasPrefix),
	"endswith":     affixTest("endswith", strings.HasSuffix),
	"find":         findMethod("find", false, false),
	"rfind":        findMethod("rfind", true, false),
	"index":        findMethod("index", false, true),
	"rindex":       findMethod("rindex", true, true),
	"count":        countMethod,
	"join":         joinMethod,
	"format":       formatMethod,
	"zfill":        zfill,
	"center":       padMethod("center", true, true),
	"ljust":        padMethod("ljust", false, true),
	"rjust":        padMethod("rjust", true, false),
	"expandtabs":   expandtabs,
	"isspace":      every(isSpace),
	"isalpha":      every(unicode.IsLetter),
	"isdigit":      every(func(r rune) bool { return unicode.IsDigit(r) || superscript(r) }),
	"isdecimal":    every(unicode.IsDigit),
	"isnumeric":    every(unicode.IsNumber),
	"isalnum":      every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isascii": func(in *interp, t Text, a *args) (Value, error) {
		return Bool(ascii(t.s)), nil
	},
	"isprintable": func(in *interp, t Text, a *args) (Value, error) {
		return Bool(strings.IndexFunc(t.s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0), nil
	},
	"isupper": caseTest(unicode.IsUpper, unicode.IsLower),
	"islower": caseTest(unicode.IsLower, unicode.IsUpper),
	"istitle": func(in *interp, t Text, a *args) (Value, error) {
		return Bool(title(t).s == t.s && strings.IndexFunc(t.s, cased) >= 0), nil
	},
	"isidentifier": func(in *interp, t Text, a *args) (Value, error) {
		return Bool(t.s != "" && nameLen(t.s) == len(t.s)), nil
	},
}

func superscript(r rune) bool {
	return r == 0xb2 || r == 0xb3 || r == 0xb9 || r >= 0x2070 && r <= 0x2089
}

func cased(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) }

func simple(f func(Text) Text) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		if len(a.pos)+len(a.names) > 0 {
			return nil, typeErr("the method takes no arguments (%d given)", len(a.pos)+len(a.names))
		}
		return f(t), nil
	}
}

func every(f func(rune) bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		return Bool(t.s != "" && strings.IndexFunc(t.s, func(r rune) bool { return !f(r) }) < 0), nil
	}
}

func caseTest(want, not func(rune) bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		return Bool(strings.IndexFunc(t.s, want) >= 0 && strings.IndexFunc(t.s, not) < 0 &&
			strings.IndexFunc(t.s, unicode.IsTitle) < 0), nil
	}
}

// upperRune is the full upper case, which for a few letters is more than one.
func upperRune(r rune) string {
	switch r {
	case 'ß':
		return "SS"
	case 'ŉ':
		return "ʼN"
	case 'ǰ':
		return "J̌"
	case 'ﬀ':
		return "FF"
	case 'ﬁ':
		return "FI"
	case 'ﬂ':
		return "FL"
	case 'ﬃ':
		return "FFI"
	case 'ﬄ':
		return "FFL"
	case 'ﬅ', 'ﬆ':
		return "ST"
	}
	return string(unicode.ToUpper(r))
}

func titleRune(r rune) string {
	if s := upperRune(r); utf8.RuneCountInString(s) > 1 {
		_, w := utf8.DecodeRuneInString(s)
		return s[:w] + strings.ToLower(s[w:])
	}
	return string(unicode.ToTitle(r))
}

func lowerRune(r rune) string {
	if r == 'İ' {
		return "i̇"
	}
	return string(unicode.ToLower(r))
}

func upper(t Text) Text {
	return t.mapRunes(func(_ int, r rune) string { return upperRune(r) })
}

// lowerer lowers the code points of one string by their place: a capital sigma that ends a word takes its final form.
func lowerer(t Text) func(i int, r rune) string {
	if !strings.ContainsRune(t.s, 'Σ') {
		return func(_ int, r rune) string { return lowerRune(r) }
	}
	rs := []rune(t.s)
	return func(i int, r rune) string {
		if r == 'Σ' && i > 0 && unicode.IsLetter(rs[i-1]) && (i+1 == len(rs) || !unicode.IsLetter(rs[i+1])) {
			return "ς"
		}
		return lowerRune(r)
	}
}

func lower(t Text) Text { return t.mapRunes(lowerer(t)) }

func capitalize(t Text) Text {
	low := lowerer(t)
	return t.mapRunes(func(i int, r rune) string {
		if i == 0 {
			return titleRune(r)
		}
		return low(i, r)
	})
}

func title(t Text) Text {
	low := lowerer(t)
	inWord := false
	return t.mapRunes(func(i int, r rune) string {
		s := low(i, r)
		if !inWord {
			s = titleRune(r)
		}
		inWord = cased(r)
		return s
	})
}

func swapcase(t Text) Text {
	return t.mapRunes(func(_ int, r rune) string {
		if unicode.IsUpper(r) {
			return lowerRune(r)
		}
		return upperRune(r)
	})
}

// textArg reads an argument that must be a str.
func textArg(fn string, v Value) (Text, error) {
	switch x := v.(type) {
	case Text:
		return x, nil
	case *undefined:
		if x.kind != KindUndefined {
			return Text{}, x.err()
		}
	}
	return Text{}, typeErr("%s: a str is required, not %s", fn, v.typeName())
}

// intArg reads an argument that must be an int; nil gives def.
func intArg(fn string, v Value, def int) (int, error) {
	if v == nil {
		return def, nil
	}
	n, ok := asInt(v)
	if !ok {
		return 0, typeErr("%s: '%s' object cannot be interpreted as an integer", fn, v.typeName())
	}
	return int(max(min(n, 1<<40), -1<<40)), nil
}

// isNone is true for a missing argument and for None.
func isNone(v Value) bool {
	_, none := v.(None)
	return v == nil || none
}

func stripMethod(name string, left, right bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 0, "chars")
		if err != nil {
			return nil, err
		}
		if isNone(p[0]) {
			return t.trim(left, right, isSpace), nil
		}
		chars, err := textArg(name, p[0])
		if err != nil {
			return nil, err
		}
		return t.trim(left, right, func(r rune) bool { return strings.ContainsRune(chars.s, r) }), nil
	}
}

func (in *interp) texts(ts []Text) (Value, error) {
	if err := in.count(len(ts)); err != nil {
		return nil, err
	}
	out := make([]Value, len(ts))
	for i, t := range ts {
		out[i] = t
	}
	return newList(out), nil
}

func splitMethod(name string, space func(Text, int) []Text, sep func(Text, string, int) []Text) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 0, "sep", "maxsplit")
		if err != nil {
			return nil, err
		}
		n, err := intArg(name, p[1], -1)
		if err != nil {
			return nil, err
		}
		if isNone(p[0]) {
			return in.texts(space(t, n))
		}
		s, err := textArg(name, p[0])
		if err != nil {
			return nil, err
		}
		if s.s == "" {
			return nil, valueErr("empty separator")
		}
		return in.texts(sep(t, s.s, n))
	}
}

func splitlinesMethod(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("splitlines", 0, "keepends")
	if err != nil {
		return nil, err
	}
	return in.texts(t.splitlines(p[0] != nil && truth(p[0])))
}

func partition(in *interp, t Text, a *args) (Value, error) {
	i, n, err := findSep(t, a, strings.Index)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return newTuple(t, Text{}, Text{}), nil
	}
	return newTuple(t.slice(0, i), t.slice(i, i+n), t.slice(i+n, len(t.s))), nil
}

func rpartition(in *interp, t Text, a *args) (Value, error) {
	i, n, err := findSep(t, a, strings.LastIndex)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return newTuple(Text{}, Text{}, t), nil
	}
	return newTuple(t.slice(0, i), t.slice(i, i+n), t.slice(i+n, len(t.s))), nil
}

func findSep(t Text, a *args, find func(string, string) int) (i, n int, err error) {
	p, err := a.bind("partition", 1, "sep")
	if err != nil {
		return 0, 0, err
	}
	s, err := textArg("partition", p[0])
	if err == nil && s.s == "" {
		err = valueErr("empty separator")
	}
	return find(t.s, s.s), len(s.s), err
}

func replaceMethod(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	n, err := intArg("replace", p[2], -1)
	if err != nil {
		return nil, err
	}
	return in.replace(t, p[0], p[1], n)
}

func (in *interp) replace(t Text, o, w Value, n int) (Value, error) {
	old, err := textArg("replace", o)
	if err != nil {
		return nil, err
	}
	with, err := textArg("replace", w)
	if err != nil {
		return nil, err
	}
	hits := strings.Count(t.s, old.s)
	if n >= 0 {
		hits = min(hits, n)
	}
	if hits > 0 && len(with.s) > in.o.MaxOutput/hits {
		return nil, in.size(-1)
	}
	if err := in.size(len(t.s) + hits*len(with.s)); err != nil {
		return nil, err
	}
	return t.replace(old, with, n), nil
}

func affixMethod(name string, prefix bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 1, "affix")
		if err != nil {
			return nil, err
		}
		s, err := textArg(name, p[0])
		if err != nil {
			return nil, err
		}
		switch {
		case prefix && strings.HasPrefix(t.s, s.s):
			return t.slice(len(s.s), len(t.s)), nil
		case !prefix && strings.HasSuffix(t.s, s.s):
			return t.slice(0, len(t.s)-len(s.s)), nil
		}
		return t, nil
	}
}

// window is the part of t between two optional code point positions, as the bounds of find and its like.
func window(t Text, start, stop Value) (sub Text, from int, ok bool, err error) {
	if isNone(start) && isNone(stop) {
		return t, 0, true, nil
	}
	at := offsets(t.s)
	n := len(t.s)
	if at != nil {
		n = len(at) - 1
	}
	i, _, _, err := sliceBounds(n, start, nil, nil)
	if err != nil {
		return Text{}, 0, false, err
	}
	_, j, _, err := sliceBounds(n, nil, stop, nil)
	if err != nil {
		return Text{}, 0, false, err
	}
	if s, isInt := asInt(start); start != nil && isInt && s > int64(n) || i > j {
		return Text{}, 0, false, nil
	}
	if at != nil {
		return t.slice(at[i], at[j]), i, true, nil
	}
	return t.slice(i, j), i, true, nil
}

func affixTest(name string, has func(string, string) bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 1, "affix", "start", "end")
		if err != nil {
			return nil, err
		}
		sub, _, ok, err := window(t, p[1], p[2])
		if err != nil {
			return nil, err
		}
		tries := []Value{p[0]}
		if l, isList := p[0].(*List); isList && l.tuple {
			tries = l.items
		}
		for _, v := range tries {
			s, isText := v.(Text)
			if !isText {
				return nil, typeErr("%s first arg must be str or a tuple of str, not %s", name, v.typeName())
			}
			if ok && has(sub.s, s.s) {
				return Bool(true), nil
			}
		}
		return Bool(false), nil
	}
}

func findMethod(name string, last, must bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 1, "sub", "start", "end")
		if err != nil {
			return nil, err
		}
		s, err := textArg(name, p[0])
		if err != nil {
			return nil, err
		}
		sub, from, ok, err := window(t, p[1], p[2])
		if err != nil {
			return nil, err
		}
		i := -1
		if ok && last {
			i = strings.LastIndex(sub.s, s.s)
		} else if ok {
			i = strings.Index(sub.s, s.s)
		}
		if i < 0 {
			if must {
				return nil, valueErr("substring not found")
			}
			return Int(-1), nil
		}
		return Int(from + utf8.RuneCountInString(sub.s[:i])), nil
	}
}

func countMethod(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("count", 1, "sub", "start", "end")
	if err != nil {
		return nil, err
	}
	s, err := textArg("count", p[0])
	if err != nil {
		return nil, err
	}
	sub, _, ok, err := window(t, p[1], p[2])
	if err != nil || !ok {
		return Int(0), err
	}
	return Int(strings.Count(sub.s, s.s)), nil
}

func joinMethod(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("join", 1, "iterable")
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(p[0])
	if err != nil {
		return nil, err
	}
	for i, v := range items {
		if _, ok := v.(Text); !ok {
			return nil, typeErr("sequence item %d: expected str instance, %s found", i, v.typeName())
		}
	}
	return in.join(t, items)
}

// join writes the texts of items with sep between.
func (in *interp) join(sep Text, items []Value) (Text, error) {
	parts := make([]Text, 0, 2*len(items))
	n := 0
	for i, v := range items {
		t, err := in.str(v)
		if err != nil {
			return Text{}, err
		}
		if i > 0 {
			parts = append(parts, sep)
			n += len(sep.s)
		}
		parts = append(parts, t)
		if n += len(t.s); n > in.o.MaxOutput {
			return Text{}, in.size(-1)
		}
	}
	if err := in.size(n); err != nil {
		return Text{}, err
	}
	return concat(parts...), nil
}

func zfill(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("zfill", 1, "width")
	if err != nil {
		return nil, err
	}
	n, err := intArg("zfill", p[0], 0)
	if err != nil {
		return nil, err
	}
	pad := n - t.runes()
	if pad <= 0 {
		return t, nil
	}
	if err := in.size(n); err != nil {
		return nil, err
	}
	zeros := plain(strings.Repeat("0", pad))
	if t.s != "" && (t.s[0] == '+' || t.s[0] == '-') {
		return concat(t.slice(0, 1), zeros, t.slice(1, len(t.s))), nil
	}
	return concat(zeros, t), nil
}

func padMethod(name string, left, right bool) strMethod {
	return func(in *interp, t Text, a *args) (Value, error) {
		p, err := a.bind(name, 1, "width", "fillchar")
		if err != nil {
			return nil, err
		}
		n, err := intArg(name, p[0], 0)
		if err != nil {
			return nil, err
		}
		fill := plain(" ")
		if p[1] != nil {
			if fill, err = textArg(name, p[1]); err != nil {
				return nil, err
			}
			if fill.runes() != 1 {
				return nil, typeErr("The fill character must be exactly one character long")
			}
		}
		return in.pad(t, n, fill.s, left, right)
	}
}

// pad fills t up to n code points; with both sides the odd one goes where CPython puts it.
func (in *interp) pad(t Text, n int, fill string, left, right bool) (Text, error) {
	more := n - t.runes()
	if more <= 0 {
		return t, nil
	}
	if err := in.size(len(t.s) + min(more, in.o.MaxOutput)*len(fill)); err != nil || more > in.o.MaxOutput {
		return Text{}, in.size(-1)
	}
	before := 0
	switch {
	case left && right:
		before = more/2 + more&n&1
	case left:
		before = more
	}
	return concat(plain(strings.Repeat(fill, before)), t, plain(strings.Repeat(fill, more-before))), nil
}

func expandtabs(in *interp, t Text, a *args) (Value, error) {
	p, err := a.bind("expandtabs", 0, "tabsize")
	if err != nil {
		return nil, err
	}
	n, err := intArg("expandtabs", p[0], 8)
	if err != nil {
		return nil, err
	}
	if err := in.size(len(t.s) + min(n, 1<<30)*strings.Count(t.s, "\t")); err != nil {
		return nil, err
	}
	col := 0
	return t.mapRunes(func(_ int, r rune) string {
		switch {
		case r == '\n' || r == '\r':
			col = 0
		case r == '\t':
			if n <= 0 {
				return ""
			}
			k := n - col%n
			col += k
			return strings.Repeat(" ", k)
		default:
			col++
		}
		return string(r)
	}), nil
}

// dictMethods are the methods of dict that do not change it.
var dictMethods = map[string]func(in *interp, d *Dict, a *args) (Value, error){
	"items": func(in *interp, d *Dict, a *args) (Value, error) {
		return &seq{kind: "dict_items", items: d.pairs()}, in.count(d.Len())
	},
	"keys": func(in *interp, d *Dict, a *args) (Value, error) {
		return &seq{kind: "dict_keys", items: d.keys}, nil
	},
	"values": func(in *interp, d *Dict, a *args) (Value, error) {
		return &seq{kind: "dict_values", items: d.vals}, nil
	},
	"copy": func(in *interp, d *Dict, a *args) (Value, error) {
		return d.Clone(), in.count(d.Len())
	},
	"get": func(in *interp, d *Dict, a *args) (Value, error) {
		if len(a.names) > 0 {
			return nil, typeErr("dict.get() takes no keyword arguments")
		}
		p, err := a.bind("get", 1, "key", "default")
		if err != nil {
			return nil, err
		}
		h, err := hashKey(p[0])
		if err != nil {
			return nil, err
		}
		if v, ok := d.get(h); ok {
			return v, nil
		}
		if p[1] != nil {
			return p[1], nil
		}
		return None{}, nil
	},
}

// listMethods are the methods of list and tuple that do not change them.
var listMethods = map[string]func(in *interp, l *List, a *args) (Value, error){
	"copy": func(in *interp, l *List, a *args) (Value, error) {
		return newList(append([]Value(nil), l.items...)), in.count(len(l.items))
	},
	"count": func(in *interp, l *List, a *args) (Value, error) {
		p, err := a.bind("count", 1, "value")
		if err != nil {
			return nil, err
		}
		n := 0
		for _, v := range l.items {
			ok, err := in.equal(v, p[0])
			if err != nil {
				return nil, err
			}
			if ok {
				n++
			}
		}
		return Int(n), nil
	},
	"index": func(in *interp, l *List, a *args) (Value, error) {
		p, err := a.bind("index", 1, "value", "start", "stop")
		if err != nil {
			return nil, err
		}
		i, j, _, err := sliceBounds(len(l.items), p[1], p[2], nil)
		if err != nil {
			return nil, err
		}
		for ; i < j; i++ {
			ok, err := in.equal(l.items[i], p[0])
			if err != nil || ok {
				return Int(i), err
			}
		}
		return nil, valueErr("the value is not in the list")
	},
}
