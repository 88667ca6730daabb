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
	cuts  []int // in whole: where parts of an identifier end
}

// words calls yield for each word of a text as the index knows it: runs of letters, marks and digits in lower case; the
// parts of identifiers beside the whole (readFile: readfile, read, file; snake_case and sha256 likewise); and each pair of
// neighbours in scripts that write without spaces, with each single character. yield must not keep the bytes.
func (s *scanner) words(text string, yield func([]byte)) {
	if !s.ascii(text, yield) {
		s.unicode(text, yield)
	}
}

// unicode does the work of words on any text.
func (s *scanner) unicode(text string, yield func([]byte)) {
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

// The classes of ASCII characters.
const (
	asciiOther = iota
	asciiLower
	asciiUpper
	asciiDigit
	asciiJoint
)

var asciiClass = func() (t [256]uint8) {
	for c := range 128 {
		switch {
		case c >= 'a' && c <= 'z':
			t[c] = asciiLower
		case c >= 'A' && c <= 'Z':
			t[c] = asciiUpper
		case c >= '0' && c <= '9':
			t[c] = asciiDigit
		case c == '_':
			t[c] = asciiJoint
		}
	}
	return t
}()

// ascii does the work of words on texts of ASCII alone, many times faster. It says whether the text was one, before it
// yields anything.
func (s *scanner) ascii(text string, yield func([]byte)) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	for i := 0; i < len(text); {
		class := asciiClass[text[i]]
		if class == asciiOther || class == asciiJoint {
			i++
			continue
		}
		start := i
		w, cuts := s.whole[:0], s.cuts[:0]
		last := uint8(asciiOther)
		for ; i < len(text); i++ {
			c := text[i]
			class = asciiClass[c]
			switch {
			case class == asciiLower:
				if last == asciiDigit {
					cuts = append(cuts, len(w))
				}
			case class == asciiOther, class == asciiJoint && (i+1 == len(text) || asciiClass[text[i+1]] == asciiOther || asciiClass[text[i+1]] == asciiJoint):
				goto end
			case class == asciiJoint:
				cuts = append(cuts, len(w))
				last = class
				continue
			case class == asciiUpper:
				if last == asciiLower || last == asciiDigit || last == asciiUpper && i+1 < len(text) && asciiClass[text[i+1]] == asciiLower {
					cuts = append(cuts, len(w))
				}
				c += 'a' - 'A'
			default:
				if last == asciiLower || last == asciiUpper {
					cuts = append(cuts, len(w))
				}
			}
			last = class
			w = append(w, c)
		}
	end:
		s.whole, s.cuts = w, cuts
		if len(w) > maxWord {
			r := s.runes[:0]
			for _, c := range text[start:i] {
				r = append(r, c)
			}
			s.runes = r
			s.compound(r, yield)
			continue
		}
		yield(w)
		if len(cuts) == 0 {
			continue
		}
		from := 0
		for _, to := range cuts {
			if to > from {
				yield(w[from:to])
			}
			from = to
		}
		yield(w[from:])
	}
	return true
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
