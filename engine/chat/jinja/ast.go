package jinja

// pos is the line a node starts at.
type pos int

func (p pos) at() int { return int(p) }

// expr is an expression.
type expr interface {
	at() int
	eval(in *interp, sc *scope) (Value, error)
}

// stmt is a statement or a piece of output.
type stmt interface {
	at() int
	exec(in *interp, sc *scope) (flow, error)
}

// flow says how a statement list ended.
type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
)

// Expressions.
type (
	constExpr struct {
		pos
		v Value
	}
	nameExpr struct {
		pos
		name string
	}
	listExpr struct {
		pos
		items []expr
		tuple bool
	}
	dictExpr struct {
		pos
		keys, vals []expr
	}
	attrExpr struct {
		pos
		x    expr
		name string
	}
	itemExpr struct {
		pos
		x, key expr
	}
	sliceExpr struct { // any part may be nil
		pos
		x                 expr
		start, stop, step expr
	}
	callExpr struct {
		pos
		f    expr
		args callArgs
	}
	filterExpr struct {
		pos
		x    expr // nil in a filter block
		name string
		args callArgs
	}
	testExpr struct {
		pos
		x    expr
		name string
		args callArgs
	}
	notExpr struct {
		pos
		x expr
	}
	logicExpr struct { // and, or
		pos
		and  bool
		x, y expr
	}
	condExpr struct { // x if cond else y; y may be nil
		pos
		cond, x, y expr
	}
	unaryExpr struct {
		pos
		neg bool
		x   expr
	}
	binaryExpr struct {
		pos
		op   string
		x, y expr
	}
	concatExpr struct {
		pos
		parts []expr
	}
	compareExpr struct {
		pos
		x   expr
		ops []string
		ys  []expr
	}
)

// callArgs are the arguments of a call as written.
type callArgs struct {
	pos    []expr
	names  []string
	kw     []expr
	star   expr // *args
	dstar  expr // **kwargs
	caller *macroDef
}

// target is what assignments and loops bind: a name, ns.attr, or a tuple of these.
type target struct {
	name, attr string
	parts      []target
}

// Statements.
type (
	dataStmt struct {
		pos
		text string
	}
	printStmt struct {
		pos
		x expr
	}
	ifStmt struct {
		pos
		conds  []expr
		bodies [][]stmt
		orelse []stmt
	}
	forStmt struct {
		pos
		to           target
		iter, filter expr
		body, orelse []stmt
		recursive    bool
	}
	setStmt struct {
		pos
		to target
		x  expr
	}
	setBlockStmt struct {
		pos
		to     target
		filter expr
		body   []stmt
	}
	macroDef struct {
		pos
		name     string
		params   []string
		defaults []expr // of the last len(defaults) params
		body     []stmt
		// Which of the three optional extras the body mentions.
		usesCaller, usesVarargs, usesKwargs bool
	}
	callStmt struct {
		pos
		call *callExpr
	}
	filterStmt struct {
		pos
		filter expr
		body   []stmt
	}
	withStmt struct {
		pos
		to   []target
		vals []expr
		body []stmt
	}
	blockStmt struct { // a new scope with output as it comes: block, autoescape
		pos
		body []stmt
		top  bool // sees only what was set outside loops and macros
	}
	generationStmt struct {
		pos
		body []stmt
	}
	jumpStmt struct { // break, continue
		pos
		to flow
	}
	refusedStmt struct { // include, import, extends: there is nothing to load from
		pos
		what string
	}
)
