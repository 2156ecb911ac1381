package jinja

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode"
)

// truncate is int(f) for a finite f.
func truncate(f float64) Value {
	n, _ := big.NewFloat(math.Trunc(f)).Int(nil)
	return normal(n)
}

func wordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// lookupPath reads "a.b.0" from v, as the attribute arguments of filters mean it.
func (in *interp) lookupPath(v, path, def Value) (Value, error) {
	parts := []Value{path}
	if t, ok := path.(Text); ok {
		parts = parts[:0]
		for _, s := range strings.Split(t.s, ".") {
			if n, ok := parseInt(s, 10); ok && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) }) < 0 {
				parts = append(parts, n)
			} else {
				parts = append(parts, plain(s))
			}
		}
	}
	for _, p := range parts {
		var err error
		if v, err = in.getitem(v, p); err != nil {
			return nil, err
		}
		if _, und := v.(*undefined); und && def != nil {
			v = def
		}
	}
	return v, nil
}

func (in *interp) pluck(items []Value, path, def Value) ([]Value, error) {
	out := make([]Value, len(items))
	for i, it := range items {
		if err := in.charge(0); err != nil {
			return nil, err
		}
		v, err := in.lookupPath(it, path, def)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// generator is what filters that Python writes with yield return.
func generator(pull func() ([]Value, error)) *seq {
	return &seq{kind: "generator", pull: pull, once: true}
}

// lazily makes of a filter that gives items one that looks at nothing before the items are wanted.
func lazily(f func(in *interp, v Value, a *args) ([]Value, error)) filterFunc {
	return func(in *interp, v Value, a *args) (Value, error) {
		return generator(func() ([]Value, error) {
			defer func() { in.depth-- }()
			if err := in.nested(); err != nil { // generators over generators
				return nil, err
			}
			return f(in, v, a)
		}), nil
	}
}

// iterateTrue is iterate for filters that look at nothing that is false, None included.
func (in *interp) iterateTrue(v Value) ([]Value, error) {
	if !truth(v) {
		return nil, nil
	}
	return in.iterate(v)
}

func mapFilter(in *interp, v Value, a *args) ([]Value, error) {
	items, err := in.iterateTrue(v)
	if err != nil {
		return nil, err
	}
	if len(a.pos) == 0 && slices.Contains(a.names, "attribute") {
		p, err := a.bind("map", 0, "attribute", "default")
		if err != nil {
			return nil, err
		}
		items, err = in.pluck(items, p[0], p[1])
		return items, err
	}
	if len(a.pos) == 0 {
		return nil, errf(KindRuntime, "map requires a filter argument")
	}
	name, err := textArg("map", a.pos[0])
	if err != nil {
		return nil, err
	}
	rest := &args{pos: a.pos[1:], names: a.names, kw: a.kw}
	out := make([]Value, len(items))
	for i, it := range items {
		if out[i], err = in.filter(name.s, it, rest); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// selectFilter makes select, reject, selectattr and rejectattr.
func selectFilter(byAttr, keep bool) filterFunc {
	return lazily(func(in *interp, v Value, a *args) ([]Value, error) {
		items, err := in.iterateTrue(v)
		if err != nil {
			return nil, err
		}
		rest := a.pos
		var path Value
		if byAttr {
			if len(rest) == 0 {
				return nil, errf(KindRuntime, "Missing parameter for attribute name")
			}
			path, rest = rest[0], rest[1:]
		}
		var name Text
		if len(rest) > 0 {
			if name, err = textArg("select", rest[0]); err != nil {
				return nil, err
			}
			rest = rest[1:]
		}
		targs := &args{pos: rest, names: a.names, kw: a.kw}
		var out []Value
		for _, it := range items {
			x := it
			if byAttr {
				if x, err = in.lookupPath(it, path, nil); err != nil {
					return nil, err
				}
			}
			ok := truth(x)
			if name.s != "" {
				if ok, err = in.test(name.s, x, targs); err != nil {
					return nil, err
				}
			}
			if err := in.charge(0); err != nil {
				return nil, err
			}
			if ok == keep {
				out = append(out, it)
			}
		}
		return out, nil
	})
}

// fold is what case-insensitive filters compare.
func fold(v Value) Value {
	if t, ok := v.(Text); ok {
		return lower(t)
	}
	return v
}

// sortBy sorts items, stably, by their keys.
func (in *interp) sortBy(items, keys []Value, reverse bool) ([]Value, error) {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	var failed error
	slices.SortStableFunc(order, func(i, j int) int {
		if failed != nil {
			return 0
		}
		c, _, err := in.order("<", keys[i], keys[j])
		if err != nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	out := make([]Value, len(items))
	for i, k := range order {
		out[i] = items[k]
	}
	return out, failed
}

func sortFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("sort", 0, "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	cased := p[1] != nil && truth(p[1])
	keys := slices.Clone(items)
	for i, it := range items {
		if keys[i], err = in.sortKey(it, p[2], cased); err != nil {
			return nil, err
		}
	}
	out, err := in.sortBy(items, keys, p[0] != nil && truth(p[0]))
	return newList(out), err
}

// sortKey is the key of one item; an attribute may name several, with commas.
func (in *interp) sortKey(it, path Value, cased bool) (Value, error) {
	folded := func(v Value) Value {
		if cased {
			return v
		}
		return fold(v)
	}
	if isNone(path) {
		return folded(it), nil
	}
	t, ok := path.(Text)
	if !ok || !strings.Contains(t.s, ",") {
		v, err := in.lookupPath(it, path, nil)
		return folded(v), err
	}
	var parts []Value
	for _, s := range strings.Split(t.s, ",") {
		v, err := in.lookupPath(it, plain(s), nil)
		if err != nil {
			return nil, err
		}
		parts = append(parts, folded(v))
	}
	return newList(parts), nil
}

func dictsortFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("dictsort", 0, "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*Dict)
	if !ok {
		if u, und := v.(*undefined); und {
			return nil, u.err()
		}
		return nil, typeErr("'%s' object has no attribute 'items'", v.typeName())
	}
	by := d.keys
	if t, ok := p[1].(Text); ok && t.s == "value" {
		by = d.vals
	} else if ok && t.s != "key" {
		return nil, valueErr(`You can only sort by either "key" or "value"`)
	}
	keys := slices.Clone(by)
	if p[0] == nil || !truth(p[0]) {
		for i := range keys {
			keys[i] = fold(keys[i])
		}
	}
	out, err := in.sortBy(d.pairs(), keys, p[2] != nil && truth(p[2]))
	return newList(out), err
}

func extreme(smallest bool) filterFunc {
	return func(in *interp, v Value, a *args) (Value, error) {
		p, err := a.bind("min", 0, "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		items, err := in.iterate(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return newUndefined("No aggregated item, sequence was empty."), nil
		}
		cased := p[0] != nil && truth(p[0])
		best, bestKey := Value(nil), Value(nil)
		for _, it := range items {
			key, err := in.sortKey(it, p[1], cased)
			if err != nil {
				return nil, err
			}
			if best != nil {
				op, x, y := "<", key, bestKey
				if !smallest {
					op = ">"
				}
				if better, err := in.compare(op, x, y); err != nil {
					return nil, err
				} else if !better {
					continue
				}
			}
			best, bestKey = it, key
		}
		return best, nil
	}
}

func uniqueFilter(in *interp, v Value, a *args) ([]Value, error) {
	p, err := a.bind("unique", 0, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	cased := p[0] != nil && truth(p[0])
	seen := NewDict()
	var out []Value
	for _, it := range items {
		key, err := in.sortKey(it, p[1], cased)
		if err != nil {
			return nil, err
		}
		h, err := hashKey(key)
		if err != nil {
			return nil, err
		}
		if _, dup := seen.get(h); !dup {
			seen.set(h, key, None{})
			out = append(out, it)
		}
	}
	return out, in.charge(len(items))
}

func sumFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("sum", 0, "attribute", "start")
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	if !isNone(p[0]) {
		if items, err = in.pluck(items, p[0], nil); err != nil {
			return nil, err
		}
	}
	var total Value = Int(0)
	if p[1] != nil {
		total = p[1]
	}
	if _, ok := total.(Text); ok {
		return nil, typeErr("sum() can't sum strings [use ''.join(seq) instead]")
	}
	for _, it := range items {
		if total, err = in.binary("+", total, it); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func groupbyFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("groupby", 1, "attribute", "default", "case_sensitive")
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	raw, err := in.pluck(items, p[0], p[1])
	if err != nil {
		return nil, err
	}
	keys := slices.Clone(raw)
	if p[2] == nil || !truth(p[2]) {
		for i := range keys {
			keys[i] = fold(keys[i])
		}
	}
	index := make([]Value, len(items))
	for i := range index {
		index[i] = Int(i)
	}
	if index, err = in.sortBy(index, keys, false); err != nil {
		return nil, err
	}
	var out []Value
	for n, iv := range index {
		i := int(iv.(Int))
		if n > 0 {
			same, err := in.equal(keys[i], keys[int(index[n-1].(Int))])
			if err != nil {
				return nil, err
			}
			if same {
				group := out[len(out)-1].(*List).items[1].(*List)
				group.items = append(group.items, items[i])
				continue
			}
		}
		out = append(out, newTuple(raw[i], newList([]Value{items[i]})))
	}
	return newList(out), nil
}

func batchFilter(in *interp, v Value, a *args) ([]Value, error) {
	p, err := a.bind("batch", 1, "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := intArg("batch", p[0], 0)
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	var out []Value
	var cur []Value
	for _, it := range items {
		if len(cur) == n && (n > 0 || len(cur) > 0) {
			out = append(out, newList(cur))
			cur = nil
		}
		cur = append(cur, it)
	}
	if len(cur) > 0 {
		if !isNone(p[1]) && len(cur) < n {
			if err := in.count(n); err != nil {
				return nil, err
			}
			for len(cur) < n {
				cur = append(cur, p[1])
			}
		}
		out = append(out, newList(cur))
	}
	return out, nil
}

func sliceFilter(in *interp, v Value, a *args) ([]Value, error) {
	p, err := a.bind("slice", 1, "slices", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := intArg("slice", p[0], 0)
	if err != nil {
		return nil, err
	}
	items, err := in.iterate(v)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, valueErr("integer division or modulo by zero")
	}
	if err := in.count(n); n > 0 && err != nil {
		return nil, err
	}
	var out []Value
	each, extra, at := len(items)/max(n, 1), len(items)%max(n, 1), 0
	for i := range max(n, 0) {
		size := each
		if i < extra {
			size++
		}
		part := slices.Clone(items[at : at+size])
		at += size
		if !isNone(p[1]) && i >= extra {
			part = append(part, p[1])
		}
		out = append(out, newList(part))
	}
	return out, nil
}

// striptagsFilter drops comments and tags and makes every run of space one blank.
func striptagsFilter(in *interp, v Value, a *args) (Value, error) {
	t, err := in.str(v)
	if err != nil {
		return nil, err
	}
	for _, d := range [][2]string{{"<!--", "-->"}, {"<", ">"}} {
		var b builder
		for {
			i := strings.Index(t.s, d[0])
			if i < 0 {
				break
			}
			j := strings.Index(t.s[i+len(d[0]):], d[1])
			if j < 0 {
				break
			}
			b.text(t.slice(0, i))
			t = t.slice(i+len(d[0])+j+len(d[1]), len(t.s))
			if err := in.charge(len(t.s)); err != nil {
				return nil, err
			}
		}
		b.text(t)
		t = b.take()
	}
	words := t.splitSpace(-1)
	vals := make([]Value, len(words))
	for i, w := range words {
		vals[i] = w
	}
	out, err := in.join(plain(" "), vals)
	if err != nil {
		return nil, err
	}
	for _, e := range [][2]string{{"&lt;", "<"}, {"&gt;", ">"}, {"&#34;", `"`}, {"&quot;", `"`}, {"&#39;", "'"}, {"&amp;", "&"}} {
		out = out.replace(plain(e[0]), plain(e[1]), -1)
	}
	return out, nil
}

func xmlattrFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("xmlattr", 0, "autospace")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*Dict)
	if !ok {
		return nil, typeErr("'%s' object has no attribute 'items'", v.typeName())
	}
	var b builder
	for i, k := range d.keys {
		val := d.vals[i]
		if _, und := val.(*undefined); und || isNone(val) {
			continue
		}
		if len(b.b) > 0 || p[0] == nil || truth(p[0]) {
			b.plain(" ")
		}
		kt, err := in.str(k)
		if err != nil {
			return nil, err
		}
		vt, err := in.str(val)
		if err != nil {
			return nil, err
		}
		b.text(escapeText(kt))
		b.plain(`="`)
		b.text(escapeText(vt))
		b.plain(`"`)
	}
	return b.take(), in.size(len(b.b))
}

// wordwrapFilter wraps each line of the text at blanks, breaking words that are longer than the width.
func wordwrapFilter(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("wordwrap", 0, "width", "break_long_words", "wrapstring", "break_on_hyphens")
	if err != nil {
		return nil, err
	}
	width, err := intArg("wordwrap", p[0], 79)
	if err != nil {
		return nil, err
	}
	if width <= 0 {
		return nil, valueErr("invalid width %d (must be > 0)", width)
	}
	breakLong := p[1] == nil || truth(p[1])
	sep := plain("\n")
	if !isNone(p[2]) {
		if sep, err = textArg("wordwrap", p[2]); err != nil {
			return nil, err
		}
	}
	t, err := textArg("wordwrap", v)
	if err != nil {
		return nil, err
	}
	var lines []Value
	for _, line := range t.splitlines(false) {
		if line.s == "" {
			lines = append(lines, line)
		}
		for _, l := range wrapLine(line, width, breakLong, p[3] == nil || truth(p[3])) {
			lines = append(lines, l)
		}
	}
	if err := in.count(len(lines)); err != nil {
		return nil, err
	}
	return in.join(sep, lines)
}

// wrapSpace is what wrapping counts as blank: ASCII alone.
func wrapSpace(r rune) bool { return r >= 9 && r <= 13 || r == ' ' }

// chunks cuts a line into words and runs of blanks; hyphens end a chunk inside a word where asked.
func chunks(t Text, hyphens bool) []Text {
	var out []Text
	start := 0
	rs := []rune(t.s)
	at := 0
	for i, r := range rs {
		w := len(string(r))
		end := at + w
		cut := i+1 == len(rs) || wrapSpace(r) != wrapSpace(rs[i+1])
		if hyphens && r == '-' && i > 0 && i+1 < len(rs) && unicode.IsLetter(rs[i-1]) && unicode.IsLetter(rs[i+1]) {
			cut = true
		}
		if cut {
			out = append(out, t.slice(start, end))
			start = end
		}
		at = end
	}
	return out
}

func wrapLine(t Text, width int, breakLong, hyphens bool) []Text {
	var out []Text
	todo := chunks(t, hyphens)
	for len(todo) > 0 {
		var cur []Text
		n := 0
		if len(out) > 0 && strings.TrimFunc(todo[0].s, wrapSpace) == "" { // blanks begin no later line
			todo = todo[1:]
		}
		for len(todo) > 0 && n+todo[0].runes() <= width {
			n += todo[0].runes()
			cur, todo = append(cur, todo[0]), todo[1:]
		}
		if len(todo) > 0 && todo[0].runes() > width {
			if room := max(width-n, 1); breakLong {
				cut := byteOffset(todo[0].s, room)
				cur = append(cur, todo[0].slice(0, cut))
				todo[0] = todo[0].slice(cut, len(todo[0].s))
			} else if len(cur) == 0 {
				cur, todo = append(cur, todo[0]), todo[1:]
			}
		}
		if k := len(cur); k > 0 && strings.TrimFunc(cur[k-1].s, wrapSpace) == "" {
			cur = cur[:k-1]
		}
		if len(cur) > 0 {
			out = append(out, concat(cur...))
		}
	}
	return out
}

func byteOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
