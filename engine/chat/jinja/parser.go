package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds how deep statements and expressions nest in the source; Python gives up far earlier.
const maxNesting = 400

// maxSource bounds the source of a template.
const maxSource = 4 << 20

type parser struct {
	tokens []token
	i      int
	depth  int
	soft   bool    // inside an if: a missing filter or test is an error only where it is reached
	absent []error // missing filters and tests met where that is an error
	loops  int     // enclosing loops of this function, for break and continue
	names  map[string]bool
	gen    bool
}

// Template is a parsed template. It is immutable: any number of renderings may run at once.
type Template struct {
	body       []stmt
	generation bool
}

// HasGeneration reports whether the template marks what the assistant wrote with generation blocks.
func (t *Template) HasGeneration() bool { return t.generation }

// Parse reads a template. Every error is an *Error with the line.
func Parse(src string) (*Template, error) {
	if len(src) > maxSource {
		return nil, errf(KindLimit, "the template has %d bytes; at most %d are read", len(src), maxSource)
	}
	if !utf8.ValidString(src) {
		bad := strings.IndexFunc(src, func(r rune) bool { return r == utf8.RuneError })
		return nil, &Error{Kind: KindSyntax, Line: 1 + strings.Count(src[:max(bad, 0)], "\n"), Msg: "the template is not valid UTF-8"}
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, names: map[string]bool{}}
	body, err := p.statements()
	if err != nil {
		return nil, atLine(err, p.cur().line)
	}
	if len(p.absent) > 0 {
		return nil, p.absent[0]
	}
	return &Template{body: body, generation: p.gen}, nil
}

func (p *parser) cur() token { return p.tokens[p.i] }
func (p *parser) next() token {
	t := p.tokens[p.i]
	if p.i < len(p.tokens)-1 {
		p.i++
	}
	return t
}
func (p *parser) peek() token { return p.tokens[min(p.i+1, len(p.tokens)-1)] }

func (t token) op(s string) bool   { return t.kind == tokOp && t.text == s }
func (t token) name(s string) bool { return t.kind == tokName && t.text == s }

func (p *parser) skipOp(s string) bool {
	if p.cur().op(s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) skipName(s string) bool {
	if p.cur().name(s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) error {
	return atLine(errf(KindSyntax, format, args...), p.cur().line)
}

func (p *parser) expectOp(s string) error {
	if !p.skipOp(s) {
		return p.fail("expected token '%s', got %s", s, p.cur())
	}
	return nil
}

func (p *parser) expect(k tokenKind, what string) (token, error) {
	if p.cur().kind != k {
		return token{}, p.fail("expected token '%s', got %s", what, p.cur())
	}
	return p.next(), nil
}

func (p *parser) blockEnd() error {
	_, err := p.expect(tokBlockEnd, "end of statement block")
	return err
}

// enter counts nesting; the caller defers leave.
func (p *parser) enter() error {
	p.depth++
	if p.depth > maxNesting {
		return atLine(errf(KindLimit, "nested more than %d deep", maxNesting), p.cur().line)
	}
	return nil
}
func (p *parser) leave() { p.depth-- }

// statements reads up to the end of the template or to a block whose name is one of ends, which stays the
// current token.
func (p *parser) statements(ends ...string) ([]stmt, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out []stmt
	for {
		t := p.next()
		switch t.kind {
		case tokEOF:
			if len(ends) > 0 {
				return nil, p.fail("unexpected end of template; expected %s", strings.Join(ends, " or "))
			}
			return out, nil
		case tokData:
			out = append(out, &dataStmt{pos(t.line), t.text})
		case tokVarBegin:
			x, err := p.tuple(false, true)
			if err != nil {
				return nil, err
			}
			if _, err := p.expect(tokVarEnd, "end of print statement"); err != nil {
				return nil, err
			}
			out = append(out, &printStmt{pos(t.line), x})
		case tokBlockBegin:
			if p.cur().kind == tokName && slices.Contains(ends, p.cur().text) {
				return out, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			if s != nil {
				out = append(out, s...)
			}
			if err := p.blockEnd(); err != nil {
				return nil, err
			}
		}
	}
}

// body reads the statements of a block after its opening tag, with a closing tag that is consumed.
func (p *parser) body(end string) ([]stmt, error) {
	p.skipOp(":")
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	body, err := p.statements(end)
	if err == nil {
		p.next()
	}
	return body, err
}

// inner runs f where an enclosing if no longer excuses a missing filter, as in the reference's new frames.
func (p *parser) inner(f func() error) error {
	soft := p.soft
	p.soft = false
	err := f()
	p.soft = soft
	return err
}

// function is inner for bodies that are functions of their own: loops outside cannot be left from within.
func (p *parser) function(f func() error) error {
	loops := p.loops
	p.loops = 0
	err := p.inner(f)
	p.loops = loops
	return err
}

// statement reads what stands between "{%" and its "%}", with the body and closing tag of a block.
func (p *parser) statement() ([]stmt, error) {
	t := p.cur()
	if t.kind != tokName {
		return nil, p.fail("tag name expected")
	}
	p.next()
	at := pos(t.line)
	one := func(s stmt, err error) ([]stmt, error) {
		if err != nil {
			return nil, atLine(err, t.line)
		}
		return []stmt{s}, nil
	}
	switch t.text {
	case "if":
		return one(p.ifStatement(at))
	case "for":
		return one(p.forStatement(at))
	case "set":
		return one(p.setStatement(at))
	case "macro":
		return one(p.macroStatement(at))
	case "call":
		return one(p.callStatement(at))
	case "filter":
		return one(p.filterStatement(at))
	case "with":
		return one(p.withStatement(at))
	case "print":
		return p.printStatement(at)
	case "generation":
		return one(p.generationStatement(at))
	case "break", "continue":
		to := flowBreak
		if t.text == "continue" {
			to = flowContinue
		}
		if p.loops == 0 {
			return nil, p.fail("'%s' outside of a loop", t.text)
		}
		return one(&jumpStmt{at, to}, nil)
	case "block":
		return one(p.blockStatement(at))
	case "autoescape":
		return one(p.autoescapeStatement(at))
	case "include", "import", "extends", "from":
		for p.cur().kind != tokBlockEnd && p.cur().kind != tokEOF {
			p.next()
		}
		return one(&refusedStmt{at, t.text}, nil)
	}
	return nil, atLine(errf(KindSyntax, "Encountered unknown tag '%s'.", t.text), t.line)
}

func (p *parser) ifStatement(at pos) (stmt, error) {
	s := &ifStmt{pos: at}
	soft := p.soft
	p.soft = true
	defer func() { p.soft = soft }()
	for {
		cond, err := p.tuple(false, false)
		if err != nil {
			return nil, err
		}
		p.skipOp(":")
		if err := p.blockEnd(); err != nil {
			return nil, err
		}
		body, err := p.statements("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		s.conds, s.bodies = append(s.conds, cond), append(s.bodies, body)
		switch p.next().text {
		case "endif":
			return s, nil
		case "else":
			s.orelse, err = p.body("endif")
			return s, err
		}
	}
}

func (p *parser) forStatement(at pos) (stmt, error) {
	s := &forStmt{pos: at}
	var err error
	if s.to, err = p.targets(false); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.fail("expected token 'in', got %s", p.cur())
	}
	if s.iter, err = p.tuple(false, false); err != nil {
		return nil, err
	}
	return s, p.inner(func() error {
		if p.skipName("if") {
			if s.filter, err = p.expression(); err != nil {
				return err
			}
		}
		s.recursive = p.skipName("recursive")
		p.skipOp(":")
		if err := p.blockEnd(); err != nil {
			return err
		}
		p.loops++
		s.body, err = p.statements("endfor", "else")
		p.loops--
		if err != nil {
			return err
		}
		if p.next().text == "else" {
			s.orelse, err = p.body("endfor")
		}
		return err
	})
}

// reserved names cannot be assigned.
func assignable(name string) bool {
	switch name {
	case "true", "false", "none", "True", "False", "None":
		return false
	}
	return true
}

// targets reads what a for or set binds; ns.attr only where withAttr.
func (p *parser) targets(withAttr bool) (target, error) {
	var parts []target
	isTuple := false
	for {
		t, ok, err := p.oneTarget(withAttr)
		if err != nil {
			return target{}, err
		}
		if !ok {
			break
		}
		parts = append(parts, t)
		if !p.skipOp(",") {
			break
		}
		isTuple = true
	}
	if len(parts) == 0 {
		return target{}, p.fail("expected a name to assign to, got %s", p.cur())
	}
	if !isTuple {
		return parts[0], nil
	}
	return target{parts: parts}, nil
}

func (p *parser) oneTarget(withAttr bool) (target, bool, error) {
	if p.cur().op("(") {
		if err := p.enter(); err != nil {
			return target{}, false, err
		}
		defer p.leave()
		p.next()
		t, err := p.targets(false)
		if err != nil {
			return target{}, false, err
		}
		return t, true, p.expectOp(")")
	}
	t := p.cur()
	if t.kind != tokName || t.text == "in" {
		return target{}, false, nil
	}
	if !assignable(t.text) {
		return target{}, false, p.fail("can't assign to '%s'", t.text)
	}
	p.next()
	p.names[t.text] = true
	if withAttr && p.skipOp(".") {
		a, err := p.expect(tokName, "name")
		return target{name: t.text, attr: a.text}, true, err
	}
	return target{name: t.text}, true, nil
}

func (p *parser) setStatement(at pos) (stmt, error) {
	to, err := p.targets(true)
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		x, err := p.tuple(false, true)
		return &setStmt{at, to, x}, err
	}
	s := &setBlockStmt{pos: at, to: to}
	err = p.inner(func() error {
		if s.filter, err = p.filters(nil, false); err != nil {
			return err
		}
		s.body, err = p.body("endset")
		return err
	})
	return s, err
}

func (p *parser) signature(m *macroDef) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for !p.cur().op(")") {
		if len(m.params) > 0 {
			if err := p.expectOp(","); err != nil {
				return err
			}
		}
		t, err := p.expect(tokName, "name")
		if err != nil {
			return err
		}
		if !assignable(t.text) {
			return p.fail("can't assign to '%s'", t.text)
		}
		if p.skipOp("=") {
			d, err := p.expression()
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, d)
		} else if len(m.defaults) > 0 {
			return p.fail("non-default argument follows default argument")
		}
		m.params = append(m.params, t.text)
	}
	p.next()
	return nil
}

// functionBody reads a macro's body and notes which of caller, varargs and kwargs it mentions.
func (p *parser) functionBody(m *macroDef, end string) error {
	outer := p.names
	p.names = map[string]bool{}
	err := p.function(func() (err error) {
		m.body, err = p.body(end)
		return err
	})
	m.usesCaller, m.usesVarargs, m.usesKwargs = p.names["caller"], p.names["varargs"], p.names["kwargs"]
	for _, q := range m.params {
		switch q {
		case "varargs":
			m.usesVarargs = false
		case "kwargs":
			m.usesKwargs = false
		}
	}
	for n := range p.names {
		outer[n] = true
	}
	p.names = outer
	return err
}

func (p *parser) macroStatement(at pos) (stmt, error) {
	name, err := p.expect(tokName, "name")
	if err != nil {
		return nil, err
	}
	if !assignable(name.text) {
		return nil, p.fail("can't assign to '%s'", name.text)
	}
	m := &macroDef{pos: at, name: name.text}
	if err := p.signature(m); err != nil {
		return nil, err
	}
	return m, p.functionBody(m, "endmacro")
}

func (p *parser) callStatement(at pos) (stmt, error) {
	m := &macroDef{pos: at, name: "caller"}
	if p.cur().op("(") {
		if err := p.signature(m); err != nil {
			return nil, err
		}
	}
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	call, ok := x.(*callExpr)
	if !ok {
		return nil, p.fail("expected call")
	}
	call.args.caller = m
	return &callStmt{at, call}, p.functionBody(m, "endcall")
}

func (p *parser) filterStatement(at pos) (stmt, error) {
	s := &filterStmt{pos: at}
	return s, p.inner(func() (err error) {
		if s.filter, err = p.filters(nil, true); err != nil {
			return err
		}
		s.body, err = p.body("endfilter")
		return err
	})
}

func (p *parser) withStatement(at pos) (stmt, error) {
	s := &withStmt{pos: at}
	for p.cur().kind != tokBlockEnd {
		if len(s.to) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		t, ok, err := p.oneTarget(false)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, p.fail("expected a name to assign to, got %s", p.cur())
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.to, s.vals = append(s.to, t), append(s.vals, x)
	}
	return s, p.inner(func() (err error) {
		s.body, err = p.body("endwith")
		return err
	})
}

func (p *parser) printStatement(at pos) ([]stmt, error) {
	var out []stmt
	for p.cur().kind != tokBlockEnd {
		if len(out) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		out = append(out, &printStmt{at, x})
	}
	return out, nil
}

func (p *parser) generationStatement(at pos) (stmt, error) {
	p.gen = true
	s := &generationStmt{pos: at}
	return s, p.function(func() (err error) {
		s.body, err = p.body("endgeneration")
		return err
	})
}

func (p *parser) blockStatement(at pos) (stmt, error) {
	name, err := p.expect(tokName, "name")
	if err != nil {
		return nil, err
	}
	s := &blockStmt{pos: at}
	s.top = !p.skipName("scoped")
	p.skipName("required")
	err = p.function(func() (err error) {
		s.body, err = p.body("endblock")
		return err
	})
	p.skipName(name.text)
	return s, err
}

func (p *parser) autoescapeStatement(at pos) (stmt, error) {
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	if c, ok := x.(*constExpr); !ok || truth(c.v) {
		return nil, p.fail("autoescape is not supported: chat templates render plain text")
	}
	s := &blockStmt{pos: at}
	s.body, err = p.body("endautoescape")
	return s, err
}
