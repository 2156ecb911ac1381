package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokData
	tokVarBegin
	tokVarEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
)

type token struct {
	kind tokenKind
	text string // an operator, a name, data, the decoded string, a number without underscores
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of template"
	case tokVarEnd:
		return "end of print statement"
	case tokBlockEnd:
		return "end of statement block"
	case tokVarBegin, tokBlockBegin, tokData:
		return "template data"
	case tokString:
		return strconv.Quote(t.text)
	}
	return "'" + t.text + "'"
}

// lexer cuts a template into tokens the way Jinja2 does with trim_blocks and lstrip_blocks.
type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	// lineStart: what was read last ended with a newline, so that blanks before a block belong to its line.
	lineStart bool
}

// normalise makes every line end "\n" and drops one at the very end of the template.
func normalise(src string) string {
	if strings.Contains(src, "\r") {
		src = strings.ReplaceAll(src, "\r\n", "\n")
		src = strings.ReplaceAll(src, "\r", "\n")
	}
	return strings.TrimSuffix(src, "\n")
}

func lex(src string) ([]token, error) {
	l := &lexer{src: normalise(src), line: 1, lineStart: true}
	for l.pos < len(l.src) {
		if err := l.root(); err != nil {
			return nil, atLine(err, l.line)
		}
	}
	l.add(tokEOF, "")
	return l.tokens, nil
}

func (l *lexer) add(k tokenKind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.line})
}

// advance moves to pos and keeps the line count.
func (l *lexer) advance(pos int) {
	l.line += strings.Count(l.src[l.pos:pos], "\n")
	if pos > l.pos {
		l.lineStart = l.src[pos-1] == '\n'
	}
	l.pos = pos
}

// root reads the data up to the next "{{", "{%" or "{#" and what follows.
func (l *lexer) root() error {
	start := l.pos
	at := start
	for {
		k := strings.IndexByte(l.src[at:], '{')
		if k < 0 || at+k+1 >= len(l.src) {
			l.add(tokData, l.src[start:])
			l.advance(len(l.src))
			return nil
		}
		at += k
		if c := l.src[at+1]; c == '{' || c == '%' || c == '#' {
			break
		}
		at++
	}
	data := l.data(start, at)
	if data != "" {
		l.add(tokData, data)
	}
	kind := l.src[at+1]
	l.advance(at)
	next := at + 2
	if next < len(l.src) && (l.src[next] == '-' || l.src[next] == '+') {
		next++
	}
	switch kind {
	case '#':
		l.advance(next)
		return l.comment()
	case '%':
		if end, ok := l.keyword(next, "raw", false); ok {
			l.advance(end)
			return l.raw()
		}
		l.add(tokBlockBegin, "")
		l.advance(next)
		return l.code(true)
	}
	l.add(tokVarBegin, "")
	l.advance(next)
	return l.code(false)
}

// data is the source [start,at) after the whitespace control of the delimiter at at.
func (l *lexer) data(start, at int) string {
	text := l.src[start:at]
	sign := byte(0)
	if at+2 < len(l.src) {
		sign = l.src[at+2]
	}
	switch {
	case sign == '-':
		return strings.TrimRightFunc(text, isSpace)
	case sign == '+' || l.src[at+1] == '{':
		return text
	}
	nl := strings.LastIndexByte(text, '\n') + 1
	if (nl > 0 || l.lineStart) && strings.TrimRightFunc(text[nl:], isSpace) == "" {
		return text[:nl]
	}
	return text
}

// blockEnd matches "+%}", "-%}" with following space, or "%}" with one newline, c being '%' or '#'.
func (l *lexer) blockEnd(pos int, c byte) (int, bool) {
	rest := l.src[pos:]
	plus := len(rest) >= 3 && rest[1] == c && rest[2] == '}'
	switch {
	case plus && rest[0] == '+':
		return pos + 3, true
	case plus && rest[0] == '-':
		return l.skipSpace(pos + 3), true
	case len(rest) >= 2 && rest[0] == c && rest[1] == '}':
		if len(rest) > 2 && rest[2] == '\n' {
			return pos + 3, true
		}
		return pos + 2, true
	}
	return 0, false
}

func (l *lexer) skipSpace(pos int) int {
	return len(l.src) - len(strings.TrimLeftFunc(l.src[pos:], isSpace))
}

// keyword matches a block that holds the word alone; endTrim says whether its plain end eats a newline.
func (l *lexer) keyword(pos int, word string, endTrim bool) (int, bool) {
	pos = l.skipSpace(pos)
	if !strings.HasPrefix(l.src[pos:], word) {
		return 0, false
	}
	pos = l.skipSpace(pos + len(word))
	if endTrim {
		return l.blockEnd(pos, '%')
	}
	switch {
	case strings.HasPrefix(l.src[pos:], "-%}"):
		return l.skipSpace(pos + 3), true
	case strings.HasPrefix(l.src[pos:], "%}"):
		return pos + 2, true
	}
	return 0, false
}

func (l *lexer) comment() error {
	if l.pos == len(l.src) {
		return nil // the reference lets a template end right after an opening delimiter
	}
	for i := l.pos; i < len(l.src); i++ {
		if c := l.src[i]; c != '#' && c != '-' && c != '+' {
			continue
		}
		if end, ok := l.blockEnd(i, '#'); ok {
			l.advance(end)
			return nil
		}
	}
	return errf(KindSyntax, "Missing end of comment tag")
}

func (l *lexer) raw() error {
	start, at := l.pos, l.pos
	if at == len(l.src) {
		return nil
	}
	for {
		k := strings.Index(l.src[at:], "{%")
		if k < 0 {
			return errf(KindSyntax, "Missing end of raw directive")
		}
		at += k
		next := at + 2
		if next < len(l.src) && (l.src[next] == '-' || l.src[next] == '+') {
			next++
		}
		if end, ok := l.keyword(next, "endraw", true); ok {
			if data := l.data(start, at); data != "" {
				l.add(tokData, data)
			}
			l.advance(end)
			return nil
		}
		at += 2
	}
}

// code reads the tokens of a block or print statement up to its end.
func (l *lexer) code(block bool) error {
	var open []byte
	for l.pos < len(l.src) {
		if len(open) == 0 {
			if block {
				if end, ok := l.blockEnd(l.pos, '%'); ok {
					l.add(tokBlockEnd, "")
					l.advance(end)
					return nil
				}
			} else if strings.HasPrefix(l.src[l.pos:], "-}}") {
				l.add(tokVarEnd, "")
				l.advance(l.skipSpace(l.pos + 3))
				return nil
			} else if strings.HasPrefix(l.src[l.pos:], "}}") {
				l.add(tokVarEnd, "")
				l.advance(l.pos + 2)
				return nil
			}
		}
		if sp := l.skipSpace(l.pos); sp > l.pos {
			l.advance(sp)
			continue
		}
		c := l.src[l.pos]
		var err error
		switch {
		case c >= '0' && c <= '9':
			l.number()
		case c == '\'' || c == '"':
			err = l.str(c)
		default:
			if n := nameLen(l.src[l.pos:]); n > 0 {
				l.add(tokName, l.src[l.pos:l.pos+n])
				l.advance(l.pos + n)
				continue
			}
			open, err = l.operator(open)
		}
		if err != nil {
			return err
		}
	}
	return nil // the parser reports the missing end
}

func nameLen(s string) int {
	for i, r := range s {
		if r == '_' || unicode.IsLetter(r) || i > 0 && (unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)) {
			continue
		}
		return i
	}
	return len(s)
}

const twoCharOps = "// ** == != <= >="

func (l *lexer) operator(open []byte) ([]byte, error) {
	rest := l.src[l.pos:]
	if len(rest) >= 2 && rest[0] != ' ' && rest[1] != ' ' && strings.Contains(twoCharOps, rest[:2]) {
		l.add(tokOp, rest[:2])
		l.advance(l.pos + 2)
		return open, nil
	}
	c := rest[0]
	if strings.IndexByte("+-/*%~[](){}<>=.:|,;", c) < 0 {
		r, _ := utf8.DecodeRuneInString(rest)
		return open, errf(KindSyntax, "unexpected char %q", r)
	}
	switch c {
	case '(':
		open = append(open, ')')
	case '[':
		open = append(open, ']')
	case '{':
		open = append(open, '}')
	case ')', ']', '}':
		if len(open) == 0 {
			return open, errf(KindSyntax, "unexpected '%c'", c)
		}
		if want := open[len(open)-1]; want != c {
			return open, errf(KindSyntax, "unexpected '%c', expected '%c'", c, want)
		}
		open = open[:len(open)-1]
	}
	l.add(tokOp, rest[:1])
	l.advance(l.pos + 1)
	return open, nil
}

// digits reads (digit+ with single underscores between); it returns the end.
func digits(s string, i int, ok func(byte) bool) int {
	for i < len(s) {
		if ok(s[i]) || s[i] == '_' && i > 0 && ok(s[i-1]) && i+1 < len(s) && ok(s[i+1]) {
			i++
			continue
		}
		break
	}
	return i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (l *lexer) number() {
	s := l.src[l.pos:]
	if len(s) > 2 && s[0] == '0' {
		var ok func(byte) bool
		switch s[1] | 0x20 {
		case 'x':
			ok = isHex
		case 'o':
			ok = func(c byte) bool { return c >= '0' && c <= '7' }
		case 'b':
			ok = func(c byte) bool { return c == '0' || c == '1' }
		}
		if ok != nil {
			if end := digits(s, 2, ok); end > 2 {
				l.num(tokInt, s[:end])
				return
			}
		}
	}
	end := digits(s, 0, isDigit)
	kind := tokInt
	afterDot := l.pos > 0 && l.src[l.pos-1] == '.'
	if !afterDot {
		if end+1 < len(s) && s[end] == '.' && isDigit(s[end+1]) {
			end = digits(s, end+1, isDigit)
			kind = tokFloat
		}
		if end < len(s) && s[end]|0x20 == 'e' {
			k := end + 1
			if k < len(s) && (s[k] == '+' || s[k] == '-') {
				k++
			}
			if k < len(s) && isDigit(s[k]) {
				end = digits(s, k, isDigit)
				kind = tokFloat
			}
		}
	}
	l.num(kind, s[:end])
}

func (l *lexer) num(k tokenKind, text string) {
	l.add(k, strings.ReplaceAll(text, "_", ""))
	l.advance(l.pos + len(text))
}

func (l *lexer) str(quote byte) error {
	for i := l.pos + 1; i < len(l.src); i++ {
		switch l.src[i] {
		case '\\':
			i++
		case quote:
			text, err := unescape(l.src[l.pos+1 : i])
			if err != nil {
				return err
			}
			l.add(tokString, text)
			l.advance(i + 1)
			return nil
		}
	}
	return errf(KindSyntax, "unexpected char %q", rune(quote))
}

var simpleEscapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '\'': '\'', '"': '"', 'a': 7, 'b': 8, 'f': 12, 'v': 11}

// unescape decodes the escapes of a string literal as Python's unicode-escape codec does. A backslash before
// anything unknown stays.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		i++
		c := s[i] // the lexer saw to it that something follows
		if e, ok := simpleEscapes[c]; ok {
			b.WriteByte(e)
			i++
			continue
		}
		switch {
		case c == '\n':
			i++
		case c >= '0' && c <= '7':
			n := 0
			for k := 0; k < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; k++ {
				n = n*8 + int(s[i]-'0')
				i++
			}
			b.WriteRune(rune(n))
		case c == 'x' || c == 'u' || c == 'U':
			width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+1+width > len(s) {
				return "", errf(KindSyntax, "truncated \\%c escape in a string", c)
			}
			n, err := strconv.ParseUint(s[i+1:i+1+width], 16, 32)
			if err != nil || n > unicode.MaxRune {
				return "", errf(KindSyntax, "illegal \\%c escape in a string", c)
			}
			b.WriteRune(rune(n))
			i += 1 + width
		case c == 'N':
			return "", errf(KindSyntax, "\\N escapes are not supported")
		case c >= 0x80: // the codec sees the character already written as an escape
			r, n := utf8.DecodeRuneInString(s[i:])
			b.WriteString(asciiEscape(r))
			i += n
		default:
			b.WriteByte('\\')
		}
	}
	return b.String(), nil
}

func asciiEscape(r rune) string {
	h := strconv.FormatInt(int64(r), 16)
	switch {
	case r < 0x100:
		return `\x` + h
	case r < 0x10000:
		return `\u` + strings.Repeat("0", 4-len(h)) + h
	}
	return `\U` + strings.Repeat("0", 8-len(h)) + h
}
