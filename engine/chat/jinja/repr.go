package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// str is Python's str(v), with provenance.
func (in *interp) str(v Value) (Text, error) {
	switch x := v.(type) {
	case Text:
		return x, nil
	case *undefined:
		return Text{}, nil
	}
	return in.repr(v)
}

// repr is Python's repr(v).
func (in *interp) repr(v Value) (Text, error) {
	var b builder
	if err := in.writeRepr(&b, v); err != nil {
		return Text{}, err
	}
	return b.take(), nil
}

func (in *interp) writeRepr(b *builder, v Value) error {
	if err := in.charge(16); err != nil {
		return err
	}
	if len(b.b) > in.o.MaxOutput {
		return in.size(-1)
	}
	switch x := v.(type) {
	case Text:
		q := quote(x.s)
		if x.safe {
			q = "Markup(" + q + ")"
		}
		b.like(q, x, 0, len(x.s))
		return in.charge(len(x.s))
	case *List:
		open, end := "[", "]"
		if x.tuple {
			open, end = "(", ")"
			if len(x.items) == 1 {
				end = ",)"
			}
		}
		return in.reprItems(b, open, x.items, end)
	case *Dict:
		return in.reprDict(b, x)
	case *seq:
		if !x.once && strings.HasPrefix(x.kind, "dict_") {
			return in.reprItems(b, x.kind+"([", x.items, "])")
		}
		b.plain("<" + x.kind + " object>")
	case *namespace:
		b.plain("<Namespace ")
		if err := in.reprDict(b, x.vals); err != nil {
			return err
		}
		b.plain(">")
	default:
		b.plain(simpleRepr(v))
	}
	return nil
}

func (in *interp) nested() error {
	in.depth++
	if in.depth > maxEvalDepth {
		return errf(KindLimit, "values nested too deep")
	}
	return nil
}

func (in *interp) reprItems(b *builder, open string, items []Value, end string) error {
	defer func() { in.depth-- }()
	if err := in.nested(); err != nil {
		return err
	}
	b.plain(open)
	for i, it := range items {
		if i > 0 {
			b.plain(", ")
		}
		if err := in.writeRepr(b, it); err != nil {
			return err
		}
	}
	b.plain(end)
	return nil
}

func (in *interp) reprDict(b *builder, d *Dict) error {
	defer func() { in.depth-- }()
	if err := in.nested(); err != nil {
		return err
	}
	b.plain("{")
	for i, k := range d.keys {
		if i > 0 {
			b.plain(", ")
		}
		if err := in.writeRepr(b, k); err != nil {
			return err
		}
		b.plain(": ")
		if err := in.writeRepr(b, d.vals[i]); err != nil {
			return err
		}
	}
	b.plain("}")
	return nil
}

func simpleRepr(v Value) string {
	switch x := v.(type) {
	case None:
		return "None"
	case Bool:
		if x {
			return "True"
		}
		return "False"
	case Int:
		return strconv.FormatInt(int64(x), 10)
	case bigInt:
		return x.n.String()
	case Float:
		return floatRepr(float64(x))
	case *undefined:
		return "Undefined"
	case *pyRange:
		if x.step == 1 {
			return fmt.Sprintf("range(%d, %d)", x.start, x.stop)
		}
		return fmt.Sprintf("range(%d, %d, %d)", x.start, x.stop, x.step)
	case *macro:
		return "<Macro " + quote(x.def.name) + ">"
	case *loop:
		return fmt.Sprintf("<LoopContext %d/%d>", x.i+1, len(x.items))
	case *function:
		return "<built-in method " + x.name + ">"
	}
	return "<" + v.typeName() + " object>"
}

// floatRepr is Python's shortest repr: exponents below -4 and from 16 on.
func floatRepr(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote is Python's repr of a str.
func quote(s string) string {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b := make([]byte, 0, len(s)+2)
	b = append(b, q)
	for _, r := range s {
		switch {
		case r == rune(q) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20 || r == 0x7f:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r < 0x7f || unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, asciiEscape(r)...)
		}
	}
	return string(append(b, q))
}

// parseInt is Python's int(text, base); ok is false where Python raises ValueError.
func parseInt(s string, base int) (Value, bool) {
	s = strings.TrimFunc(s, isSpace)
	s = asciiDigits(s)
	if len(s) > 4300 {
		return nil, false
	}
	body := strings.TrimLeft(s, "+-")
	if len(s)-len(body) > 1 || strings.HasPrefix(body, "_") || strings.HasSuffix(body, "_") || strings.Contains(body, "__") {
		return nil, false
	}
	body = strings.ReplaceAll(body, "_", "")
	if len(body) > 2 && body[0] == '0' {
		prefix := map[byte]int{'x': 16, 'o': 8, 'b': 2}[body[1]|0x20]
		if prefix != 0 && (base == prefix || base == 0) {
			body, base = body[2:], prefix
		}
	}
	if base == 0 {
		base = 10
	}
	if body == "" || strings.ContainsAny(body, "+-") {
		return nil, false
	}
	n, ok := new(big.Int).SetString(body, base)
	if !ok {
		return nil, false
	}
	if s[0] == '-' {
		n.Neg(n)
	}
	return normal(n), true
}

// asciiDigits turns the decimal digits of other scripts into ASCII.
func asciiDigits(s string) string {
	if ascii(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x80 && unicode.IsDigit(r) {
			zero := r
			for unicode.IsDigit(zero-1) && r-zero < 9 {
				zero--
			}
			return '0' + (r - zero)
		}
		return r
	}, s)
}

// parseFloat is Python's float(text).
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(asciiDigits(s), "_", ""), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}
