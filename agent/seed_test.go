package agent_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"

	"github.com/google/go-cmp/cmp"
)

var taskName = regexp.MustCompile(`Your task now \(([^)]*)\)`)

// byTask is a model that answers by the task it works on and the number of results so far; without tools it gives no plan.
func byTask(f func(task string, results int) *llm.Reply) *model {
	return &model{info: llm.Info{Name: "test/tasks", Window: 100000, Style: llm.StyleTools, Price: &llm.Price{}}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
		if len(r.Tools) == 0 {
			return say("no plan"), nil
		}
		task, n := "goal", 0
		for _, m := range r.Messages {
			if found := taskName.FindStringSubmatch(m.Text); found != nil && m.Role == llm.User {
				task = found[1]
			}
			if m.Role == llm.ToolRole {
				n++
			}
		}
		return f(task, n), nil
	}}
}

func TestSeedsFanOut(t *testing.T) {
	m := byTask(func(task string, n int) *llm.Reply {
		switch {
		case task == "list" && n == 0:
			return call("finish", map[string]string{"result": "there are two"})
		case task == "list":
			return call("finish", map[string]string{"result": `[{"name":"one"},{"name":"two"}]`})
		case n == 0 && strings.HasPrefix(task, "make-"):
			return sh("echo " + task + " >> " + map[string]string{"make-1": "one", "make-2": "two"}[task])
		}
		return call("finish", map[string]string{"result": "done"})
	})
	r := newRig(t, m)
	g := goal("make files, one for each of the things that there are, and then a report about all of them; it takes several tasks and a plan that says so")
	g.Plan.Tasks = []goals.Task{
		{ID: "list", Do: "list them", Out: json.RawMessage(`{"type":"array","items":{"type":"object"}}`)},
		{ID: "make", Do: "make ${item.name}", Needs: []string{"list"}, Each: "tasks.list.out", Writes: []string{"${item.name}"}, Parallel: 2},
		{ID: "report", Needs: []string{"make"}},
	}
	s := r.ended(r.start(agent.Request{Goal: g, Parallel: 3}))
	var ids []string
	for _, task := range s.Plan.Tasks {
		ids = append(ids, task.ID)
		if s.Tasks[task.ID].Status != journal.TaskDone {
			t.Errorf("task %s is %s", task.ID, s.Tasks[task.ID].Status)
		}
	}
	if diff := cmp.Diff([]string{"list", "make-1", "make-2", "report"}, ids); diff != "" {
		t.Errorf("tasks (-want +got):\n%s\n%+v", diff, s.Outcome)
	}
	if got := files(t, r.ws); len(got) != 2 || got["one"] != "make-1" {
		t.Errorf("files: %v", got)
	}
	if i := slices.IndexFunc(s.Plan.Tasks, func(p planner.Task) bool { return p.ID == "make-2" }); i < 0 || s.Plan.Tasks[i].Do != "make two" {
		t.Errorf("the second item: %+v", s.Plan.Tasks)
	}
}

func TestOnFail(t *testing.T) {
	zero, one := 0, 1
	for _, tt := range []struct {
		name    string
		fail    goals.OnFail
		retries int // plans that mend what is unmet
		plans   int // with "replan" as their reason
	}{
		{"none", goals.OnFail{Retries: &zero}, 0, 0},
		{"one", goals.OnFail{Retries: &one}, 1, 0},
		{"replan", goals.OnFail{Retries: &zero, Then: "replan"}, 0, 1},
	} {
		r := newRig(t, byTask(func(string, int) *llm.Reply { return call("finish", map[string]string{"result": "done"}) }))
		g := goal("make it", "false")
		g.OnFail = tt.fail
		s := r.ended(r.start(agent.Request{Goal: g}))
		n, retries := 0, 0
		for _, p := range s.Plans {
			if strings.HasPrefix(p.Reason, "replan") {
				n++
			}
			if strings.HasPrefix(p.Reason, "unmet") {
				retries++
			}
		}
		if s.Outcome.Status != journal.StatusUnmet || retries != tt.retries || n != tt.plans {
			t.Errorf("%s: %s, %d retries, %d replans; want %d, %d", tt.name, s.Outcome.Status, retries, n, tt.retries, tt.plans)
		}
	}
}

func TestCheaperModelOfTheChain(t *testing.T) {
	dear := scripted(say("done"))
	dear.info.Name, dear.info.Price = "test/dear", &llm.Price{Prompt: 500, Completion: 5000}
	cheap := scripted(say("done"))
	cheap.info.Name, cheap.info.Price = "test/cheap", &llm.Price{Prompt: 0.1, Completion: 0.5}
	r := newRig(t, dear, cheap)
	g := goal("make it", "true")
	g.Budget.USD = 0.5
	s := r.ended(r.start(agent.Request{Goal: g}))
	if s.Outcome.Status != journal.StatusAccepted || dear.calls() != 0 || cheap.calls() == 0 || s.Spent.USD > 0.5 {
		t.Errorf("outcome %+v, %d dear and %d cheap calls, $%g", s.Outcome, dear.calls(), cheap.calls(), s.Spent.USD)
	}
}

func TestPerTaskBudget(t *testing.T) {
	n := 0
	r := newRig(t, byTask(func(string, int) *llm.Reply { n++; return sh("echo " + strings.Repeat("x", n)) }))
	g := goal("make it", "false")
	g.Budget.PerTask = goals.Bounds{Steps: 3}
	s := r.ended(r.start(agent.Request{Goal: g}))
	if s.Outcome.Status != journal.StatusBudget || !strings.Contains(s.Outcome.Reason, "budget.per_task.steps") {
		t.Errorf("outcome %+v", s.Outcome)
	}
}
