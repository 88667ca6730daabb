package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"agentd/planner"
)

func tasks(ts ...planner.Task) planner.Plan { return planner.Plan{Revision: 1, Tasks: ts} }

func TestValidate(t *testing.T) {
	do := func(id string, needs ...string) planner.Task { return planner.Task{ID: id, Do: "x", Needs: needs} }
	for _, tt := range []struct {
		name string
		plan planner.Plan
		want string // part of the error, "" is valid
	}{
		{"one task", tasks(do("a")), ""},
		{"diamond", tasks(do("a"), do("b", "a"), do("c", "a"), do("d", "b", "c")), ""},
		{"empty", tasks(), "no task"},
		{"too many", tasks(do("a"), do("b"), do("c"), do("d"), do("e")), "5 tasks, at most 4"},
		{"bad id", tasks(do("A b")), `id "A b"`},
		{"duplicate id", tasks(do("a"), do("a")), `two tasks have the id "a"`},
		{"unknown need", tasks(do("a", "z")), `needs "z"`},
		{"need twice", tasks(do("a"), do("b", "a", "a")), "twice"},
		{"self", tasks(do("a", "a")), "a -> a"},
		{"cycle", tasks(do("a", "c"), do("b", "a"), do("c", "b")), "a -> c -> b -> a"},
		{"nothing to do", tasks(planner.Task{ID: "a", Do: "  "}), "does not say what to do"},
		{"writes outside", tasks(planner.Task{ID: "a", Do: "x", Writes: []string{"../b"}}), "stays in it"},
		{"writes absolute", tasks(planner.Task{ID: "a", Do: "x", Writes: []string{"/etc/passwd"}}), "relative"},
		{"long text", tasks(planner.Task{ID: "a", Do: strings.Repeat("x", 2001)}), "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.plan.Validate(4)
			switch {
			case tt.want == "" && err != nil:
				t.Fatalf("got %v, want none", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, planner.ErrInvalid)):
				t.Fatalf("got %v, want ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestReady(t *testing.T) {
	plan := tasks(
		planner.Task{ID: "a", Do: "x", Writes: []string{"docs/*.md"}},
		planner.Task{ID: "b", Do: "x", Writes: []string{"src/main.go"}},
		planner.Task{ID: "c", Do: "x", Writes: []string{"docs/api/x.md"}},
		planner.Task{ID: "d", Do: "x"},
		planner.Task{ID: "e", Do: "x", Needs: []string{"a"}, Writes: []string{"out"}},
	)
	for _, tt := range []struct{ done, running, want string }{
		{"", "", "a b"},
		{"", "a", "b"},
		{"a", "b", "c e"},
		{"a b c", "", "d"},
		{"a b c", "d", ""},
		{"a b c d", "", "e"},
		{"a b c d e", "", ""},
	} {
		in := func(set string) func(string) bool {
			return func(id string) bool { return strings.Contains(set, id) }
		}
		var got []string
		for _, task := range plan.Ready(in(tt.done), in(tt.running)) {
			got = append(got, task.ID)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("done %q, running %q: got %q, want %q", tt.done, tt.running, s, tt.want)
		}
	}
}

// Whatever a plan looks like, the tasks that Ready starts together conflict with none that runs and with none of themselves, and a
// valid plan always comes to its end.
func TestReadyAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "n")
		var p planner.Plan
		for i := range n {
			task := planner.Task{ID: string(rune('a' + i)), Do: "x"}
			for j := range i {
				if rapid.Bool().Draw(t, "needs") {
					task.Needs = append(task.Needs, string(rune('a'+j)))
				}
			}
			if rapid.Bool().Draw(t, "declares") {
				task.Writes = []string{rapid.SampledFrom([]string{"x", "x/y", "x/*", "z", "**"}).Draw(t, "path")}
			}
			p.Tasks = append(p.Tasks, task)
		}
		if err := p.Validate(20); err != nil {
			t.Fatal(err)
		}
		done, running := map[string]bool{}, map[string]planner.Task{}
		for len(done) < n {
			for _, r := range p.Ready(func(id string) bool { return done[id] }, func(id string) bool { _, ok := running[id]; return ok }) {
				for _, other := range running {
					if planner.Conflict(other, r) {
						t.Fatalf("%s runs beside %s", r.ID, other.ID)
					}
				}
				running[r.ID] = r
			}
			if len(running) == 0 {
				t.Fatalf("nothing is ready, %d of %d are done", len(done), n)
			}
			for id := range running {
				delete(running, id)
				done[id] = true
				break
			}
		}
	})
}

func TestDiff(t *testing.T) {
	a := tasks(planner.Task{ID: "a", Do: "x"}, planner.Task{ID: "b", Do: "x", Needs: []string{"a"}})
	b := tasks(planner.Task{ID: "b", Do: "y"}, planner.Task{ID: "c", Do: "z"})
	var got []string
	for _, c := range planner.Diff(a, b) {
		got = append(got, c.Op+" "+c.ID+" "+c.What)
	}
	if diff := cmp.Diff([]string{"dropped a ", "changed b do, needs", "added c "}, got); diff != "" {
		t.Error(diff)
	}
	if d := planner.Diff(a, a); len(d) != 0 {
		t.Errorf("a plan differs from itself: %v", d)
	}
}
