package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"agentd/tools/args"
)

// edit replaces one exact piece of text.
var edit = define(builtin[args.EditFile]{
	spec: Spec{Fenced: Fenced{Inline: "path", Body: "old"}},
	check: func(a args.EditFile) error {
		switch {
		case a.Path == "":
			return errors.New(`argument "path" is empty`)
		case a.Old == "":
			return errors.New(`argument "old" is empty: give text that is in the file, or use the tool write for a new file`)
		case a.Old == a.New:
			return errors.New(`arguments "old" and "new" are the same: nothing would change`)
		}
		return nil
	},
	effect: func(a args.EditFile) Effect {
		if settles(a.Old, a.New) {
			return Idempotent
		}
		return Once
	},
	run:    runEdit,
	fenced: fencedEdit,
})

// settles reports whether replacing old by new can't leave an old that the same call would replace again: none lies within new,
// around new, or across one of its ends.
func settles(old, new string) bool {
	if new == "" || strings.Contains(old, new) || strings.Contains(new, old) {
		return false
	}
	for n := 1; n < min(len(old), len(new)); n++ {
		if old[len(old)-n:] == new[:n] || old[:n] == new[len(new)-n:] {
			return false
		}
	}
	return true
}

func runEdit(ctx context.Context, env Env, a args.EditFile) (Result, error) {
	p, d, refused, err := writable(env, a.Path, false)
	if err != nil || refused != nil {
		return deref(refused), err
	}
	defer d.Close()
	name := path.Base(p)
	st, err := d.stat(name)
	switch {
	case err == nil && st == nil:
		return bad("%s", why(env.Root, p, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist})), nil
	case err != nil:
		return bad("%s", why(env.Root, p, err)), nil
	}
	if err := irregular(p, st); err != nil {
		return bad("%v", err), nil
	}
	b, err := readAll(d, name, p)
	if err != nil {
		return bad("%s", why(env.Root, p, err)), nil
	}
	if looksBinary(b[:min(len(b), 8000)]) {
		return bad("%s is a binary file: it can't be edited as text", p), nil
	}
	text, old, new := string(b), a.Old, a.New
	n := strings.Count(text, old)
	if n == 0 && strings.Contains(text, "\r\n") && !strings.Contains(old, "\r") {
		// a model sees and writes \n; the file's own line ends are kept
		old, new = strings.ReplaceAll(old, "\n", "\r\n"), strings.ReplaceAll(new, "\n", "\r\n")
		n = strings.Count(text, old)
	}
	switch {
	case n == 0 && settles(a.Old, a.New) && strings.Contains(text, new):
		return good(fmt.Sprintf("nothing to do: %s has the new text already and the old text nowhere", p)), nil
	case n == 0:
		return bad("%s", notFound(p, text, a.Old)), nil
	case n > 1 && !a.All:
		return bad("the old text is in %s %d times, at lines %s: give more of the lines around the one you mean, or set all", p, n, lineList(text, old, 10)), nil
	}
	first := strings.Index(text, old)
	out := strings.ReplaceAll(text, old, new)
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if err := d.replace(name, []byte(out), st); err != nil {
		return bad("%s could not be written: %v", p, err), nil
	}
	head := fmt.Sprintf("edited %s", p)
	if n > 1 {
		head = fmt.Sprintf("edited %s at %d places, the first", p, n)
	}
	r := good(head + ":\n" + around(out, first, len(new)))
	r.Changed = []string{p}
	return r, nil
}

// around shows the lines of text that hold [at, at+n) and one more on either side, numbered; a long piece only by its ends.
func around(text string, at, n int) string {
	lines := strings.Split(text, "\n")
	first := strings.Count(text[:at], "\n")
	last := first + strings.Count(text[at:at+n], "\n")
	from, to := max(0, first-1), min(len(lines)-1, last+1)
	var b strings.Builder
	for i := from; i <= to; i++ {
		if to-from > 24 && i == from+12 {
			skip := to - 12 - i
			fmt.Fprintf(&b, "      … %s\n", plural(skip, "line"))
			i += skip
		}
		fmt.Fprintf(&b, "%5d  %s\n", i+1, clip(strings.TrimSuffix(lines[i], "\r"), 200))
	}
	return b.String()
}

// lineList names the lines where piece begins, the first few of them.
func lineList(text, piece string, most int) string {
	var out []string
	line, at := 1, 0
	for {
		i := strings.Index(text[at:], piece)
		if i < 0 {
			return strings.Join(out, ", ")
		}
		if len(out) == most {
			return strings.Join(out, ", ") + ", …"
		}
		line += strings.Count(text[at:at+i], "\n")
		out = append(out, fmt.Sprint(line))
		line += strings.Count(piece, "\n")
		at += i + len(piece)
	}
}

// notFound says what in the file comes closest to the text that isn't there.
func notFound(p, text, old string) string {
	lines := strings.Split(text, "\n")
	want := strings.Split(strings.Trim(old, "\n"), "\n")
	if i := looseMatch(lines, want); i >= 0 {
		return fmt.Sprintf("the old text is not in %s as given: it differs in spaces or tabs from lines %d-%d, which are exactly:\n%s",
			p, i+1, i+len(want), strings.Join(lines[i:min(len(lines), i+len(want))], "\n"))
	}
	type near struct{ line, score int }
	best := make([]near, 0, 4)
	key := ""
	for _, w := range want {
		if w = strings.TrimSpace(w); len(w) > len(key) {
			key = w
		}
	}
	grams := bigrams(key)
	for i, l := range lines[:min(len(lines), 100_000)] {
		s := similar(grams, strings.TrimSpace(clip(l, 400)))
		if s < 50 {
			continue
		}
		j := len(best)
		for j > 0 && best[j-1].score < s {
			j--
		}
		best = append(best[:j], append([]near{{i, s}}, best[j:]...)...)
		best = best[:min(len(best), 3)]
	}
	if len(best) == 0 {
		return fmt.Sprintf("the old text is not in %s, and nothing like it: read the file (%s)", p, plural(len(lines), "line"))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the old text is not in %s. The closest lines are:\n", p)
	for _, n := range best {
		fmt.Fprintf(&b, "%5d  %s\n", n.line+1, clip(lines[n.line], 200))
	}
	return b.String()
}

// looseMatch finds where lines equal want but for white space, or gives -1.
func looseMatch(lines, want []string) int {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	w := make([]string, len(want))
	blank := true
	for i := range want {
		w[i] = squeeze(want[i])
		blank = blank && w[i] == ""
	}
	if blank {
		return -1
	}
next:
	for i := 0; i+len(w) <= len(lines); i++ {
		for j := range w {
			if squeeze(lines[i+j]) != w[j] {
				continue next
			}
		}
		return i
	}
	return -1
}

func bigrams(s string) map[[2]byte]int {
	m := make(map[[2]byte]int, len(s))
	for i := 0; i+1 < len(s); i++ {
		m[[2]byte{s[i], s[i+1]}]++
	}
	return m
}

// similar scores 0 to 100 how many pairs of letters a line shares with the one that was counted.
func similar(grams map[[2]byte]int, line string) int {
	n := 0
	for _, c := range grams {
		n += c
	}
	same, all := 0, 0
	for g, c := range bigrams(line) {
		all += c
		same += min(c, grams[g])
	}
	if n+all == 0 {
		return 0
	}
	return 200 * same / (n + all)
}

// fencedEdit reads a path and a body of this form, where the marks may all be longer than seven signs, so that a text which
// holds such a line itself can be edited:
//
//	<<<<<<< old
//	the old lines
//	=======
//	the new lines, or none
//	>>>>>>> new
func fencedEdit(inline, body string) (map[string]any, error) {
	const form = "between the two lines of ~~~ write <<<<<<< old, the old lines, =======, the new lines, >>>>>>> new, each mark on a line of its own"
	if inline == "" {
		return nil, errors.New("write the path behind the action, for example: Action: edit main.py")
	}
	lines := strings.Split(strings.Trim(body, "\n"), "\n")
	n := len(lines[0]) - len(strings.TrimLeft(lines[0], "<"))
	if n < 7 {
		return nil, errors.New("the body does not begin with the line <<<<<<< old: " + form)
	}
	middle, end := -1, -1
	for i, l := range lines[1:] {
		l = strings.TrimRight(l, " \t\r")
		switch {
		case l == strings.Repeat("=", n):
			if middle >= 0 {
				return nil, fmt.Errorf("the line %s stands there twice: where the text itself has it, make all three marks longer, for example with %d signs", l, n+3)
			}
			middle = i + 1
		case isMark(l, '>', n) && end < 0:
			end = i + 1
		case isMark(l, '<', n):
			return nil, errors.New("one edit has one pair of old and new: make several edits one after the other")
		}
	}
	switch {
	case middle < 0:
		return nil, fmt.Errorf("the line %s between old and new is missing: %s", strings.Repeat("=", n), form)
	case end < middle:
		return nil, fmt.Errorf("the line %s new at the end is missing: %s", strings.Repeat(">", n), form)
	case end != len(lines)-1:
		return nil, fmt.Errorf("there is text behind the line %s: %s", lines[end], form)
	}
	old, new := strings.Join(lines[1:middle], "\n"), strings.Join(lines[middle+1:end], "\n")
	if middle+1 == end {
		old += "\n" // no new line at all: the old lines go with their ends
	}
	return map[string]any{"path": inline, "old": old, "new": new}, nil
}

// isMark reports whether a line is exactly n signs and perhaps a word behind them.
func isMark(l string, sign byte, n int) bool {
	rest := strings.TrimLeft(l, string(sign))
	return len(l)-len(rest) == n && (rest == "" || rest[0] == ' ')
}
