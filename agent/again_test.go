package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/agent"
	"agentd/journal"
	"agentd/llm"
)

// smallModel answers in the fenced form, as the embedded model does.
func smallModel(reply func(n int, r *llm.Request) string) *model {
	m := &model{info: llm.Info{Name: "local/small", Window: 8192, Style: llm.StyleFenced, Local: true, Grammar: true}}
	m.reply = func(n int, r *llm.Request) (*llm.Reply, error) { return say(reply(n, r)), nil }
	return m
}

func fenced(action, text string) string {
	return "Thought: it is time\nAction: " + action + "\n~~~\n" + text + "\n~~~"
}

func TestSmallModelStartsAgainInTheWorkspaceAsItWas(t *testing.T) {
	r := newRig(t, smallModel(func(n int, _ *llm.Request) string {
		return []string{
			fenced("shell", "rm keep; echo 41 > answer"), fenced("finish", "done"),
			fenced("shell", "cat keep > answer"), fenced("finish", "never asked"),
		}[n]
	}))
	keep := filepath.Join(r.ws, "keep")
	if err := os.WriteFile(keep, []byte("42\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer", "grep -x 42 answer")}))
	if s.Outcome.Status != journal.StatusAccepted || len(s.Plans) != 2 || s.Spent.Steps != 3 {
		t.Fatalf("got %+v, %d plans, %d steps", s.Outcome, len(s.Plans), s.Spent.Steps)
	}
	if why := s.Plans[1].Reason; !strings.HasPrefix(why, "starting again: not met") || !strings.Contains(why, "files put back as they were: 2") {
		t.Errorf("the reason is %q", why)
	}
	if info, err := os.Stat(keep); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keep: %v %v", info, err)
	}
}

func TestSmallModelIsWarmerEachTime(t *testing.T) {
	var temps []float64
	var opened int
	r := newRig(t, smallModel(func(n int, q *llm.Request) string {
		temps = append(temps, *q.Temperature)
		if strings.Contains(q.Grammar, "python3 - <<'END'") {
			opened++
		}
		return fenced("finish", "done")
	}))
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer", "test -e answer")}))
	if s.Outcome.Status != journal.StatusUnmet || len(temps) < 5 {
		t.Fatalf("got %+v after %d calls", s.Outcome, len(temps))
	}
	if temps[0] != 0 || temps[1] <= 0 || temps[3] <= temps[1] || temps[len(temps)-1] > 1 {
		t.Errorf("temperatures: %v", temps)
	}
	if want := len(temps) / 2; opened != want {
		t.Errorf("%d of %d attempts began with a script, want %d", opened, len(temps), want)
	}
}

func TestWhatAPersonChangedMeanwhileIsNotPutBack(t *testing.T) {
	var r *rig
	edited := func() string { return filepath.Join(r.ws, "mine") }
	m := smallModel(func(n int, _ *llm.Request) string {
		if n == 1 { // between two calls
			if err := os.WriteFile(edited(), []byte("a person's words"), 0o644); err != nil {
				t.Error(err)
			}
		}
		return []string{
			fenced("shell", "echo 41 > answer"), fenced("shell", "echo 40 > answer"), fenced("finish", "done"),
			fenced("shell", "echo 42 > answer"), fenced("finish", "never asked"),
		}[min(n, 4)]
	})
	r = newRig(t, m)
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer", "grep -x 42 answer")}))
	if s.Outcome.Status != journal.StatusAccepted {
		t.Fatalf("got %+v", s.Outcome)
	}
	if text, err := os.ReadFile(edited()); err != nil || string(text) != "a person's words" {
		t.Errorf("the person's file holds %q (%v)", text, err)
	}
	if why := s.Plans[1].Reason; !strings.HasPrefix(why, "unmet") {
		t.Errorf("the second plan's reason is %q", why)
	}
}

func TestFormsOfAGoalAreItsChecks(t *testing.T) {
	r := newRig(t, smallModel(func(n int, q *llm.Request) string {
		return []string{
			"replace: foo -> bar in *.txt\nend",
			fenced("shell", "sed -i s/foo/bar/ a.txt"),
		}[n]
	}))
	if err := os.WriteFile(filepath.Join(r.ws, "a.txt"), []byte("foo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := r.ended(r.start(agent.Request{Goal: goal("replace foo by bar in all .txt files")}))
	if s.Outcome.Status != journal.StatusAccepted || !s.Outcome.Self || len(s.Proposed) != 1 {
		t.Errorf("got %+v, checks %v", s.Outcome, s.Proposed)
	}
}

func TestSmallModelIsToldOfAFileThatItForgot(t *testing.T) {
	var results []string
	r := newRig(t, smallModel(func(n int, q *llm.Request) string {
		results = append(results, q.Messages[len(q.Messages)-1].Text)
		return []string{
			"other: it is there\nend", "~~~\ngrep -x 42 answer.txt\n~~~",
			fenced("finish", "done"), fenced("shell", "echo 42 > answer.txt"), fenced("finish", "done"),
		}[n]
	}))
	s := r.ended(r.start(agent.Request{Goal: goal("write 42 into answer.txt")}))
	if s.Outcome.Status != journal.StatusAccepted {
		t.Fatalf("got %+v", s.Outcome)
	}
	if !strings.Contains(results[3], "the goal names answer.txt") {
		t.Errorf("the model was told %q", results[3])
	}
}

// A small model that says that it is done hears once what a check says, and can mend it before its work is put back.
func TestAFailedCheckIsToldOnce(t *testing.T) {
	var heard string
	m := smallModel(func(n int, q *llm.Request) string {
		if n == 2 {
			heard = q.Messages[len(q.Messages)-1].Text
		}
		return []string{
			fenced("shell", "mkdir new && mv a.txt new"), fenced("finish", "done"), fenced("shell", "mv in/b.txt new"), fenced("finish", "never asked"),
		}[min(n, 3)]
	})
	r := newRig(t, m)
	if err := os.Mkdir(filepath.Join(r.ws, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.txt", "in/b.txt"} {
		if err := os.WriteFile(filepath.Join(r.ws, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := r.ended(r.start(agent.Request{Goal: goal("collect all .txt files in new", `for f in a.txt in/b.txt; do test ! -e "$f" || { echo "$f is still there"; exit 1; }; done`)}))
	if s.Outcome.Status != journal.StatusAccepted || len(s.Plans) != 1 {
		t.Errorf("got %+v after %d plans", s.Outcome, len(s.Plans))
	}
	if !strings.Contains(heard, "in/b.txt is still there") {
		t.Errorf("the model heard %q", heard)
	}
}
