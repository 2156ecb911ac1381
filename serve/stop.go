package serve

// stopMatcher finds stop strings in a text that comes in pieces. It reads byte by byte with one Knuth-Morris-Pratt
// automaton a string, so what it finds never depends on where the pieces were cut, and the work for a byte is
// bounded whatever the strings look like.
type stopMatcher struct {
	stops []stopAutomaton
}

// stopAutomaton matches one string: state is the length of the longest prefix of pattern that ends the text so far.
type stopAutomaton struct {
	pattern string
	fail    []int32 // fail[k]: longest proper prefix of pattern[:k+1] that is also its suffix
	state   int
}

func newStopMatcher(stops []string) stopMatcher {
	m := stopMatcher{stops: make([]stopAutomaton, len(stops))}
	for i, s := range stops {
		fail := make([]int32, len(s))
		for k, state := 1, 0; k < len(s); k++ {
			for state > 0 && s[k] != s[state] {
				state = int(fail[state-1])
			}
			if s[k] == s[state] {
				state++
			}
			fail[k] = int32(state)
		}
		m.stops[i] = stopAutomaton{pattern: s, fail: fail}
	}
	return m
}

// feed reads one more byte and returns the length of the stop string it completed, the longest if several, or 0.
func (m *stopMatcher) feed(b byte) int {
	matched := 0
	for i := range m.stops {
		a := &m.stops[i]
		for a.state > 0 && a.pattern[a.state] != b {
			a.state = int(a.fail[a.state-1])
		}
		if a.pattern[a.state] == b {
			a.state++
		}
		if a.state == len(a.pattern) {
			matched = max(matched, a.state)
			a.state = int(a.fail[a.state-1])
		}
	}
	return matched
}

// held is the number of bytes at the end of the text that may yet turn out to be the start of a stop string.
func (m *stopMatcher) held() int {
	n := 0
	for i := range m.stops {
		n = max(n, m.stops[i].state)
	}
	return n
}
