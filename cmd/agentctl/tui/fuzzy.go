package tui

import "strings"

// fuzzy reports whether all words of a pattern are in a text, each whole or with its characters in order, and how well:
// words that are there whole, and those at the beginning of a word, count more.
func fuzzy(pattern, text string) (score int, ok bool) {
	text = strings.ToLower(text)
	for w := range strings.FieldsSeq(strings.ToLower(pattern)) {
		if i := strings.Index(text, w); i >= 0 {
			score += 100 + len(w)
			if i == 0 || text[i-1] == ' ' || text[i-1] == '/' {
				score += 50
			}
			continue
		}
		n, found := scattered(w, text)
		if !found {
			return 0, false
		}
		score += n
	}
	return score, true
}

// scattered finds the characters of w in order; close together counts more.
func scattered(w, text string) (score int, ok bool) {
	at, begin := 0, -1
	for _, r := range w {
		i := strings.IndexRune(text[at:], r)
		if i < 0 {
			return 0, false
		}
		if begin < 0 {
			begin = i
		}
		at += i + len(string(r))
	}
	if spread := at - begin; spread > 4*len(w)+8 { // letters that happen to be there
		return 0, false
	}
	return 20, true
}
