package main

import "fmt"

// didYouMean returns "; did you mean X?" for the nearest of known, or "" if none is near.
func didYouMean(word string, known []string) string {
	best, at := "", 1+max(2, len(word)/2)
	for _, k := range known {
		if d := editDistance(word, k); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance is the Levenshtein distance of a and b in bytes: the fewest insertions, deletions and replacements
// that turn one into the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to every prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
