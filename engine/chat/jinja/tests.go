package jinja

import (
	"math/big"
	"strings"
)

type testFunc func(in *interp, v Value, a *args) (bool, error)

// tests are the tests of Jinja2 ("x is NAME").
var tests = map[string]testFunc{
	"boolean":     typeTest(func(v Value) bool { _, ok := v.(Bool); return ok }),
	"callable":    typeTest(callable),
	"defined":     typeTest(func(v Value) bool { _, ok := v.(*undefined); return !ok }),
	"undefined":   typeTest(func(v Value) bool { _, ok := v.(*undefined); return ok }),
	"none":        typeTest(func(v Value) bool { _, ok := v.(None); return ok }),
	"true":        typeTest(func(v Value) bool { b, ok := v.(Bool); return ok && bool(b) }),
	"false":       typeTest(func(v Value) bool { b, ok := v.(Bool); return ok && !bool(b) }),
	"escaped":     typeTest(func(v Value) bool { t, ok := v.(Text); return ok && t.safe }),
	"float":       typeTest(func(v Value) bool { _, ok := v.(Float); return ok }),
	"integer":     typeTest(isInteger),
	"number":      typeTest(func(v Value) bool { _, ok := asFloat(v); return ok }),
	"mapping":     typeTest(func(v Value) bool { _, ok := v.(*Dict); return ok }),
	"string":      typeTest(func(v Value) bool { _, ok := v.(Text); return ok }),
	"iterable":    typeTest(iterable),
	"sequence":    typeTest(sequence),
	"filter":      registered(func(in *interp, n string) bool { _, ok := in.filters[n]; return ok }),
	"test":        registered(func(in *interp, n string) bool { _, ok := in.tests[n]; return ok }),
	"upper":       caseOf(true),
	"lower":       caseOf(false),
	"divisibleby": divisibleby,
	"even":        parity(0),
	"odd":         parity(1),
	"sameas":      sameas,
	"in":          inTest,
	"==":          comparison("=="),
	"eq":          comparison("=="),
	"equalto":     comparison("=="),
	"!=":          comparison("!="),
	"ne":          comparison("!="),
	">":           comparison(">"),
	"gt":          comparison(">"),
	"greaterthan": comparison(">"),
	">=":          comparison(">="),
	"ge":          comparison(">="),
	"<":           comparison("<"),
	"lt":          comparison("<"),
	"lessthan":    comparison("<"),
	"<=":          comparison("<="),
	"le":          comparison("<="),
}

func typeTest(f func(Value) bool) testFunc {
	return func(in *interp, v Value, a *args) (bool, error) {
		if len(a.pos)+len(a.names) > 0 {
			return false, typeErr("the test takes no arguments (%d given)", len(a.pos)+len(a.names))
		}
		return f(v), nil
	}
}

func callable(v Value) bool {
	switch v.(type) {
	case *function, *macro, *loop, *undefined:
		return true
	}
	return false
}

func isInteger(v Value) bool {
	switch v.(type) {
	case Int, bigInt:
		return true
	}
	return false
}

func iterable(v Value) bool {
	switch v.(type) {
	case Text, *List, *Dict, *seq, *pyRange, *undefined, *loop:
		return true
	}
	return false
}

func sequence(v Value) bool {
	switch v.(type) {
	case Text, *List, *Dict, *pyRange, *undefined:
		return true
	}
	return false
}

func registered(f func(*interp, string) bool) testFunc {
	return func(in *interp, v Value, a *args) (bool, error) {
		t, ok := v.(Text)
		return ok && f(in, t.s), nil
	}
}

func caseOf(up bool) testFunc {
	return func(in *interp, v Value, a *args) (bool, error) {
		t, err := in.str(v)
		if err != nil {
			return false, err
		}
		same := lower(t).s == t.s
		if up {
			same = upper(t).s == t.s
		}
		return same && strings.IndexFunc(t.s, cased) >= 0, in.charge(len(t.s))
	}
}

func modulo(in *interp, v, by Value) (bool, error) {
	m, err := in.binary("%", v, by)
	if err != nil {
		return false, err
	}
	return in.equal(m, Int(0))
}

func divisibleby(in *interp, v Value, a *args) (bool, error) {
	p, err := a.bind("divisibleby", 1, "num")
	if err != nil {
		return false, err
	}
	return modulo(in, v, p[0])
}

func parity(want int64) testFunc {
	return func(in *interp, v Value, a *args) (bool, error) {
		if n, ok := asBig(v); ok {
			return new(big.Int).And(n, big.NewInt(1)).Int64() == want, nil
		}
		m, err := in.binary("%", v, Int(2))
		if err != nil {
			return false, err
		}
		return in.equal(m, Int(want))
	}
}

func sameas(in *interp, v Value, a *args) (bool, error) {
	p, err := a.bind("sameas", 1, "other")
	if err != nil {
		return false, err
	}
	switch x := v.(type) {
	case Text:
		y, ok := p[0].(Text)
		return ok && x.s == y.s, nil
	case bigInt:
		return false, nil
	}
	if y, ok := p[0].(Text); ok {
		return false, in.charge(len(y.s))
	}
	return v == p[0], nil
}

func inTest(in *interp, v Value, a *args) (bool, error) {
	p, err := a.bind("in", 1, "seq")
	if err != nil {
		return false, err
	}
	return in.contains(p[0], v)
}

func comparison(op string) testFunc {
	return func(in *interp, v Value, a *args) (bool, error) {
		p, err := a.bind(op, 1, "other")
		if err != nil {
			return false, err
		}
		return in.compare(op, v, p[0])
	}
}
