package data

import "unicode/utf8"

// Nearest returns the name in known that word most likely meant: the one with the smallest number of inserted,
// deleted, replaced or swapped letters, if that is at most a third of word's length. It returns "" where nothing is
// near.
func Nearest(word string, known []string) string {
	if len(word) > 64 { // nobody mistypes that; also keeps the table below small
		return ""
	}
	best, most := "", utf8.RuneCountInString(word)/3
	for _, k := range known {
		if d := distance([]rune(word), []rune(k)); d <= most && (best == "" || d < most) {
			best, most = k, d
		}
	}
	return best
}

// distance counts edits between a and b, a swap of neighbours counting as one.
func distance(a, b []rune) int {
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}
