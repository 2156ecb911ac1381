package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"
)

// The standard decoder keeps the last of two equal keys, replaces what is not UTF-8 and turns lone surrogates into
// U+FFFD, all silently. Training data must not change on the way in, so a line is first checked here, byte by byte
// and without building a tree, and only then read.

const (
	maxDepth = 100   // levels of nesting in a row
	maxKeys  = 10000 // keys of one object
)

// fault is what checkJSON found, at a byte offset of the line.
type fault struct {
	offset       int
	field        string
	message, fix string
}

// checker walks one line. Methods return nil or the first fault.
type checker struct {
	b    []byte
	i    int
	path []byte // of the value being read: messages[2].content
}

// checkJSON says what is wrong with b as one JSON value in UTF-8, or nil.
func checkJSON(b []byte) *fault {
	if i := invalidUTF8(b); i >= 0 {
		return &fault{i, "", fmt.Sprintf("invalid UTF-8 at byte %d of the line", i+1), "save the file as UTF-8"}
	}
	c := checker{b: b}
	c.space()
	if f := c.value(0); f != nil {
		return f
	}
	c.space()
	if c.i < len(b) {
		return c.fault("text after the end of the JSON value", "write one JSON object a line")
	}
	return nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

func (c *checker) fault(message, fix string) *fault {
	return &fault{c.i, string(c.path), fmt.Sprintf("%s at byte %d of the line", message, c.i+1), fix}
}

func (c *checker) space() {
	for c.i < len(c.b) && isSpace(c.b[c.i]) {
		c.i++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

func (c *checker) value(depth int) *fault {
	if c.i >= len(c.b) {
		return c.fault("the line ends inside a JSON value", "write each row on one line, whole")
	}
	if depth > maxDepth {
		return c.fault(fmt.Sprintf("nested deeper than %d levels", maxDepth), "flatten the row")
	}
	switch b := c.b[c.i]; {
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.array(depth)
	case b == '"':
		return c.string()
	case b == '-' || b >= '0' && b <= '9':
		return c.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(c.b[c.i:], []byte(word)) {
			c.i += len(word)
			return nil
		}
	}
	return c.fault("not JSON", "each line must be one JSON object, with double quotes round keys and strings")
}

func (c *checker) object(depth int) *fault {
	c.i++
	c.space()
	seen := map[string]bool{}
	for first := true; ; first = false {
		if c.i < len(c.b) && c.b[c.i] == '}' && first {
			c.i++
			return nil
		}
		start := c.i
		if c.i >= len(c.b) || c.b[c.i] != '"' {
			return c.fault("a key in double quotes is missing", "each line must be one JSON object")
		}
		if f := c.string(); f != nil {
			return f
		}
		key := unquote(c.b[start:c.i])
		depthOfPath := len(c.path)
		if depthOfPath > 0 {
			c.path = append(c.path, '.')
		}
		c.path = append(c.path, key...)
		if seen[key] {
			return c.fault("key "+clip(key)+" is there twice in one object", "keep one of them")
		}
		if seen[key] = true; len(seen) > maxKeys {
			return c.fault(fmt.Sprintf("more than %d keys in one object", maxKeys), "split the row")
		}
		c.space()
		if c.i >= len(c.b) || c.b[c.i] != ':' {
			return c.fault("a colon is missing after a key", "each line must be one JSON object")
		}
		c.i++
		c.space()
		if f := c.value(depth + 1); f != nil {
			return f
		}
		c.path = c.path[:depthOfPath]
		if end, f := c.next('}'); end || f != nil {
			return f
		}
	}
}

func (c *checker) array(depth int) *fault {
	c.i++
	c.space()
	if c.i < len(c.b) && c.b[c.i] == ']' {
		c.i++
		return nil
	}
	for n := 0; ; n++ {
		depthOfPath := len(c.path)
		c.path = append(c.path, '[')
		c.path = strconv.AppendInt(c.path, int64(n), 10)
		c.path = append(c.path, ']')
		if f := c.value(depth + 1); f != nil {
			return f
		}
		c.path = c.path[:depthOfPath]
		if end, f := c.next(']'); end || f != nil {
			return f
		}
	}
}

// next reads the comma or the closing byte after a member.
func (c *checker) next(closing byte) (end bool, f *fault) {
	c.space()
	switch {
	case c.i >= len(c.b):
		return false, c.fault("the line ends inside a JSON value", "write each row on one line, whole")
	case c.b[c.i] == closing:
		c.i++
		return true, nil
	case c.b[c.i] == ',':
		c.i++
		c.space()
		return false, nil
	}
	return false, c.fault(fmt.Sprintf("a comma or %q is missing", closing), "each line must be one JSON object")
}

func (c *checker) string() *fault {
	for c.i++; c.i < len(c.b); c.i++ {
		switch b := c.b[c.i]; {
		case b == '"':
			c.i++
			return nil
		case b < 0x20:
			return c.fault(fmt.Sprintf("an unescaped control character (0x%02x) in a string", b), `write it as \n, \t or \u00XX`)
		case b == '\\':
			if f := c.escape(); f != nil {
				return f
			}
		}
	}
	return c.fault("a string that does not end", "write each row on one line, whole")
}

// escape reads from a backslash to the last byte of the escape.
func (c *checker) escape() *fault {
	at := c.i
	c.i++
	if c.i >= len(c.b) {
		return c.fault("a string that does not end", "write each row on one line, whole")
	}
	switch c.b[c.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
	default:
		return c.fault("an escape that JSON does not have", `write a backslash as \\`)
	}
	r, ok := hex4(c.b[c.i+1:])
	if !ok {
		return c.fault(`\u without four hexadecimal digits`, `write a backslash as \\`)
	}
	c.i += 4
	if r < 0xd800 || r > 0xdfff {
		return nil
	}
	if r < 0xdc00 && bytes.HasPrefix(c.b[c.i+1:], []byte(`\u`)) {
		if low, ok := hex4(c.b[c.i+3:]); ok && low >= 0xdc00 && low <= 0xdfff {
			c.i += 6
			return nil
		}
	}
	c.i = at
	return c.fault(fmt.Sprintf(`half of a surrogate pair (\u%04x)`, r), "write the whole character, or leave it out")
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n), err == nil
}

func (c *checker) number() *fault {
	start := c.i
	digits := func() bool {
		from := c.i
		for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
			c.i++
		}
		return c.i > from
	}
	at := func(set string) bool { return c.i < len(c.b) && bytes.IndexByte([]byte(set), c.b[c.i]) >= 0 }
	if at("-") {
		c.i++
	}
	leadingZero := at("0")
	whole := c.i
	ok := digits() && (!leadingZero || c.i == whole+1)
	if ok && at(".") {
		c.i++
		ok = digits()
	}
	if ok && at("eE") {
		c.i++
		if at("+-") {
			c.i++
		}
		ok = digits()
	}
	if !ok {
		return c.fault("a number that JSON does not have", "write numbers as 12, -3.5 or 1e-3")
	}
	if _, err := strconv.ParseFloat(string(c.b[start:c.i]), 64); err != nil {
		c.i = start
		return c.fault("a number too large for a double", "write a smaller number")
	}
	return nil
}

// The functions below read values that checkJSON has passed.

// kindOf names the JSON type of raw: object, array, string, number, boolean, null.
func kindOf(raw []byte) string {
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// unquote gives the text of a JSON string.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}

// members yields the keys and values of an object in the order of the file.
func members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := skipSpace(raw, 1); i < len(raw) && raw[i] != '}'; {
			end := skipValue(raw, i)
			key := unquote(raw[i:end])
			i = skipSpace(raw, skipSpace(raw, end)+1)
			end = skipValue(raw, i)
			if !yield(key, raw[i:end]) {
				return
			}
			i = skipComma(raw, end)
		}
	}
}

// elements yields the positions and values of an array.
func elements(raw []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		for i := skipSpace(raw, 1); i < len(raw) && raw[i] != ']'; n++ {
			end := skipValue(raw, i)
			if !yield(n, raw[i:end]) {
				return
			}
			i = skipComma(raw, end)
		}
	}
}

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && isSpace(raw[i]) {
		i++
	}
	return i
}

func skipComma(raw []byte, i int) int {
	i = skipSpace(raw, i)
	if i < len(raw) && raw[i] == ',' {
		i = skipSpace(raw, i+1)
	}
	return i
}

// skipValue returns the offset after the value that starts at i.
func skipValue(raw []byte, i int) int {
	depth := 0
	for ; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(raw))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of what holds a number or a word
				return i
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(raw)
}
