package jinja

import "slices"

// args are the arguments of a call.
type args struct {
	pos   []Value
	names []string
	kw    []Value
}

// bind sorts the arguments into params; the first need of them must be there, the others may be nil.
func (a *args) bind(fn string, need int, params ...string) ([]Value, error) {
	if len(a.pos) > len(params) {
		return nil, typeErr("%s() takes at most %d arguments (%d given)", fn, len(params), len(a.pos))
	}
	out := make([]Value, len(params))
	copy(out, a.pos)
	for i, n := range a.names {
		k := slices.Index(params, n)
		if k < 0 {
			return nil, typeErr("%s() got an unexpected keyword argument '%s'", fn, n)
		}
		if k < len(a.pos) {
			return nil, typeErr("%s() got multiple values for argument '%s'", fn, n)
		}
		out[k] = a.kw[i]
	}
	for i := range need {
		if out[i] == nil {
			return nil, typeErr("%s() missing required argument '%s'", fn, params[i])
		}
	}
	return out, nil
}

// evalArgs evaluates the arguments of a call, * and ** included.
func (in *interp) evalArgs(c *callArgs, sc *scope) (*args, error) {
	a := &args{}
	for _, x := range c.pos {
		v, err := in.eval(x, sc)
		if err != nil {
			return nil, err
		}
		a.pos = append(a.pos, v)
	}
	for i, x := range c.kw {
		v, err := in.eval(x, sc)
		if err != nil {
			return nil, err
		}
		if slices.Contains(a.names, c.names[i]) {
			return nil, errf(KindSyntax, "keyword argument repeated: %s", c.names[i])
		}
		a.names, a.kw = append(a.names, c.names[i]), append(a.kw, v)
	}
	if c.star != nil {
		v, err := in.eval(c.star, sc)
		if err != nil {
			return nil, err
		}
		items, err := in.iterate(v)
		if err != nil {
			return nil, err
		}
		a.pos = append(a.pos, items...)
	}
	if c.dstar != nil {
		if err := in.keywords(a, c.dstar, sc); err != nil {
			return nil, err
		}
	}
	if c.caller != nil {
		a.names, a.kw = append(a.names, "caller"), append(a.kw, &macro{def: c.caller, sc: sc})
	}
	return a, nil
}

func (in *interp) keywords(a *args, x expr, sc *scope) error {
	v, err := in.eval(x, sc)
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if !ok {
		return typeErr("argument after ** must be a mapping, not %s", v.typeName())
	}
	for i, k := range d.keys {
		name, ok := k.(Text)
		if !ok {
			return typeErr("keywords must be strings")
		}
		if slices.Contains(a.names, name.s) {
			return typeErr("got multiple values for keyword argument '%s'", name.s)
		}
		a.names, a.kw = append(a.names, name.s), append(a.kw, d.vals[i])
	}
	return nil
}

func (c *callExpr) eval(in *interp, sc *scope) (Value, error) {
	f, err := in.eval(c.f, sc)
	if err != nil {
		return nil, err
	}
	a, err := in.evalArgs(&c.args, sc)
	if err != nil {
		return nil, err
	}
	return in.call(f, a)
}

func (in *interp) call(f Value, a *args) (Value, error) {
	switch f := f.(type) {
	case *function:
		return f.call(in, a)
	case *macro:
		return f.call(in, a)
	case *loop:
		return f.recurse(in, a)
	case *undefined:
		return nil, f.err()
	}
	return nil, typeErr("'%s' object is not callable", f.typeName())
}

func (in *interp) enterCall() error {
	in.calls++
	if in.calls > in.o.MaxDepth {
		return errf(KindLimit, "calls nested more than %d deep", in.o.MaxDepth)
	}
	return nil
}

func (in *interp) leaveCall() { in.calls-- }

// macro is a macro and the scope it was defined in.
type macro struct {
	def *macroDef
	sc  *scope
}

func (*macro) typeName() string { return "Macro" }

func (m *macroDef) exec(in *interp, sc *scope) (flow, error) {
	sc.set(m.name, &macro{def: m, sc: sc})
	return flowNext, nil
}

func (s *callStmt) exec(in *interp, sc *scope) (flow, error) {
	v, err := in.eval(s.call, sc)
	if err != nil {
		return flowNext, err
	}
	t, err := in.str(v)
	if err != nil {
		return flowNext, err
	}
	return flowNext, in.write(t)
}

// call binds the arguments, evaluates missing defaults in the macro's own scope and renders the body.
func (m *macro) call(in *interp, a *args) (Value, error) {
	if err := in.enterCall(); err != nil {
		return nil, err
	}
	defer in.leaveCall()
	sc := m.sc.child()
	d := m.def
	used := make([]bool, len(a.names))
	for i, name := range d.params {
		var v Value
		if i < len(a.pos) {
			v = a.pos[i]
		}
		if k := slices.Index(a.names, name); k >= 0 {
			if v != nil {
				return nil, typeErr("macro '%s' got two values for argument '%s'", d.name, name)
			}
			v, used[k] = a.kw[k], true
		}
		if v == nil {
			if k := i - (len(d.params) - len(d.defaults)); k >= 0 {
				var err error
				if v, err = in.eval(d.defaults[k], sc); err != nil {
					return nil, err
				}
			} else {
				v = newUndefined("parameter '%s' was not provided", name)
			}
		}
		sc.set(name, v)
	}
	if err := m.extras(a, used, sc); err != nil {
		return nil, err
	}
	return in.capture(func() error {
		_, err := in.run(d.body, sc)
		return err
	})
}

// extras binds caller, varargs and kwargs, or refuses arguments that the macro has no place for.
func (m *macro) extras(a *args, used []bool, sc *scope) error {
	d := m.def
	if d.usesCaller && !slices.Contains(d.params, "caller") {
		var caller Value = newUndefined("No caller defined")
		if k := slices.Index(a.names, "caller"); k >= 0 {
			caller, used[k] = a.kw[k], true
		}
		sc.set("caller", caller)
	}
	kwargs := NewDict()
	for i, n := range a.names {
		if !used[i] {
			kwargs.Set(n, a.kw[i])
			if !d.usesKwargs {
				return typeErr("macro '%s' takes no keyword argument '%s'", d.name, n)
			}
		}
	}
	if d.usesKwargs {
		sc.set("kwargs", kwargs)
	}
	var more []Value
	if len(a.pos) > len(d.params) {
		more = a.pos[len(d.params):]
	}
	if d.usesVarargs {
		sc.set("varargs", newTuple(more...))
	} else if len(more) > 0 {
		return typeErr("macro '%s' takes not more than %d argument(s)", d.name, len(d.params))
	}
	return nil
}

// attr gives the attributes of a macro that templates may read.
func (m *macro) attr(name string) (Value, bool) {
	switch name {
	case "name":
		return plain(m.def.name), true
	case "arguments":
		var names []Value
		for _, p := range m.def.params {
			names = append(names, plain(p))
		}
		return newTuple(names...), true
	case "caller":
		return Bool(m.def.usesCaller), true
	case "catch_kwargs":
		return Bool(m.def.usesKwargs), true
	case "catch_varargs":
		return Bool(m.def.usesVarargs), true
	}
	return nil, false
}
