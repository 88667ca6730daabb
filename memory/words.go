package memory

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord bounds an indexed word in bytes; the rest of a longer one does not count.
const maxWord = 64

// words calls yield for each word of a text as the index knows it: runs of letters, marks and digits in lower case; the
// parts of identifiers beside the whole (readFile: readfile, read, file; snake_case and a/path.go likewise); and each pair
// of neighbours in scripts that write without spaces, with each single character.
func words(text string, yield func(string)) {
	runes := []rune(text)
	for i := 0; i < len(runes); {
		switch {
		case cjk(runes[i]):
			j := i
			for j < len(runes) && cjk(runes[j]) {
				yield(string(runes[j]))
				if j > i {
					yield(string(runes[j-1 : j+1]))
				}
				j++
			}
			i = j
		case wordRune(runes[i]):
			j := i
			parts := 0
			for j < len(runes) && !cjk(runes[j]) && (wordRune(runes[j]) || joins(runes, j)) {
				if !wordRune(runes[j]) {
					parts++
				}
				j++
			}
			compound(runes[i:j], parts > 0, yield)
			i = j
		default:
			i++
		}
	}
}

// joins says whether the rune at i holds an identifier together: one underscore between two word runes.
func joins(r []rune, i int) bool {
	return r[i] == '_' && i+1 < len(r) && wordRune(r[i+1])
}

// compound yields a word and, if it is made of several, each of them.
func compound(r []rune, joined bool, yield func(string)) {
	whole := fold(r)
	if whole != "" {
		yield(whole)
	}
	start, n := 0, 0
	part := func(end int) {
		if p := fold(r[start:end]); p != "" && p != whole {
			yield(p)
			n++
		}
		start = end
	}
	for i := 1; i < len(r); i++ {
		a, b := r[i-1], r[i]
		switch {
		case b == '_':
			part(i)
			start = i + 1
		case a == '_':
		case unicode.IsLower(a) && unicode.IsUpper(b), // readFile
			unicode.IsUpper(a) && unicode.IsUpper(b) && i+1 < len(r) && unicode.IsLower(r[i+1]),    // HTTPServer
			unicode.IsDigit(a) != unicode.IsDigit(b) && unicode.IsLetter(a) != unicode.IsLetter(b): // sha256
			part(i)
		}
	}
	if start > 0 {
		part(len(r))
	}
}

// fold is the word in lower case without joints, cut to maxWord bytes.
func fold(r []rune) string {
	var b strings.Builder
	for _, c := range r {
		if c == '_' {
			continue
		}
		c = unicode.ToLower(c)
		if b.Len()+utf8.RuneLen(c) > maxWord {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

func cjk(r rune) bool {
	return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}
