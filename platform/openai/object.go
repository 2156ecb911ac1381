package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a body's objects and arrays may nest. Tool schemas are the deepest honest ones.
const maxDepth = 128

// object is a JSON object being taken apart. Each reading method removes its field, so that what is left at the
// end is unknown; the first error sticks and makes later reads return zero values.
type object struct {
	path   string // of the object in the body, as "messages[3]"; "" for the body
	names  []string
	fields map[string]json.RawMessage
	err    *Error
}

// parseBody checks a request body as a document and opens its object. What encoding/json lets pass is refused
// here: invalid UTF-8 and lone surrogates (it would replace them), repeated keys (it would take the last) and
// nesting beyond maxDepth.
func parseBody(body []byte) (*object, *Error) {
	if err := checkDocument(body); err != nil {
		return nil, err
	}
	return parseObject("", body)
}

func checkDocument(body []byte) *Error {
	if !utf8.Valid(body) {
		return invalid("", "invalid_json", "The request body is not valid UTF-8.")
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			n, ok := escapeLen(body[i:])
			if !ok {
				return invalid("", "invalid_json", "The request body has a lone surrogate in a string at byte %d.", i)
			}
			i += n - 1
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return invalid("", "invalid_json", "The request body nests deeper than %d levels at byte %d.", maxDepth, i)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// escapeLen is the length of the escape sequence at the start of b, a surrogate pair counted as one; !ok for a
// surrogate that is not half of a pair. Malformed escapes are left for the JSON decoder to report.
func escapeLen(b []byte) (n int, ok bool) {
	unit := func(b []byte) (uint64, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return v, err == nil
	}
	first, isUnit := unit(b)
	switch {
	case !isUnit:
		return min(2, len(b)), true
	case first >= 0xdc00 && first <= 0xdfff:
		return 0, false
	case first >= 0xd800 && first <= 0xdbff:
		second, isUnit := unit(b[6:])
		return 12, isUnit && second >= 0xdc00 && second <= 0xdfff
	}
	return 6, true
}

// parseObject opens the object raw, which is at path.
func parseObject(path string, raw []byte) (*object, *Error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	where := path
	if where == "" {
		where = "the request body"
	}
	syntax := func(err error) *Error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return invalid(path, "invalid_json", "We could not parse the JSON of %s: it ends too early.", where)
		}
		return invalid(path, "invalid_json", "We could not parse the JSON of %s, at byte %d: %v.", where, d.InputOffset(), err)
	}
	if opening, err := d.Token(); err != nil {
		return nil, syntax(err)
	} else if opening != json.Delim('{') {
		return nil, invalid(path, "invalid_type", "Invalid type for %s: expected an object, but got %s instead.", where, kind(raw))
	}
	o := &object{path: path, fields: map[string]json.RawMessage{}}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, syntax(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, syntax(err)
		}
		name := key.(string) // the decoder accepts nothing else here
		if _, twice := o.fields[name]; twice {
			return nil, invalid(o.at(name), "duplicate_parameter", "The field '%s' is given twice.", o.at(name))
		}
		o.names = append(o.names, name)
		o.fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, syntax(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid(path, "invalid_json", "There is something after the end of the JSON object of %s, at byte %d.", where, d.InputOffset())
	}
	return o, nil
}

// at is the full name of a field.
func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (o *object) fail(err *Error) {
	if o.err == nil {
		o.err = err
	}
}

// take removes a field; !ok if it is absent or null, which mean the same.
func (o *object) take(name string) (raw json.RawMessage, ok bool) {
	raw, ok = o.fields[name]
	delete(o.fields, name)
	return raw, ok && o.err == nil && kind(raw) != "null"
}

// typed is take for a field that must be of the kind want, as "a string".
func (o *object) typed(name, want string) (raw json.RawMessage, ok bool) {
	raw, ok = o.take(name)
	if ok && kind(raw) != want {
		o.fail(wrongType(o.at(name), want, raw))
		return nil, false
	}
	return raw, ok
}

func wrongType(path, want string, raw json.RawMessage) *Error {
	return invalid(path, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.", path, want, kind(raw))
}

// kind names the type of a JSON value by its first character.
func kind(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func (o *object) text(name string) (value string, ok bool) {
	raw, ok := o.typed(name, "a string")
	if ok {
		value = unquote(raw)
	}
	return value, ok
}

// unquote reads a JSON string that a decoder has accepted before.
func unquote(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

func (o *object) boolean(name string) bool {
	raw, ok := o.typed(name, "a boolean")
	return ok && bytes.Equal(bytes.TrimSpace(raw), []byte("true"))
}

// number reads a field between lo and hi, or returns def.
func (o *object) number(name string, lo, hi, def float64) float64 {
	raw, ok := o.typed(name, "a number")
	if !ok {
		return def
	}
	v, err := strconv.ParseFloat(string(bytes.TrimSpace(raw)), 64)
	switch {
	case err != nil || v > hi:
		o.fail(invalid(o.at(name), "decimal_above_max_value", "Invalid '%s': expected a value <= %v, but got %s instead.", o.at(name), hi, shorten(raw)))
	case v < lo:
		o.fail(invalid(o.at(name), "decimal_below_min_value", "Invalid '%s': expected a value >= %v, but got %s instead.", o.at(name), lo, shorten(raw)))
	default:
		return v
	}
	return def
}

// integer reads a whole number between lo and hi; !ok if absent.
func (o *object) integer(name string, lo, hi int64) (v int64, ok bool) {
	raw, ok := o.typed(name, "a number")
	if !ok {
		return 0, false
	}
	v, err := parseInteger(o.at(name), raw, lo, hi)
	if err != nil {
		o.fail(err)
	}
	return v, err == nil
}

// parseInteger reads a whole number, written with or without a fraction or exponent, between lo and hi.
func parseInteger(path string, raw json.RawMessage, lo, hi int64) (int64, *Error) {
	if kind(raw) != "a number" {
		return 0, wrongType(path, "an integer", raw)
	}
	text := string(bytes.TrimSpace(raw))
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(text, 64)
		switch {
		case ferr == nil && f != math.Trunc(f):
			return 0, invalid(path, "invalid_type", "Invalid type for '%s': expected an integer, but got %s instead.", path, shorten(raw))
		case f >= math.MaxInt64:
			v = math.MaxInt64
		case f <= math.MinInt64:
			v = math.MinInt64
		default:
			v = int64(f)
		}
		if ferr != nil || math.Abs(f) >= math.MaxInt64 { // beyond any bound, even where a bound is the widest there is
			if f > 0 {
				return 0, aboveMax(path, hi, raw)
			}
			return 0, belowMin(path, lo, raw)
		}
	}
	switch {
	case v > hi:
		return 0, aboveMax(path, hi, raw)
	case v < lo:
		return 0, belowMin(path, lo, raw)
	}
	return v, nil
}

func aboveMax(path string, hi int64, raw json.RawMessage) *Error {
	return invalid(path, "integer_above_max_value", "Invalid '%s': expected a value <= %d, but got %s instead.", path, hi, shorten(raw))
}

func belowMin(path string, lo int64, raw json.RawMessage) *Error {
	return invalid(path, "integer_below_min_value", "Invalid '%s': expected a value >= %d, but got %s instead.", path, lo, shorten(raw))
}

// array reads a field as its elements.
func (o *object) array(name string) (elements []json.RawMessage, ok bool) {
	raw, ok := o.typed(name, "an array")
	if ok {
		_ = json.Unmarshal(raw, &elements) // a decoder has accepted it before
	}
	return elements, ok
}

// child opens a field that is an object, or returns nil.
func (o *object) child(name string) *object {
	raw, ok := o.typed(name, "an object")
	if !ok {
		return nil
	}
	c, err := parseObject(o.at(name), raw)
	if err != nil {
		o.fail(err)
		return nil
	}
	return c
}

// oneOf reads a string field that may only be one of the values.
func (o *object) oneOf(name string, values ...string) string {
	v, ok := o.text(name)
	if ok && !slices.Contains(values, v) {
		o.fail(invalid(o.at(name), "unsupported_value", "Unsupported value: '%s' does not support %s. Supported values are: %q.", o.at(name), quote(v), values))
	}
	return v
}

// refuse fails on the first of the fields that is there: OpenAI knows them, hone does not support them.
func (o *object) refuse(names ...string) {
	for _, name := range names {
		if _, ok := o.take(name); ok {
			o.fail(invalid(o.at(name), "unsupported_parameter", "Unsupported parameter: '%s' is not supported by this server. Leave it out.", o.at(name)))
		}
	}
}

// finish returns the first error, a field nobody has read included.
func (o *object) finish() *Error {
	for _, name := range o.names {
		if _, left := o.fields[name]; left {
			o.fail(invalid(o.at(clip(name)), "unknown_parameter", "Unknown parameter: '%s'.", o.at(clip(name))))
		}
	}
	return o.err
}

// shorten keeps a quoted value small in a message.
func shorten(raw json.RawMessage) string { return clip(string(bytes.TrimSpace(raw))) }

func quote(s string) string { return fmt.Sprintf("%q", clip(s)) }

func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
