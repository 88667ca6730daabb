package journal

import (
	"encoding/json"
	"slices"
	"strings"
)

// Veil masks values in a text that arrives in pieces, also where one spans pieces. It holds back no more than what may
// be the beginning of a value. The zero Veil masks nothing.
type Veil struct {
	values []string // as they are, and with JSON's escapes; longest first
	held   string
}

// NewVeil returns a Veil for the values that Mask would look for.
func NewVeil(values []string) *Veil {
	v := &Veil{}
	for _, s := range values {
		if len(s) < MinMasked {
			continue
		}
		v.values = append(v.values, s)
		if quoted, err := json.Marshal(s); err == nil && len(quoted) > len(s)+2 {
			v.values = append(v.values, string(quoted[1:len(quoted)-1]))
		}
	}
	slices.SortFunc(v.values, func(a, b string) int { return len(b) - len(a) })
	return v
}

// Next returns what of the text up to piece can be shown now.
func (v *Veil) Next(piece string) string {
	if len(v.values) == 0 {
		return piece
	}
	text := v.held + piece
	for _, s := range v.values {
		text = strings.ReplaceAll(text, s, strings.Repeat("*", len(s)))
	}
	keep := 0
	for _, s := range v.values {
		for n := min(len(s)-1, len(text)); n > keep; n-- {
			if strings.HasSuffix(text, s[:n]) {
				keep = n
			}
		}
	}
	v.held = text[len(text)-keep:]
	return text[:len(text)-keep]
}

// Rest returns what was held back. The next piece begins another text.
func (v *Veil) Rest() string {
	rest := v.held
	v.held = ""
	return rest
}
