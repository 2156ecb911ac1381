package jinja

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in a template.
type Kind string

// The kinds of error. They follow the exception classes that Jinja2 and Python would raise.
const (
	KindSyntax    Kind = "syntax"    // the source does not parse
	KindUndefined Kind = "undefined" // an undefined value was used
	KindType      Kind = "type"      // an operation met values it does not work on
	KindValue     Kind = "value"     // a value is out of range, a key is missing, a division by zero
	KindRaised    Kind = "raised"    // the template called raise_exception
	KindSecurity  Kind = "security"  // the sandbox refused
	KindLimit     Kind = "limit"     // steps, output, depth or size ran over Options
	KindRuntime   Kind = "runtime"   // anything else the reference refuses while rendering
)

// Error is every error of this package: the line of the template (from 1; 0 if unknown), what kind, and the words.
type Error struct {
	Kind Kind
	Line int
	Msg  string
}

// Error gives "line 3: message".
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	}
	return e.Msg
}

func errf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

func typeErr(format string, args ...any) error  { return errf(KindType, format, args...) }
func valueErr(format string, args ...any) error { return errf(KindValue, format, args...) }

// atLine fills in the line of an error that has none yet: the innermost statement or expression wins.
func atLine(err error, line int) error {
	var e *Error
	if errors.As(err, &e) && e.Line == 0 {
		e.Line = line
	}
	return err
}
