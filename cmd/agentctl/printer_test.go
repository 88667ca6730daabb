package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

var update = flag.Bool("update", false, "write the golden files")

// recorded makes the records of a run, a second apart.
func recorded(t *testing.T, events ...journal.Event) []journal.Record {
	t.Helper()
	var out []journal.Record
	for i, e := range events {
		r, err := journal.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Run, r.Seq, r.Time = "01hgw2bbx7tq", journal.Seq(i+1), time.Date(2026, 1, 2, 3, 4, 5+i, 0, time.UTC)
		out = append(out, r)
	}
	return out
}

func call(id, from, tool string, args any) journal.Call {
	data, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return journal.Call{ID: id, Task: "t1", Tool: tool, Args: data, From: from}
}

type obj = map[string]any

func started(yes bool) journal.RunStarted {
	return journal.RunStarted{Goal: goals.Goal{Text: "find the five largest files"}, Workspace: "/home/u/w", Model: "local", Yes: yes, Version: "v1"}
}

func plan(revision int, tasks ...planner.Task) planner.Plan {
	return planner.Plan{Revision: revision, Tasks: tasks}
}

func asked(id string, step int) journal.ModelAsked {
	return journal.ModelAsked{Call: id, Task: "t1", Purpose: "step", Step: step, Reserved: 2000}
}

func replied(id, text string) journal.ModelReplied {
	return journal.ModelReplied{Call: id, Reply: &llm.Reply{Text: text}, Used: 1234, USD: 0.0123}
}

func finished(c journal.Call, status journal.ToolStatus, exit int, ms int64) journal.ToolFinished {
	return journal.ToolFinished{Call: c, Status: status, Exit: exit, Ms: ms}
}

func TestPrinterGolden(t *testing.T) {
	one := planner.Task{ID: "t1", Do: "Find the files"}
	two := planner.Task{ID: "t2", Do: "Write the table", Needs: []string{"t1"}, Writes: []string{"report.md"}}
	ls := call("c1", "m1", "shell", obj{"command": "du -a . | sort -rn\nhead -5"})
	evil := call("c2", "m2", "shell", obj{"command": "echo \x1b]0;owned\x07\x1b[2J"})
	push := call("c3", "m3", "shell", obj{"command": "curl https://example.com"})
	code := call("c4", "m4", "code", obj{"language": "python", "source": "\nprint(1)\nprint(2)"})
	tests := []struct {
		name   string
		events []journal.Event
	}{
		{"accepted", []journal.Event{
			started(false), journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: plan(1, one, two), Reason: "first plan"},
			journal.CheckFinished{Phase: "base", Checks: []journal.Check{{Name: "check1", Cmd: "test -s report.md", Exit: 1, Ms: 12}}},
			journal.TaskStarted{Task: "t1", Attempt: 1}, asked("m1", 1), replied("m1", "I look at all files first.\n```sh"),
			journal.ToolStarted{Call: ls, Effect: "once"}, finished(ls, journal.ToolOK, 0, 132),
			asked("m2", 2), replied("m2", "\x1b[31mThen\u202e this"), finished(evil, journal.ToolFailed, 2, 15_300),
			journal.TaskFinished{Task: "t1", OK: true},
			journal.TaskStarted{Task: "t2", Attempt: 1}, asked("m4", 3), replied("m4", ""), finished(code, journal.ToolOK, 0, 3),
			journal.MessageSent{Text: "skip vendor", By: "ann"},
			journal.TaskFinished{Task: "t2", OK: true},
			journal.CheckFinished{Phase: "final", OK: true, Checks: []journal.Check{{Name: "check1", Cmd: "test -s report.md", OK: true, Ms: 9}}},
			journal.RunFinished{Status: journal.StatusAccepted, Self: true, Result: "The table is in report.md.\x1b[0m", Changed: []string{"report.md", "x_test.go"}, Tests: []string{"x_test.go"}},
		}},
		{"asks", []journal.Event{
			started(false), journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: plan(1, one), Reason: "trivial"},
			asked("m3", 1), replied("m3", "Fetch the page"),
			journal.ToolAsked{Call: push, Ask: journal.AskTool, Verdict: journal.Verdict{Do: "ask", Rule: `egress`, Why: "it leaves the sandbox"}, Effect: "once"},
			journal.Paused{Parked: true, Reason: "nobody is here to answer"},
			journal.AskAnswered{Ask: "c3", Answer: "deny", By: "ann", Reason: "not now"},
			journal.ToolFinished{Call: push, Status: journal.ToolRefused, Rule: "egress"},
			journal.DriverClaimed{Epoch: 2},
			journal.ToolAsked{Call: ls, Ask: journal.AskDoubt, Effect: "once"},
			journal.CancelAsked{By: "ann"},
			journal.RunFinished{Status: journal.StatusCancelled, Reason: "ann asked for it"},
		}},
		{"trouble", []journal.Event{
			started(true), journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: plan(1, one), Fallback: true, Reason: "no valid plan"},
			journal.TaskStarted{Task: "t1", Attempt: 1}, asked("m1", 1),
			journal.ModelReplied{Call: "m1", Err: "local: overloaded (status 529)", Class: llm.KindOverload, Used: 10},
			journal.Noted{Topic: "model", Text: "local is overloaded; going on with openai/gpt-5"},
			asked("m2", 2), replied("m2", "Thought: try again\nAction: shell"),
			journal.ToolAsked{Call: evil, Ask: journal.AskTool}, journal.AskAnswered{Ask: "c2", Answer: "allow", By: "--yes"},
			journal.ToolFinished{Call: evil, Status: journal.ToolFailed, Killed: "wall", Ms: 120_000},
			journal.TaskFinished{Task: "t1", Reason: "it hangs"},
			journal.PlanMade{Plan: plan(2, planner.Task{ID: "t1", Do: "Find them in another way"}, two), Reason: "t1 failed: it hangs"},
			journal.TaskStarted{Task: "t1", Attempt: 2},
			journal.Paused{By: "ann"}, journal.Resumed{By: "ann"},
			journal.LimitChanged{Budget: goals.Budget{Steps: 200, USD: -1}},
			journal.CheckFinished{Phase: "final", Checks: []journal.Check{
				{Name: "a", Cmd: "make test", Exit: 2, Output: "one\ntwo\nFAIL \x1b[31mthree\n", Ms: 2500}, {Name: "b", Cmd: "true", Vacuous: true, OK: true},
			}},
			journal.RunFinished{Status: journal.StatusUnmet, Reason: "a did not end with 0", Hint: "agentctl show 01hgw2bbx7tq"},
			journal.Undone{By: "ann", Restored: []string{"a"}, Kept: []string{"b"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var progress, result bytes.Buffer
			p := newPrinter(&progress, &result, false, false, 80)
			p.info = &api.Info{Sandbox: api.SandboxInfo{Level: "namespaces"}}
			for _, r := range recorded(t, tt.events...) {
				if err := p.record(r); err != nil {
					t.Fatal(err)
				}
			}
			got := progress.String() + "=== stdout\n" + result.String()
			if strings.ContainsFunc(strings.ReplaceAll(got, "\ufffd", ""), strange) {
				t.Errorf("control characters got through: %q", got)
			}
			golden(t, filepath.Join("testdata", "printer", tt.name+".txt"), got)
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-) and what was printed (+); -update accepts it:\n%s", file, d)
	}
}

func TestLiveLine(t *testing.T) {
	var out bytes.Buffer
	p := newPrinter(&out, &out, true, false, 60)
	for _, r := range recorded(t, started(false), journal.DriverClaimed{Epoch: 1}, asked("m1", 1)) {
		if err := p.record(r); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	p.delta(api.Delta{Call: "m1", Text: "\x1b[2Jabc", Tool: "shell"})
	p.live(time.Date(2026, 1, 2, 3, 5, 30, 0, time.UTC))
	want := "\r\x1b[K1m25s · step 1 · planning · 2k tokens · $0.00 · writing sh…"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	p.say("a line")
	if got, want := out.String(), "\r\x1b[Ka line\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHumanNumbers(t *testing.T) {
	tests := []struct{ got, want string }{
		{span(130 * time.Millisecond), "130ms"}, {span(1234 * time.Millisecond), "1.2s"}, {span(59 * time.Second), "59s"}, {span(61 * time.Second), "1m01s"},
		{span(time.Hour), "1h"}, {span(90 * time.Minute), "1h30m"}, {span(2 * time.Minute), "2m"},
		{count(999), "999"}, {count(12_345), "12.3k"}, {count(1_000_000), "1M"}, {count(999_999), "1M"},
		{dollars(2), "$2.00"}, {dollars(0.0123), "$0.0123"}, {size(5 << 20), "5.0 MiB"}, {size(12), "12 B"},
		{age(90 * time.Second), "1m"}, {age(50 * time.Hour), "2d"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
