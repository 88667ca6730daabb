package agent_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
)

// inTurn is a model that does one thing after another and then finishes with a result.
func inTurn(result string, replies ...*llm.Reply) *model {
	return byTask(func(_ string, n int) *llm.Reply {
		if n < len(replies) {
			return replies[n]
		}
		return call("finish", map[string]string{"result": result})
	})
}

// heads are the results of a run's calls, by the order in which they ended.
func heads(s *journal.State) string {
	var out []string
	for _, t := range s.Tasks {
		for _, turn := range t.Turns {
			for _, c := range turn.Calls {
				if c.Finished != nil {
					out = append(out, string(c.Finished.Status)+" "+c.Finished.Head+c.Finished.Tail)
				}
			}
		}
	}
	return strings.Join(out, "\n")
}

func TestScopeWriteKeepsNothingElse(t *testing.T) {
	r := newRig(t, inTurn("done", sh("echo x > a.txt; echo y > b.txt; mkdir -p out new; echo z > out/z; echo n > new/n; rm -f link; echo said"),
		call("write", map[string]string{"path": "c.txt", "content": "x"}), call("write", map[string]string{"path": "out/w.txt", "content": "x"})))
	if err := os.Symlink("elsewhere", filepath.Join(r.ws, "link")); err != nil {
		t.Fatal(err)
	}
	g := goal("write a.txt and whatever is needed below out, in one step", "test -s a.txt")
	g.Writable = []string{"a.txt", "out/**"}
	s := r.ended(r.start(agent.Request{Goal: g, Yes: true}))
	for path, want := range map[string]bool{"a.txt": true, "out/z": true, "out/w.txt": true, "b.txt": false, "new/n": false, "c.txt": false, "link": true} {
		if _, err := os.Lstat(filepath.Join(r.ws, path)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
	if s.Outcome.Status != journal.StatusAccepted || !strings.Contains(heads(s), "said\n\n[Not kept, because it is outside of scope.write (a.txt out/**): b.txt") {
		t.Errorf("%s: %s\n%s", s.Outcome.Status, s.Outcome.Reason, heads(s))
	}
}

func TestScopeReadHides(t *testing.T) {
	r := newRig(t, inTurn("done", call("read", map[string]string{"path": "secret/key.txt"}), call("list", map[string]string{}), call("search", map[string]string{"pattern": "needle"}),
		call("read", map[string]string{"path": "src/a.txt"})))
	for p, text := range map[string]string{"secret/key.txt": "needle one", "src/a.txt": "needle two", "top.txt": "needle three"} {
		if err := os.MkdirAll(filepath.Join(r.ws, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.ws, p), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g := goal("look at the sources and say in one step what they hold")
	g.Readable = []string{"src/**"}
	got := heads(r.ended(r.start(agent.Request{Goal: g, Yes: true})))
	for text, want := range map[string]bool{"needle two": true, "needle one": false, "needle three": false, "top.txt": false, "outside of what this run may read": true} {
		if strings.Contains(got, text) != want {
			t.Errorf("%q is shown: %v\n%s", text, !want, got)
		}
	}
}

func TestResultSchema(t *testing.T) {
	tries := 0
	m := byTask(func(string, int) *llm.Reply {
		if tries++; tries == 1 {
			return call("finish", map[string]string{"result": "all is well"})
		}
		return call("finish", map[string]string{"result": `{"total": 3}`})
	})
	r := newRig(t, m)
	g := goal("count what there is and say how many, in one step")
	g.Result.Schema = json.RawMessage(`{"type":"object","required":["total"]}`)
	s := r.ended(r.start(agent.Request{Goal: g}))
	if s.Outcome.Result != `{"total": 3}` || tries < 2 {
		t.Errorf("after %d tries: %q", tries, s.Outcome.Result)
	}
}

func TestStopWhen(t *testing.T) {
	m := byTask(func(_ string, n int) *llm.Reply { return sh("echo " + strings.Repeat("x", n+1)) })
	r := newRig(t, m)
	g := goal("go on and on with many things", "false")
	g.StopWhen = []string{"steps >= 4"}
	s := r.ended(r.start(agent.Request{Goal: g, Yes: true}))
	if s.Outcome.Status != journal.StatusStalled || !strings.Contains(s.Outcome.Reason, "stop_when: steps >= 4") || s.Spent.Steps > 6 {
		t.Errorf("%s: %s after %d steps", s.Outcome.Status, s.Outcome.Reason, s.Spent.Steps)
	}
}

func TestModelsByRole(t *testing.T) {
	asked := map[string]int{}
	named := func(name string, f func(r *llm.Request) *llm.Reply) *model {
		return &model{info: llm.Info{Name: name, Window: 100000, Style: llm.StyleTools, Price: &llm.Price{}}, reply: func(_ int, r *llm.Request) (*llm.Reply, error) {
			asked[name]++
			return f(r), nil
		}}
	}
	chains := map[string]llm.Model{
		"w": named("w", func(*llm.Request) *llm.Reply { return call("finish", map[string]string{"result": "done"}) }),
		"p": named("p", func(*llm.Request) *llm.Reply { return say("no plan") }),
		"j": named("j", func(r *llm.Request) *llm.Reply {
			if !strings.Contains(r.Messages[len(r.Messages)-1].Text, "be brief") {
				return say("what?")
			}
			return say(`{"score": 0.4, "why": "it is long"}`)
		}),
	}
	r := newRig(t)
	r.cfg.Open = func(_ context.Context, chain string) ([]llm.Model, error) { return []llm.Model{chains[chain]}, nil }
	r.restart()
	g := goal("make files, one for each of the things that there are, and then a report about all of them; it takes several tasks and a plan that says so\n\nSee above.", "true")
	g.Judge = goals.Judge{Rubric: "be brief", Min: 0.7}
	id := r.start(agent.Request{Goal: g, Model: "w", Planner: "p", Judge: "j"})
	s := r.ended(id)
	if s.Outcome.Status != journal.StatusAccepted || asked["w"] == 0 || asked["p"] == 0 || asked["j"] != 1 {
		t.Errorf("%s: asked %v", s.Outcome.Status, asked)
	}
	note := ""
	for rec, err := range r.store.Watch(t.Context(), id, 0) {
		if err != nil {
			break
		}
		e, err := rec.Decode()
		if n, ok := e.(journal.Noted); ok && err == nil && n.Topic == "judge" {
			note = n.Text
		}
		if rec.Kind == journal.KindRunFinished {
			break
		}
	}
	if note != "WARNING: the judge gives 0.40, less than 0.70: it is long" {
		t.Errorf("note %q", note)
	}
}

func TestToolsAllow(t *testing.T) {
	m := inTurn("done", sh("echo hi"), call("read", map[string]string{"path": "x"}))
	r := newRig(t, m)
	g := goal("look at the file x and say what it holds")
	g.Tools.Allow = []string{"files"}
	got := heads(r.ended(r.start(agent.Request{Goal: g, Yes: true})))
	if !strings.Contains(got, `There is no tool "shell"`) {
		t.Errorf("the shell is offered:\n%s", got)
	}
}
