// Package planner turns a goal into a plan, a DAG of tasks, and revises it when facts contradict it.
package planner

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Plan is a DAG of tasks. Revision counts from 1.
type Plan struct {
	Revision int    `json:"revision"`
	Tasks    []Task `json:"tasks"`
}

// Task is one node of a plan.
type Task struct {
	ID     string   `json:"id"`
	Do     string   `json:"do"`               // what to do, in words
	Needs  []string `json:"needs,omitempty"`  // ids of tasks that must be done first
	Writes []string `json:"writes,omitempty"` // paths or globs it writes; empty means anything, so it runs alone
	Out    string   `json:"out,omitempty"`    // what it must produce
	Done   string   `json:"done,omitempty"`   // how to see that it is done
	Seed   string   `json:"seed,omitempty"`   // the task of the goal file's plan that it stands for, or is an item of

	Each     string `json:"each,omitempty"`     // the list for each of whose items it is to be done; see FanOut
	Parallel int    `json:"parallel,omitempty"` // most tasks of its seed at once; 0 is no bound
	Item     string `json:"item,omitempty"`     // of a task that a fan-out made: its item, JSON
}

// Bounds of a plan that a model wrote.
const (
	DefaultMaxTasks = 12
	maxText         = 2000 // bytes of one text field
)

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("invalid plan")

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Validate refuses an empty plan, more than maxTasks tasks, malformed or duplicate ids, unknown or repeated needs, cycles,
// and texts beyond bounds. Its error names the task and what to change, for a model or a person to act on.
func (p Plan) Validate(maxTasks int) error {
	if len(p.Tasks) == 0 {
		return fmt.Errorf("%w: it has no task", ErrInvalid)
	}
	if len(p.Tasks) > maxTasks {
		return fmt.Errorf("%w: it has %d tasks, at most %d are allowed: merge some", ErrInvalid, len(p.Tasks), maxTasks)
	}
	ids := make(map[string]bool, len(p.Tasks))
	for i, t := range p.Tasks {
		switch {
		case !idForm.MatchString(t.ID):
			return fmt.Errorf("%w: task %d has the id %q: use lower-case letters, digits, - and _", ErrInvalid, i+1, clip(t.ID, 50))
		case ids[t.ID]:
			return fmt.Errorf("%w: two tasks have the id %q", ErrInvalid, t.ID)
		case strings.TrimSpace(t.Do) == "":
			return fmt.Errorf("%w: task %q does not say what to do", ErrInvalid, t.ID)
		case len(t.Do) > maxText || len(t.Out) > maxText || len(t.Done) > maxText:
			return fmt.Errorf("%w: a text of task %q is longer than %d bytes", ErrInvalid, t.ID, maxText)
		}
		ids[t.ID] = true
	}
	for _, t := range p.Tasks {
		for i, n := range t.Needs {
			switch {
			case !ids[n]:
				return fmt.Errorf("%w: task %q needs %q, which is no task of the plan", ErrInvalid, t.ID, clip(n, 50))
			case slices.Contains(t.Needs[:i], n):
				return fmt.Errorf("%w: task %q needs %q twice", ErrInvalid, t.ID, n)
			}
		}
		for _, w := range t.Writes {
			if err := checkPath(w); err != nil {
				return fmt.Errorf("%w: task %q writes %q: %v", ErrInvalid, t.ID, clip(w, 80), err)
			}
		}
	}
	if cycle := p.cycle(); cycle != nil {
		return fmt.Errorf("%w: the tasks need each other in a circle: %s", ErrInvalid, strings.Join(cycle, " -> "))
	}
	return nil
}

func checkPath(p string) error {
	switch {
	case p == "" || len(p) > 500:
		return errors.New("a path has 1 to 500 bytes")
	case path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), ".."):
		return errors.New("a path is relative to the workspace and stays in it")
	}
	return nil
}

// cycle returns the ids along one cycle, the first repeated at the end, or nil.
func (p Plan) cycle() []string {
	needs := make(map[string][]string, len(p.Tasks))
	for _, t := range p.Tasks {
		needs[t.ID] = t.Needs
	}
	const visiting, visited = 1, 2
	mark := make(map[string]int)
	var trail []string
	var visit func(id string) []string
	visit = func(id string) []string {
		mark[id], trail = visiting, append(trail, id)
		for _, n := range needs[id] {
			switch mark[n] {
			case visiting:
				return append(slices.Clone(trail[slices.Index(trail, n):]), n)
			case 0:
				if c := visit(n); c != nil {
					return c
				}
			}
		}
		mark[id], trail = visited, trail[:len(trail)-1]
		return nil
	}
	for _, t := range p.Tasks {
		if mark[t.ID] == 0 {
			if c := visit(t.ID); c != nil {
				return c
			}
		}
	}
	return nil
}

// Ready returns the tasks that may start now, in the plan's order: all they need is done, and they write nothing that a
// running task, or an earlier one of the result, may write. A task that declares no writes runs alone.
func (p Plan) Ready(done, running func(id string) bool) []Task {
	var busy, ready []Task
	for _, t := range p.Tasks {
		if running(t.ID) {
			busy = append(busy, t)
		}
	}
	for _, t := range p.Tasks {
		if done(t.ID) || running(t.ID) || t.Each != "" || !all(t.Needs, done) {
			continue
		}
		if t.Parallel > 0 && count(busy, t.Seed) >= t.Parallel {
			continue
		}
		if slices.ContainsFunc(busy, func(b Task) bool { return Conflict(b, t) }) {
			continue
		}
		ready, busy = append(ready, t), append(busy, t)
	}
	return ready
}

// count is how many tasks are of a seed.
func count(tasks []Task, seed string) int {
	n := 0
	for _, t := range tasks {
		if t.Seed == seed {
			n++
		}
	}
	return n
}

func all(ids []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !ok(id) })
}

// Conflict reports whether two tasks may write the same path. It errs on the safe side: what it can't tell apart conflicts.
func Conflict(a, b Task) bool {
	if len(a.Writes) == 0 || len(b.Writes) == 0 {
		return true
	}
	for _, x := range a.Writes {
		for _, y := range b.Writes {
			if overlap(x, y) {
				return true
			}
		}
	}
	return false
}

// overlap compares the fixed folders in front of the first wildcard: patterns whose fixed parts lie on different branches can't
// meet; two plain paths meet if one is the other or a folder above it.
func overlap(a, b string) bool {
	a, b = fixed(a), fixed(b)
	return a == b || within(a, b) || within(b, a)
}

func fixed(p string) string {
	p = path.Clean(p)
	if i := strings.IndexAny(p, "*?[{"); i >= 0 {
		p = path.Dir(p[:i] + "x")
	}
	return strings.TrimPrefix(p, "./")
}

func within(dir, p string) bool { return dir == "." || strings.HasPrefix(p, dir+"/") }

// Change is one node of the difference between two plans.
type Change struct {
	Op   string `json:"op"` // added, dropped, changed
	ID   string `json:"id"`
	Old  *Task  `json:"old,omitempty"`
	New  *Task  `json:"new,omitempty"`
	What string `json:"what,omitempty"` // of changed: which fields
}

// Diff returns what b changes of a, node by node: dropped and changed ones in a's order, then added ones in b's.
func Diff(a, b Plan) []Change {
	var out []Change
	find := func(p Plan, id string) *Task {
		if i := slices.IndexFunc(p.Tasks, func(t Task) bool { return t.ID == id }); i >= 0 {
			return &p.Tasks[i]
		}
		return nil
	}
	for i := range a.Tasks {
		old := &a.Tasks[i]
		now := find(b, old.ID)
		if now == nil {
			out = append(out, Change{Op: "dropped", ID: old.ID, Old: old})
		} else if what := changed(*old, *now); what != "" {
			out = append(out, Change{Op: "changed", ID: old.ID, Old: old, New: now, What: what})
		}
	}
	for i := range b.Tasks {
		if now := &b.Tasks[i]; find(a, now.ID) == nil {
			out = append(out, Change{Op: "added", ID: now.ID, New: now})
		}
	}
	return out
}

func changed(a, b Task) string {
	var what []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"do", a.Do == b.Do}, {"needs", slices.Equal(a.Needs, b.Needs)}, {"writes", slices.Equal(a.Writes, b.Writes)},
		{"out", a.Out == b.Out}, {"done", a.Done == b.Done},
	} {
		if !f.same {
			what = append(what, f.name)
		}
	}
	return strings.Join(what, ", ")
}

// clip cuts s to at most n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
