package tui

// list shows a window of many entries. Work is bounded by what is on the screen: entries are drawn when they come into
// view and their lines are kept until their width or version changes. It never counts all lines.
type list struct {
	items  []*entry
	sel    int  // index of the chosen entry
	follow bool // stay at the end
	top    int  // index of the first entry in view
	skip   int  // lines of it above the window
	w, h   int
	draw   func(e *entry, w int) []string // one line at least
}

// entry is one thing in a list. Who changes what it shows adds to version.
type entry struct {
	id      string
	version int
	open    bool // shown whole
	step    *step

	lines     []string
	drawnW    int
	drawnV    int
	drawnOpen bool
}

// linesOf draws an entry at the list's width.
func (l *list) linesOf(e *entry) []string {
	if e.lines == nil || e.drawnW != l.w || e.drawnV != e.version || e.drawnOpen != e.open {
		e.lines = l.draw(e, max(l.w-2, 1))
		if len(e.lines) == 0 {
			e.lines = []string{""}
		}
		e.drawnW, e.drawnV, e.drawnOpen = l.w, e.version, e.open
	}
	return e.lines
}

func (l *list) resize(w, h int) {
	l.w, l.h = max(w, 1), max(h, 1)
	l.settle()
}

// settle brings the window back to where it may be, after entries or sizes changed.
func (l *list) settle() {
	if len(l.items) == 0 {
		l.top, l.skip, l.sel = 0, 0, 0
		return
	}
	l.sel = min(max(l.sel, 0), len(l.items)-1)
	l.top = min(max(l.top, 0), len(l.items)-1)
	l.skip = min(max(l.skip, 0), len(l.linesOf(l.items[l.top]))-1)
	if l.follow {
		l.sel = len(l.items) - 1
		l.toEnd()
		return
	}
	// No empty lines below the last entry while there are some above the window.
	if below := l.below(l.h); below < l.h {
		l.scrollRaw(below - l.h)
	}
}

// below is how many lines there are from the window's top to the end, counted up to limit.
func (l *list) below(limit int) int {
	n := -l.skip
	for i := l.top; i < len(l.items) && n < limit; i++ {
		n += len(l.linesOf(l.items[i]))
	}
	return min(n, limit)
}

func (l *list) toEnd() {
	l.top, l.skip = len(l.items), 0
	l.scrollRaw(-l.h)
}

// scrollRaw moves the window by n lines, as far as the first line and the last entry.
func (l *list) scrollRaw(n int) {
	l.skip += n
	for l.skip < 0 && l.top > 0 {
		l.top--
		l.skip += len(l.linesOf(l.items[l.top]))
	}
	l.skip = max(l.skip, 0)
	for l.top < len(l.items)-1 && l.skip >= len(l.linesOf(l.items[l.top])) {
		l.skip -= len(l.linesOf(l.items[l.top]))
		l.top++
	}
	if l.top < len(l.items) {
		l.skip = min(l.skip, len(l.linesOf(l.items[l.top]))-1)
	}
}

// scroll moves the window by n lines; the choice stays in view. Up ends following; down to the end begins it.
func (l *list) scroll(n int) {
	if len(l.items) == 0 {
		return
	}
	if n < 0 {
		l.follow = false
	}
	l.scrollRaw(n)
	l.settle()
	first, last := l.visible()
	l.sel = min(max(l.sel, first), last)
	if n > 0 && l.atEnd() {
		l.follow = true
	}
	if l.follow {
		l.sel = len(l.items) - 1
	}
}

// visible are the indexes of the first and the last entry in view.
func (l *list) visible() (first, last int) {
	n := -l.skip
	for i := l.top; i < len(l.items); i++ {
		n += len(l.linesOf(l.items[i]))
		if n >= l.h {
			return l.top, i
		}
	}
	return l.top, len(l.items) - 1
}

// atEnd reports whether the last line is in view.
func (l *list) atEnd() bool { return l.below(l.h+1) <= l.h }

// choose moves the choice by n entries and brings it into view. An entry taller than the window is scrolled through first.
func (l *list) choose(n int) {
	if len(l.items) == 0 {
		return
	}
	if e := l.linesOf(l.items[l.sel]); len(e) > l.h {
		off := l.offset(l.sel)
		if n > 0 && off+len(e) > l.h {
			l.follow = false
			l.scrollRaw(min(l.h/2+1, off+len(e)-l.h))
			return
		}
		if n < 0 && off < 0 {
			l.follow = false
			l.scrollRaw(-min(l.h/2+1, -off))
			return
		}
	}
	l.pick(l.sel + n)
	if n > 0 && l.sel == len(l.items)-1 && l.atEnd() {
		l.follow = true
	}
}

// pick chooses an entry and brings it into view.
func (l *list) pick(i int) {
	if len(l.items) == 0 {
		return
	}
	l.sel = min(max(i, 0), len(l.items)-1)
	l.follow = false
	l.show()
}

// show brings the choice into view with as little scrolling as possible.
func (l *list) show() {
	if len(l.items) == 0 {
		return
	}
	tall := len(l.linesOf(l.items[l.sel]))
	if l.sel < l.top || l.sel == l.top && l.skip > 0 && tall <= l.h {
		l.top, l.skip = l.sel, 0
		l.settle()
		return
	}
	off := l.offset(l.sel)
	switch {
	case off >= 0 && off+tall <= l.h:
	case off >= l.h || off+tall > l.h:
		l.top, l.skip = l.sel, 0
		if tall < l.h {
			l.scrollRaw(tall - l.h)
		}
	}
	l.settle()
}

// offset is the line of the window at which an entry begins, l.h or more when it is below it. Entries far below count as
// one line each: they need not be drawn to know that they are not in view.
func (l *list) offset(i int) int {
	n := -l.skip
	for j := l.top; j < i; j++ {
		if n >= l.h {
			return l.h
		}
		n += len(l.linesOf(l.items[j]))
	}
	return n
}

// view draws the window: h lines of w columns. The chosen entry has a bar at its left.
func (l *list) view(focus bool) []string {
	out := make([]string, 0, l.h)
	skip := l.skip
	for i := l.top; i < len(l.items) && len(out) < l.h; i++ {
		mark := "  "
		if i == l.sel {
			mark = faint.paint("▌") + " "
			if focus {
				mark = title.paint("▌") + " "
			}
		}
		for _, s := range l.linesOf(l.items[i])[skip:] {
			if len(out) == l.h {
				break
			}
			out = append(out, mark+fit(s, l.w-2))
		}
		skip = 0
	}
	for len(out) < l.h {
		out = append(out, fit("", l.w))
	}
	return out
}

// at is the index of the entry at a line of the window, -1 if there is none.
func (l *list) at(y int) int {
	n := -l.skip
	for i := l.top; i < len(l.items); i++ {
		n += len(l.linesOf(l.items[i]))
		if y < n {
			return i
		}
	}
	return -1
}

// prepend puts older entries before the others without moving what is in view.
func (l *list) prepend(items []*entry) {
	l.items = append(items, l.items...)
	l.top += len(items)
	l.sel += len(items)
}

// dropFirst forgets the n first entries, which must be above the window.
func (l *list) dropFirst(n int) {
	clear(l.items[:n])
	l.items = l.items[n:]
	l.top, l.sel = max(0, l.top-n), max(0, l.sel-n)
}
