package memory

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// maxWord bounds an indexed word in bytes; the rest of a longer one does not count.
const maxWord = 64

// scanner finds the words of texts; its buffers are used again. The zero value is ready.
type scanner struct {
	runes []rune
	word  []byte
	whole []byte
}

// words calls yield for each word of a text as the index knows it: runs of letters, marks and digits in lower case; the
// parts of identifiers beside the whole (readFile: readfile, read, file; snake_case and sha256 likewise); and each pair of
// neighbours in scripts that write without spaces, with each single character. yield must not keep the bytes.
func (s *scanner) words(text string, yield func([]byte)) {
	r := s.runes[:0]
	for _, c := range text {
		r = append(r, c)
	}
	s.runes = r
	for i := 0; i < len(r); {
		switch {
		case cjk(r[i]):
			j := i
			for j < len(r) && cjk(r[j]) {
				yield(s.fold(r[j : j+1]))
				if j > i {
					yield(s.fold(r[j-1 : j+1]))
				}
				j++
			}
			i = j
		case wordRune(r[i]):
			j := i
			for j < len(r) && !cjk(r[j]) && (wordRune(r[j]) || joins(r, j)) {
				j++
			}
			s.compound(r[i:j], yield)
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
func (s *scanner) compound(r []rune, yield func([]byte)) {
	s.whole = append(s.whole[:0], s.fold(r)...)
	yield(s.whole)
	start := 0
	part := func(end int) {
		if p := s.fold(r[start:end]); len(p) > 0 && !bytes.Equal(p, s.whole) {
			yield(p)
		}
		start = end
	}
	for i := 1; i < len(r); i++ {
		a, b := r[i-1], r[i]
		if lower(a) && lower(b) {
			continue
		}
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

func lower(r rune) bool { return r >= 'a' && r <= 'z' }

// fold is the word in lower case without joints, cut to maxWord bytes. It is overwritten by the next one.
func (s *scanner) fold(r []rune) []byte {
	b := s.word[:0]
	for _, c := range r {
		switch {
		case lower(c):
		case c < 0x80:
			if c == '_' {
				continue
			}
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
		default:
			c = unicode.ToLower(c)
		}
		if len(b)+utf8.RuneLen(c) > maxWord {
			break
		}
		b = utf8.AppendRune(b, c)
	}
	s.word = b
	return b
}

// wordList collects the words of a text.
func wordList(text string) []string {
	var l []string
	new(scanner).words(text, func(w []byte) { l = append(l, string(w)) })
	return l
}

func wordRune(r rune) bool {
	return lower(r) || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func cjk(r rune) bool {
	return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}
