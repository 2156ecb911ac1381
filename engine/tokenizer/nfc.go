package tokenizer

import (
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The four normalisation forms (Unicode Standard Annex 15), over the decompositions and combining classes of
// x/text. Its own transformers are not used: they put U+034F into runs of more than thirty marks, which the
// reference does not, and they lose the offsets.

// spelled is one code point of a text taken apart, with the bytes [i,j) of the source that it came from.
type spelled struct {
	r    rune
	ccc  uint8
	i, j int
}

// normalForm returns p in a normalisation form: compatible for NFKC and NFKD, composed for NFC and NFKC.
func normalForm(p piece, track, compatible, composed bool) piece {
	form, apart := norm.NFD, norm.NFD
	switch {
	case compatible && composed:
		form, apart = norm.NFKC, norm.NFKD
	case compatible:
		form, apart = norm.NFKD, norm.NFKD
	case composed:
		form = norm.NFC
	}
	if form.IsNormalString(p.s) {
		return p
	}
	w := rewrite(p, track)
	var run []spelled
	flush := func() {
		order(run)
		if composed {
			run = compose(run)
		}
		for _, m := range run {
			w.putRune(m.r, m.i, m.j)
		}
		run = run[:0]
	}
	for i, r := range p.s {
		if r < utf8.RuneSelf {
			flush() // nothing before an ASCII character moves past it or composes with it
			run = append(run, spelled{r, 0, i, i + 1})
			continue
		}
		run = takeApart(run, r, i, i+utf8.RuneLen(r), apart)
	}
	flush()
	return w.done()
}

// Hangul syllables compose and decompose by arithmetic (Unicode Standard, section 3.12).
const (
	hangulS, hangulL, hangulV, hangulT = 0xAC00, 0x1100, 0x1161, 0x11A7
	hangulLs, hangulVs, hangulTs       = 19, 21, 28
	hangulSs                           = hangulLs * hangulVs * hangulTs
)

// takeApart appends the full decomposition of r, which stands in bytes [i,j) of the source.
func takeApart(run []spelled, r rune, i, j int, form norm.Form) []spelled {
	if s := r - hangulS; 0 <= s && s < hangulSs {
		run = append(run, spelled{hangulL + s/(hangulVs*hangulTs), 0, i, j}, spelled{hangulV + s%(hangulVs*hangulTs)/hangulTs, 0, i, j})
		if t := s % hangulTs; t != 0 {
			run = append(run, spelled{hangulT + t, 0, i, j})
		}
		return run
	}
	var b [utf8.UTFMax]byte
	p := form.Properties(b[:utf8.EncodeRune(b[:], r)])
	d := p.Decomposition()
	if d == nil || decomposedSince(r) {
		class := p.CCC()
		if class != 0 && markedSince(r) {
			class = 0
		}
		return append(run, spelled{r, class, i, j})
	}
	for len(d) > 0 {
		q, n := utf8.DecodeRune(d)
		run = append(run, spelled{q, form.Properties(d).CCC(), i, j})
		d = d[n:]
	}
	return run
}

// order sorts each stretch of marks by combining class, equal classes staying as they are.
func order(run []spelled) {
	for from := 0; from < len(run); {
		if run[from].ccc == 0 {
			from++
			continue
		}
		to := from + 1
		for to < len(run) && run[to].ccc != 0 {
			to++
		}
		slices.SortStableFunc(run[from:to], func(a, b spelled) int { return int(a.ccc) - int(b.ccc) })
		from = to
	}
}

// compose joins every mark or letter with the last starter that nothing between them blocks.
func compose(run []spelled) []spelled {
	out := run[:0]
	starter, last := -1, -1 // last: class of the code point before this one, -1 right after the starter
	for _, m := range run {
		if starter >= 0 && last < int(m.ccc) {
			if c, ok := composePair(out[starter].r, m.r); ok {
				out[starter].r, out[starter].j = c, max(m.j, out[starter].j)
				continue
			}
		}
		if m.ccc == 0 {
			starter, last = len(out), -1
		} else {
			last = int(m.ccc)
		}
		out = append(out, m)
	}
	return out
}

// composePair returns the primary composite of a and b.
func composePair(a, b rune) (rune, bool) {
	if l, v := a-hangulL, b-hangulV; 0 <= l && l < hangulLs && 0 <= v && v < hangulVs {
		return hangulS + (l*hangulVs+v)*hangulTs, true
	}
	if s, t := a-hangulS, b-hangulT; 0 <= s && s < hangulSs && s%hangulTs == 0 && 0 < t && t < hangulTs {
		return a + t, true
	}
	c, ok := composites()[[2]rune{a, b}]
	return c, ok
}

// composites returns the pairs that compose: every code point that is its own NFC, keyed by the composite of all
// of its decomposition but the end, and that end.
var composites = sync.OnceValue(func() map[[2]rune]rune {
	pairs := map[[2]rune]rune{}
	for r := rune(0xC0); r < 0x30000; r++ {
		if 0xAC00 <= r && r <= 0xDFFF || decomposedSince(r) {
			continue
		}
		d := norm.NFD.PropertiesString(string(r)).Decomposition()
		if d == nil || norm.NFC.String(string(r)) != string(r) {
			continue
		}
		last, n := utf8.DecodeLastRune(d)
		first := []rune(norm.NFC.String(string(d[:len(d)-n])))
		if len(first) == 1 {
			pairs[[2]rune{first[0], last}] = r
		}
	}
	return pairs
})

// decomposedSince says whether r got its decomposition after the Unicode version that the reference normalises
// by, which leaves such code points alone.
func decomposedSince(r rune) bool {
	switch {
	case r < 0x32FF:
		return false
	case r == 0x32FF, 0xA7F2 <= r && r <= 0xA7F4, r == 0xAB69, 0x10781 <= r && r <= 0x107BA, r == 0x11938,
		0x1E030 <= r && r <= 0x1E06D, r == 0x1F16C, 0x1FBF0 <= r && r <= 0x1FBF9:
		return true
	}
	return false
}

// markedSince says whether r, a mark by x/text, came after the Unicode version that the reference normalises by,
// for which it is a letter that no mark moves past.
func markedSince(r rune) bool {
	_, found := slices.BinarySearchFunc(marksSince, r, func(m [2]rune, r rune) int {
		switch {
		case m[1] < r:
			return -1
		case m[0] > r:
			return 1
		}
		return 0
	})
	return found
}

// marksSince is the code points of markedSince as ranges, ascending, measured against the reference one by one.
var marksSince = [][2]rune{
	{0x7FD, 0x7FD}, {0x898, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B, 0xD3C}, {0xEBA, 0xEBA},
	{0x1715, 0x1715}, {0x1ABF, 0x1ACE}, {0x1DF6, 0x1DFA}, {0xA82C, 0xA82C}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC},
	{0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
	{0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
	{0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
	{0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
	{0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
}
