package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is one value of the file with its place, so that every error can say where it is.
type node struct {
	file string
	path string // pre_tokenizer.pretokenizers[1]
	raw  json.RawMessage
	at   int // byte offset of raw in the file, -1 where unknown
}

// rawNode is a nested value kept for its own parser.
type rawNode = json.RawMessage

func (n node) null() bool { return len(n.raw) == 0 || string(n.raw) == "null" }

// errorf makes an error that begins with the file and the place in it.
func (n node) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %s", n.file, n.path, fmt.Sprintf(format, args...))
}

// child names element i of the list at key.
func (n node) child(key string, i int, raw rawNode) node {
	return node{n.file, fmt.Sprintf("%s.%s[%d]", n.path, key, i), raw, -1}
}

// decode fills v from the value and reports a wrong type with its field.
func (n node) decode(v any) error {
	err := json.Unmarshal(n.raw, v)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		place := n.path
		if wrong.Field != "" {
			place += "." + wrong.Field
		}
		return fmt.Errorf("%s: %s: want %s, have a JSON %s", n.file, place, wrong.Type, wrong.Value)
	}
	if err != nil {
		return n.errorf("%v", err)
	}
	return nil
}

// maxDepth bounds the nesting of values; the deepest real files stay under ten.
const maxDepth = 64

// reader walks a JSON text in place: strings without escapes are parts of the text, so the large vocabularies
// cost no copies.
type reader struct {
	file string
	s    string
	i    int
}

func (r *reader) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: byte %d: %s", r.file, r.i, fmt.Sprintf(format, args...))
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *reader) peek() byte {
	for r.i < len(r.s) {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

// what names the value that comes next, for errors.
func (r *reader) what() string {
	switch c := r.peek(); {
	case c == 0 && r.i >= len(r.s):
		return "the end of the file"
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == 't' || c == 'f':
		return "true or false"
	case c == 'n':
		return "null"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	default:
		return strconv.QuoteRune(rune(c))
	}
}

func (r *reader) expect(c byte, what string) error {
	if r.peek() != c {
		return r.errorf("want %s, have %s", what, r.what())
	}
	r.i++
	return nil
}

// object calls f with each key; f must read the value.
func (r *reader) object(what string, f func(key string) error) error {
	if err := r.expect('{', what+" (an object)"); err != nil {
		return err
	}
	if r.peek() == '}' {
		r.i++
		return nil
	}
	for {
		key, err := r.str("a key of " + what)
		if err != nil {
			return err
		}
		if err := r.expect(':', "':'"); err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
		if r.peek() == '}' {
			r.i++
			return nil
		}
		if err := r.expect(',', "',' or '}'"); err != nil {
			return err
		}
	}
}

// list calls f before each element; f must read it.
func (r *reader) list(what string, f func(i int) error) error {
	if err := r.expect('[', what+" (a list)"); err != nil {
		return err
	}
	if r.peek() == ']' {
		r.i++
		return nil
	}
	for i := 0; ; i++ {
		if err := f(i); err != nil {
			return err
		}
		if r.peek() == ']' {
			r.i++
			return nil
		}
		if err := r.expect(',', "',' or ']'"); err != nil {
			return err
		}
	}
}

// str reads a string.
func (r *reader) str(what string) (string, error) {
	if r.peek() != '"' {
		return "", r.errorf("want %s (a string), have %s", what, r.what())
	}
	start := r.i
	r.i++
	from := r.i
	plain := true
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c == '"':
			body := r.s[from:r.i]
			r.i++
			if plain {
				return body, nil
			}
			var s string
			if err := json.Unmarshal([]byte(r.s[start:r.i]), &s); err != nil {
				r.i = start
				return "", r.errorf("%s: %v", what, err)
			}
			return s, nil
		case c == '\\':
			plain = false
			r.i += 2
		case c < ' ':
			return "", r.errorf("%s: control character %#x in a string", what, c)
		default:
			r.i++
		}
	}
	r.i = len(r.s)
	return "", r.errorf("%s: the file ends inside a string", what)
}

// number reads a number as its text.
func (r *reader) number(what string) (string, error) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		return "", r.errorf("want %s (a number), have %s", what, r.what())
	}
	from := r.i
	for r.i < len(r.s) && strings.IndexByte("+-.eE0123456789", r.s[r.i]) >= 0 {
		r.i++
	}
	return r.s[from:r.i], nil
}

// id reads a token id.
func (r *reader) id(what string) (int32, error) {
	at := r.i
	s, err := r.number(what)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		r.i = at
		return 0, r.errorf("%s: id %s is not a whole number from 0 to 2147483647", what, s)
	}
	return int32(n), nil
}

// raw reads any value and returns its text; it bounds the nesting.
func (r *reader) raw() (string, error) {
	c := r.peek()
	from := r.i
	depth := 0
	for {
		switch c {
		case 0:
			return "", r.errorf("want a value, have %s", r.what())
		case '{', '[':
			if depth++; depth > maxDepth {
				return "", r.errorf("values nested deeper than %d", maxDepth)
			}
			r.i++
		case '}', ']':
			depth--
			r.i++
		case '"':
			if _, err := r.str("a value"); err != nil {
				return "", err
			}
		case ',', ':':
			if depth <= 0 {
				return "", r.errorf("want a value, have %q", c)
			}
			r.i++
		default:
			n := r.i
			for r.i < len(r.s) && strings.IndexByte(" \t\r\n,:]}[{\"", r.s[r.i]) < 0 {
				r.i++
			}
			if n == r.i {
				return "", r.errorf("want a value, have %q", c)
			}
		}
		if depth <= 0 {
			if depth < 0 || !json.Valid([]byte(r.s[from:r.i])) {
				r.i = from
				return "", r.errorf("not a JSON value")
			}
			return r.s[from:r.i], nil
		}
		c = r.peek()
	}
}

// checkUTF8 refuses a file that is not UTF-8, with the place.
func checkUTF8(file, s string) error {
	if utf8.ValidString(s) {
		return nil
	}
	for i, c := range s {
		if c == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return fmt.Errorf("%s: byte %d: not UTF-8; save the file as UTF-8", file, i)
			}
		}
	}
	return nil
}
