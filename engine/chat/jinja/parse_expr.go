package jinja

import (
	"math/big"
	"strconv"
)

// expression reads one expression, an inline if included.
func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	soft, absent := p.soft, len(p.absent)
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	for p.cur().name("if") {
		at := pos(p.next().line)
		p.soft, p.absent = true, p.absent[:absent]
		cond, err := p.or()
		if err != nil {
			return nil, err
		}
		c := &condExpr{pos: at, cond: cond, x: x}
		if p.skipName("else") {
			if c.y, err = p.expression(); err != nil {
				return nil, err
			}
		}
		p.soft = soft
		x = c
	}
	return x, nil
}

// tuple reads expressions with commas between; one alone without a comma is itself. Only parentheses may be empty;
// conditions and what loops run over take no inline if at their outermost level.
func (p *parser) tuple(mayBeEmpty, inlineIf bool) (expr, error) {
	read := p.expression
	if !inlineIf {
		read = p.or
	}
	at := pos(p.cur().line)
	var items []expr
	isTuple := false
	for !p.tupleEnd() {
		x, err := read()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
		if !p.skipOp(",") {
			break
		}
		isTuple = true
	}
	switch {
	case len(items) == 0 && !mayBeEmpty:
		return nil, p.fail("Expected an expression, got %s", p.cur())
	case len(items) == 1 && !isTuple:
		return items[0], nil
	}
	return &listExpr{at, items, true}, nil
}

func (p *parser) tupleEnd() bool {
	t := p.cur()
	return t.kind == tokVarEnd || t.kind == tokBlockEnd || t.kind == tokEOF || t.op(")")
}

func (p *parser) or() (expr, error) {
	x, err := p.and()
	for err == nil && p.cur().name("or") {
		at := pos(p.next().line)
		var y expr
		y, err = p.and()
		x = &logicExpr{at, false, x, y}
	}
	return x, err
}

func (p *parser) and() (expr, error) {
	x, err := p.not()
	for err == nil && p.cur().name("and") {
		at := pos(p.next().line)
		var y expr
		y, err = p.not()
		x = &logicExpr{at, true, x, y}
	}
	return x, err
}

func (p *parser) not() (expr, error) {
	if !p.cur().name("not") {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	at := pos(p.next().line)
	x, err := p.not()
	return &notExpr{at, x}, err
}

func (p *parser) compare() (expr, error) {
	at := pos(p.cur().line)
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &compareExpr{pos: at, x: x}
	for {
		op, t := "", p.cur()
		switch {
		case t.kind == tokOp && (t.text == "==" || t.text == "!=" || t.text == "<" || t.text == "<=" || t.text == ">" || t.text == ">="):
			op = t.text
		case t.name("in"):
			op = "in"
		case t.name("not") && p.peek().name("in"):
			op = "not in"
			p.next()
		}
		if op == "" {
			break
		}
		p.next()
		y, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.ys = append(c.ops, op), append(c.ys, y)
	}
	if len(c.ops) == 0 {
		return x, nil
	}
	return c, nil
}

func (p *parser) sum() (expr, error) {
	x, err := p.concat()
	for err == nil && (p.cur().op("+") || p.cur().op("-")) {
		t := p.next()
		var y expr
		y, err = p.concat()
		x = &binaryExpr{pos(t.line), t.text, x, y}
	}
	return x, err
}

func (p *parser) concat() (expr, error) {
	at := pos(p.cur().line)
	x, err := p.product()
	if err != nil || !p.cur().op("~") {
		return x, err
	}
	c := &concatExpr{at, []expr{x}}
	for p.skipOp("~") {
		y, err := p.product()
		if err != nil {
			return nil, err
		}
		c.parts = append(c.parts, y)
	}
	return c, nil
}

func (p *parser) product() (expr, error) {
	x, err := p.power()
	for err == nil {
		t := p.cur()
		if !t.op("*") && !t.op("/") && !t.op("//") && !t.op("%") {
			break
		}
		p.next()
		var y expr
		y, err = p.power()
		x = &binaryExpr{pos(t.line), t.text, x, y}
	}
	return x, err
}

func (p *parser) power() (expr, error) {
	x, err := p.unary(true)
	for err == nil && p.cur().op("**") {
		t := p.next()
		var y expr
		y, err = p.unary(true)
		x = &binaryExpr{pos(t.line), t.text, x, y}
	}
	return x, err
}

func (p *parser) unary(withFilter bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	t := p.cur()
	var x expr
	var err error
	if t.op("-") || t.op("+") {
		p.next()
		x, err = p.unary(false)
		x = &unaryExpr{pos(t.line), t.text == "-", x}
	} else {
		x, err = p.primary()
	}
	if err == nil {
		x, err = p.postfix(x)
	}
	if err == nil && withFilter {
		x, err = p.filterAndTests(x)
	}
	return x, err
}

func (p *parser) primary() (expr, error) {
	t := p.cur()
	at := pos(t.line)
	switch t.kind {
	case tokName:
		p.next()
		switch t.text {
		case "true", "True":
			return &constExpr{at, Bool(true)}, nil
		case "false", "False":
			return &constExpr{at, Bool(false)}, nil
		case "none", "None":
			return &constExpr{at, None{}}, nil
		}
		p.names[t.text] = true
		return &nameExpr{at, t.text}, nil
	case tokString:
		s := ""
		for p.cur().kind == tokString {
			s += p.next().text
		}
		return &constExpr{at, plain(s)}, nil
	case tokInt, tokFloat:
		p.next()
		v, err := number(t)
		return &constExpr{at, v}, err
	case tokOp:
		switch t.text {
		case "(":
			p.next()
			x, err := p.tuple(true, true)
			if err != nil {
				return nil, err
			}
			return x, p.expectOp(")")
		case "[":
			p.next()
			items, err := p.listItems()
			return &listExpr{at, items, false}, err
		case "{":
			p.next()
			return p.dict(at)
		}
	}
	return nil, p.fail("unexpected %s", t)
}

func number(t token) (Value, error) {
	if t.kind == tokFloat {
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil && f == 0 {
			return nil, errf(KindSyntax, "bad number %s", t.text)
		}
		return Float(f), nil
	}
	if len(t.text) > 4300 { // Python's own limit for decimal digits
		return nil, errf(KindLimit, "number of %d digits", len(t.text))
	}
	digits, base := t.text, 10
	if len(t.text) > 2 && t.text[0] == '0' && !isDigit(t.text[1]) {
		base = 0
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return nil, errf(KindSyntax, "bad number %s", t.text)
	}
	return normal(n), nil
}

func (p *parser) listItems() ([]expr, error) {
	var items []expr
	for !p.cur().op("]") {
		if len(items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.cur().op("]") {
				break
			}
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, p.expectOp("]")
}

func (p *parser) dict(at pos) (expr, error) {
	d := &dictExpr{pos: at}
	for !p.cur().op("}") {
		if len(d.keys) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.cur().op("}") {
				break
			}
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expectOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.vals = append(d.keys, k), append(d.vals, v)
	}
	return d, p.expectOp("}")
}

func (p *parser) postfix(x expr) (expr, error) {
	var err error
	for err == nil {
		t := p.cur()
		at := pos(t.line)
		switch {
		case t.op("."):
			p.next()
			a := p.next()
			switch a.kind {
			case tokName:
				x = &attrExpr{at, x, a.text}
			case tokInt:
				var v Value
				v, err = number(a)
				x = &itemExpr{at, x, &constExpr{at, v}}
			default:
				return nil, p.fail("expected name or number")
			}
		case t.op("["):
			p.next()
			x, err = p.subscript(at, x)
		case t.op("("):
			p.next()
			c := &callExpr{pos: at, f: x}
			c.args, err = p.callArgs()
			x = c
		default:
			return x, nil
		}
	}
	return nil, err
}

// subscript reads what stands in brackets: an index, a slice, or several of them.
func (p *parser) subscript(at pos, x expr) (expr, error) {
	var parts []expr
	var slice *sliceExpr
	for !p.cur().op("]") {
		if len(parts) > 0 || slice != nil {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if slice != nil {
				return nil, p.fail("a slice cannot be part of a tuple")
			}
		}
		var first expr
		var err error
		if !p.cur().op(":") {
			if first, err = p.expression(); err != nil {
				return nil, err
			}
		}
		if !p.cur().op(":") {
			parts = append(parts, first)
			continue
		}
		if slice, err = p.sliceRest(at, x, first); err != nil {
			return nil, err
		}
	}
	p.next()
	switch {
	case slice != nil && len(parts) == 0:
		return slice, nil
	case slice != nil:
		return nil, p.fail("a slice cannot be part of a tuple")
	case len(parts) == 1:
		return &itemExpr{at, x, parts[0]}, nil
	}
	return &itemExpr{at, x, &listExpr{at, parts, true}}, nil
}

func (p *parser) sliceRest(at pos, x, first expr) (*sliceExpr, error) {
	s := &sliceExpr{pos: at, x: x, start: first}
	for _, part := range []*expr{&s.stop, &s.step} {
		if !p.skipOp(":") {
			break
		}
		if p.cur().op(":") || p.cur().op("]") || p.cur().op(",") {
			continue
		}
		y, err := p.expression()
		if err != nil {
			return nil, err
		}
		*part = y
	}
	return s, nil
}

// callArgs reads arguments after "(" up to and with ")".
func (p *parser) callArgs() (callArgs, error) {
	var a callArgs
	first := true
	for !p.cur().op(")") {
		if !first {
			if err := p.expectOp(","); err != nil {
				return a, err
			}
			if p.cur().op(")") {
				break
			}
		}
		first = false
		if err := p.argument(&a); err != nil {
			return a, err
		}
	}
	p.next()
	return a, nil
}

func (p *parser) argument(a *callArgs) error {
	const order = "invalid syntax for function call expression"
	switch t := p.cur(); {
	case t.op("*"):
		if a.star != nil || a.dstar != nil {
			return p.fail(order)
		}
		p.next()
		x, err := p.expression()
		a.star = x
		return err
	case t.op("**"):
		if a.dstar != nil {
			return p.fail(order)
		}
		p.next()
		x, err := p.expression()
		a.dstar = x
		return err
	case t.kind == tokName && p.peek().op("="):
		if a.dstar != nil {
			return p.fail(order)
		}
		p.next()
		p.next()
		x, err := p.expression()
		a.names, a.kw = append(a.names, t.text), append(a.kw, x)
		return err
	}
	if a.star != nil || a.dstar != nil || len(a.kw) > 0 {
		return p.fail(order)
	}
	x, err := p.expression()
	a.pos = append(a.pos, x)
	return err
}

// filterAndTests reads "| filter", "is test" and calls after a value.
func (p *parser) filterAndTests(x expr) (expr, error) {
	var err error
	for err == nil {
		t := p.cur()
		switch {
		case t.op("|"):
			x, err = p.filters(x, false)
		case t.name("is"):
			x, err = p.test(x)
		case t.op("("):
			p.next()
			c := &callExpr{pos: pos(t.line), f: x}
			c.args, err = p.callArgs()
			x = c
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) dotted() (string, error) {
	t, err := p.expect(tokName, "name")
	if err != nil {
		return "", err
	}
	name := t.text
	for p.cur().op(".") {
		p.next()
		t, err := p.expect(tokName, "name")
		if err != nil {
			return "", err
		}
		name += "." + t.text
	}
	return name, nil
}

// filters reads a chain of filters; inline means the first has no "|".
func (p *parser) filters(x expr, inline bool) (expr, error) {
	for inline || p.cur().op("|") {
		if !inline {
			p.next()
		}
		inline = false
		at := pos(p.cur().line)
		name, err := p.dotted()
		if err != nil {
			return nil, err
		}
		if _, ok := filters[name]; !ok && !p.soft {
			p.absent = append(p.absent, atLine(errf(KindSyntax, "No filter named '%s'.", name), int(at)))
		}
		f := &filterExpr{pos: at, x: x, name: name}
		if p.skipOp("(") {
			if f.args, err = p.callArgs(); err != nil {
				return nil, err
			}
		}
		x = f
	}
	return x, nil
}

func (p *parser) test(x expr) (expr, error) {
	at := pos(p.next().line)
	negated := p.skipName("not")
	name, err := p.dotted()
	if err != nil {
		return nil, err
	}
	if _, ok := tests[name]; !ok && !p.soft {
		p.absent = append(p.absent, atLine(errf(KindSyntax, "No test named '%s'.", name), int(at)))
	}
	n := &testExpr{pos: at, x: x, name: name}
	t := p.cur()
	switch {
	case t.op("("):
		p.next()
		if n.args, err = p.callArgs(); err != nil {
			return nil, err
		}
	case t.kind == tokName && !t.name("else") && !t.name("or") && !t.name("and"),
		t.kind == tokString, t.kind == tokInt, t.kind == tokFloat, t.op("["), t.op("{"):
		if t.name("is") {
			return nil, p.fail("You cannot chain multiple tests with is")
		}
		y, err := p.primary()
		if err == nil {
			y, err = p.postfix(y)
		}
		if err != nil {
			return nil, err
		}
		n.args.pos = []expr{y}
	}
	if negated {
		return &notExpr{at, n}, nil
	}
	return n, nil
}
