package jinja

import (
	"time"
)

// Options bound a rendering and give it the time. Zero fields take the defaults.
type Options struct {
	Now       time.Time // what strftime_now formats; zero = the time of the call
	MaxSteps  int       // evaluation steps; 16 bytes of text made count as one. Default 20 million
	MaxOutput int       // bytes of output, and of any one string. Default 64 MiB
	MaxDepth  int       // nested macro calls and recursive loops. Default 200
}

// Defaults of Options.
const (
	DefaultMaxSteps  = 20_000_000
	DefaultMaxOutput = 64 << 20
	DefaultMaxDepth  = 200
)

const (
	maxEvalDepth = 4000    // nested expressions and statements, macro bodies included
	maxItems     = 1 << 20 // items of one list
	maxRange     = 100_000 // the sandbox's own limit for range()
)

// Output is a rendering.
type Output struct {
	Text string
	// Spans are the pieces of Text that came from strings inside messages and tools, ascending, not overlapping.
	Spans []Span
	// Generation are the byte ranges that generation blocks wrote, ascending.
	Generation []Range
}

// Range is a range of bytes.
type Range struct{ Start, End int }

type interp struct {
	o        Options
	ctx      *Dict
	w        *builder
	steps    int
	depth    int // of evaluation
	calls    int // of macros
	line     int
	filters  map[string]filterFunc
	tests    map[string]testFunc
	methods  map[string]strMethod
	captured int // depth of captures; generation ranges count only outside
}

// scope holds the variables of one frame.
type scope struct {
	vars   map[string]Value
	parent *scope
}

func (sc *scope) child() *scope { return &scope{parent: sc} }

func (sc *scope) set(name string, v Value) {
	if sc.vars == nil {
		sc.vars = map[string]Value{}
	}
	sc.vars[name] = v
}

// Render runs the template over vars. The strings under the keys messages and tools carry their origin into
// Output.Spans; vars itself is not changed. Every error is an *Error.
func (t *Template) Render(vars *Dict, o Options) (Output, error) {
	if o.MaxSteps <= 0 {
		o.MaxSteps = DefaultMaxSteps
	}
	if o.MaxOutput <= 0 {
		o.MaxOutput = DefaultMaxOutput
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	in := &interp{o: o, ctx: markOrigins(vars), w: &builder{}, filters: filters, tests: tests, methods: strMethods}
	if _, err := in.run(t.body, &scope{}); err != nil {
		return Output{}, atLine(err, in.line)
	}
	out := Output{Text: string(in.w.b), Spans: in.w.marks}
	for _, g := range in.w.gens {
		out.Generation = append(out.Generation, Range{g.Start, g.End})
	}
	return out, nil
}

// markOrigins copies the variables, with every string under messages and tools marked.
func markOrigins(vars *Dict) *Dict {
	if vars == nil {
		return NewDict()
	}
	out := vars.Clone()
	if msgs, ok := out.Get("messages"); ok {
		if l, ok := msgs.(*List); ok {
			marked := &List{tuple: l.tuple, items: make([]Value, len(l.items))}
			for i, m := range l.items {
				marked.items[i] = markMessage(m, i)
			}
			out.Set("messages", marked)
		}
	}
	if tools, ok := out.Get("tools"); ok {
		out.Set("tools", mark(tools, Span{Message: -1, Field: "tools"}))
	}
	return out
}

func markMessage(m Value, i int) Value {
	d, ok := m.(*Dict)
	if !ok {
		return mark(m, Span{Message: i})
	}
	out := NewDict()
	for k, key := range d.keys {
		name, _ := key.(Text)
		src := Span{Message: i, Field: name.s}
		h, _ := hashKey(key)
		out.set(h, mark(key, src), mark(d.vals[k], src))
	}
	return out
}

func mark(v Value, src Span) Value {
	switch x := v.(type) {
	case Text:
		if x.s == "" {
			return x
		}
		src.Start, src.End = 0, len(x.s)
		x.marks = []Span{src}
		return x
	case *List:
		out := &List{tuple: x.tuple, items: make([]Value, len(x.items))}
		for i, it := range x.items {
			out.items[i] = mark(it, src)
		}
		return out
	case *Dict:
		out := NewDict()
		for i, key := range x.keys {
			h, _ := hashKey(key)
			out.set(h, mark(key, src), mark(x.vals[i], src))
		}
		return out
	}
	return v
}

// charge counts work: n bytes or items made.
func (in *interp) charge(n int) error {
	in.steps += 1 + n/16
	if in.steps > in.o.MaxSteps {
		return errf(KindLimit, "the template takes more than %d steps", in.o.MaxSteps)
	}
	return nil
}

// size refuses a string of more than MaxOutput bytes before it is made.
func (in *interp) size(n int) error {
	if n < 0 || n > in.o.MaxOutput {
		return errf(KindLimit, "a string of more than %d bytes", in.o.MaxOutput)
	}
	return in.charge(n)
}

// count refuses a list of more than maxItems before it is made.
func (in *interp) count(n int) error {
	if n < 0 || n > maxItems {
		return errf(KindLimit, "a list of more than %d items", maxItems)
	}
	return in.charge(16 * n)
}

func (in *interp) write(t Text) error {
	if err := in.size(len(in.w.b) + len(t.s)); err != nil {
		return err
	}
	in.steps -= len(in.w.b) / 16 // only what is new counts
	in.w.text(t)
	return nil
}

// capture runs f with the output going into a text.
func (in *interp) capture(f func() error) (Text, error) {
	outer := in.w
	in.w = &builder{}
	in.captured++
	err := f()
	t := in.w.take()
	in.w = outer
	in.captured--
	return t, err
}

func (in *interp) run(body []stmt, sc *scope) (flow, error) {
	in.depth++
	defer func() { in.depth-- }()
	if in.depth > maxEvalDepth {
		return flowNext, errf(KindLimit, "nested too deep")
	}
	for _, s := range body {
		if err := in.charge(0); err != nil {
			return flowNext, atLine(err, s.at())
		}
		fl, err := s.exec(in, sc)
		if err != nil {
			return flowNext, atLine(err, s.at())
		}
		if fl != flowNext {
			return fl, nil
		}
	}
	return flowNext, nil
}

func (s *dataStmt) exec(in *interp, sc *scope) (flow, error) {
	return flowNext, in.write(plain(s.text))
}

func (s *printStmt) exec(in *interp, sc *scope) (flow, error) {
	v, err := in.eval(s.x, sc)
	if err != nil {
		return flowNext, err
	}
	t, err := in.str(v)
	if err != nil {
		return flowNext, err
	}
	return flowNext, in.write(t)
}

func (s *ifStmt) exec(in *interp, sc *scope) (flow, error) {
	for i, c := range s.conds {
		v, err := in.eval(c, sc)
		if err != nil {
			return flowNext, err
		}
		if truth(v) {
			return in.run(s.bodies[i], sc)
		}
	}
	return in.run(s.orelse, sc)
}

func (s *setStmt) exec(in *interp, sc *scope) (flow, error) {
	v, err := in.eval(s.x, sc)
	if err != nil {
		return flowNext, err
	}
	return flowNext, in.assign(s.to, v, sc)
}

func (in *interp) assign(to target, v Value, sc *scope) error {
	if to.parts == nil {
		if to.attr == "" {
			sc.set(to.name, v)
			return nil
		}
		ns, ok := in.lookup(to.name, sc).(*namespace)
		if !ok {
			return errf(KindRuntime, "cannot assign attribute on non-namespace object")
		}
		ns.vals.Set(to.attr, v)
		return nil
	}
	items, err := in.iterate(v)
	if err != nil {
		return err
	}
	if len(items) > len(to.parts) {
		return valueErr("too many values to unpack (expected %d)", len(to.parts))
	}
	if len(items) < len(to.parts) {
		return valueErr("not enough values to unpack (expected %d, got %d)", len(to.parts), len(items))
	}
	for i, part := range to.parts {
		if err := in.assign(part, items[i], sc); err != nil {
			return err
		}
	}
	return nil
}

func (s *setBlockStmt) exec(in *interp, sc *scope) (flow, error) {
	t, err := in.captureBody(s.body, sc)
	if err != nil {
		return flowNext, err
	}
	var v Value = t
	if s.filter != nil {
		if v, err = in.filterBlock(s.filter, t, sc); err != nil {
			return flowNext, err
		}
	}
	return flowNext, in.assign(s.to, v, sc)
}

func (in *interp) captureBody(body []stmt, sc *scope) (Text, error) {
	return in.capture(func() error {
		_, err := in.run(body, sc.child())
		return err
	})
}

// filterBlock applies the chain of filters x, whose innermost input is t.
func (in *interp) filterBlock(x expr, t Text, sc *scope) (Value, error) {
	defer func() { in.depth-- }()
	if err := in.nested(); err != nil {
		return nil, err
	}
	f := x.(*filterExpr)
	var v Value = t
	if f.x != nil {
		var err error
		if v, err = in.filterBlock(f.x, t, sc); err != nil {
			return nil, err
		}
	}
	return f.apply(in, sc, v)
}

func (s *filterStmt) exec(in *interp, sc *scope) (flow, error) {
	t, err := in.captureBody(s.body, sc)
	if err != nil {
		return flowNext, err
	}
	v, err := in.filterBlock(s.filter, t, sc.child())
	if err != nil {
		return flowNext, err
	}
	if t, err = in.str(v); err != nil {
		return flowNext, err
	}
	return flowNext, in.write(t)
}

func (s *withStmt) exec(in *interp, sc *scope) (flow, error) {
	inner := sc.child()
	for i, x := range s.vals {
		v, err := in.eval(x, sc)
		if err != nil {
			return flowNext, err
		}
		if err := in.assign(s.to[i], v, inner); err != nil {
			return flowNext, err
		}
	}
	return in.run(s.body, inner)
}

func (s *blockStmt) exec(in *interp, sc *scope) (flow, error) {
	for s.top && sc.parent != nil {
		sc = sc.parent
	}
	return in.run(s.body, sc.child())
}

func (s *generationStmt) exec(in *interp, sc *scope) (flow, error) {
	start := len(in.w.b)
	_, err := in.run(s.body, sc.child())
	if err == nil && in.captured == 0 && len(in.w.b) > start {
		in.w.gens = append(in.w.gens, Span{Start: start, End: len(in.w.b)})
	}
	return flowNext, err
}

func (s *jumpStmt) exec(in *interp, sc *scope) (flow, error) { return s.to, nil }

func (s *refusedStmt) exec(in *interp, sc *scope) (flow, error) {
	return flowNext, errf(KindRuntime, "%s: a chat template stands alone, there is nothing to load from", s.what)
}
