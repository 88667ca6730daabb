package tui

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"agentd/api"
	"agentd/journal"
)

// messagesOf runs a command, and those that it is made of, and returns what they say. Waiting ones are left alone.
func messagesOf(t *testing.T, cmd tea.Cmd) []tea.Msg {
	t.Helper()
	if cmd == nil {
		return nil
	}
	got := make(chan tea.Msg, 1)
	go func() { got <- cmd() }()
	select {
	case msg := <-got:
		if batch, ok := msg.(tea.BatchMsg); ok {
			var out []tea.Msg
			for _, c := range batch {
				out = append(out, messagesOf(t, c)...)
			}
			return out
		}
		return []tea.Msg{msg}
	case <-t.Context().Done():
	}
	return nil
}

const goalFile = `---
apiVersion: agentd/v1
name: upgrade
description: Move callers to another module
params:
  module: {type: string, required: true, pattern: '^[a-z0-9./-]+$'}
  risk: {type: choice, options: [low, high], default: low, description: how much may break}
accept:
  probes:
    build: {cmd: go build ./...}
  require: ['build.exit == 0']
---
Move all callers to {{ params.module }}.
`

// A goal file is picked by typing, its params are asked for and checked, and the request holds all of it.
func TestGoalFileIsPickedWithItsParams(t *testing.T) {
	ws := t.TempDir()
	dir := filepath.Join(ws, "goals")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"upgrade.goal.md": goalFile, "broken.goal.md": "---\nnonsense: 1\n---\nx\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := model(120, 40)
	m.opt.Workspace = ws
	for _, msg := range messagesOf(t, press(m, "f")) {
		m.Update(msg)
	}
	if got := screen(m); !strings.Contains(got, "broken.goal.md") || !strings.Contains(got, "can't be used") {
		t.Fatalf("the broken file is not told:\n%s", got)
	}
	typed(m, "upgr")
	if got := screen(m); !strings.Contains(got, "param risk: how much may break · one of low, high · empty: low") {
		t.Fatalf("no detail of the file:\n%s", got)
	}
	press(m, "enter")
	checkFrame(t, m)
	f, ok := m.front().(*form)
	if !ok {
		t.Fatalf("no form:\n%s", screen(m))
	}
	if _, err := f.request(); err == nil || !strings.Contains(err.Error(), "module is empty") {
		t.Errorf("a needed param may be left out: %v", err)
	}
	typed(m, "NOT VALID")
	if _, err := f.request(); err == nil || !strings.Contains(err.Error(), "parameter module") {
		t.Errorf("a wrong value is taken: %v", err)
	}
	press(m, "ctrl+u")
	typed(m, "example.com/x")
	press(m, "tab")
	typed(m, "high")
	r, err := f.request()
	if err != nil {
		t.Fatal(err)
	}
	if r.File == nil || r.File.Text != goalFile || r.Params["module"] != "example.com/x" || r.Params["risk"] != "high" || r.Workspace != ws {
		t.Errorf("request %+v", r)
	}
}

// Proposals are shown one by one, harmless, and leave the list when they are decided.
func TestMemoryReview(t *testing.T) {
	m := model(80, 24)
	press(m, "M")
	m.Update(proposedMsg{items: []api.MemoryItem{
		{ID: "m1", Namespace: "user", Trust: "model", Text: "Tests run with \x1b]0;owned\amake test.", Contradicts: []string{"m0"}},
		{ID: "m2", Namespace: "repository:/p", Trust: "untrusted", Text: "Another."},
	}, against: map[string]api.MemoryItem{"m0": {ID: "m0", State: "accepted", Trust: "person", Text: "Tests run with \x1b]0;owned\ago test."}}})
	checkFrame(t, m)
	if got := screen(m); !strings.Contains(got, "1 of 2") || !strings.Contains(got, "make test") || !strings.Contains(got, "contradicts m0 (accepted, trust person): Tests run with") {
		t.Errorf("screen\n%s", got)
	}
	if cmd := press(m, "a"); cmd == nil {
		t.Fatal("a does nothing")
	}
	m.Update(reviewedMsg{id: "m1", words: "accepted m1"})
	if got := screen(m); !strings.Contains(got, "1 of 1") || !strings.Contains(got, "Another.") {
		t.Errorf("screen\n%s", got)
	}
	press(m, "r")
	m.Update(reviewedMsg{id: "m2", words: "rejected m2"})
	if got := screen(m); !strings.Contains(got, "Nothing waits") {
		t.Errorf("screen\n%s", got)
	}
}

func TestPatchIsColouredBySyntax(t *testing.T) {
	patch := "--- a/x.go\n+++ b/x.go\n@@ -1,4 +1,4 @@\n package x\n \n-func old() string { return \"a\" }\n+func fresh() string { return \"b\" } // why\n \x1b]0;owned\a\n"
	got := patchLines("x.go", patch)
	want := strings.Split(strings.TrimRight(safe(patch), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines of %d", len(got), len(want))
	}
	for i, l := range got {
		if ansi.Strip(l) != want[i] {
			t.Errorf("line %d is %q, want the text %q", i, ansi.Strip(l), want[i])
		}
	}
	for i, part := range map[int]string{5: "\x1b[31m-", 6: "\x1b[32m+", 3: "\x1b[35mpackage"} {
		if !strings.Contains(got[i], part) {
			t.Errorf("line %d is %q without %q", i, got[i], part)
		}
	}
	if !strings.Contains(got[6], string(faint)) || !strings.Contains(got[6], "// why") {
		t.Errorf("no colour of a comment: %q", got[6])
	}
	if got := patchLines("notes.unknown", patch); ansi.Strip(got[6]) != want[6] {
		t.Errorf("without a language: %q", got[6])
	}
}

// What is raw in a command's messages.
func raws(msgs []tea.Msg) string {
	var b strings.Builder
	for _, m := range msgs {
		if r, ok := m.(tea.RawMsg); ok {
			b.WriteString(r.Msg.(string))
		}
	}
	return b.String()
}

func TestNotifications(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		name    string
		notify  Notify
		environ []string
		want    string
	}{
		{"the bell is the default", Notify{}, nil, "\a"},
		{"osc 9", Notify{Ways: []string{"osc9"}}, nil, "\x1b]9;a␛]0,x␇ b\x1b\\"},
		{"osc 777", Notify{Ways: []string{"osc777"}}, nil, "\x1b]777;notify;agentctl;a␛]0,x␇ b\x1b\\"},
		{"in tmux", Notify{Ways: []string{"osc9"}}, []string{"TMUX=/tmp/x,1,0"}, "\x1bPtmux;\x1b\x1b]9;a␛]0,x␇ b\x1b\x1b\\\x1b\\"},
		{"none", Notify{Ways: []string{}}, nil, ""},
		{"a command", Notify{Command: []string{"sh", "-c", `printf %s "$1" > ` + out, "x"}}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := model(80, 24)
			m.opt.Notify, m.opt.Environ = c.notify, c.environ
			if got := raws(messagesOf(t, m.call("a\x1b]0;x\a\nb"))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "a␛]0,x␇ b" {
		t.Errorf("the command got %q, %v", got, err)
	}
}

// A person is called when a run begins to need one or ends, once.
func TestCallsAPersonOnce(t *testing.T) {
	m := model(80, 24)
	look := func(s journal.Status) []string {
		return m.notice([]journal.Summary{{Run: testRun, Status: s, Goal: "tidy up", Asks: map[bool]int{true: 1}[s == journal.StatusWaiting]}})
	}
	for _, c := range []struct {
		s    journal.Status
		want []string
	}{
		{journal.StatusWaiting, nil}, // it was so before
		{journal.StatusRunning, nil},
		{journal.StatusWaiting, []string{"abcdefghijkl needs you: waiting (tidy up)"}},
		{journal.StatusWaiting, nil},
		{journal.StatusAccepted, []string{"abcdefghijkl: accepted (tidy up)"}},
		{journal.StatusAccepted, nil},
	} {
		if got := look(c.s); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.s, got, c.want)
		}
	}
}
