package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/journal"
	"agentd/llm"
	"agentd/policy"
)

// An allowance for the run answers later asks that its rule holds of, also after a restart; others still ask, and a denial stays one.
func TestAllowedForTheRun(t *testing.T) {
	m := scripted(sh("echo 1 > a"), sh("echo 1 > a; ls"), sh("echo 2 > b"), sh("rm -rf a"), say("done"))
	r := newRig(t, m)
	org, err := policy.Parse("org", []byte(`- {when: 'tool == "shell" && any(cmds, .name == "rm")', do: deny, why: keep it}`))
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.Policy = policy.Combine(policy.Default(), org)
	r.restart()
	id := r.start(agent.Request{Goal: goal("write a and b", "test -s a -a -s b"), Net: open})
	ask := func(what string, granted int) *journal.Ask {
		s := r.until(id, what, func(s *journal.State) bool {
			return len(s.Asks) == 1 && s.Status() == journal.StatusParked && len(s.Granted) == granted
		})
		for _, a := range s.Asks {
			return a
		}
		return nil
	}
	first := ask("the first ask", 0)
	s := r.until(id, "the state", func(s *journal.State) bool { return len(s.Asks) == 1 })
	run, always, note, err := r.Proposals(s, first.ToolAsked)
	if err != nil || note != "" || len(run) != 2 || len(always) != 2 || !strings.Contains(always[0], "workspace") {
		t.Fatalf("%q, %q, %q, %v", run, always, note, err)
	}
	if err := r.Covers(s, first.ToolAsked, journal.ScopeRun, `tool == "code"`); !errors.Is(err, agent.ErrNoGrant) {
		t.Errorf("a rule about something else: %v", err)
	}
	broad := `tool == "shell" && not any(cmds, .dynamic) && not tainted && not (shell.command contains "b")`
	r.append(id, journal.AskAnswered{Ask: first.Call.ID, Answer: "allow", By: "test", Scope: journal.ScopeRun, Rule: broad})
	second := ask("the ask that the rule does not hold of", 1)
	if !strings.Contains(string(second.Call.Args), "echo 2") {
		t.Fatalf("asked about %s", second.Call.Args)
	}
	r.restart()
	r.append(id, journal.AskAnswered{Ask: second.Call.ID, Answer: "allow", By: "test", Scope: journal.ScopeAlways, Rule: `tool == "shell"`})
	s = r.ended(id)
	if s.Outcome.Status != journal.StatusAccepted {
		t.Errorf("got %+v", s.Outcome)
	}
	if _, err := os.Stat(filepath.Join(r.ws, "a")); err != nil {
		t.Errorf("what policy denies was done: %v", err)
	}
	if len(s.Granted) != 2 {
		t.Errorf("granted: %+v", s.Granted)
	}
	by := 0
	for rec, err := range r.store.Read(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := rec.Decode(); err == nil {
			if a, ok := e.(journal.AskAnswered); ok && a.By == "test, for this run" {
				by++
			}
		}
	}
	if by != 1 {
		t.Errorf("%d asks were answered by the rule, want 1", by)
	}
}

// What people add while a run goes on holds in it, but answers nothing that a layer above wants to be asked.
func TestGrantedRulesHoldAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, org string
		want      bool
	}{
		{"the shipped rules asked", "[]", true},
		{"the organisation wants to be asked", `[{when: 'egress', do: ask}]`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, scripted(sh("echo 1 > a"), say("done")))
			org, err := policy.Parse("org", []byte(tt.org))
			if err != nil {
				t.Fatal(err)
			}
			granted, err := policy.ParseGrants("granted", []byte(`[{when: 'tool == "shell"', do: allow}]`))
			if err != nil {
				t.Fatal(err)
			}
			r.cfg.Policy, r.cfg.Granted = policy.Combine(policy.Default(), org), func() *policy.Rules { return granted }
			r.restart()
			id := r.start(agent.Request{Goal: goal("write a", "test -s a"), Net: open})
			s := r.until(id, "the end or an ask", func(s *journal.State) bool { return s.Outcome != nil || len(s.Asks) > 0 })
			if (s.Outcome != nil) != tt.want {
				t.Fatalf("status %s", s.Status())
			}
			for _, a := range s.Asks {
				_, always, note, err := r.Proposals(s, a.ToolAsked)
				if err != nil || len(always) != 0 || !strings.Contains(note, "no rule of yours") {
					t.Errorf("%q, %q, %v", always, note, err)
				}
			}
		})
	}
}

// A goal that is revised while a task is at work ends the attempt, makes the plan anew, and is in every later context.
func TestReviseGoal(t *testing.T) {
	told, revised := make(chan struct{}), make(chan struct{})
	m := scripted()
	m.reply = func(n int, r *llm.Request) (*llm.Reply, error) {
		if n == 0 {
			close(told)
			<-revised
			return sh("echo old > a"), nil
		}
		last := r.Messages[len(r.Messages)-1].Text
		if r.Schema != nil {
			if !strings.Contains(last, "write b instead") || !strings.Contains(last, "a person revised the goal") {
				t.Errorf("the planner was asked:\n%s", last)
			}
			return say(`{"tasks":[{"id":"b","do":"write b"}]}`), nil
		}
		all := ""
		for _, m := range r.Messages {
			all += m.Text
		}
		if !strings.Contains(all, "write b instead") {
			t.Errorf("the new goal is not in the context:\n%s", last)
		}
		if strings.Contains(last, "tail") || n > 3 {
			return say("done"), nil
		}
		return sh("echo tail > b; cat b"), nil
	}
	r := newRig(t, m)
	id := r.start(agent.Request{Goal: goal("write a", "test -s b")})
	<-told
	r.append(id, journal.GoalRevised{Text: "write b instead", By: "test"})
	close(revised)
	s := r.ended(id)
	if s.Start.Goal.Text != "write b instead" || len(s.Goals) != 1 || s.Goals[0] != "write a" || s.Outdated() {
		t.Errorf("goal %q, before it %q, outdated %v", s.Start.Goal.Text, s.Goals, s.Outdated())
	}
	if n := len(s.Plans); n != 2 || s.Plans[1].Reason != "a person revised the goal" {
		t.Errorf("plans: %+v", s.Plans)
	}
	if _, err := os.Stat(filepath.Join(r.ws, "b")); err != nil {
		t.Error(err)
	}
}
