package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds how deep JSON inside a header may nest.
const maxNesting = 64

// jsonScanner reads the JSON of a safetensors header without building values, strictly: every deviation is an
// error with its offset, and memory grows only with what the caller keeps. The text must be valid UTF-8.
type jsonScanner struct {
	text []byte
	pos  int
}

// scanError is a syntax error at a byte of the scanned text.
type scanError struct {
	pos     int
	problem string
}

func (e *scanError) Error() string { return fmt.Sprintf("byte %d: %s", e.pos, e.problem) }

func (s *jsonScanner) fail(format string, args ...any) error {
	return &scanError{s.pos, fmt.Sprintf(format, args...)}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *jsonScanner) expect(c byte) error {
	if got := s.peek(); got != c || s.pos >= len(s.text) {
		return s.fail("want %q", c)
	}
	s.pos++
	return nil
}

// members calls f for each key of the object at the position; f must consume the value. keyPos is the offset
// of the key. Whether keys repeat is for f to check.
func (s *jsonScanner) members(f func(key string, keyPos int) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		s.peek()
		at := s.pos
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := f(key, at); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect('}')
	}
}

// elements calls f before each element of the array at the position; f must consume it.
func (s *jsonScanner) elements(f func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := f(); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		return s.expect(']')
	}
}

// str reads a string; the result is a copy.
func (s *jsonScanner) str() (string, error) {
	if s.peek() != '"' || s.pos >= len(s.text) {
		return "", s.fail("want a string")
	}
	start, escaped := s.pos, false
	for i := s.pos + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.pos = i + 1
			if !escaped {
				return string(s.text[start+1 : i]), nil
			}
			return s.unescape(start, s.text[start:i+1])
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			s.pos = i
			return "", s.fail("control character in a string")
		}
	}
	return "", s.fail("the string does not end")
}

func (s *jsonScanner) unescape(at int, raw []byte) (string, error) {
	var out string
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", &scanError{at, "bad escape in a string"}
	}
	// encoding/json turns a lone surrogate into U+FFFD, so a U+FFFD nobody wrote means one.
	if strings.ContainsRune(out, utf8.RuneError) {
		low := strings.ToLower(string(raw))
		if !strings.Contains(low, `\ufffd`) && !strings.Contains(low, "\uFFFD") {
			return "", &scanError{at, "lone surrogate in a string"}
		}
	}
	return out, nil
}

// count reads a non-negative integer that fits int64.
func (s *jsonScanner) count() (int64, error) {
	s.peek()
	start := s.pos
	var n int64
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		d := int64(s.text[s.pos] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, &scanError{start, "number too large"}
		}
		n = n*10 + d
		s.pos++
	}
	digits := s.text[start:s.pos]
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, &scanError{start, "want a non-negative integer"}
	}
	if s.pos < len(s.text) && strings.IndexByte(".eE", s.text[s.pos]) >= 0 {
		return 0, &scanError{start, "want an integer"}
	}
	return n, nil
}

// null consumes the literal null and reports whether it was there.
func (s *jsonScanner) null() bool {
	s.peek()
	if strings.HasPrefix(string(s.text[s.pos:min(s.pos+4, len(s.text))]), "null") {
		s.pos += 4
		return true
	}
	return false
}

// skip passes over any value nested at most depth deep.
func (s *jsonScanner) skip(depth int) error {
	if depth == 0 {
		return s.fail("nested deeper than %d", maxNesting)
	}
	switch s.peek() {
	case '{':
		return s.members(func(string, int) error { return s.skip(depth - 1) })
	case '[':
		return s.elements(func() error { return s.skip(depth - 1) })
	case '"':
		_, err := s.str()
		return err
	}
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte(",]} \t\r\n", s.text[s.pos]) < 0 {
		s.pos++
	}
	if !json.Valid(s.text[start:s.pos]) {
		return &scanError{start, "not a JSON value"}
	}
	return nil
}
