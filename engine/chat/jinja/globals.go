package jinja

// globals are the functions every template sees: Jinja's own and those transformers adds.
var globals = map[string]func(in *interp, a *args) (Value, error){
	"range":           rangeGlobal,
	"dict":            dictGlobal,
	"namespace":       namespaceGlobal,
	"cycler":          cyclerGlobal,
	"joiner":          joinerGlobal,
	"raise_exception": raiseGlobal,
	"strftime_now":    strftimeGlobal,
}

func rangeGlobal(in *interp, a *args) (Value, error) {
	if len(a.names) > 0 {
		return nil, typeErr("range() takes no keyword arguments")
	}
	n := make([]int64, len(a.pos))
	for i, v := range a.pos {
		if u, ok := v.(*undefined); ok {
			return nil, u.err()
		}
		x, ok := asInt(v)
		if _, big := v.(bigInt); big || x > 1<<40 || x < -1<<40 {
			return nil, errf(KindLimit, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", maxRange)
		}
		if !ok {
			return nil, typeErr("'%s' object cannot be interpreted as an integer", v.typeName())
		}
		n[i] = x
	}
	r := &pyRange{step: 1}
	switch len(n) {
	case 1:
		r.stop = n[0]
	case 2:
		r.start, r.stop = n[0], n[1]
	case 3:
		r.start, r.stop, r.step = n[0], n[1], n[2]
	default:
		return nil, typeErr("range expected 1 to 3 arguments, got %d", len(n))
	}
	if r.step == 0 {
		return nil, valueErr("range() arg 3 must not be zero")
	}
	if r.length() > maxRange {
		return nil, errf(KindLimit, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", maxRange)
	}
	return r, nil
}

// dictGlobal is dict(mapping or pairs, **kwargs).
func dictGlobal(in *interp, a *args) (Value, error) {
	d := NewDict()
	if len(a.pos) > 1 {
		return nil, typeErr("dict expected at most 1 argument, got %d", len(a.pos))
	}
	if len(a.pos) == 1 {
		if err := in.update(d, a.pos[0]); err != nil {
			return nil, err
		}
	}
	for i, n := range a.names {
		d.Set(n, a.kw[i])
	}
	return d, nil
}

func (in *interp) update(d *Dict, v Value) error {
	if src, ok := v.(*Dict); ok {
		for i, k := range src.keys {
			h, err := hashKey(k)
			if err != nil {
				return err
			}
			d.set(h, k, src.vals[i])
		}
		return in.charge(src.Len())
	}
	items, err := in.iterate(v)
	if err != nil {
		return err
	}
	for i, it := range items {
		pair, err := in.iterate(it)
		if err != nil {
			return err
		}
		if len(pair) != 2 {
			return valueErr("dictionary update sequence element #%d has length %d; 2 is required", i, len(pair))
		}
		h, err := hashKey(pair[0])
		if err != nil {
			return err
		}
		d.set(h, pair[0], pair[1])
	}
	return nil
}

func namespaceGlobal(in *interp, a *args) (Value, error) {
	v, err := dictGlobal(in, a)
	if err != nil {
		return nil, err
	}
	return &namespace{vals: v.(*Dict)}, nil
}

// cycler walks through its items, over and over.
type cycler struct {
	items []Value
	i     int
}

func (*cycler) typeName() string { return "Cycler" }

func (c *cycler) attr(name string) (Value, bool) {
	switch name {
	case "current":
		return c.items[c.i], true
	case "next":
		return &function{name: name, call: func(in *interp, a *args) (Value, error) {
			v := c.items[c.i]
			c.i = (c.i + 1) % len(c.items)
			return v, nil
		}}, true
	case "reset":
		return &function{name: name, call: func(in *interp, a *args) (Value, error) {
			c.i = 0
			return None{}, nil
		}}, true
	}
	return nil, false
}

func cyclerGlobal(in *interp, a *args) (Value, error) {
	if len(a.pos) == 0 {
		return nil, typeErr("at least one item has to be provided")
	}
	return &cycler{items: a.pos}, nil
}

// joinerGlobal gives a function that is empty on its first call and the separator ever after.
func joinerGlobal(in *interp, a *args) (Value, error) {
	p, err := a.bind("joiner", 0, "sep")
	if err != nil {
		return nil, err
	}
	var sep Value = plain(", ")
	if p[0] != nil {
		sep = p[0]
	}
	used := false
	return &function{name: "joiner", call: func(in *interp, a *args) (Value, error) {
		if !used {
			used = true
			return Text{}, nil
		}
		return sep, nil
	}}, nil
}

func raiseGlobal(in *interp, a *args) (Value, error) {
	p, err := a.bind("raise_exception", 1, "message")
	if err != nil {
		return nil, err
	}
	t, err := in.str(p[0])
	if err != nil {
		return nil, err
	}
	return nil, errf(KindRaised, "%s", t.s)
}

func strftimeGlobal(in *interp, a *args) (Value, error) {
	p, err := a.bind("strftime_now", 1, "format")
	if err != nil {
		return nil, err
	}
	f, ok := p[0].(Text)
	if !ok {
		return nil, typeErr("strftime() argument 1 must be str, not %s", p[0].typeName())
	}
	if err := in.size(len(f.s) * 32); err != nil {
		return nil, err
	}
	return plain(strftime(in.o.Now, f.s)), nil
}
