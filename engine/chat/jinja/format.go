package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatMethod is str.format with the sandbox's attribute rules.
func formatMethod(in *interp, t Text, a *args) (Value, error) {
	auto := 0
	b, err := in.formatInto(t, a, &auto, 0)
	if err != nil {
		return nil, err
	}
	if err := in.size(len(b.b)); err != nil {
		return nil, err
	}
	return b.take(), nil
}

func (in *interp) formatInto(t Text, a *args, auto *int, level int) (*builder, error) {
	if level > 2 {
		return nil, valueErr("Max string recursion exceeded")
	}
	b := &builder{}
	s := t.s
	for i := 0; i < len(s); {
		k := strings.IndexAny(s[i:], "{}")
		if k < 0 {
			b.text(t.slice(i, len(s)))
			break
		}
		b.text(t.slice(i, i+k))
		i += k
		if i+1 < len(s) && s[i+1] == s[i] {
			b.text(t.slice(i, i+1))
			i += 2
			continue
		}
		if s[i] == '}' {
			return nil, valueErr("Single '}' encountered in format string")
		}
		end, depth := i+1, 1
		for ; end < len(s); end++ {
			if s[end] == '{' {
				depth++
			} else if s[end] == '}' {
				if depth--; depth == 0 {
					break
				}
			}
		}
		if end == len(s) {
			return nil, valueErr("expected '}' before end of string")
		}
		if err := in.formatField(b, t.slice(i+1, end), a, auto, level); err != nil {
			return nil, err
		}
		if len(b.b) > in.o.MaxOutput {
			return nil, in.size(-1)
		}
		i = end + 1
	}
	return b, nil
}

func (in *interp) formatField(b *builder, field Text, a *args, auto *int, level int) error {
	name, spec := field.s, ""
	conv := byte(0)
	if k := fieldEnd(name); k < len(name) {
		rest := name[k:]
		name = name[:k]
		if rest[0] == '!' {
			if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
				return valueErr("expected ':' after conversion specifier")
			}
			conv = rest[1]
			rest = rest[2:]
		}
		spec = strings.TrimPrefix(rest, ":")
	}
	v, err := in.formatValue(name, a, auto)
	if err != nil {
		return err
	}
	switch conv {
	case 0:
	case 's':
		v, err = in.str(v)
	case 'r', 'a':
		v, err = in.repr(v)
	default:
		err = valueErr("Unknown conversion specifier %c", conv)
	}
	if err != nil {
		return err
	}
	inner, err := in.formatInto(plain(spec), a, auto, level+1)
	if err != nil {
		return err
	}
	out, err := in.formatSpec(v, string(inner.b))
	if err != nil {
		return err
	}
	b.text(out)
	return nil
}

// fieldEnd is where the name of a replacement field ends: at ! or : outside brackets.
func fieldEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			if k := strings.IndexByte(s[i:], ']'); k > 0 {
				i += k
			}
		case '!', ':':
			return i
		}
	}
	return len(s)
}

func (in *interp) formatValue(name string, a *args, auto *int) (Value, error) {
	k := strings.IndexAny(name, ".[")
	if k < 0 {
		k = len(name)
	}
	head, rest := name[:k], name[k:]
	var v Value
	if head == "" && rest != "" {
		return nil, valueErr("KeyError: ''")
	}
	if head == "" {
		head = strconv.Itoa(*auto)
		*auto++
	}
	if i, err := strconv.Atoi(head); err == nil {
		if i < 0 || i >= len(a.pos) {
			return nil, valueErr("Replacement index %d out of range for positional args tuple", i)
		}
		v = a.pos[i]
	} else {
		for i, n := range a.names {
			if n == head {
				v = a.kw[i]
			}
		}
		if v == nil {
			return nil, valueErr("KeyError: %s", quote(head))
		}
	}
	for rest != "" {
		var err error
		if rest[0] == '.' {
			k := strings.IndexAny(rest[1:], ".[") + 1
			if k == 0 {
				k = len(rest)
			}
			v, err = in.getattr(v, rest[1:k])
			rest = rest[k:]
		} else {
			k := strings.IndexByte(rest, ']')
			if rest[0] != '[' || k < 0 {
				return nil, valueErr("Missing ']' in format string")
			}
			var key Value = plain(rest[1:k])
			if n, e := strconv.Atoi(rest[1:k]); e == nil {
				key = Int(n)
			}
			v, err = in.getitem(v, key)
			rest = rest[k+1:]
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

type formatSpec struct {
	fill              string
	align, sign, verb byte
	alt, zero         bool
	width, prec       int
	comma             byte
}

// formatSpec is format(v, spec).
func (in *interp) formatSpec(v Value, spec string) (Text, error) {
	if spec == "" {
		return in.str(v)
	}
	sp, err := parseFormatSpec(spec)
	if err != nil {
		return Text{}, err
	}
	if sp.width > in.o.MaxOutput || sp.prec > 1000 {
		return Text{}, in.size(-1)
	}
	var body Text
	numeric := false
	switch x := v.(type) {
	case Text:
		if sp.verb != 0 && sp.verb != 's' {
			return Text{}, valueErr("Unknown format code '%c' for object of type 'str'", sp.verb)
		}
		body = x
		if sp.prec >= 0 && x.runes() > sp.prec {
			v, err := in.slice(x, nil, Int(sp.prec), nil)
			if err != nil {
				return Text{}, err
			}
			body = v.(Text)
		}
	case Bool, Int, bigInt, Float:
		if b, ok := v.(Bool); ok && sp.verb == 0 {
			return in.align(plain(simpleRepr(b)), sp, false)
		}
		numeric = true
		s, err := numberSpec(v, sp)
		if err != nil {
			return Text{}, err
		}
		body = plain(s)
	default:
		return Text{}, typeErr("unsupported format string passed to %s.__format__", v.typeName())
	}
	return in.align(body, sp, numeric)
}

func (in *interp) align(body Text, sp formatSpec, numeric bool) (Text, error) {
	align, fill := sp.align, sp.fill
	if align == 0 {
		align = '<'
		if numeric {
			align = '>'
			if sp.zero {
				align = '='
			}
		}
	}
	if fill == "" {
		fill = " "
		if sp.zero {
			fill = "0"
		}
	}
	more := sp.width - body.runes()
	if more <= 0 {
		return body, nil
	}
	switch align {
	case '<':
		return concat(body, plain(strings.Repeat(fill, more))), nil
	case '>':
		return concat(plain(strings.Repeat(fill, more)), body), nil
	case '^':
		return concat(plain(strings.Repeat(fill, more/2)), body, plain(strings.Repeat(fill, more-more/2))), nil
	}
	if !numeric {
		return Text{}, valueErr("'=' alignment not allowed in string format specifier")
	}
	k := signLen(body.s)
	return plain(body.s[:k] + strings.Repeat(fill, more) + body.s[k:]), nil
}

func parseFormatSpec(s string) (formatSpec, error) {
	sp := formatSpec{prec: -1}
	_, w := utf8.DecodeRuneInString(s)
	if len(s) > w && strings.IndexByte("<>=^", s[w]) >= 0 {
		sp.fill, sp.align = s[:w], s[w]
		s = s[w+1:]
	} else if strings.IndexByte("<>=^", s[0]) >= 0 {
		sp.align = s[0]
		s = s[1:]
	}
	take := func(set string) byte {
		if s != "" && strings.IndexByte(set, s[0]) >= 0 {
			c := s[0]
			s = s[1:]
			return c
		}
		return 0
	}
	sp.sign = take("+- ")
	sp.alt = take("#") != 0
	sp.zero = take("0") != 0
	num := func() (int, bool) {
		k := 0
		for k < len(s) && isDigit(s[k]) {
			k++
		}
		n, err := strconv.Atoi(s[:k])
		if err != nil && k > 0 {
			n = math.MaxInt32
		}
		s = s[k:]
		return n, k > 0
	}
	sp.width, _ = num()
	sp.comma = take(",_")
	if take(".") != 0 {
		n, ok := num()
		if !ok {
			return sp, valueErr("Format specifier missing precision")
		}
		sp.prec = n
	}
	sp.verb = take("bcdeEfFgGnosxX%")
	if s != "" {
		return sp, valueErr("Invalid format specifier")
	}
	return sp, nil
}

func numberSpec(v Value, sp formatSpec) (string, error) {
	n, isInt := asBig(v)
	f, _ := asFloat(v)
	neg := f < 0 || math.Signbit(f)
	var digits string
	switch sp.verb {
	case 'd', 'n', 'b', 'o', 'x', 'X', 'c':
		if !isInt {
			return "", valueErr("Unknown format code '%c' for object of type 'float'", sp.verb)
		}
		if sp.verb == 'c' {
			if !n.IsInt64() || n.Int64() < 0 || n.Int64() > utf8.MaxRune {
				return "", valueErr("%%c arg not in range(0x110000)")
			}
			return string(rune(n.Int64())), nil
		}
		digits = intDigits(n, sp)
	case 0:
		if isInt {
			digits = intDigits(n, sp)
			break
		}
		if sp.prec < 0 {
			digits = floatRepr(math.Abs(f))
		} else if digits = generalDigits(math.Abs(f), max(sp.prec, 1), sp.alt); !strings.ContainsAny(digits, ".e") {
			digits += ".0"
		}
	case '%':
		digits = floatDigits(math.Abs(f*100), 'f', precOr6(sp), sp.alt) + "%"
	case 's':
		return "", valueErr("Unknown format code 's' for object of type '%s'", v.typeName())
	default:
		digits = floatDigits(math.Abs(f), sp.verb, precOr6(sp), sp.alt)
	}
	if sp.comma != 0 {
		digits = group(digits, sp)
	}
	switch {
	case neg:
		return "-" + digits, nil
	case sp.sign == '+' || sp.sign == ' ':
		return string(sp.sign) + digits, nil
	}
	return digits, nil
}

func precOr6(sp formatSpec) int {
	if sp.prec < 0 {
		return 6
	}
	return sp.prec
}

func intDigits(n *big.Int, sp formatSpec) string {
	base, prefix := 10, ""
	switch sp.verb {
	case 'b':
		base, prefix = 2, "0b"
	case 'o':
		base, prefix = 8, "0o"
	case 'x', 'X':
		base, prefix = 16, "0x"
	}
	s := new(big.Int).Abs(n).Text(base)
	if sp.alt {
		s = prefix + s
	}
	if sp.verb == 'X' {
		s = strings.ToUpper(s)
	}
	return s
}

// group puts thousands separators into the integer part.
func group(s string, sp formatSpec) string {
	end := strings.IndexAny(s, ".e%")
	if end < 0 {
		end = len(s)
	}
	every := 3
	if strings.IndexByte("boxX", sp.verb) >= 0 && sp.verb != 0 {
		every = 4
	}
	var b strings.Builder
	for i := range end {
		if i > 0 && (end-i)%every == 0 {
			b.WriteByte(sp.comma)
		}
		b.WriteByte(s[i])
	}
	return b.String() + s[end:]
}

// roundFloat is Python's round(f, places): exact decimal value, half to even.
func roundFloat(f float64, places int) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) || places > 300 {
		return f
	}
	if places >= 0 {
		r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', places, 64), 64)
		return r
	}
	if places < -400 {
		return math.Copysign(0, f)
	}
	p, _ := new(big.Float).SetString(fmt.Sprintf("1e%d", -places))
	q, _ := p.Float64()
	return math.RoundToEven(f/q) * q
}
