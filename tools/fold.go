package tools

import (
	"runtime"
	"strings"
	"unicode"
)

// Fold gives a path, or a glob of paths, in the form in which this system compares names, for checks of what a path leads to. On Linux
// that is the path as it is. A volume of macOS takes .GIT/conﬁg for .git/config.
func Fold(p string) string {
	if runtime.GOOS != "darwin" {
		return p
	}
	return fold(p)
}

// fold makes equal what case folding of a file name makes equal to ASCII letters: by case, by ligature, and by characters
// that show nothing, which HFS+ ignores. Composed and decomposed forms of other letters stay different.
func fold(p string) string {
	p = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r)) // also ſ and the Kelvin sign, which have no capital of their own
	}, p)
	return ligatures.Replace(p)
}

var ligatures = strings.NewReplacer("ß", "ss", "ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "st", "ﬆ", "st")
