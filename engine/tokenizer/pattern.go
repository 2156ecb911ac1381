package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	regexp2 "github.com/dlclark/regexp2/v2"
)

// patternSpec is {"String": …} or {"Regex": …}.
type patternSpec struct {
	String *string
	Regex  *string
}

// pattern finds its matches in a text: a literal, a hand-written scanner, or a regular expression.
type pattern struct {
	literal string
	scan    func(s string, i int) int // end of the match at i, or i where none begins there
	re      *regexp2.Regexp
	source  string
}

// The time a regular expression may take: per match, and per text as a grant and an allowance for its length.
// Only a pattern that backtracks without end comes near.
const (
	matchTime    = time.Second
	textTime     = 5 * time.Second
	textTimeByte = 5 * time.Microsecond
)

// compile makes the pattern; n is where it stands in the file.
func (p *patternSpec) compile(n node) (*pattern, error) {
	switch {
	case p == nil || p.String == nil && p.Regex == nil:
		return nil, n.errorf(`pattern: want {"String": …} or {"Regex": …}`)
	case p.String != nil && *p.String == "":
		return nil, n.errorf("pattern: the string is empty")
	case p.String != nil:
		return &pattern{literal: *p.String, source: *p.String}, nil
	}
	pat, err := compileRegex(*p.Regex)
	if err != nil {
		return nil, n.errorf("pattern %q: %v", *p.Regex, err)
	}
	return pat, nil
}

// compileRegex takes a regular expression in Oniguruma's syntax.
func compileRegex(source string) (*pattern, error) {
	if scan := scannerFor(source); scan != nil {
		return &pattern{scan: scan, source: source}, nil
	}
	return compileSlow(source)
}

// compileSlow is compileRegex without the scanners.
func compileSlow(source string) (*pattern, error) {
	translated, err := translate(source)
	if err != nil {
		return nil, err
	}
	re, err := regexp2.Compile(translated, regexp2.Multiline, regexp2.OptionMaxBacktrackingStackSize(1<<22))
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = matchTime
	return &pattern{re: re, source: source}, nil
}

// each calls f with the byte range of every match in s, from left to right. A pattern that runs out of time ends
// the search and leaves its error in r.
func (p *pattern) each(r *run, s string, f func(i, j int)) {
	switch {
	case p.literal != "":
		for from := 0; ; {
			i := strings.Index(s[from:], p.literal)
			if i < 0 {
				return
			}
			f(from+i, from+i+len(p.literal))
			from += i + len(p.literal)
		}
	case p.scan != nil:
		for i := 0; i < len(s); {
			j := p.scan(s, i)
			if j == i {
				_, w := utf8.DecodeRuneInString(s[i:])
				i += w
				continue
			}
			f(i, j)
			i = j
		}
	default:
		p.eachRegex(r, s, f)
	}
}

func (p *pattern) eachRegex(r *run, s string, f func(i, j int)) {
	if r.err != nil {
		return
	}
	runes := []rune(s)
	deadline := time.Now().Add(textTime + time.Duration(len(s))*textTimeByte)
	at, byteAt := 0, 0 // the same place counted in runes and in bytes
	advance := func(to int) int {
		for ; at < to; at++ {
			byteAt += utf8.RuneLen(runes[at])
		}
		return byteAt
	}
	last := -1
	late := false
	n := 0
	err := p.re.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		i, length, _ := m.GroupRange(0)
		if length == 0 && i == last {
			return true // an empty match right after a match does not count
		}
		last = i + length
		b := advance(i)
		f(b, advance(i+length))
		if n++; n%64 == 0 && time.Now().After(deadline) {
			late = true
			return false
		}
		return true
	})
	if late {
		err = fmt.Errorf("took longer than %v on a text of %d bytes", textTime+time.Duration(len(s))*textTimeByte, len(s))
	}
	if err != nil {
		r.err = fmt.Errorf("pattern %q: %w", p.source, err)
	}
}

// translate rewrites Oniguruma's syntax in that of regexp2: categories get the code points that Go does not know,
// possessive quantifiers become atomic groups, POSIX brackets become categories.
func translate(source string) (string, error) {
	t := translator{src: []rune(source)}
	for t.i < len(t.src) {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

type translator struct {
	src    []rune
	i      int
	out    strings.Builder
	atom   int   // where in out the last atom begins
	groups []int // where in out the open groups begin
}

func (t *translator) next() error {
	switch c := t.src[t.i]; c {
	case '\\':
		t.atom = t.out.Len()
		s, err := t.escape(false)
		t.out.WriteString(s)
		return err
	case '[':
		t.atom = t.out.Len()
		s, err := t.class(0)
		t.out.WriteString(s)
		return err
	case '(':
		t.groups = append(t.groups, t.out.Len())
		t.out.WriteRune(c)
		t.i++
		return t.flags()
	case ')':
		if n := len(t.groups); n > 0 {
			t.atom, t.groups = t.groups[n-1], t.groups[:n-1]
		}
	case '*', '+', '?':
		if t.i+1 < len(t.src) && t.src[t.i+1] == '+' {
			t.wrapLast("(?>", string(c)+")")
			t.i += 2
			return nil
		}
		if t.i+1 < len(t.src) && t.src[t.i+1] == '?' { // lazy
			t.out.WriteRune(c)
			t.i++
		}
	case '{':
		return t.interval()
	default:
		t.atom = t.out.Len()
	}
	t.out.WriteRune(t.src[t.i])
	t.i++
	return nil
}

// wrapLast puts the last atom between before and after.
func (t *translator) wrapLast(before, after string) {
	s := t.out.String()
	t.out.Reset()
	t.out.WriteString(s[:t.atom] + before + s[t.atom:] + after)
}

// interval copies {n,m}; a '+' after it repeats it, as in Oniguruma's own syntax.
func (t *translator) interval() error {
	end := t.i
	for end < len(t.src) && t.src[end] != '}' {
		end++
	}
	if end == len(t.src) {
		t.atom = t.out.Len()
		t.out.WriteString(`\{`)
		t.i++
		return nil
	}
	s := string(t.src[t.i : end+1])
	if strings.HasPrefix(s, "{,") {
		s = "{0" + s[1:]
	}
	t.i = end + 1
	if t.i < len(t.src) && t.src[t.i] == '+' {
		t.wrapLast("(?:", s+")")
		return nil
	}
	t.out.WriteString(s)
	return nil
}

// flags rewrites the letters after "(?": Oniguruma's m lets the dot match a line feed, which is s here.
func (t *translator) flags() error {
	if t.i >= len(t.src) || t.src[t.i] != '?' {
		return nil
	}
	end := t.i + 1
	for end < len(t.src) && strings.ContainsRune("imx-", t.src[end]) {
		end++
	}
	if end == t.i+1 || end == len(t.src) || t.src[end] != ':' && t.src[end] != ')' {
		return nil
	}
	t.out.WriteString(strings.ReplaceAll(string(t.src[t.i:end]), "m", "s"))
	t.i = end
	return nil
}

// class rewrites a bracket expression.
func (t *translator) class(depth int) (string, error) {
	if depth > 8 {
		return "", fmt.Errorf("brackets nested deeper than 8")
	}
	var b strings.Builder
	b.WriteByte('[')
	t.i++
	if t.i < len(t.src) && t.src[t.i] == '^' {
		if depth > 0 {
			return "", fmt.Errorf("a negated bracket inside a bracket is not supported")
		}
		b.WriteByte('^')
		t.i++
	}
	for first := true; t.i < len(t.src); first = false {
		c := t.src[t.i]
		switch {
		case c == ']' && !first:
			t.i++
			b.WriteByte(']')
			return b.String(), nil
		case c == ']':
			b.WriteString(`\]`)
			t.i++
		case c == '\\':
			s, err := t.escape(true)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		case c == '[' && t.i+1 < len(t.src) && t.src[t.i+1] == ':':
			s, err := t.posix()
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		case c == '[':
			s, err := t.class(depth + 1)
			if err != nil {
				return "", err
			}
			b.WriteString(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		case c == '&' && t.i+1 < len(t.src) && t.src[t.i+1] == '&':
			return "", fmt.Errorf("an intersection (&&) in brackets is not supported")
		default:
			b.WriteRune(c)
			t.i++
		}
	}
	return "", fmt.Errorf("a bracket is not closed")
}

// posix rewrites [:name:] inside brackets.
func (t *translator) posix() (string, error) {
	rest := string(t.src[t.i:])
	end := strings.Index(rest, ":]")
	if end < 0 {
		return "", fmt.Errorf("a POSIX bracket is not closed")
	}
	name := rest[2:end]
	s, ok := map[string]string{
		"alpha": alphabetic(), "digit": category("Nd"), "alnum": alphabetic() + category("Nd"),
		"upper": category("Lu"), "lower": category("Ll"), "punct": category("P") + category("S"), "space": `\s`, "blank": `\t\p{Zs}`,
		"cntrl": `\p{Cc}`, "xdigit": "0-9a-fA-F", "word": wordClass(), "ascii": `\x00-\x7f`,
	}[name]
	if !ok {
		return "", fmt.Errorf("POSIX bracket [:%s:] is not supported", name)
	}
	t.i += len([]rune(rest[:end+2]))
	return s, nil
}

// escape rewrites one backslash sequence, inside brackets or out.
func (t *translator) escape(inClass bool) (string, error) {
	if t.i+1 >= len(t.src) {
		return "", fmt.Errorf("a backslash at the end")
	}
	c := t.src[t.i+1]
	wrap := func(s string) string {
		if inClass {
			return s
		}
		return "[" + s + "]"
	}
	switch c {
	case 'p', 'P':
		return t.property(c == 'P', inClass)
	case 'h':
		t.i += 2
		return wrap("0-9a-fA-F"), nil
	case 'd':
		t.i += 2
		return wrap(category("Nd")), nil
	case 'w':
		t.i += 2
		return wrap(wordClass()), nil
	case 'W', 'D', 'H':
		if inClass {
			return "", fmt.Errorf(`\%c inside brackets is not supported`, c)
		}
		t.i += 2
		return map[rune]string{'W': "[^" + wordClass() + "]", 'D': "[^" + category("Nd") + "]", 'H': "[^0-9a-fA-F]"}[c], nil
	case 'R':
		t.i += 2
		return `(?>\r\n|[\n-\r\x85\u2028\u2029])`, nil
	case 'X', 'K', 'y', 'Y', 'N', 'O', 'g', 'k':
		return "", fmt.Errorf(`\%c is not supported`, c)
	case 'x':
		if t.i+2 < len(t.src) && t.src[t.i+2] == '{' {
			return t.codePoint()
		}
	}
	t.i += 2
	if c > 0x7F {
		return string(c), nil
	}
	return `\` + string(c), nil
}

// codePoint reads \x{…}.
func (t *translator) codePoint() (string, error) {
	end := t.i
	for end < len(t.src) && t.src[end] != '}' {
		end++
	}
	var r rune
	if _, err := fmt.Sscanf(string(t.src[t.i:end]), `\x{%x`, &r); err != nil || end == len(t.src) || !utf8.ValidRune(r) {
		return "", fmt.Errorf(`\x{…} is not a code point`)
	}
	t.i = end + 1
	if r < utf8.RuneSelf {
		return fmt.Sprintf(`\x%02x`, r), nil
	}
	return string(r), nil
}

// property reads \p{…}, \P{…} and \p{^…}.
func (t *translator) property(negated, inClass bool) (string, error) {
	end := t.i
	for end < len(t.src) && t.src[end] != '}' {
		end++
	}
	if t.i+2 >= len(t.src) || t.src[t.i+2] != '{' || end == len(t.src) {
		return "", fmt.Errorf(`\p without {…}`)
	}
	name := string(t.src[t.i+3 : end])
	t.i = end + 1
	if strings.HasPrefix(name, "^") {
		negated, name = !negated, name[1:]
	}
	if long, ok := longCategories[strings.ToLower(strings.NewReplacer("_", "", " ", "", "-", "").Replace(name))]; ok {
		name = long
	}
	switch {
	case !negated && inClass:
		return category(name), nil
	case !negated:
		return "[" + category(name) + "]", nil
	case !inClass:
		return "[^" + category(name) + "]", nil
	}
	return `\P{` + name + `}`, nil // the newer code points stay in: nothing is unassigned enough to matter there
}

// longCategories are the long names of general categories that Oniguruma takes.
var longCategories = map[string]string{
	"letter": "L", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm", "otherletter": "Lo",
	"mark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me", "number": "N", "decimalnumber": "Nd", "letternumber": "Nl",
	"othernumber": "No", "punctuation": "P", "symbol": "S", "separator": "Z", "other": "C", "alpha": "L", "digit": "Nd", "alnum": "L", "punct": "P",
}

// circledLetters are symbols that count as alphabetic.
const circledLetters = "\u24B6-\u24E9\U0001F130-\U0001F149\U0001F150-\U0001F169\U0001F170-\U0001F189"

// wordClass spells \w for the inside of brackets; of the other numbers Oniguruma counts those of Latin-1 alone.
func wordClass() string {
	return category("L") + category("M") + category("Nd") + `\p{Nl}\p{Pc}\u00B2\u00B3\u00B9\u00BC-\u00BE` + circledLetters
}

// alphabetic spells [:alpha:] for the inside of brackets.
func alphabetic() string {
	var b strings.Builder
	b.WriteString(category("L") + `\p{Nl}\u0363-\u036F\u0897\u1DD3-\u1DE6` +
		"\U00010D69\U00010EFC\U000113B8-\U000113C0\U000113C2\U000113C5\U000113C7-\U000113CA\U000113CC\U000113CD\U0001611E-\U0001612E")
	for _, r := range unicode.Other_Alphabetic.R16 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			b.WriteRune(c)
		}
	}
	for _, r := range unicode.Other_Alphabetic.R32 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// category spells \p{name} for the inside of brackets with the code points that Go's tables lack.
func category(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `\p{%s}`, name)
	for _, n := range newerRanges {
		if name != n.category && name != n.category[:1] {
			continue
		}
		for c := n.lo; c <= n.hi; c += rune(n.stride) {
			hi := c
			if n.stride == 1 {
				hi = n.hi
			}
			fmt.Fprintf(&b, "%c-%c", c, hi)
			c = hi
		}
	}
	if name == "Han" {
		b.WriteString("\U0002EBF0-\U0002EE5D") // Ideographs Extension I
	}
	return b.String()
}
