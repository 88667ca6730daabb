package tui

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"agentd/journal"
)

// plainList is a list of entries of n lines each, n from their ids.
func plainList(n int, tall func(i int) int) *list {
	l := &list{draw: func(e *entry, _ int) []string {
		var out []string
		for k := range tall(int(e.step.seq)) {
			out = append(out, fmt.Sprintf("%d.%d", e.step.seq, k))
		}
		return out
	}}
	l.w, l.h = 40, 10
	for i := range n {
		l.items = append(l.items, &entry{id: fmt.Sprint(i), step: &step{seq: journal.Seq(i)}})
	}
	return l
}

// all are the lines that the whole list has.
func all(l *list) []string {
	var out []string
	for _, e := range l.items {
		out = append(out, l.linesOf(e)...)
	}
	return out
}

// checkList holds what a window must be: consecutive lines of the whole, as many as fit, with the choice in view.
func checkList(t *testing.T, l *list) {
	t.Helper()
	view := l.view(true)
	if len(view) != l.h {
		t.Fatalf("%d lines in a window of %d", len(view), l.h)
	}
	whole := all(l)
	var got []string
	for _, v := range view {
		s := strings.TrimSpace(strings.Trim(strings.TrimSpace(stripSGR(v)), "▌"))
		if s != "" {
			got = append(got, s)
		}
	}
	if want := min(len(whole), l.h); len(got) != want {
		t.Fatalf("%d lines are shown, want %d: %q", len(got), want, got)
	}
	if len(got) > 0 && !strings.Contains("|"+strings.Join(whole, "|")+"|", "|"+strings.Join(got, "|")+"|") {
		t.Fatalf("the window is no part of the whole: %q", got)
	}
	if len(l.items) > 0 {
		if first, last := l.visible(); l.sel < first || l.sel > last {
			t.Fatalf("entry %d is chosen, %d to %d are in view", l.sel, first, last)
		}
		if l.follow && (got[len(got)-1] != whole[len(whole)-1] || l.sel != len(l.items)-1) {
			t.Fatalf("it follows, but shows %q at its end and has %d chosen", got[len(got)-1], l.sel)
		}
	}
}

func TestListRandomWalk(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		heights := make([]int, 4000)
		for i := range heights {
			heights[i] = 1 + r.IntN(4)
			if r.IntN(15) == 0 {
				heights[i] = 1 + r.IntN(40)
			}
		}
		n := r.IntN(60)
		l := plainList(n, func(i int) int { return heights[i] })
		l.follow = r.IntN(2) == 0
		l.settle()
		next := n
		var trail []string
		for range 300 {
			op := ""
			switch r.IntN(9) {
			case 0, 1:
				d := r.IntN(41) - 20
				op = fmt.Sprint("scroll ", d)
				l.scroll(d)
			case 2, 3:
				d := 1 - 2*r.IntN(2)
				op = fmt.Sprint("choose ", d)
				l.choose(d)
			case 4:
				l.items = append(l.items, &entry{id: fmt.Sprint(next), step: &step{seq: journal.Seq(next)}})
				next++
				op = "append"
				l.settle()
			case 5:
				op = "resize"
				l.resize(20+r.IntN(100), 1+r.IntN(30))
				l.show()
			case 6:
				op = "follow"
				l.follow = true
				l.settle()
			case 7:
				if len(l.items) > 0 {
					i := r.IntN(len(l.items))
					op = fmt.Sprint("pick ", i)
					l.pick(i)
				}
			case 8:
				if len(l.items) > 0 {
					i := r.IntN(len(l.items))
					e := l.items[i]
					heights[e.step.seq] = 1 + r.IntN(8)
					e.version++
					op = fmt.Sprint("change ", i)
					l.settle()
					l.show()
				}
			}
			trail = append(trail, op)
			if t.Failed() {
				return
			}
			func() {
				defer func() {
					if t.Failed() {
						t.Logf("seed %d after %q", seed, trail[max(0, len(trail)-6):])
					}
				}()
				checkList(t, l)
			}()
		}
	}
}

func TestListPrependDoesNotMove(t *testing.T) {
	l := plainList(50, func(i int) int { return 1 + i%3 })
	l.pick(20)
	before := strings.Join(l.view(true), "\n")
	older := plainList(30, func(int) int { return 2 })
	l.prepend(older.items)
	if got := strings.Join(l.view(true), "\n"); got != before {
		t.Errorf("older entries moved the window:\n%s\n\nbefore:\n%s", got, before)
	}
}
