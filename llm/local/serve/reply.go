package serve

import (
	"strings"
	"unicode/utf8"
)

// reply collects a reply's bytes and shows them as soon as they are certain: whole characters, no part of a stop text,
// nothing from the marker of a tool call on.
type reply struct {
	stop   []string
	marker string
	show   func(string) error
	bare   func(string) bool // reports that a whole reply is a tool call without its marker

	buf    []byte
	shown  int
	marked bool
}

func (r *reply) String() string { return strings.ToValidUTF8(string(r.buf), "\uFFFD") }

// add appends a token's bytes. It reports that a stop text ended the reply.
func (r *reply) add(piece string) (bool, error) {
	from := len(r.buf)
	r.buf = append(r.buf, piece...)
	if at := r.findStop(from); at >= 0 {
		r.buf = r.buf[:at]
		return true, r.end()
	}
	if r.marked {
		return false, nil
	}
	if r.marker != "" {
		start := max(0, max(r.shown, from-len(r.marker)))
		if i := strings.Index(string(r.buf[start:]), r.marker); i >= 0 {
			err := r.showTo(start + i)
			r.marked = true
			return false, err
		}
	}
	if r.bare != nil && r.mayBeBare() {
		return false, nil
	}
	return false, r.showTo(len(r.buf) - r.uncertain())
}

// mayBeBare reports that the reply so far looks like JSON, in a fence or not: nothing of it is shown before its end.
func (r *reply) mayBeBare() bool {
	if r.shown > 0 {
		return false
	}
	t := strings.TrimLeft(string(r.buf[:min(len(r.buf), 64)]), " \n")
	return t == "" || t[0] == '{' || strings.HasPrefix(t, "```json") || strings.HasPrefix("```json", t)
}

// end shows what was held back.
func (r *reply) end() error {
	if !r.marked && r.shown == 0 && r.bare != nil && r.bare(r.String()) {
		r.marked = true
	}
	if r.marked {
		return nil
	}
	return r.showTo(len(r.buf))
}

func (r *reply) showTo(n int) error {
	if n <= r.shown {
		return nil
	}
	text := strings.ToValidUTF8(string(r.buf[r.shown:n]), "\uFFFD")
	r.shown = n
	if r.show == nil {
		return nil
	}
	return r.show(text)
}

// findStop returns where the first stop text begins that ends in the bytes added since from, or -1.
func (r *reply) findStop(from int) int {
	first := -1
	for _, s := range r.stop {
		start := max(0, from-len(s)+1)
		if i := strings.Index(string(r.buf[start:]), s); i >= 0 && (first < 0 || start+i < first) {
			first = start + i
		}
	}
	return first
}

// uncertain counts the bytes at the end that may yet become a character, a stop text or the marker.
func (r *reply) uncertain() int {
	held := cutRune(r.buf)
	for _, s := range append(r.stop[:len(r.stop):len(r.stop)], r.marker) {
		for n := min(len(s)-1, len(r.buf)); n > held; n-- {
			if strings.HasSuffix(string(r.buf[len(r.buf)-n:]), s[:n]) {
				held = n
				break
			}
		}
	}
	return held
}

// cutRune counts the bytes of an unfinished UTF-8 character at the end of b.
func cutRune(b []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(b)); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
