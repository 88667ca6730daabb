package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"agentd/journal"
)

// home is the list of runs.
type home struct {
	runs    []journal.Summary // as the daemon says, live ones first
	older   []journal.Summary // read further back
	more    bool              // the daemon has still older ones
	loading bool
	known   bool // the daemon answered once

	filter string
	sort   int // index of sorts
	only   int // index of onlies

	shown []journal.Summary // filtered and sorted
	sel   journal.RunID
	top   int
}

var sorts = []struct {
	name string
	less func(a, b journal.Summary) int
}{
	{"newest", func(a, b journal.Summary) int { return b.Started.Compare(a.Started) }},
	{"last active", func(a, b journal.Summary) int { return b.Updated.Compare(a.Updated) }},
	{"cost", func(a, b journal.Summary) int {
		return cmp.Or(cmp.Compare(b.USD, a.USD), cmp.Compare(b.Tokens, a.Tokens))
	}},
	{"state", func(a, b journal.Summary) int { return cmp.Compare(a.Status, b.Status) }},
	{"workspace", func(a, b journal.Summary) int { return cmp.Compare(a.Workspace, b.Workspace) }},
}

var onlies = []struct {
	name string
	has  func(journal.Summary) bool
}{
	{"all", func(journal.Summary) bool { return true }},
	{"live", func(s journal.Summary) bool { return !s.Status.Ended() }},
	{"needs you", needsPerson},
	{"ended", func(s journal.Summary) bool { return s.Status.Ended() }},
}

// needsPerson reports whether a run waits for somebody.
func needsPerson(s journal.Summary) bool {
	return !s.Status.Ended() && (s.Asks > 0 || s.Status == journal.StatusParked || s.Status == journal.StatusInDoubt)
}

// waiting is how many runs need a person, and how many asks are open.
func (h *home) waiting() (runs, asks int) {
	for _, r := range h.runs {
		if needsPerson(r) {
			runs++
			asks += max(r.Asks, 1)
		}
	}
	return runs, asks
}

func (h *home) set(runs []journal.Summary, more bool) {
	h.runs, h.known = runs, true
	h.more = more && len(h.older) == 0 || h.more && len(h.older) > 0
	h.arrange()
}

// arrange filters and sorts; the chosen run stays chosen.
func (h *home) arrange() {
	type hit struct {
		s     journal.Summary
		score int
	}
	var hits []hit
	seen := map[journal.RunID]bool{}
	for _, r := range append(slices.Clone(h.runs), h.older...) {
		if seen[r.Run] || !onlies[h.only].has(r) {
			continue
		}
		seen[r.Run] = true
		score, ok := fuzzy(h.filter, strings.Join([]string{string(r.Run), string(r.Status), r.Name, r.Goal, r.Workspace, r.Model}, " "))
		if ok {
			hits = append(hits, hit{r, score})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(live(b.s)-live(a.s), cmp.Compare(b.score, a.score), sorts[h.sort].less(a.s, b.s), cmp.Compare(b.s.Run, a.s.Run))
	})
	at := h.index()
	h.shown = h.shown[:0]
	for _, x := range hits {
		h.shown = append(h.shown, x.s)
	}
	if h.find(h.sel) < 0 && len(h.shown) > 0 {
		h.sel = h.shown[min(max(at, 0), len(h.shown)-1)].Run
	}
}

func live(s journal.Summary) int {
	if s.Status.Ended() {
		return 0
	}
	return 1
}

func (h *home) find(run journal.RunID) int {
	return slices.IndexFunc(h.shown, func(s journal.Summary) bool { return s.Run == run })
}

func (h *home) index() int { return max(h.find(h.sel), 0) }

// current is the chosen run, nil if there is none.
func (h *home) current() *journal.Summary {
	if i := h.find(h.sel); i >= 0 {
		return &h.shown[i]
	}
	return nil
}

func (h *home) move(n int) {
	if len(h.shown) > 0 {
		h.sel = h.shown[min(max(h.index()+n, 0), len(h.shown)-1)].Run
	}
}

// view draws w columns and h lines.
func (h *home) view(w, rows int, now time.Time) []string {
	if len(h.shown) == 0 {
		return h.empty(w, rows)
	}
	out := []string{faint.paint(fit(fmt.Sprintf("  %-12s %-14s %5s %6s %8s  %s", "run", "state", "age", "tokens", "cost", "goal"), w))}
	body := max(rows-1, 1)
	at := h.index()
	per := 1
	if w < 100 { // what a run does now has a line of its own
		per = 2
	}
	fits := max(body/per, 1)
	h.top = min(h.top, at)
	h.top = max(min(h.top, len(h.shown)-fits), at-fits+1, 0)
	for i := h.top; i < len(h.shown) && len(out)+per <= rows; i++ {
		out = append(out, runLines(h.shown[i], i == at, w, per, now)...)
	}
	for len(out) < rows {
		out = append(out, fit("", w))
	}
	return out[:rows]
}

func runLines(s journal.Summary, chosen bool, w, per int, now time.Time) []string {
	mark := "  "
	if chosen {
		mark = title.paint("▌") + " "
	}
	col := statusStyle(s.Status)
	took := now.Sub(s.Started)
	goal := line(or(s.Name, s.Goal))
	if s.Name != "" && s.Goal != "" {
		goal += ": " + line(s.Goal)
	}
	if chosen {
		goal = strong.paint(clip(goal, 300))
	}
	state := statusMark(s.Status) + " " + statusWord(s.Status, s.Self)
	if s.Asks > 1 {
		state += fmt.Sprintf(" %d", s.Asks)
	}
	head := mark + fit(line(string(s.Run)), 12) + " " + col.paint(fit(state, 14)) + fmt.Sprintf(" %5s %6s %8s  ", age(took), count(s.Tokens), dollars(s.USD))
	now1 := doing(s)
	if per == 2 {
		return []string{fit(head+goal, w), fit("  "+strings.Repeat(" ", 13)+faint.paint(clip(now1, w-16)), w)}
	}
	if now1 != "" {
		room := w - width(head)
		gw := max(room*3/5, 20)
		return []string{fit(head+fit(goal, gw)+"  "+faint.paint(clip(now1, room-gw-2)), w)}
	}
	return []string{fit(head+goal, w)}
}

// doing says what a run does now, or how it ended.
func doing(s journal.Summary) string {
	switch {
	case s.Status.Ended():
		return line(s.Reason)
	case needsPerson(s) && s.Asks > 0:
		return "waits for your answer · " + line(s.Now)
	case s.Reason != "":
		return line(s.Reason)
	}
	return line(s.Now)
}

func (h *home) empty(w, rows int) []string {
	words := []string{"Looking for runs …"}
	switch {
	case h.known && (h.filter != "" || h.only != 0):
		words = []string{"No run matches.", "", "esc clears the filter"}
	case h.known:
		words = []string{"No runs yet.", "", "Press n to give an agent a goal,", "or ? to see what the keys do."}
	}
	out := make([]string, 0, rows)
	for range max((rows-len(words))/2, 0) {
		out = append(out, fit("", w))
	}
	for _, s := range words {
		out = append(out, fit(strings.Repeat(" ", max((w-width(s))/2, 0))+s, w))
	}
	for len(out) < rows {
		out = append(out, fit("", w))
	}
	return out[:rows]
}
