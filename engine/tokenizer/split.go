package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a piece into pre-tokens, perhaps changing it, and hands each to emit; empty ones are dropped there.
type splitter func(r *run, p piece, emit func(piece))

// behavior says what becomes of the matches of a split.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

// part is a stretch of text that matches a delimiter or lies between two.
type part struct {
	i, j  int
	match bool
}

// splitBy cuts p at the parts that find calls back with: the matches, in ascending order. inverted swaps matches and the rest.
func splitBy(p piece, b behavior, inverted bool, find func(f func(i, j int)), emit func(piece)) {
	if b == isolated {
		// The common case needs no list.
		from := 0
		find(func(i, j int) {
			if from < i {
				emit(p.slice(from, i))
			}
			if i < j {
				emit(p.slice(i, j))
			}
			from = j
		})
		if from < len(p.s) {
			emit(p.slice(from, len(p.s)))
		}
		return
	}
	var parts []part
	from := 0
	find(func(i, j int) {
		if from < i {
			parts = append(parts, part{from, i, inverted})
		}
		parts = append(parts, part{i, j, !inverted})
		from = j
	})
	if from < len(p.s) {
		parts = append(parts, part{from, len(p.s), inverted})
	}
	for _, q := range b.merge(parts) {
		if !q.match && q.i < q.j {
			emit(p.slice(q.i, q.j))
		}
	}
}

// merge joins the parts as the behaviour has it; a part with match set in the result is dropped.
func (b behavior) merge(parts []part) []part {
	out := parts[:0]
	previous := false
	switch b {
	case contiguous:
		for _, q := range parts {
			match := q.match
			q.match = false
			if n := len(out); match == previous && n > 0 {
				out[n-1].j = q.j
			} else {
				out = append(out, q)
			}
			previous = match
		}
	case mergedWithPrevious:
		for _, q := range parts {
			match := q.match
			q.match = false
			if n := len(out); match && !previous && n > 0 {
				out[n-1].j = q.j
			} else {
				out = append(out, q)
			}
			previous = match
		}
	case mergedWithNext:
		// From the right: a match that the part after it has not just taken one joins that part.
		n := len(parts)
		for k := len(parts) - 1; k >= 0; k-- {
			q := parts[k]
			match := q.match
			q.match = false
			if match && !previous && n < len(parts) {
				parts[n].i = q.i
			} else {
				n--
				parts[n] = q
			}
			previous = match
		}
		return parts[n:]
	default:
		return parts
	}
	return out
}

// eachRune finds the single code points that f says yes to.
func eachRune(s string, f func(rune) bool) func(func(i, j int)) {
	return func(found func(i, j int)) {
		for i, c := range s {
			if f(c) {
				found(i, i+utf8.RuneLen(c))
			}
		}
	}
}

// splitterSpec is the union of the fields of every pre-tokeniser of tokenizer.json.
type splitterSpec struct {
	Type             string
	Pretokenizers    []rawNode
	Pattern          *patternSpec
	Behavior         string
	Invert           bool
	AddPrefixSpace   *bool `json:"add_prefix_space"`
	UseRegex         *bool `json:"use_regex"`
	IndividualDigits bool  `json:"individual_digits"`
	Replacement      string
	PrependScheme    string `json:"prepend_scheme"`
	Split            *bool
	Delimiter        string
}

// parseSplitters appends the pre-tokenisers that a value describes, sequences laid flat. A ByteLevel at the end of
// all becomes a mere split, with bytes=true: the model then reads bytes and the detour over the alphabet is saved.
func parseSplitters(n node, list []splitter, last bool, bytesOK bool) (out []splitter, bytes bool, err error) {
	var s splitterSpec
	if n.null() {
		return list, false, nil
	}
	if err := n.decode(&s); err != nil {
		return nil, false, err
	}
	switch s.Type {
	case "Sequence":
		for i, raw := range s.Pretokenizers {
			list, bytes, err = parseSplitters(n.child("pretokenizers", i, raw), list, last && i == len(s.Pretokenizers)-1, bytesOK)
			if err != nil {
				return nil, false, err
			}
		}
		return list, bytes, nil
	case "ByteLevel":
		bytes = last && bytesOK
		return append(list, byteLevelSplit(s, bytes)), bytes, nil
	}
	f, err := parseSplitter(n, s)
	if err != nil {
		return nil, false, err
	}
	return append(list, f), false, nil
}

func parseSplitter(n node, s splitterSpec) (splitter, error) {
	switch s.Type {
	case "Split":
		pat, err := s.Pattern.compile(n)
		if err != nil {
			return nil, err
		}
		b, err := parseBehavior(n, s.Behavior)
		if err != nil {
			return nil, err
		}
		if pat.scan != nil && b == removed && s.Invert {
			b = isolated // the scanners' patterns leave nothing between matches
		}
		return func(r *run, p piece, emit func(piece)) {
			splitBy(p, b, s.Invert, func(f func(i, j int)) { pat.each(r, p.s, f) }, emit)
		}, nil
	case "Digits":
		return digits(s.IndividualDigits), nil
	case "Punctuation":
		b, err := parseBehavior(n, cmpOr(s.Behavior, "Isolated"))
		if err != nil {
			return nil, err
		}
		return func(r *run, p piece, emit func(piece)) {
			splitBy(p, b, false, eachRune(p.s, isPunct), emit)
		}, nil
	case "Whitespace":
		return whitespace, nil
	case "WhitespaceSplit":
		return whitespaceSplit, nil
	case "BertPreTokenizer":
		return func(r *run, p piece, emit func(piece)) {
			whitespaceSplit(r, p, func(q piece) { splitBy(q, isolated, false, eachRune(q.s, isPunct), emit) })
		}, nil
	case "CharDelimiterSplit":
		if len([]rune(s.Delimiter)) != 1 {
			return nil, n.errorf("delimiter: want one character, have %q", s.Delimiter)
		}
		pat := &pattern{literal: s.Delimiter}
		return func(r *run, p piece, emit func(piece)) {
			splitBy(p, removed, false, func(f func(i, j int)) { pat.each(r, p.s, f) }, emit)
		}, nil
	case "Metaspace":
		return metaspace(n, s)
	case "UnicodeScripts":
		return unicodeScripts, nil
	}
	return nil, n.errorf("pre-tokenizer type %q is not supported; supported are BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit", s.Type)
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func parseBehavior(n node, s string) (behavior, error) {
	switch s {
	case "Removed":
		return removed, nil
	case "Isolated":
		return isolated, nil
	case "MergedWithPrevious":
		return mergedWithPrevious, nil
	case "MergedWithNext":
		return mergedWithNext, nil
	case "Contiguous":
		return contiguous, nil
	}
	return 0, n.errorf("behavior: %q is none of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", s)
}

func digits(individual bool) splitter {
	b := contiguous
	if individual {
		b = isolated
	}
	return func(r *run, p piece, emit func(piece)) {
		splitBy(p, b, false, eachRune(p.s, isNumeric), emit)
	}
}

// whitespace finds runs of word characters and runs of what is neither that nor white space.
func whitespace(_ *run, p piece, emit func(piece)) {
	kind := func(c rune) int {
		switch {
		case isWord(c):
			return 1
		case isSpace(c):
			return 0
		}
		return 2
	}
	from, last := 0, 0
	for i, c := range p.s {
		k := kind(c)
		if k != last {
			if last != 0 {
				emit(p.slice(from, i))
			}
			from, last = i, k
		}
	}
	if last != 0 {
		emit(p.slice(from, len(p.s)))
	}
}

func whitespaceSplit(r *run, p piece, emit func(piece)) {
	splitBy(p, removed, false, eachRune(p.s, isSpace), emit)
}

// metaspace writes a mark for every space and one before the text, and cuts before each.
func metaspace(n node, s splitterSpec) (splitter, error) {
	mark := cmpOr(s.Replacement, "▁")
	if len([]rune(mark)) != 1 {
		return nil, n.errorf("replacement: want one character, have %q", mark)
	}
	scheme := s.PrependScheme
	if scheme == "" {
		scheme = "always"
		if s.AddPrefixSpace != nil && !*s.AddPrefixSpace {
			scheme = "never"
		}
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return nil, n.errorf("prepend_scheme: %q is none of always, first, never", scheme)
	}
	cut := s.Split == nil || *s.Split
	pat := &pattern{literal: mark}
	return func(r *run, p piece, emit func(piece)) {
		head := p.head
		p = replaceAll(p, r.track, " ", mark)
		if !strings.HasPrefix(p.s, mark) && (scheme == "always" || scheme == "first" && head) {
			p = prepend(p, r.track, mark)
		}
		if !cut {
			emit(p)
			return
		}
		splitBy(p, mergedWithNext, false, func(f func(i, j int)) { pat.each(r, p.s, f) }, emit)
	}, nil
}

// unicodeScripts cuts where the script changes; the kana count as Han, and spaces belong to any.
func unicodeScripts(_ *run, p piece, emit func(piece)) {
	from, last := -1, "" // what comes before the first script is dropped, as the reference does
	for i, c := range p.s {
		script := scriptOf(c)
		if script == "" || script == last {
			continue
		}
		if from >= 0 {
			emit(p.slice(from, i))
		}
		from, last = i, script
	}
	if from >= 0 {
		emit(p.slice(from, len(p.s)))
	}
}

// scriptOf names the script of c, "" where it goes with any.
func scriptOf(c rune) string {
	if c == ' ' || unicode.Is(scriptsSinceOldTable, c) {
		return ""
	}
	if c == 0x30FC {
		return "Han"
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, c) {
			if name == "Hiragana" || name == "Katakana" {
				return "Han"
			}
			return name
		}
	}
	return ""
}
