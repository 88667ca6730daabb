package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/goals"
	"agentd/planner"
)

func TestParse(t *testing.T) {
	in := planner.Input{Goal: "g"}
	for _, tt := range []struct {
		name, text string
		ids, wrong string
	}{
		{"plain", `{"tasks":[{"id":"a","do":"x"},{"id":"b","do":"y","needs":["a"]}],"checks":[]}`, "a b", ""},
		{"in a fence", "Here it is:\n```json\n{\"tasks\":[{\"id\":\"a\",\"do\":\"x\"}],\"checks\":[]}\n```", "a", ""},
		{"trailing comma", `{"tasks":[{"id":"a","do":"x",},],"checks":[]}`, "a", ""},
		{"ids normalised", `{"tasks":[{"id":"Step One","do":"x"},{"id":"two","do":"y","needs":["Step One"]}]}`, "step-one two", ""},
		{"cut off", `{"tasks":[{"id":"a","do":"x"}`, "a", ""},
		{"no JSON", "I can't do that", "", "no JSON object"},
		{"wrong form", `{"tasks":"all of it"}`, "", "form"},
		{"a cycle", `{"tasks":[{"id":"a","do":"x","needs":["b"]},{"id":"b","do":"y","needs":["a"]}]}`, "", "circle"},
		{"unknown need", `{"tasks":[{"id":"a","do":"x","needs":["q"]}]}`, "", `"q"`},
		{"empty", `{"tasks":[]}`, "", "no task"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := planner.Parse(tt.text, in)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("got %v, want an error with %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(d.Plan); got != tt.ids {
				t.Errorf("got tasks %q, want %q", got, tt.ids)
			}
		})
	}
}

func ids(p planner.Plan) string {
	var out []string
	for _, t := range p.Tasks {
		out = append(out, t.ID)
	}
	return strings.Join(out, " ")
}

func TestParseChecks(t *testing.T) {
	text := `{"tasks":[{"id":"a","do":"x"}],"checks":[{"name":"n","cmd":"test -s a"},{"name":"e","cmd":" "},{"name":"l","cmd":"` + strings.Repeat("x", 1001) + `"}]}`
	d, err := planner.Parse(text, planner.Input{Goal: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]goals.Probe{{Name: "self1", Cmd: "test -s a"}}, d.Checks); diff != "" {
		t.Error(diff)
	}
	d, err = planner.Parse(text, planner.Input{Goal: "g", Given: []goals.Probe{{Name: "check1", Cmd: "true"}}})
	if err != nil || len(d.Checks) != 0 {
		t.Errorf("with a given check: got %v (%v), want none", d.Checks, err)
	}
}

func TestParseSmallChainsTasks(t *testing.T) {
	d, err := planner.Parse(`{"tasks":[{"id":"a","do":"x","needs":["b"]},{"id":"b","do":"y"}]}`, planner.Input{Goal: "g", Small: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, d.Plan.Tasks[1].Needs); diff != "" {
		t.Error(diff)
	}
}

func TestParseRevision(t *testing.T) {
	prev := tasks(planner.Task{ID: "a", Do: "first"}, planner.Task{ID: "b", Do: "second"})
	in := planner.Input{Goal: "g", Revise: &planner.Revision{Reason: "b failed", Previous: prev, Done: map[string]string{"a": "ok"}, Failed: map[string]string{"b": "no"}}}
	d, err := planner.Parse(`{"tasks":[{"id":"c","do":"other way"}]}`, in)
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(d.Plan); got != "a c" || d.Plan.Revision != 2 {
		t.Errorf("got %q, revision %d; want finished a kept, revision 2", got, d.Plan.Revision)
	}
	if _, err := planner.Parse(`{"tasks":[{"id":"a","do":"again"}]}`, in); !errors.Is(err, planner.ErrInvalid) {
		t.Errorf("a revision of finished tasks only: got %v, want ErrInvalid", err)
	}
	fb := planner.Fallback(in)
	if got := ids(fb.Plan); got != "a fix2" || fb.Plan.Validate(9) != nil {
		t.Errorf("fallback: got %q (%v)", got, fb.Plan.Validate(9))
	}
}

func TestPromptNamesWhatWentWrong(t *testing.T) {
	in := planner.Input{Goal: "reach it", Lead: "2 files", Recalled: []string{"likes tabs"}, Messages: []string{"also do X"},
		Revise: &planner.Revision{Reason: "the check failed", Previous: tasks(planner.Task{ID: "a", Do: "first"}), Failed: map[string]string{"a": "no luck"}}}
	req := planner.Prompt(in)
	text := req.Messages[1].Text
	for _, want := range []string{"reach it", "2 files", "likes tabs", "also do X", "the check failed", "a: first (failed: no luck)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the prompt lacks %q:\n%s", want, text)
		}
	}
	again := planner.Repair(req, "{bad", errors.New("it is not JSON"))
	if n := len(again.Messages); n != 4 || !strings.Contains(again.Messages[3].Text, "it is not JSON") || len(req.Messages) != 2 {
		t.Errorf("repair: %d messages, the original %d", n, len(req.Messages))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"tasks":[{"id":"a","do":"x","needs":["a"]}],"checks":[{"name":"n","cmd":"c"}]}`)
	f.Add(`{"tasks":[{"id":"Ä b","do":"x","writes":["/workspace/x"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := planner.Parse(text, planner.Input{Goal: "g"})
		if err == nil {
			if err := d.Plan.Validate(planner.DefaultMaxTasks); err != nil {
				t.Errorf("parsed an invalid plan: %v", err)
			}
		}
	})
}
