// Package data reads training and evaluation rows: JSON Lines files of chats, prompts with completions, plain text
// or token ids. Everything that is wrong with a file is a Problem with its line, its field and what to do about it;
// nothing a file holds makes this package panic. It also turns rows into token ids with a weight for each (Encoder)
// and says what a file will cost to train on (Check).
package data

import (
	"fmt"
	"strings"
)

// Severity says whether a problem stops a run.
type Severity string

const (
	// Error is a problem that makes its row, or the whole file, unusable.
	Error Severity = "error"
	// Warning is a problem that a run can live with and its owner should know of.
	Warning Severity = "warning"
)

// Problem is one thing wrong with a file, said so that its owner can repair it.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`  // from 1; 0 = the file as a whole
	Field    string   `json:"field,omitempty"` // as messages[2].content; "" = the row as a whole
	Message  string   `json:"message"`         // what is wrong
	Fix      string   `json:"fix,omitempty"`   // what to do about it
	Severity Severity `json:"severity"`
}

// String gives the problem on one line: FILE:LINE: FIELD: MESSAGE (FIX).
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		fmt.Fprintf(&b, " (%s)", p.Fix)
	}
	return b.String()
}

// Problems collects what is wrong, keeping the first of each severity up to a limit and counting all.
type Problems struct {
	List     []Problem `json:"list"`     // in the order found
	Errors   int       `json:"errors"`   // all errors, listed or not
	Warnings int       `json:"warnings"` // all warnings, listed or not
	Limit    int       `json:"-"`        // most problems listed of each severity; 0 = 100

	listedErrors, listedWarnings int
}

// Add counts p, and lists it where the limit allows.
func (s *Problems) Add(p Problem) {
	limit := s.Limit
	if limit <= 0 {
		limit = 100
	}
	count, listed := &s.Errors, &s.listedErrors
	if p.Severity == Warning {
		count, listed = &s.Warnings, &s.listedWarnings
	}
	*count++
	if *listed < limit {
		*listed++
		s.List = append(s.List, p)
	}
}

// Merge adds all of other's problems, also those it only counted.
func (s *Problems) Merge(other Problems) {
	for _, p := range other.List {
		s.Add(p)
	}
	s.Errors += other.Errors - other.listedErrors
	s.Warnings += other.Warnings - other.listedWarnings
}

// Left returns how many problems were counted and not listed.
func (s *Problems) Left() int { return s.Errors + s.Warnings - len(s.List) }

// Err returns nil when there are no errors, else one *RowsError with them.
func (s *Problems) Err() error {
	if s.Errors == 0 {
		return nil
	}
	return &RowsError{Problems: *s}
}

// RowsError is returned where rows are needed and some cannot be used.
type RowsError struct{ Problems Problems }

// Error lists up to ten of the errors, a line each.
func (e *RowsError) Error() string {
	const show = 10
	var b strings.Builder
	shown := 0
	for _, p := range e.Problems.List {
		if p.Severity != Error {
			continue
		}
		if shown == show {
			break
		}
		if shown > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
		shown++
	}
	if left := e.Problems.Errors - shown; left > 0 {
		fmt.Fprintf(&b, "\nand %d more problems; see them with: hone data check FILE", left)
	}
	return b.String()
}

// clip shortens s for a message: at most 40 bytes, quoted.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}
