package jinja

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth bounds the nesting of data; the reference's own parser stops near a thousand.
const maxJSONDepth = 500

// DecodeJSON reads one JSON value. Objects keep the order of their keys (the last of equal keys wins, in the
// first one's place), integers stay integers of any size.
func DecodeJSON(data []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("json at byte %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("json at byte %d: more after the value", d.InputOffset())
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (Value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	t, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch x := t.(type) {
	case nil:
		return None{}, nil
	case bool:
		return Bool(x), nil
	case string:
		return plain(x), nil
	case json.Number:
		return decodeNumber(string(x))
	case json.Delim:
		if x == '[' {
			l := &List{}
			for d.More() {
				v, err := decodeValue(d, depth+1)
				if err != nil {
					return nil, err
				}
				l.items = append(l.items, v)
			}
			_, err := d.Token()
			return l, err
		}
		return decodeObject(d, depth)
	}
	return nil, fmt.Errorf("unexpected %v", t)
}

func decodeObject(d *json.Decoder, depth int) (Value, error) {
	o := NewDict()
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(k.(string), v)
	}
	_, err := d.Token()
	return o, err
}

func decodeNumber(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, err
		}
		return Float(f), nil
	}
	if len(s) > 4300 {
		return nil, fmt.Errorf("integer of %d digits", len(s))
	}
	n, _ := new(big.Int).SetString(s, 10)
	return normal(n), nil
}

// jsonWriter is json.dumps.
type jsonWriter struct {
	in        *interp
	b         []byte
	indent    string // one level; only if pretty
	pretty    bool
	item, key string // separators
	ascii     bool
	sorted    bool
	origin    *Span // of the first string that came from the data
}

// toJSON is the tojson filter as transformers defines it: no HTML escaping, ensure_ascii off, the other arguments
// of json.dumps. If any string of v came from the data, the whole output counts as data.
func toJSON(in *interp, v Value, a *args) (Value, error) {
	p, err := a.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{in: in, item: ", ", key: ": "}
	w.ascii = p[0] != nil && truth(p[0])
	w.sorted = p[3] != nil && truth(p[3])
	switch x := p[1].(type) {
	case nil, None:
	case Text:
		w.pretty, w.indent, w.item = true, x.s, ","
	default:
		n, ok := asInt(x)
		if !ok {
			return nil, typeErr("indent must be an int or a str, not %s", x.typeName())
		}
		if n > 1000 {
			return nil, errf(KindLimit, "tojson: indent of %d", n)
		}
		w.pretty, w.indent, w.item = true, strings.Repeat(" ", int(max(n, 0))), ","
	}
	if err := w.separators(p[2]); err != nil {
		return nil, err
	}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	if err := in.size(len(w.b)); err != nil {
		return nil, err
	}
	t := plain(string(w.b))
	if w.origin != nil {
		sp := *w.origin
		sp.Start, sp.End = 0, len(t.s)
		t.marks = []Span{sp}
	}
	return t, nil
}

func (w *jsonWriter) separators(v Value) error {
	if _, none := v.(None); v == nil || none {
		return nil
	}
	items, err := w.in.iterate(v)
	if err != nil {
		return err
	}
	if len(items) != 2 {
		return valueErr("separators must be (item_separator, key_separator)")
	}
	item, ok1 := items[0].(Text)
	key, ok2 := items[1].(Text)
	if !ok1 || !ok2 {
		return typeErr("separators must be strings")
	}
	w.item, w.key = item.s, key.s
	return nil
}

func (w *jsonWriter) value(v Value, depth int) error {
	if err := w.in.charge(16); err != nil {
		return err
	}
	if len(w.b) > w.in.o.MaxOutput {
		return w.in.size(-1)
	}
	if depth > 2*maxJSONDepth {
		return errf(KindLimit, "tojson: nested too deep")
	}
	switch x := v.(type) {
	case None:
		w.b = append(w.b, "null"...)
	case Bool:
		w.b = strconv.AppendBool(w.b, bool(x))
	case Int, bigInt:
		w.b = append(w.b, simpleRepr(v)...)
	case Float:
		w.b = append(w.b, jsonFloat(float64(x))...)
	case Text:
		return w.str(x)
	case *List:
		return w.list(x, depth)
	case *Dict:
		return w.dict(x, depth)
	default:
		return typeErr("Object of type %s is not JSON serializable", v.typeName())
	}
	return nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatRepr(f)
}

func (w *jsonWriter) newline(depth int) {
	if w.pretty {
		w.b = append(w.b, '\n')
		for range depth {
			w.b = append(w.b, w.indent...)
		}
	}
}

func (w *jsonWriter) list(l *List, depth int) error {
	w.b = append(w.b, '[')
	for i, it := range l.items {
		if i > 0 {
			w.b = append(w.b, w.item...)
		}
		w.newline(depth + 1)
		if err := w.value(it, depth+1); err != nil {
			return err
		}
	}
	if len(l.items) > 0 {
		w.newline(depth)
	}
	w.b = append(w.b, ']')
	return nil
}

func (w *jsonWriter) dict(d *Dict, depth int) error {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if w.sorted {
		var failed error
		slices.SortStableFunc(order, func(i, j int) int {
			c, _, err := w.in.order("<", d.keys[i], d.keys[j])
			if err != nil && failed == nil {
				failed = err
			}
			return c
		})
		if failed != nil {
			return failed
		}
	}
	w.b = append(w.b, '{')
	for n, i := range order {
		if n > 0 {
			w.b = append(w.b, w.item...)
		}
		w.newline(depth + 1)
		if err := w.dictKey(d.keys[i]); err != nil {
			return err
		}
		w.b = append(w.b, w.key...)
		if err := w.value(d.vals[i], depth+1); err != nil {
			return err
		}
	}
	if len(order) > 0 {
		w.newline(depth)
	}
	w.b = append(w.b, '}')
	return nil
}

func (w *jsonWriter) dictKey(k Value) error {
	switch x := k.(type) {
	case Text:
		return w.str(x)
	case None, Bool, Int, bigInt, Float:
		w.b = append(w.b, '"')
		err := w.value(k, 0)
		w.b = append(w.b, '"')
		return err
	}
	return typeErr("keys must be str, int, float, bool or None, not %s", k.typeName())
}

func (w *jsonWriter) str(t Text) error {
	if w.origin == nil && len(t.marks) > 0 {
		w.origin = &t.marks[0]
	}
	if err := w.in.charge(len(t.s)); err != nil {
		return err
	}
	b := append(w.b, '"')
	for _, r := range t.s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r < 0x20 || w.ascii && r > 0x7e && r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		case w.ascii && r >= 0x10000:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	w.b = append(b, '"')
	return nil
}
