// Package batch makes of a file's rows the sequences that optimiser steps see: tokens with weights, cut or refused
// where too long, in an order that the seed and the step's number fix.
package batch

import (
	"fmt"

	"hone/data"
	"hone/engine"
)

// Options bounds rows.
type Options struct {
	MaxLength int    // most tokens of a row; 0 = no bound
	Truncate  bool   // cut longer rows; false = they are errors
	Key       string // the setting that MaxLength comes from, for messages; "" = max_length
}

// Set is a file in tokens.
type Set struct {
	Rows      []engine.Datum // one for each row of the file, in its order; Datum.Row is its index
	Lines     []int          // the line of each row
	Tokens    int            // of all rows
	Trained   int            // positions with a weight
	Truncated int            // rows that were cut
	Masked    int            // rows with no trained position
	Longest   int            // tokens of the longest row, after cutting
}

// Encode turns the rows of f into tokens. Rows that cannot be encoded, and over-long ones unless they may be cut,
// make a *data.RowsError with their lines; its first problem on length says how many rows and how long the longest.
// A file none of whose positions is trained is an error too.
func Encode(f *data.File, e *data.Encoder, o Options) (*Set, error) {
	s := &Set{}
	problems := f.Problems // those of reading make errors too
	fail := func(line int, message, fix string) {
		problems.Add(data.Problem{File: f.Path, Line: line, Message: message, Fix: fix, Severity: data.Error})
	}
	long, longest, longestLine := 0, 0, 0
	for i, row := range f.Rows {
		x, err := e.Encode(row)
		if err != nil {
			fail(row.Line, err.Error(), "")
			continue
		}
		if n := len(x.Tokens); o.MaxLength > 0 && n > o.MaxLength {
			if long++; n > longest {
				longest, longestLine = n, row.Line
			}
			x.Tokens, x.Weights = x.Tokens[:o.MaxLength], x.Weights[:o.MaxLength]
		}
		s.add(i, row.Line, x)
	}
	if s.Truncated = long; long > 0 && !o.Truncate {
		key, fix := o.Key, "shorten the rows, or cut them with truncate: true"
		if key == "" {
			key, fix = "max_length", "raise max_length, shorten the rows, or cut them with truncate: true"
		}
		fail(longestLine, fmt.Sprintf("%d of %d rows are longer than %s %d; the longest, this one, has %d tokens", long, len(f.Rows), key, o.MaxLength, longest), fix)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if s.Trained == 0 {
		fail(0, "no token of any row is trained", "check labels and weights: hone data preview shows what is trained")
		return nil, problems.Err()
	}
	return s, nil
}

func (s *Set) add(index, line int, x data.Example) {
	trained := 0
	for i := 1; i < len(x.Weights); i++ {
		if x.Weights[i] != 0 {
			trained++
		}
	}
	if trained == 0 {
		s.Masked++
	}
	s.Rows = append(s.Rows, engine.Datum{Tokens: x.Tokens, Weights: x.Weights, Row: int64(index)})
	s.Lines = append(s.Lines, line)
	s.Tokens += len(x.Tokens)
	s.Trained += trained
	s.Longest = max(s.Longest, len(x.Tokens))
}

// Pick appends the rows of the given indices to buf.
func (s *Set) Pick(buf []engine.Datum, rows []int) []engine.Datum {
	for _, i := range rows {
		buf = append(buf, s.Rows[i])
	}
	return buf
}

// Count returns the tokens and the trained positions of rows.
func Count(rows []engine.Datum) (tokens, trained int) {
	for _, d := range rows {
		tokens += len(d.Tokens)
		for i := 1; i < len(d.Weights); i++ {
			if d.Weights[i] != 0 {
				trained++
			}
		}
	}
	return tokens, trained
}
