package eval

import (
	"math"
	"regexp"
	"strings"
	"unicode"
)

// normalise applies the named steps to s in order.
func normalise(s string, steps []string) string {
	for _, step := range steps {
		switch step {
		case "trim":
			s = strings.TrimSpace(s)
		case "lower":
			s = strings.ToLower(s)
		case "spaces":
			s = strings.Join(strings.Fields(s), " ")
		case "punctuation":
			s = strings.Map(func(r rune) rune {
				if unicode.IsPunct(r) && r != '_' && r != '-' {
					return -1
				}
				return r
			}, s)
		case "first_line":
			s, _, _ = strings.Cut(strings.TrimLeft(s, "\n"), "\n")
		}
	}
	return s
}

// judge says whether an answer is right by the task's metric.
func (t Task) judge(answer, expected string, pattern *regexp.Regexp) bool {
	want := normalise(expected, t.Normalise)
	switch t.Metric {
	case Contains:
		return strings.Contains(normalise(answer, t.Normalise), want)
	case Regex:
		found := pattern.FindStringSubmatch(answer)
		if found == nil {
			return false
		}
		return len(found) == 1 || normalise(found[1], t.Normalise) == want
	}
	return normalise(answer, t.Normalise) == want
}

// Wilson returns the 95 % score interval (E. B. Wilson, 1927) of a proportion of which k of n were seen. Of nothing
// seen it is all of [0, 1].
func Wilson(k, n int) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // the normal distribution's 97.5 % point
	p, m := float64(k)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, centre-half), min(1, centre+half)
}
