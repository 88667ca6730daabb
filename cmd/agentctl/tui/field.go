package tui

import (
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
)

// field is an editor of one or many lines.
type field struct {
	text []rune
	at   int
	many bool // enter makes a line
}

// maxField bounds what is typed or pasted into a field.
const maxField = 64 << 10

func newField(s string, many bool) field {
	f := field{many: many}
	f.insert(s)
	return f
}

// String is what was typed.
func (f *field) String() string { return string(f.text) }

func (f *field) insert(s string) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var add []rune
	for _, r := range safe(s) {
		if r == '\n' && !f.many {
			r = ' '
		}
		add = append(add, r)
	}
	if over := len(f.text) + len(add) - maxField; over > 0 {
		add = add[:max(len(add)-over, 0)]
	}
	rest := append([]rune{}, f.text[f.at:]...)
	f.text = append(append(f.text[:f.at], add...), rest...)
	f.at += len(add)
}

func (f *field) cut(from, to int) {
	f.text = append(f.text[:from], f.text[to:]...)
	f.at = from
}

// key takes a key press and says whether it meant something here.
func (f *field) key(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		f.at = max(f.at-1, 0)
	case "right", "ctrl+f":
		f.at = min(f.at+1, len(f.text))
	case "alt+left", "ctrl+left", "alt+b":
		f.at = f.wordLeft()
	case "alt+right", "ctrl+right", "alt+f":
		f.at = f.wordRight()
	case "home", "ctrl+a":
		f.at = f.lineStart()
	case "end", "ctrl+e":
		f.at = f.lineEnd()
	case "up":
		return f.vertical(-1)
	case "down":
		return f.vertical(1)
	case "backspace", "ctrl+h":
		if f.at > 0 {
			f.cut(f.at-1, f.at)
		}
	case "delete", "ctrl+d":
		if f.at < len(f.text) {
			f.cut(f.at, f.at+1)
		}
	case "ctrl+w", "alt+backspace":
		f.cut(f.wordLeft(), f.at)
	case "ctrl+u":
		f.cut(f.lineStart(), f.at)
	case "ctrl+k":
		f.cut(f.at, f.lineEnd())
	case "enter", "shift+enter", "alt+enter", "ctrl+j":
		if !f.many {
			return false
		}
		f.insert("\n")
	default:
		if k.Text == "" || k.Mod&^(tea.ModShift|tea.ModCapsLock|tea.ModNumLock) != 0 {
			return false
		}
		f.insert(k.Text)
	}
	return true
}

func (f *field) wordLeft() int {
	i := f.at
	for i > 0 && unicode.IsSpace(f.text[i-1]) {
		i--
	}
	for i > 0 && !unicode.IsSpace(f.text[i-1]) {
		i--
	}
	return i
}

func (f *field) wordRight() int {
	i := f.at
	for i < len(f.text) && unicode.IsSpace(f.text[i]) {
		i++
	}
	for i < len(f.text) && !unicode.IsSpace(f.text[i]) {
		i++
	}
	return i
}

func (f *field) lineStart() int {
	i := f.at
	for i > 0 && f.text[i-1] != '\n' {
		i--
	}
	return i
}

func (f *field) lineEnd() int {
	i := f.at
	for i < len(f.text) && f.text[i] != '\n' {
		i++
	}
	return i
}

// vertical moves by a line; false at the first or the last one.
func (f *field) vertical(d int) bool {
	start := f.lineStart()
	col := f.at - start
	if d < 0 {
		if start == 0 {
			return false
		}
		f.at = start - 1
		f.at = min(f.lineStart()+col, f.at)
		return true
	}
	end := f.lineEnd()
	if end == len(f.text) {
		return false
	}
	f.at = end + 1
	f.at = min(f.at+col, f.lineEnd())
	return true
}

// view draws at most h lines of w columns, with the place of the cursor reversed where the field has the keys.
func (f *field) view(w, h int, focus bool) []string {
	var lines []string
	var b strings.Builder
	col, cursor := 0, 0
	flush := func() {
		lines = append(lines, b.String())
		b.Reset()
		col = 0
	}
	for i := 0; i <= len(f.text); i++ {
		s, n := " ", 1
		end := i == len(f.text)
		nl := !end && f.text[i] == '\n'
		if !end && !nl {
			s = string(f.text[i])
			n = width(s)
		}
		if col+n > w {
			flush()
		}
		if i == f.at && focus {
			cursor = len(lines)
			b.WriteString(chosen.paint(s))
		} else if !end && !nl {
			b.WriteString(s)
		}
		if nl {
			flush()
			continue
		}
		col += n
	}
	flush()
	h = max(h, 1)
	from := max(min(cursor-h/2, len(lines)-h), 0)
	return lines[from:min(from+h, len(lines))]
}
