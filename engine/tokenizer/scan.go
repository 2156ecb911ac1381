package tokenizer

// The patterns that most models split by, each with a scanner written by hand; tests hold them to the regular
// expression. All share one shape: word, number, run of the rest, white space.

const (
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	o200kPattern  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	// The same two with the case of contractions written out: U+017F is no 's' to them.
	llama3Spelt = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Spelt  = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scannerFor returns the scanner of a known pattern, nil for any other.
func scannerFor(source string) func(s string, i int) int {
	t := classes()
	switch source {
	case gpt2Pattern:
		return t.scanGPT2
	case llama3Pattern:
		return func(s string, i int) int { return t.scanLlama3(s, i, 3, true) }
	case qwen2Pattern:
		return func(s string, i int) int { return t.scanLlama3(s, i, 1, true) }
	case llama3Spelt:
		return func(s string, i int) int { return t.scanLlama3(s, i, 3, false) }
	case qwen2Spelt:
		return func(s string, i int) int { return t.scanLlama3(s, i, 1, false) }
	case o200kPattern:
		return t.scanO200k
	}
	return nil
}

// while returns the end of the run from i of code points that have one of the classes.
func (t *classTable) while(s string, i int, class uint8) int {
	for {
		c, w := t.at(s, i)
		if c&class == 0 {
			return i
		}
		i += w
	}
}

// until returns the end of the run from i of code points that have none of the classes.
func (t *classTable) until(s string, i int, class uint8) int {
	for {
		c, w := t.at(s, i)
		if w == 0 || c&class != 0 {
			return i
		}
		i += w
	}
}

// scanGPT2 returns the end of the match of gpt2Pattern at i.
func (t *classTable) scanGPT2(s string, i int) int {
	if s[i] == '\'' {
		if n := contraction(s, i, false, false); n > 0 {
			return i + n
		}
	}
	j := i
	if s[i] == ' ' {
		j++
	}
	c, w := t.at(s, j)
	switch {
	case w == 0 || c&classSpace != 0:
		return t.spaces(s, i)
	case c&classL != 0:
		return t.while(s, j+w, classL)
	case c&classNumber != 0:
		return t.while(s, j+w, classNumber)
	}
	return t.until(s, j+w, classSpace|classL|classNumber)
}

// spaces is \s+(?!\S)|\s+ at i: all white space, less the last one where something follows.
func (t *classTable) spaces(s string, i int) int {
	end, last := i, i
	for {
		c, w := t.at(s, end)
		if c&classSpace == 0 {
			if w == 0 || last == i {
				return end
			}
			return last
		}
		last = end
		end += w
	}
}

// linesOrSpaces is \s*[\r\n]+|\s+(?!\S)|\s+ at i: white space up to its last line end, or as spaces.
func (t *classTable) linesOrSpaces(s string, i int) int {
	lineEnd := i
	for j := i; ; {
		c, w := t.at(s, j)
		if c&classSpace == 0 {
			break
		}
		j += w
		if s[j-1] == '\r' || s[j-1] == '\n' {
			lineEnd = j
		}
	}
	if lineEnd > i {
		return lineEnd
	}
	return t.spaces(s, i)
}

// contraction returns the length of 's 't 're 've 'm 'll 'd at i, 0 if there is none. With fold the case does not
// matter, and U+017F counts as an s where long too.
func contraction(s string, i int, fold, long bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return 0
	}
	low := func(k int) byte {
		if k >= len(s) {
			return 0
		}
		c := s[k]
		if fold && 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		return c
	}
	a, b := low(i+1), low(i+2)
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	case long && a == 0xC5 && b == 0xBF: // ſ
		return 3
	}
	return 0
}

// numbers returns the end of at most n numbers from i.
func (t *classTable) numbers(s string, i, n int) int {
	for ; n > 0; n-- {
		c, w := t.at(s, i)
		if c&classNumber == 0 {
			break
		}
		i += w
	}
	return i
}

// scanLlama3 returns the end of the match of llama3Pattern (digits 3) or qwen2Pattern (1) at i.
func (t *classTable) scanLlama3(s string, i, digits int, long bool) int {
	if s[i] == '\'' {
		if n := contraction(s, i, true, long); n > 0 {
			return i + n
		}
	}
	c, w := t.at(s, i)
	switch {
	case c&classL != 0:
		return t.while(s, i+w, classL)
	case c&classNumber != 0:
		return t.numbers(s, i, digits)
	}
	if s[i] != '\r' && s[i] != '\n' {
		if c2, w2 := t.at(s, i+w); c2&classL != 0 {
			return t.while(s, i+w+w2, classL)
		}
	}
	if end := t.others(s, i, false); end > i {
		return end
	}
	return t.linesOrSpaces(s, i)
}

// others is ` ?[^\s\p{L}\p{N}]+[\r\n]*` at i, with slashes among the line ends where asked for.
func (t *classTable) others(s string, i int, slash bool) int {
	j := i
	if s[j] == ' ' {
		j++
	}
	end := t.until(s, j, classSpace|classL|classNumber)
	if end == j {
		return i
	}
	for end < len(s) && (s[end] == '\r' || s[end] == '\n' || slash && s[end] == '/') {
		end++
	}
	return end
}

// scanO200k returns the end of the match of o200kPattern at i.
func (t *classTable) scanO200k(s string, i int) int {
	c, w := t.at(s, i)
	if c&classNumber != 0 {
		return t.numbers(s, i, 3)
	}
	prefix := i
	if c&classL == 0 && s[i] != '\r' && s[i] != '\n' {
		prefix = i + w
	}
	for _, word := range []func(string, int) int{t.lowerWord, t.upperWord} {
		for _, from := range []int{prefix, i} {
			if end := word(s, from); end > from {
				return end + contraction(s, end, true, true)
			}
			if prefix == i {
				break
			}
		}
	}
	if end := t.others(s, i, true); end > i {
		return end
	}
	return t.linesOrSpaces(s, i)
}

const (
	anyUpper = classUpper | classLetter | classMark
	anyLower = classLower | classLetter | classMark
)

// lowerWord is [upper]*[lower]+ at i. Letters without case and marks are in both sets: where nothing lower follows
// the upper run, it gives back its end down to the last of those.
func (t *classTable) lowerWord(s string, i int) int {
	both := i
	j := i
	for {
		c, w := t.at(s, j)
		if c&anyUpper == 0 {
			break
		}
		j += w
		if c&anyLower != 0 {
			both = j
		}
	}
	if end := t.while(s, j, anyLower); end > j {
		return end
	}
	return both
}

// upperWord is [upper]+[lower]* at i.
func (t *classTable) upperWord(s string, i int) int {
	j := t.while(s, i, anyUpper)
	if j == i {
		return i
	}
	return t.while(s, j, anyLower)
}
