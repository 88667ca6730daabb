package goals

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the known word that a person most probably meant, or "".
func nearest(word string, known []string) string {
	best, dist := "", 1+max(2, len(word)/3)
	for _, k := range slices.Sorted(slices.Values(known)) {
		d := distance(strings.ToLower(word), strings.ToLower(k))
		if d < dist || (best == "" && len(word) >= 3 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k))) {
			best, dist = k, d
		}
	}
	return best
}

// didYouMean is the end of an error about an unknown word.
func didYouMean(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	if len(known) == 0 {
		return ""
	}
	return ": known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// distance is the number of runes to insert, delete, replace or swap to turn a into b, for words of ordinary length.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y))
	}
	prev2, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(y)]
}
