package tools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"agentd/tools/args"
)

// Bounds of one read.
const (
	readLines  = 200
	readBytes  = 16 << 10
	readWhole  = 10 << 20 // a larger file is read only by range
	readBudget = 1 << 30  // how far into a file a range may lie
)

// read shows a text file or a range of its lines.
var read = define(builtin[args.ReadFile]{
	spec: Spec{Fenced: Fenced{Inline: "path"}},
	check: func(a args.ReadFile) error {
		switch {
		case a.Path == "":
			return errors.New(`argument "path" is empty`)
		case a.From < 0 || a.To < 0:
			return errors.New(`arguments "from" and "to" are line numbers, from 1`)
		case a.To > 0 && a.From > a.To:
			return fmt.Errorf(`argument "from" is %d, behind "to", %d`, a.From, a.To)
		}
		return nil
	},
	effect: always[args.ReadFile](Read),
	run:    runRead,
	fenced: func(inline, body string) (map[string]any, error) {
		if inline == "" {
			inline = strings.TrimSpace(body)
		}
		if m := lineRange.FindStringSubmatch(inline); m != nil {
			a := map[string]any{"path": m[1], "from": m[2]}
			if m[3] != "" {
				a["to"] = m[3]
			}
			return a, nil
		}
		return map[string]any{"path": inline}, nil
	},
})

// lineRange is "path 20-40" or "path 20-".
var lineRange = regexp.MustCompile(`^(.*\S)\s+(\d{1,9})\s*-\s*(\d{0,9})$`)

func runRead(ctx context.Context, env Env, a args.ReadFile) (Result, error) {
	if env.Root == nil {
		return Result{}, errNoWorkspace
	}
	p, err := place(env, a.Path)
	if err != nil {
		return bad("%v", err), nil
	}
	if env.unseen(p, false) {
		return bad("%s is outside of what this run may read (scope.read)", p), nil
	}
	f, info, err := openRegular(env.Root, p)
	if err != nil {
		return bad("%s", why(env.Root, p, err)), nil
	}
	defer f.Close()
	if info.Size() == 0 {
		return good(fmt.Sprintf("[%s is empty]", p)), nil
	}
	in := bufio.NewReaderSize(io.LimitReader(f, readBudget), 64<<10)
	if head, _ := in.Peek(8000); looksBinary(head) { // a short file is no error here
		return bad("%s is a binary file of %s: it can't be shown as text", p, size(info.Size())), nil
	}
	if a.From == 0 && a.To == 0 && info.Size() > readWhole {
		return bad("%s has %s, more than %s: read a range of lines with from and to, or find what you need with search or the shell", p, size(info.Size()), size(readWhole)), nil
	}
	w := window{from: max(1, a.From), to: a.To}
	if err := w.read(ctx, in); err != nil {
		return Result{}, err
	}
	out := NewOutput(readBytes + 1024) // head and tail of the default would cut the middle out of what was asked for
	if _, err := out.Write([]byte(w.text(p, info.Size()))); err != nil {
		return Result{}, err
	}
	return Result{OK: w.shown > 0, Exit: map[bool]int{true: 0, false: 1}[w.shown > 0], Output: out}, nil
}

// window is the part of a file that is shown.
type window struct {
	from, to int // lines asked for; to 0 is as far as fits
	buf      strings.Builder
	shown    int  // lines in buf
	lines    int  // lines seen
	more     bool // there are lines behind those shown that were asked for
	cut      bool // the last line shown is cut
	end      bool // lines is the file's whole count
}

// read fills the window and goes on to count lines while that is cheap.
func (w *window) read(ctx context.Context, in *bufio.Reader) error {
	last := w.from + readLines - 1
	if w.to > 0 && w.to < last {
		last = w.to
	}
	counted := 0
	fresh := true // at the start of a line
	for {
		part, err := in.ReadSlice('\n')
		if len(part) > 0 {
			if fresh {
				w.lines++
			}
			fresh = part[len(part)-1] == '\n'
			w.take(part, last)
			if counted += len(part); w.done(last) && counted > readWhole {
				return nil
			}
			if counted%(1<<20) < len(part) && ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		switch {
		case err == io.EOF:
			w.end = true
			return nil
		case err != nil && err != bufio.ErrBufferFull:
			return err
		}
	}
}

func (w *window) done(last int) bool { return w.lines > last || w.more }

// take adds a piece of the current line if it belongs to the window and fits.
func (w *window) take(part []byte, last int) {
	switch {
	case w.lines < w.from || w.more:
		return
	case w.lines > last:
		w.more = w.to == 0 || w.lines <= w.to
		return
	}
	room := readBytes - w.buf.Len()
	if len(part) > room {
		if w.shown > 0 && w.lines > w.from+w.shown-1 {
			w.more = true // a whole line that doesn't fit is left for the next read
			return
		}
		part, w.cut, w.more = part[:max(0, room)], true, true
	}
	w.buf.Write(part)
	w.shown = w.lines - w.from + 1
}

// text is what the model sees: the lines alone when they are the whole file, else a note of what they are and how to read on.
func (w *window) text(p string, bytes int64) string {
	total := strconv.Itoa(w.lines)
	if !w.end {
		total = "more than " + total
	}
	if w.shown == 0 {
		return fmt.Sprintf("[%s has %s lines: there is no line %d]", p, total, w.from)
	}
	last := w.from + w.shown - 1
	if w.from == 1 && !w.more && last == w.lines && w.end {
		return w.buf.String()
	}
	note := fmt.Sprintf("[lines %d-%d of %s in %s, %s", w.from, last, total, p, size(bytes))
	switch {
	case w.cut:
		note += fmt.Sprintf("; line %d is too long and cut", last)
		if last < w.lines {
			note += fmt.Sprintf("; read on with from=%d", last+1)
		}
	case w.more:
		note += fmt.Sprintf("; read on with from=%d", last+1)
	}
	return note + "]\n" + w.buf.String()
}
