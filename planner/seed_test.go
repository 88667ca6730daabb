package planner_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"agentd/goals"
	"agentd/planner"
)

var seeds = []goals.Task{
	{ID: "inventory", Do: "List all call sites", Out: json.RawMessage(`{"type":"array"}`)},
	{ID: "migrate", Do: "Migrate ${item.dir}", Needs: []string{"inventory"}, Each: "tasks.inventory.out", Parallel: 2, Writes: []string{"${item.dir}/**"}},
	{ID: "report", Needs: []string{"migrate"}, Writes: []string{"report.md"}},
}

func TestKeepSeeds(t *testing.T) {
	p := planner.Plan{Revision: 1, Tasks: []planner.Task{
		{ID: "look", Do: "look around"},
		{ID: "inventory", Do: "List every call of oldclient in *.go", Needs: []string{"look"}, Writes: []string{"**"}, Seed: "report"},
		{ID: "report", Do: "Write report.md", Writes: []string{"everything.md"}},
	}}
	planner.KeepSeeds(&p, seeds, nil)
	if err := p.Validate(10); err != nil {
		t.Fatal(err)
	}
	by := map[string]planner.Task{}
	for _, task := range p.Tasks {
		by[task.ID] = task
	}
	if got := by["inventory"]; got.Do != "List every call of oldclient in *.go" || got.Seed != "inventory" || !strings.Contains(got.Out, `"array"`) || len(got.Needs) != 1 {
		t.Errorf("a refined seed: %+v", got)
	}
	if got := by["migrate"]; got.Each == "" || got.Parallel != 2 {
		t.Errorf("a dropped seed was not put back: %+v", got)
	}
	if got := by["report"]; !cmp.Equal(got.Writes, []string{"report.md"}) || !cmp.Equal(got.Needs, []string{"migrate"}) {
		t.Errorf("a seed's writes and needs: %+v", got)
	}
}

func TestFanOut(t *testing.T) {
	p := planner.SeedPlan(seeds, 1)
	next, err := p.FanOut("migrate", func(string) string { return "Here:\n```json\n[{\"dir\":\"a\"},{\"dir\":\"b/c\"}]\n```" })
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, task := range next.Tasks {
		ids = append(ids, task.ID)
	}
	if diff := cmp.Diff([]string{"inventory", "migrate-1", "migrate-2", "report"}, ids); diff != "" {
		t.Error(diff)
	}
	if got := next.Tasks[2]; got.Do != "Migrate b/c" || !cmp.Equal(got.Writes, []string{"b/c/**"}) || got.Seed != "migrate" || planner.Conflict(next.Tasks[1], got) {
		t.Errorf("item: %+v", got)
	}
	if got := next.Tasks[3].Needs; !cmp.Equal(got, []string{"migrate-1", "migrate-2"}) {
		t.Errorf("needs of what follows: %v", got)
	}
	// A revision that forgets the items gets them back, and not the fan-out again.
	revised := planner.Plan{Revision: 3, Tasks: []planner.Task{{ID: "other", Do: "x"}}}
	planner.KeepSeeds(&revised, seeds, &next)
	if len(revised.Tasks) != 5 {
		t.Errorf("revised: %+v", revised.Tasks)
	}
	empty, err := p.FanOut("migrate", func(string) string { return "[]" })
	if err != nil || len(empty.Tasks) != 2 || !cmp.Equal(empty.Tasks[1].Needs, []string{"inventory"}) {
		t.Errorf("no items: %+v, %v", empty.Tasks, err)
	}
	for _, tt := range []struct{ result, want string }{
		{"nothing", "no JSON value"}, {`{"dir":"a"}`, "no list"}, {`[{"x":1}]`, "no field dir"}, {`[{"dir":"../up"}]`, "stays in it"}, {`[{"dir":"/etc"}]`, "relative"},
	} {
		if _, err := p.FanOut("migrate", func(string) string { return tt.result }); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("result %s: %v, want %q", tt.result, err, tt.want)
		}
	}
}

// TestSeedsAreNeverDropped lets a planner return any plan: each seed's task is in the result.
func TestSeedsAreNeverDropped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p planner.Plan
		for _, id := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"inventory", "migrate", "report", "x", "y"}), rapid.ID).Draw(t, "ids") {
			p.Tasks = append(p.Tasks, planner.Task{ID: id, Do: "do", Seed: rapid.SampledFrom([]string{"", "inventory", "x"}).Draw(t, "seed"), Each: "e"})
		}
		planner.KeepSeeds(&p, seeds, nil)
		for _, s := range seeds {
			n := 0
			for _, task := range p.Tasks {
				if task.Seed == s.ID && task.ID == s.ID && task.Each == s.Each {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("seed %s stands %d times in %+v", s.ID, n, p.Tasks)
			}
		}
	})
}
