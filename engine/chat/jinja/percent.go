package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// percent is Python's str % values.
func (in *interp) percent(t Text, v Value) (Value, error) {
	vals := []Value{v}
	used := 0
	l, isTuple := v.(*List)
	isTuple = isTuple && l.tuple
	if isTuple {
		vals = l.items
	}
	var b builder
	for i := 0; i < len(t.s); {
		k := strings.IndexByte(t.s[i:], '%')
		if k < 0 {
			k = len(t.s) - i
		}
		b.text(t.slice(i, i+k))
		if i += k; i >= len(t.s) {
			break
		}
		sp, n, err := parsePercent(t.s[i+1:])
		if err != nil {
			return nil, err
		}
		i += 1 + n
		if sp.verb == '%' {
			b.plain("%")
			continue
		}
		next := func() (Value, error) {
			if used >= len(vals) {
				return nil, typeErr("not enough arguments for format string")
			}
			used++
			return vals[used-1], nil
		}
		if err := in.percentOne(&b, sp, v, next); err != nil {
			return nil, err
		}
		if sp.key != "" || sp.hasKey {
			used = len(vals)
		}
	}
	if used < len(vals) && (isTuple || !subscripted(v)) {
		return nil, typeErr("not all arguments converted during string formatting")
	}
	if err := in.size(len(b.b)); err != nil {
		return nil, err
	}
	out := b.take()
	out.safe = t.safe
	return out, nil
}

// subscripted values may stay unused by %, as Python takes them for mappings.
func subscripted(v Value) bool {
	switch v.(type) {
	case *List, *Dict, *undefined:
		return true
	}
	return false
}

type percentSpec struct {
	key                      string
	hasKey                   bool
	minus, plus, space, zero bool
	alt                      bool
	width, prec              int // -1: none; -2: from the arguments
	verb                     byte
}

func parsePercent(s string) (sp percentSpec, n int, err error) {
	sp.width, sp.prec = -1, -1
	if strings.HasPrefix(s, "(") {
		depth := 0
		for ; n < len(s); n++ {
			if s[n] == '(' {
				depth++
			} else if s[n] == ')' {
				if depth--; depth == 0 {
					break
				}
			}
		}
		if n == len(s) {
			return sp, n, valueErr("incomplete format key")
		}
		sp.key, sp.hasKey = s[1:n], true
		n++
	}
flags:
	for ; n < len(s); n++ {
		switch s[n] {
		case '-':
			sp.minus = true
		case '+':
			sp.plus = true
		case ' ':
			sp.space = true
		case '0':
			sp.zero = true
		case '#':
			sp.alt = true
		default:
			break flags
		}
	}
	num := func() int {
		if n < len(s) && s[n] == '*' {
			n++
			return -2
		}
		start := n
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		if start == n {
			return -1
		}
		v, err := strconv.Atoi(s[start:n])
		if err != nil {
			return math.MaxInt32
		}
		return v
	}
	sp.width = num()
	if n < len(s) && s[n] == '.' {
		n++
		if sp.prec = num(); sp.prec == -1 {
			sp.prec = 0
		}
	}
	for n < len(s) && (s[n] == 'l' || s[n] == 'h' || s[n] == 'L') {
		n++
	}
	if n == len(s) {
		return sp, n, valueErr("incomplete format")
	}
	sp.verb = s[n]
	return sp, n + 1, nil
}

func (in *interp) percentOne(b *builder, sp percentSpec, all Value, next func() (Value, error)) error {
	for _, p := range []*int{&sp.width, &sp.prec} {
		if *p == -2 {
			v, err := next()
			if err != nil {
				return err
			}
			n, ok := asInt(v)
			if !ok {
				return typeErr("* wants int")
			}
			if n < 0 {
				sp.minus, n = true, -n
			}
			*p = int(min(n, math.MaxInt32))
		}
	}
	if sp.width > in.o.MaxOutput || sp.prec > in.o.MaxOutput {
		return in.size(-1)
	}
	var v Value
	var err error
	if sp.hasKey {
		d, ok := all.(*Dict)
		if !ok {
			return typeErr("format requires a mapping")
		}
		if v, ok = d.Get(sp.key); !ok {
			return valueErr("KeyError: %s", quote(sp.key))
		}
	} else if v, err = next(); err != nil {
		return err
	}
	body, numeric, err := in.percentBody(sp, v)
	if err != nil {
		return err
	}
	fill := sp.width - body.runes()
	if fill <= 0 {
		b.text(body)
		return nil
	}
	switch {
	case sp.minus:
		b.text(body)
		b.plain(strings.Repeat(" ", fill))
	case sp.zero && numeric:
		k := signLen(body.s)
		b.plain(body.s[:k] + strings.Repeat("0", fill) + body.s[k:])
	default:
		b.plain(strings.Repeat(" ", fill))
		b.text(body)
	}
	return nil
}

// signLen is the length of a sign and a base prefix.
func signLen(s string) int {
	k := 0
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		k = 1
	}
	if len(s) > k+1 && s[k] == '0' && strings.IndexByte("xXobB", s[k+1]) >= 0 {
		k += 2
	}
	return k
}

func (in *interp) percentBody(sp percentSpec, v Value) (Text, bool, error) {
	sign := func(neg bool, digits string) Text {
		switch {
		case neg:
			return plain("-" + digits)
		case sp.plus:
			return plain("+" + digits)
		case sp.space:
			return plain(" " + digits)
		}
		return plain(digits)
	}
	switch sp.verb {
	case 's', 'r', 'a':
		t, err := in.str(v)
		if sp.verb != 's' {
			t, err = in.repr(v)
		}
		if sp.prec >= 0 && t.runes() > sp.prec {
			at := offsets(t.s)
			end := sp.prec
			if at != nil {
				end = at[end]
			}
			t = t.slice(0, end)
		}
		return t, false, err
	case 'c':
		if n, ok := asInt(v); ok && n >= 0 && n <= utf8.MaxRune {
			return plain(string(rune(n))), false, nil
		}
		if t, ok := v.(Text); ok && t.runes() == 1 {
			return t, false, nil
		}
		return Text{}, false, typeErr("%%c requires int or char")
	case 'd', 'i', 'u', 'x', 'X', 'o':
		return percentInt(sp, v, sign)
	case 'f', 'F', 'e', 'E', 'g', 'G':
		f, ok := asFloat(v)
		if !ok {
			return Text{}, false, typeErr("must be real number, not %s", v.typeName())
		}
		prec := sp.prec
		if prec < 0 {
			prec = 6
		}
		if prec > 1000 {
			return Text{}, false, errf(KindLimit, "a precision of %d", prec)
		}
		return sign(math.Signbit(f), floatDigits(math.Abs(f), sp.verb, prec, sp.alt)), true, nil
	}
	return Text{}, false, valueErr("unsupported format character '%c' (0x%x)", sp.verb, sp.verb)
}

func percentInt(sp percentSpec, v Value, sign func(bool, string) Text) (Text, bool, error) {
	n, ok := asBig(v)
	if f, isFloat := v.(Float); isFloat && (sp.verb == 'd' || sp.verb == 'i' || sp.verb == 'u') {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return Text{}, false, valueErr("cannot convert float to integer")
		}
		n, _ = big.NewFloat(float64(f)).Int(nil)
		ok = true
	}
	if !ok {
		return Text{}, false, typeErr("%%%c format: a real number is required, not %s", sp.verb, v.typeName())
	}
	base, prefix := 10, ""
	switch sp.verb {
	case 'x', 'X':
		base, prefix = 16, "0x"
	case 'o':
		base, prefix = 8, "0o"
	}
	digits := new(big.Int).Abs(n).Text(base)
	if len(digits) < sp.prec {
		digits = strings.Repeat("0", sp.prec-len(digits)) + digits
	}
	if sp.alt {
		digits = prefix + digits
	}
	if sp.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	return sign(n.Sign() < 0, digits), true, nil
}

// floatDigits formats a non-negative float for the verbs f, e and g.
func floatDigits(f float64, verb byte, prec int, alt bool) string {
	lower := verb | 0x20
	var s string
	switch {
	case math.IsNaN(f):
		s = "nan"
	case math.IsInf(f, 0):
		s = "inf"
	case lower == 'g':
		s = generalDigits(f, max(prec, 1), alt)
	default:
		s = strconv.FormatFloat(f, lower, prec, 64)
	}
	if verb != lower {
		s = strings.ToUpper(s)
	}
	return s
}

// generalDigits is %g: exponent form below -4 and from the precision on, trailing zeros dropped unless alt.
func generalDigits(f float64, prec int, alt bool) string {
	e := strconv.FormatFloat(f, 'e', prec-1, 64)
	k := strings.IndexByte(e, 'e')
	exp, _ := strconv.Atoi(e[k+1:])
	trim := func(s string) string {
		if alt || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if exp < -4 || exp >= prec {
		return trim(e[:k]) + e[k:]
	}
	return trim(strconv.FormatFloat(f, 'f', prec-1-exp, 64))
}
