package jinja

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strings"
)

// maxBits bounds the integers that arithmetic makes.
const maxBits = 1 << 16

func negate(v Value, neg bool) (Value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if f, ok := v.(Float); ok {
		if neg {
			return -f, nil
		}
		return f, nil
	}
	n, ok := asBig(v)
	if !ok {
		sign := "+"
		if neg {
			sign = "-"
		}
		return nil, typeErr("bad operand type for unary %s: '%s'", sign, v.typeName())
	}
	if neg {
		n = new(big.Int).Neg(n)
	}
	return normal(n), nil
}

// binary is x op y for + - * / // % **.
func (in *interp) binary(op string, x, y Value) (Value, error) {
	if u, ok := x.(*undefined); ok {
		return nil, u.err()
	}
	if t, ok := x.(Text); ok && op == "%" {
		return in.percent(t, y)
	}
	if u, ok := y.(*undefined); ok {
		return nil, u.err()
	}
	if a, ok := asBig(x); ok {
		if b, ok := asBig(y); ok {
			return intOp(op, a, b)
		}
	}
	if a, ok := asFloat(x); ok {
		if b, ok := asFloat(y); ok {
			return floatOp(op, a, b)
		}
	}
	switch op {
	case "+":
		return in.add(x, y)
	case "*":
		if n, ok := asInt(y); ok {
			return in.repeat(x, n)
		}
		if n, ok := asInt(x); ok {
			return in.repeat(y, n)
		}
	}
	return nil, typeErr("unsupported operand type(s) for %s: '%s' and '%s'", op, x.typeName(), y.typeName())
}

func (in *interp) add(x, y Value) (Value, error) {
	switch a := x.(type) {
	case Text:
		b, ok := y.(Text)
		if !ok {
			return nil, typeErr(`can only concatenate str (not "%s") to str`, y.typeName())
		}
		if a.safe != b.safe { // Markup escapes what it is joined with
			a, b = escapeText(a), escapeText(b)
		}
		if err := in.size(len(a.s) + len(b.s)); err != nil {
			return nil, err
		}
		t := concat(a, b)
		t.safe = a.safe
		return t, nil
	case *List:
		b, ok := y.(*List)
		if !ok || a.tuple != b.tuple {
			return nil, typeErr(`can only concatenate %s (not "%s") to %s`, x.typeName(), y.typeName(), x.typeName())
		}
		if err := in.count(len(a.items) + len(b.items)); err != nil {
			return nil, err
		}
		return &List{items: slices.Concat(a.items, b.items), tuple: a.tuple}, nil
	}
	return nil, typeErr("unsupported operand type(s) for +: '%s' and '%s'", x.typeName(), y.typeName())
}

func (in *interp) repeat(x Value, n int64) (Value, error) {
	n = max(n, 0)
	switch a := x.(type) {
	case Text:
		if n > 0 && int64(len(a.s)) > int64(in.o.MaxOutput)/n {
			return nil, in.size(-1)
		}
		if err := in.size(len(a.s) * int(n)); err != nil {
			return nil, err
		}
		if len(a.marks) == 0 {
			return Text{s: strings.Repeat(a.s, int(n)), safe: a.safe}, nil
		}
		var b builder
		for range n {
			b.text(a)
		}
		return b.take(), nil
	case *List:
		if n > 0 && int64(len(a.items)) > maxItems/n {
			return nil, in.count(-1)
		}
		if err := in.count(len(a.items) * int(n)); err != nil {
			return nil, err
		}
		return &List{items: slices.Repeat(a.items, int(n)), tuple: a.tuple}, nil
	}
	return nil, typeErr("can't multiply sequence by non-int of type '%s'", x.typeName())
}

func intOp(op string, a, b *big.Int) (Value, error) {
	out := new(big.Int)
	switch op {
	case "+":
		out.Add(a, b)
	case "-":
		out.Sub(a, b)
	case "*":
		out.Mul(a, b)
	case "/":
		if b.Sign() == 0 {
			return nil, valueErr("division by zero")
		}
		f, _ := new(big.Rat).SetFrac(a, b).Float64()
		if a.Sign() == 0 && b.Sign() < 0 {
			f = math.Copysign(0, -1)
		}
		if math.IsInf(f, 0) {
			return nil, valueErr("integer division result too large for a float")
		}
		return Float(f), nil
	case "//", "%":
		if b.Sign() == 0 {
			return nil, valueErr("integer division or modulo by zero")
		}
		q, m := new(big.Int).QuoRem(a, b, new(big.Int))
		if m.Sign() != 0 && m.Sign() != b.Sign() { // Python rounds down, Go to zero
			q.Sub(q, big.NewInt(1))
			m.Add(m, b)
		}
		if op == "//" {
			out = q
		} else {
			out = m
		}
	case "**":
		if b.Sign() < 0 {
			x, _ := new(big.Float).SetInt(a).Float64()
			y, _ := new(big.Float).SetInt(b).Float64()
			return floatOp(op, x, y)
		}
		if a.BitLen() > 1 && (!b.IsInt64() || b.Int64() > maxBits/int64(a.BitLen())) {
			return nil, errf(KindLimit, "an integer of more than %d bits", maxBits)
		}
		out.Exp(a, b, nil)
	}
	if out.BitLen() > maxBits {
		return nil, errf(KindLimit, "an integer of more than %d bits", maxBits)
	}
	return normal(out), nil
}

func floatOp(op string, a, b float64) (Value, error) {
	switch op {
	case "+":
		return Float(a + b), nil
	case "-":
		return Float(a - b), nil
	case "*":
		return Float(a * b), nil
	case "**":
		if a == 0 && b < 0 {
			return nil, valueErr("0.0 cannot be raised to a negative power")
		}
		r := power(a, b)
		switch {
		case math.IsNaN(r) && !math.IsNaN(a) && !math.IsNaN(b):
			return nil, typeErr("complex numbers are not supported")
		case math.IsInf(r, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0):
			return nil, valueErr("Numerical result out of range")
		}
		return Float(r), nil
	}
	if b == 0 {
		return nil, valueErr("float division by zero")
	}
	if op == "/" {
		return Float(a / b), nil
	}
	// divmod as CPython does it: fmod, then the sign of the divisor.
	m := math.Mod(a, b)
	q := (a - m) / b
	if m != 0 {
		if (b < 0) != (m < 0) {
			m += b
			q--
		}
	} else {
		m = math.Copysign(0, b)
	}
	if op == "%" {
		return Float(m), nil
	}
	if q == 0 {
		return Float(math.Copysign(0, a/b)), nil
	}
	f := math.Floor(q)
	if q-f > 0.5 {
		f++
	}
	return Float(f), nil
}

// power is a**b rounded correctly where the exponent is a moderate multiple of one half, which math.Pow is not.
func power(a, b float64) float64 {
	r := math.Pow(a, b)
	half := b * 2
	if half != math.Trunc(half) || math.Abs(b) > 400 || a == 0 || math.IsNaN(r) || math.IsInf(r, 0) || r == 0 || math.IsInf(a, 0) {
		return r
	}
	x := new(big.Float).SetPrec(512).SetFloat64(a)
	out := big.NewFloat(1).SetPrec(512)
	n := int(math.Abs(math.Trunc(b)))
	if half != 2*math.Trunc(b) {
		out.Sqrt(x)
	}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			out.Mul(out, x)
		}
		x.Mul(x, x)
	}
	if b < 0 {
		out.Quo(big.NewFloat(1), out)
	}
	r, _ = out.Float64()
	return r
}

// compare is one comparison of a chain.
func (in *interp) compare(op string, x, y Value) (bool, error) {
	switch op {
	case "==":
		return in.equal(x, y)
	case "!=":
		ok, err := in.equal(x, y)
		return !ok, err
	case "in":
		return in.contains(y, x)
	case "not in":
		ok, err := in.contains(y, x)
		return !ok, err
	}
	c, ordered, err := in.order(op, x, y)
	if err != nil || !ordered {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// equal is Python's ==.
func (in *interp) equal(x, y Value) (bool, error) {
	if err := in.charge(0); err != nil {
		return false, err
	}
	switch a := x.(type) {
	case Text:
		b, ok := y.(Text)
		return ok && a.s == b.s, nil
	case None:
		_, ok := y.(None)
		return ok, nil
	case *undefined:
		_, ok := y.(*undefined)
		return ok, nil
	case *List:
		b, ok := y.(*List)
		if !ok || a.tuple != b.tuple || len(a.items) != len(b.items) {
			return false, nil
		}
		return in.equalItems(a, b)
	case *Dict:
		b, ok := y.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false, nil
		}
		return in.equalDicts(a, b)
	case *pyRange:
		b, ok := y.(*pyRange)
		return ok && slices.EqualFunc(a.items(), b.items(), func(p, q Value) bool { return p == q }), nil
	}
	if c, ok := numberOrder(x, y); ok {
		return c == 0, nil
	}
	if _, ok := asFloat(x); ok {
		return false, nil
	}
	if _, ok := asFloat(y); ok {
		return false, nil
	}
	switch y.(type) {
	case Text, *List, *Dict, None:
		return false, nil
	}
	return x == y, nil
}

func (in *interp) equalItems(a, b *List) (bool, error) {
	in.depth++
	defer func() { in.depth-- }()
	if in.depth > maxEvalDepth {
		return false, errf(KindLimit, "values nested too deep")
	}
	for i := range a.items {
		if ok, err := in.equal(a.items[i], b.items[i]); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (in *interp) equalDicts(a, b *Dict) (bool, error) {
	in.depth++
	defer func() { in.depth-- }()
	if in.depth > maxEvalDepth {
		return false, errf(KindLimit, "values nested too deep")
	}
	for i, k := range a.keys {
		h, err := hashKey(k)
		if err != nil {
			return false, err
		}
		v, ok := b.get(h)
		if !ok {
			return false, nil
		}
		if eq, err := in.equal(a.vals[i], v); err != nil || !eq {
			return false, err
		}
	}
	return true, nil
}

// numberOrder compares two numbers; ok is false if one is not a number or is NaN.
func numberOrder(x, y Value) (int, bool) {
	if a, ok := asBig(x); ok {
		if b, ok := asBig(y); ok {
			return a.Cmp(b), true
		}
	}
	a, ok1 := asFloat(x)
	b, ok2 := asFloat(y)
	if !ok1 || !ok2 || math.IsNaN(a) || math.IsNaN(b) {
		return 0, false
	}
	return cmp.Compare(a, b), true
}

// order compares for < and the like; ordered is false for NaN.
func (in *interp) order(op string, x, y Value) (c int, ordered bool, err error) {
	for _, v := range []Value{x, y} {
		if u, ok := v.(*undefined); ok {
			return 0, false, u.err()
		}
	}
	if err := in.charge(0); err != nil {
		return 0, false, err
	}
	if c, ok := numberOrder(x, y); ok {
		return c, true, nil
	}
	_, num1 := asFloat(x)
	_, num2 := asFloat(y)
	if num1 && num2 {
		return 0, false, nil
	}
	if a, ok := x.(Text); ok {
		if b, ok := y.(Text); ok {
			return strings.Compare(a.s, b.s), true, nil
		}
	}
	if a, ok := x.(*List); ok {
		if b, ok := y.(*List); ok && a.tuple == b.tuple {
			return in.orderLists(op, a, b)
		}
	}
	return 0, false, typeErr("'%s' not supported between instances of '%s' and '%s'", op, x.typeName(), y.typeName())
}

func (in *interp) orderLists(op string, a, b *List) (int, bool, error) {
	in.depth++
	defer func() { in.depth-- }()
	if in.depth > maxEvalDepth {
		return 0, false, errf(KindLimit, "values nested too deep")
	}
	for i := 0; i < len(a.items) && i < len(b.items); i++ {
		eq, err := in.equal(a.items[i], b.items[i])
		if err != nil {
			return 0, false, err
		}
		if !eq {
			return in.order(op, a.items[i], b.items[i])
		}
	}
	return cmp.Compare(len(a.items), len(b.items)), true, nil
}

// contains is x in c.
func (in *interp) contains(c, x Value) (bool, error) {
	switch c := c.(type) {
	case Text:
		t, ok := x.(Text)
		if !ok {
			return false, typeErr("'in <string>' requires string as left operand, not %s", x.typeName())
		}
		return strings.Contains(c.s, t.s), in.charge(len(c.s))
	case *Dict:
		h, err := hashKey(x)
		if err != nil {
			return false, err
		}
		_, ok := c.get(h)
		return ok, nil
	case *namespace, *macro, *function, None, Bool, Int, Float, bigInt:
		return false, typeErr("argument of type '%s' is not iterable", c.typeName())
	}
	items, err := in.iterate(c)
	if err != nil {
		return false, err
	}
	for _, it := range items {
		if ok, err := in.equal(it, x); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}
