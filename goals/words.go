package goals

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText bounds the words of a goal, in bytes.
const MaxText = 64 << 10

// MaxFile bounds a goal file, in bytes.
const MaxFile = 128 << 10

// ErrInvalid is wrapped by every error about a goal that can't be used as it is written.
var ErrInvalid = errors.New("invalid goal")

// FromText makes a goal of words given by a person and commands that check it. The checks become probes check1, check2, …
// whose exit code must be 0.
func FromText(text string, checks []string) (Goal, error) {
	g := Goal{Text: tidy(text)}
	for i, cmd := range checks {
		name := fmt.Sprintf("check%d", i+1)
		cmd = tidy(cmd)
		if cmd == "" {
			return Goal{}, fmt.Errorf("%w: check %d is empty: give a command such as --check 'go test ./...'", ErrInvalid, i+1)
		}
		g.Probes = append(g.Probes, Probe{Name: name, Cmd: cmd})
		g.Require = append(g.Require, name+".exit == 0")
	}
	g.canonical()
	if err := g.Validate(); err != nil {
		return Goal{}, err
	}
	return g, nil
}

// Words is the goal as a model is told it: what, why and the text, none of them twice.
func (g Goal) Words() string {
	var parts []string
	if g.Description != "" && g.Description != g.Text {
		parts = append(parts, g.Description)
	}
	parts = append(parts, g.Text)
	if g.Intent != "" {
		parts = append(parts, "Why: "+g.Intent)
	}
	return strings.Join(parts, "\n\n")
}

// tidy drops surrounding space and writes line ends as \n.
func tidy(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

// checkWords refuses what is not plain text: it would be shown on terminals and sent to models as it is.
func checkWords(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s has %d bytes, more than %d: put long material into a file of the workspace and name it", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not valid UTF-8: is it a binary file?", what)
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("%s holds a NUL byte in line %d: is it a binary file?", what, 1+strings.Count(s[:i], "\n"))
	}
	line := 1
	for _, r := range s {
		switch {
		case r == '\n':
			line++
		case r != '\t' && unicode.IsControl(r):
			return fmt.Errorf("%s holds the control character %U in line %d: remove it", what, r, line)
		}
	}
	return nil
}
