package jinja

import "slices"

// eval evaluates an expression, counting the step and the depth.
func (in *interp) eval(x expr, sc *scope) (Value, error) {
	in.steps++
	in.depth++
	in.line = x.at()
	if in.steps > in.o.MaxSteps || in.depth > maxEvalDepth {
		in.depth--
		if in.steps > in.o.MaxSteps {
			return nil, atLine(in.charge(0), x.at())
		}
		return nil, atLine(errf(KindLimit, "nested too deep"), x.at())
	}
	v, err := x.eval(in, sc)
	in.depth--
	if err != nil {
		return nil, atLine(err, x.at())
	}
	return v, nil
}

func (in *interp) evalAll(xs []expr, sc *scope) ([]Value, error) {
	out := make([]Value, len(xs))
	for i, x := range xs {
		v, err := in.eval(x, sc)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (x *constExpr) eval(in *interp, sc *scope) (Value, error) { return x.v, nil }

func (x *nameExpr) eval(in *interp, sc *scope) (Value, error) {
	return in.lookup(x.name, sc), nil
}

func (in *interp) lookup(name string, sc *scope) Value {
	for s := sc; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	if v, ok := in.ctx.Get(name); ok {
		return v
	}
	if f, ok := globals[name]; ok {
		return &function{name: name, kind: "function", call: f}
	}
	return newUndefined("'%s' is undefined", name)
}

func (x *listExpr) eval(in *interp, sc *scope) (Value, error) {
	items, err := in.evalAll(x.items, sc)
	return &List{items: items, tuple: x.tuple}, err
}

func (x *dictExpr) eval(in *interp, sc *scope) (Value, error) {
	d := NewDict()
	for i := range x.keys {
		k, err := in.eval(x.keys[i], sc)
		if err != nil {
			return nil, err
		}
		v, err := in.eval(x.vals[i], sc)
		if err != nil {
			return nil, err
		}
		h, err := hashKey(k)
		if err != nil {
			return nil, err
		}
		d.set(h, k, v)
	}
	return d, nil
}

func (x *attrExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	return in.getattr(v, x.name)
}

func (x *itemExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	k, err := in.eval(x.key, sc)
	if err != nil {
		return nil, err
	}
	return in.getitem(v, k)
}

func (x *sliceExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	var parts [3]Value
	for i, e := range []expr{x.start, x.stop, x.step} {
		if e == nil {
			continue
		}
		if parts[i], err = in.eval(e, sc); err != nil {
			return nil, err
		}
	}
	return in.slice(v, parts[0], parts[1], parts[2])
}

func (x *filterExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	return x.apply(in, sc, v)
}

func (x *filterExpr) apply(in *interp, sc *scope, v Value) (Value, error) {
	a, err := in.evalArgs(&x.args, sc)
	if err != nil {
		return nil, err
	}
	return in.filter(x.name, v, a)
}

func (in *interp) filter(name string, v Value, a *args) (Value, error) {
	f, ok := in.filters[name]
	if !ok {
		return nil, errf(KindRuntime, "No filter named '%s' found.", name)
	}
	if err := in.charge(0); err != nil {
		return nil, err
	}
	return f(in, v, a)
}

func (x *testExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	a, err := in.evalArgs(&x.args, sc)
	if err != nil {
		return nil, err
	}
	ok, err := in.test(x.name, v, a)
	return Bool(ok), err
}

func (in *interp) test(name string, v Value, a *args) (bool, error) {
	f, ok := in.tests[name]
	if !ok {
		return false, errf(KindRuntime, "No test named '%s' found.", name)
	}
	if err := in.charge(0); err != nil {
		return false, err
	}
	return f(in, v, a)
}

func (x *notExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	return Bool(!truth(v)), nil
}

func (x *logicExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil || truth(v) != x.and {
		return v, err
	}
	return in.eval(x.y, sc)
}

func (x *condExpr) eval(in *interp, sc *scope) (Value, error) {
	c, err := in.eval(x.cond, sc)
	switch {
	case err != nil:
		return nil, err
	case truth(c):
		return in.eval(x.x, sc)
	case x.y == nil:
		return newUndefined("the inline if-expression on line %d evaluated to false and no else section was defined.", x.at()), nil
	}
	return in.eval(x.y, sc)
}

func (x *unaryExpr) eval(in *interp, sc *scope) (Value, error) {
	v, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	return negate(v, x.neg)
}

func (x *binaryExpr) eval(in *interp, sc *scope) (Value, error) {
	l, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	r, err := in.eval(x.y, sc)
	if err != nil {
		return nil, err
	}
	return in.binary(x.op, l, r)
}

func (x *concatExpr) eval(in *interp, sc *scope) (Value, error) {
	vals, err := in.evalAll(x.parts, sc)
	if err != nil {
		return nil, err
	}
	return in.concat(vals)
}

// concat joins the texts of values.
func (in *interp) concat(vals []Value) (Text, error) {
	parts := make([]Text, len(vals))
	n := 0
	for i, v := range vals {
		t, err := in.str(v)
		if err != nil {
			return Text{}, err
		}
		parts[i] = t
		n += len(t.s)
	}
	if err := in.size(n); err != nil {
		return Text{}, err
	}
	return concat(parts...), nil
}

func (x *compareExpr) eval(in *interp, sc *scope) (Value, error) {
	l, err := in.eval(x.x, sc)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		r, err := in.eval(x.ys[i], sc)
		if err != nil {
			return nil, err
		}
		ok, err := in.compare(op, l, r)
		if err != nil || !ok {
			return Bool(false), err
		}
		l = r
	}
	return Bool(true), nil
}

// iterate gives what a for loop over v would see.
func (in *interp) iterate(v Value) ([]Value, error) {
	switch x := v.(type) {
	case *List:
		return x.items, in.charge(len(x.items))
	case *Dict:
		return x.keys, in.charge(len(x.keys))
	case *seq:
		return x.take()
	case *pyRange:
		return x.items(), in.count(int(x.length()))
	case Text:
		if err := in.count(len(x.s)); err != nil {
			return nil, err
		}
		out := make([]Value, 0, len(x.s))
		m := 0
		for i, r := range x.s {
			for m < len(x.marks) && x.marks[m].End <= i {
				m++
			}
			t := plain(string(r))
			if m < len(x.marks) && x.marks[m].Start <= i {
				sp := x.marks[m]
				sp.Start, sp.End = 0, len(t.s)
				t.marks = []Span{sp}
			}
			out = append(out, t)
		}
		return out, nil
	case *undefined:
		if x.kind != KindUndefined {
			return nil, x.err()
		}
		return nil, nil
	case *loop: // the loop itself is its iterator: what is left
		return slices.Clone(x.items[x.i+1:]), nil
	}
	return nil, typeErr("'%s' object is not iterable", v.typeName())
}
