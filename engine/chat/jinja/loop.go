package jinja

// loop is the variable of that name inside a for statement.
type loop struct {
	items   []Value
	i       int
	depth0  int
	stmt    *forStmt
	sc      *scope // of the statement, for recursive calls
	changed []Value
}

func (*loop) typeName() string { return "LoopContext" }

func (s *forStmt) exec(in *interp, sc *scope) (flow, error) {
	v, err := in.eval(s.iter, sc)
	if err != nil {
		return flowNext, err
	}
	return flowNext, s.run(in, sc, v, 0)
}

func (s *forStmt) run(in *interp, sc *scope, v Value, depth0 int) error {
	items, err := in.iterate(v)
	if err != nil {
		return err
	}
	if s.filter != nil {
		if items, err = s.keep(in, sc, items); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		_, err := in.run(s.orelse, sc.child())
		return err
	}
	lp := &loop{items: items, depth0: depth0, stmt: s, sc: sc}
	for i, it := range items {
		if err := in.charge(64); err != nil { // a frame and its bindings
			return err
		}
		lp.i = i
		inner := sc.child()
		inner.set("loop", lp)
		if err := in.assign(s.to, it, inner); err != nil {
			return err
		}
		fl, err := in.run(s.body, inner)
		if err != nil {
			return err
		}
		if fl == flowBreak {
			break
		}
	}
	return nil
}

func (s *forStmt) keep(in *interp, sc *scope, items []Value) ([]Value, error) {
	var kept []Value
	for _, it := range items {
		inner := sc.child()
		if err := in.assign(s.to, it, inner); err != nil {
			return nil, err
		}
		ok, err := in.eval(s.filter, inner)
		if err != nil {
			return nil, err
		}
		if truth(ok) {
			kept = append(kept, it)
		}
	}
	return kept, nil
}

// attr gives the attributes templates may read.
func (l *loop) attr(name string) (Value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return Int(l.i + 1), true
	case "index0":
		return Int(l.i), true
	case "revindex":
		return Int(n - l.i), true
	case "revindex0":
		return Int(n - l.i - 1), true
	case "first":
		return Bool(l.i == 0), true
	case "last":
		return Bool(l.i == n-1), true
	case "length":
		return Int(n), true
	case "depth":
		return Int(l.depth0 + 1), true
	case "depth0":
		return Int(l.depth0), true
	case "previtem":
		if l.i == 0 {
			return newUndefined("there is no previous item"), true
		}
		return l.items[l.i-1], true
	case "nextitem":
		if l.i == n-1 {
			return newUndefined("there is no next item"), true
		}
		return l.items[l.i+1], true
	case "cycle":
		return &function{name: "cycle", call: func(in *interp, a *args) (Value, error) {
			if len(a.pos) == 0 {
				return nil, typeErr("no items for cycling given")
			}
			return a.pos[l.i%len(a.pos)], nil
		}}, true
	case "changed":
		return &function{name: "changed", call: func(in *interp, a *args) (Value, error) {
			same := l.changed != nil && len(l.changed) == len(a.pos)
			for i := 0; same && i < len(a.pos); i++ {
				eq, err := in.equal(l.changed[i], a.pos[i])
				if err != nil {
					return nil, err
				}
				same = eq
			}
			l.changed = append([]Value{}, a.pos...)
			return Bool(!same), nil
		}}, true
	}
	return nil, false
}

// recurse is loop(items): the loop's body over other items, as text.
func (l *loop) recurse(in *interp, a *args) (Value, error) {
	if !l.stmt.recursive {
		return nil, typeErr("The loop must have the 'recursive' marker to be called recursively.")
	}
	v, err := a.bind("loop", 1, "iterable")
	if err != nil {
		return nil, err
	}
	if err := in.enterCall(); err != nil {
		return nil, err
	}
	defer in.leaveCall()
	return in.capture(func() error { return l.stmt.run(in, l.sc, v[0], l.depth0+1) })
}
