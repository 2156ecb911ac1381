package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// normalizer changes the text before it is split.
type normalizer func(r *run, p piece) piece

// normalizerSpec is the union of the fields of every normaliser of tokenizer.json.
type normalizerSpec struct {
	Type         string
	Normalizers  []rawNode
	Pattern      *patternSpec
	Content      string
	Prepend      string
	StripLeft    bool  `json:"strip_left"`
	StripRight   bool  `json:"strip_right"`
	CleanText    *bool `json:"clean_text"`
	Chinese      *bool `json:"handle_chinese_chars"`
	StripAccents *bool `json:"strip_accents"`
	Lowercase    *bool `json:"lowercase"`
}

// parseNormalizer builds one normaliser; null is none.
func parseNormalizer(n node) (normalizer, error) {
	var s normalizerSpec
	if n.null() {
		return nil, nil
	}
	if err := n.decode(&s); err != nil {
		return nil, err
	}
	switch s.Type {
	case "Sequence":
		return parseNormalizers(n, s.Normalizers)
	case "NFC", "NFD", "NFKC", "NFKD":
		compatible, composed := strings.Contains(s.Type, "K"), strings.HasSuffix(s.Type, "C")
		return func(r *run, p piece) piece { return normalForm(p, r.track, compatible, composed) }, nil
	case "Lowercase":
		return lowercase, nil
	case "StripAccents":
		return stripAccents, nil
	case "Nmt":
		return nmt, nil
	case "Prepend":
		return func(r *run, p piece) piece { return prepend(p, r.track, s.Prepend) }, nil
	case "Strip":
		return func(_ *run, p piece) piece { return strip(p, s.StripLeft, s.StripRight) }, nil
	case "Replace":
		return parseReplace(n, s.Pattern, s.Content)
	case "ByteLevel":
		return func(r *run, p piece) piece { return toByteLevel(p, r.track) }, nil
	case "BertNormalizer":
		return bertNormalizer(s), nil
	}
	return nil, n.errorf("normalizer type %q is not supported; supported are BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Prepend, Replace, Sequence, Strip, StripAccents", s.Type)
}

func parseNormalizers(n node, list []rawNode) (normalizer, error) {
	var steps []normalizer
	for i, raw := range list {
		step, err := parseNormalizer(n.child("normalizers", i, raw))
		if err != nil {
			return nil, err
		}
		if step != nil {
			steps = append(steps, step)
		}
	}
	return func(r *run, p piece) piece {
		for _, step := range steps {
			p = step(r, p)
		}
		return p
	}, nil
}

func parseReplace(n node, spec *patternSpec, content string) (normalizer, error) {
	pat, err := spec.compile(n)
	if err != nil {
		return nil, err
	}
	if pat.literal != "" {
		return func(r *run, p piece) piece { return replaceAll(p, r.track, pat.literal, content) }, nil
	}
	return func(r *run, p piece) piece {
		w := rewrite(p, r.track)
		from := 0
		pat.each(r, p.s, func(i, j int) {
			w.keep(from, i)
			w.put(content, i)
			from = j
		})
		if from == 0 && len(w.buf) == 0 {
			return p
		}
		w.keep(from, len(p.s))
		return w.done()
	}, nil
}

// mapRunes rewrites p code point by code point; f returns what stands for one, and ok=false to leave it.
func mapRunes(p piece, track bool, f func(c rune) (string, bool)) piece {
	var w *rewriter
	from := 0
	for i, c := range p.s {
		s, changed := f(c)
		if !changed {
			continue
		}
		if w == nil {
			w = rewrite(p, track)
		}
		w.keep(from, i)
		w.put(s, i)
		from = i + utf8.RuneLen(c)
	}
	if w == nil {
		return p
	}
	w.keep(from, len(p.s))
	return w.done()
}

func lowercase(r *run, p piece) piece {
	return mapRunes(p, r.track, func(c rune) (string, bool) {
		if c == 0x130 {
			return "i\u0307", true
		}
		l := lower(c)
		if l == c {
			return "", false
		}
		return string(l), true
	})
}

// stripAccents drops the combining marks that stand by themselves (a decomposition runs before it).
func stripAccents(r *run, p piece) piece {
	return mapRunes(p, r.track, func(c rune) (string, bool) {
		mark := c >= 0x300 && unicode.Is(unicode.M, c) && !unicode.Is(marksSinceOldTable, c)
		return "", mark || c == 0x1CF2 || c == 0x1CF3
	})
}

func strip(p piece, left, right bool) piece {
	i, j := 0, len(p.s)
	if left {
		i = j - len(strings.TrimLeftFunc(p.s, isSpace))
	}
	if right {
		j = max(i, len(strings.TrimRightFunc(p.s, isSpace)))
	}
	return p.slice(i, j)
}

// nmt drops control characters and turns the unusual spaces into plain ones, as T5's normaliser does.
func nmt(r *run, p piece) piece {
	return mapRunes(p, r.track, func(c rune) (string, bool) {
		switch {
		case 0x01 <= c && c <= 0x08, c == 0x0B, 0x0E <= c && c <= 0x1F, c == 0x7F, c == 0x8F, c == 0x9F:
			return "", true
		case c == 0x09, c == 0x0A, c == 0x0C, c == 0x0D, c == 0x1680, 0x200B <= c && c <= 0x200F, c == 0x2028,
			c == 0x2029, c == 0x2581, c == 0xFEFF, c == 0xFFFD:
			return " ", true
		}
		return "", false
	})
}

// bertNormalizer cleans, spaces Chinese characters out, drops accents and lower-cases, each where asked for;
// accents go with lower-casing unless the file says otherwise.
func bertNormalizer(s normalizerSpec) normalizer {
	is := func(b *bool) bool { return b == nil || *b }
	lowered := is(s.Lowercase)
	accents := lowered
	if s.StripAccents != nil {
		accents = *s.StripAccents
	}
	return func(r *run, p piece) piece {
		if is(s.CleanText) {
			p = bertClean(r, p)
		}
		if is(s.Chinese) {
			p = mapRunes(p, r.track, func(c rune) (string, bool) { return " " + string(c) + " ", isChinese(c) })
		}
		if accents {
			p = normalForm(p, r.track, false, false)
			p = mapRunes(p, r.track, func(c rune) (string, bool) { return "", bertMark(c) })
		}
		if lowered {
			p = lowercase(r, p)
		}
		return p
	}
}

// bertMark is Mn as Unicode 8 had it, which is what the reference drops here.
func bertMark(c rune) bool {
	return c >= 0x300 && (c == 0x1734 || unicode.Is(unicode.Mn, c) && !unicode.Is(nonspacingSinceUnicode8, c))
}

// bertClean drops NUL, U+FFFD and control characters and makes every space a plain one.
func bertClean(r *run, p piece) piece {
	return mapRunes(p, r.track, func(c rune) (string, bool) {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			return " ", true
		case c == 0 || c == 0xFFFD || bertControl(c):
			return "", true
		case c != ' ' && isSpace(c):
			return " ", true
		}
		return "", false
	})
}

// bertControl is Cc, Cf and Co, less what became Cf after Unicode 8.
func bertControl(c rune) bool {
	if c < utf8.RuneSelf {
		return c < ' ' || c == 0x7F
	}
	newer := c == 0x890 || c == 0x891 || c == 0x8E2 || c == 0x110CD || 0x13430 <= c && c <= 0x1343F
	return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Co) && !newer
}

// isChinese says whether c is in one of the blocks of CJK ideographs that BERT isolates.
func isChinese(c rune) bool {
	return 0x4E00 <= c && c <= 0x9FFF || 0x3400 <= c && c <= 0x4DBF || 0x20000 <= c && c <= 0x2A6DF ||
		0x2A700 <= c && c <= 0x2B73F || 0x2B740 <= c && c <= 0x2B81F || 0x2B920 <= c && c <= 0x2CEAF ||
		0xF900 <= c && c <= 0xFAFF || 0x2F800 <= c && c <= 0x2FA1F
}
