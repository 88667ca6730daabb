package tui

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const testRun = journal.RunID("abcdefghijkl")

// model is a UI of a size that no program runs: tests are its terminal and its daemon.
func model(w, h int) *Model {
	m := New(context.Background(), Options{Client: new(api.Client), Workspace: "/home/me/project", Version: "v1"})
	m.now = noon
	m.Update(tea.WindowSizeMsg{Width: w, Height: h})
	return m
}

// keyNamed is the press of a key by its name.
func keyNamed(name string) tea.KeyPressMsg {
	special := map[string]rune{
		"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
		"home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace, "left": tea.KeyLeft, "right": tea.KeyRight, "delete": tea.KeyDelete,
	}
	var k tea.Key
	rest := name
	for _, mod := range []struct {
		prefix string
		mod    tea.KeyMod
	}{{"ctrl+", tea.ModCtrl}, {"alt+", tea.ModAlt}, {"shift+", tea.ModShift}} {
		if r, ok := strings.CutPrefix(rest, mod.prefix); ok {
			k.Mod |= mod.mod
			rest = r
		}
	}
	if code, ok := special[rest]; ok {
		k.Code = code
	} else {
		k.Code = []rune(rest)[0]
		if k.Mod == 0 {
			k.Text = rest
		}
	}
	return tea.KeyPressMsg(k)
}

// press presses keys, each by its name, and returns the last one's command.
func press(m *Model, names ...string) tea.Cmd {
	var cmd tea.Cmd
	for _, n := range names {
		_, cmd = m.Update(keyNamed(n))
	}
	return cmd
}

func typed(m *Model, text string) {
	for _, r := range text {
		m.Update(tea.KeyPressMsg(tea.Key{Code: r, Text: string(r)}))
	}
}

// records are the records of events, a second apart.
func records(t testing.TB, from journal.Seq, events ...journal.Event) []journal.Record {
	t.Helper()
	var out []journal.Record
	for i, e := range events {
		r, err := journal.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Run, r.Seq = testRun, from+journal.Seq(i)
		r.Time = noon.Add(time.Duration(int(r.Seq)-100) * time.Second)
		out = append(out, r)
	}
	return out
}

func args(t testing.TB, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// report is a run that shows about everything: a plan, calls of each end, a revision, a message and an open ask.
func report(t testing.TB) []journal.Record {
	plan := planner.Plan{Revision: 1, Tasks: []planner.Task{
		{ID: "look", Do: "Look at what is here"}, {ID: "write", Do: "Write the report about 日本語 files", Needs: []string{"look"}}, {ID: "verify", Do: "Run the checks", Needs: []string{"write"}},
	}}
	second := plan
	second.Revision = 2
	call := func(id, task, from, tool string, a any) journal.Call {
		return journal.Call{ID: id, Task: task, From: from, Tool: tool, Args: args(t, a)}
	}
	list := call("c1", "look", "m1", "shell", map[string]any{"command": "ls -la\ncat README.md"})
	net := call("c2", "look", "m1", "shell", map[string]any{"command": "curl https://example.com"})
	rm := call("c3", "write", "m2", "shell", map[string]any{"command": "rm -rf build", "timeout": 30})
	var out strings.Builder
	for i := range 40 {
		fmt.Fprintf(&out, "\x1b[3%dmfile %d\x1b[0m\n", i%8, i)
	}
	return records(t, 1,
		journal.RunStarted{Goal: goals.Goal{Text: "Write a report about the files of this folder", Probes: []goals.Probe{{Name: "there", Cmd: "test -f report.md"}}}, Workspace: "/home/me/project", Model: "openai/small"},
		journal.DriverClaimed{Epoch: 1},
		journal.Recalled{Query: "report", Items: []journal.Recall{{ID: "1", Text: "Reports are in Markdown", Score: 0.91}}},
		journal.ModelAsked{Call: "p", Purpose: "plan", Step: 1, Try: 1, Reserved: 2000},
		journal.ModelReplied{Call: "p", Reply: &llm.Reply{Text: ""}, Used: 1500, USD: 0.01, Ms: 2100},
		journal.CheckFinished{Phase: "base", Checks: []journal.Check{{Name: "there", Cmd: "test -f report.md", Exit: 1}}},
		journal.PlanMade{Plan: plan, Reason: "start"},
		journal.TaskStarted{Task: "look", Attempt: 1},
		journal.ModelAsked{Call: "m1", Task: "look", Purpose: "step", Step: 2, Try: 1, Reserved: 3000},
		journal.ModelReplied{Call: "m1", Reply: &llm.Reply{Text: "I list the folder first: the report needs the names and sizes of all files, and I do not know yet what is here."}, Used: 2300, USD: 0.02, Ms: 3400},
		journal.ToolStarted{Call: list, Effect: "once"},
		journal.ToolFinished{Call: list, Status: journal.ToolOK, Head: out.String(), Bytes: int64(out.Len()), Ms: 40},
		journal.ToolFinished{Call: net, Status: journal.ToolRefused, Rule: "no network", Head: "denied: it can leave the sandbox"},
		journal.TaskFinished{Task: "look", OK: true, Result: "40 files"},
		journal.MessageSent{Text: "also count the lines", By: "me"},
		journal.PlanMade{Plan: second, Reason: "a person asked for the lines too"},
		journal.TaskStarted{Task: "write", Attempt: 1},
		journal.ModelAsked{Call: "m2", Task: "write", Purpose: "step", Step: 3, Try: 1, Reserved: 3000},
		journal.ModelReplied{Call: "m2", Reply: &llm.Reply{Text: "The old build is in the way."}, Used: 2500, USD: 0.02, Ms: 1200},
		journal.ToolAsked{Call: rm, Ask: journal.AskTool, Verdict: journal.Verdict{Do: "ask", Rule: "removes", Why: "it removes a folder"}, Effect: "once"},
	)
}

// stateOf folds records as the daemon does.
func stateOf(t testing.TB, recs []journal.Record) api.RunView {
	t.Helper()
	st, err := journal.Fold(recs)
	if err != nil {
		t.Fatal(err)
	}
	return api.RunView{Summary: st.Summary(), State: st}
}

// opened is a UI that shows a run with these records.
func opened(t testing.TB, w, h int, recs []journal.Record) *Model {
	t.Helper()
	m := model(w, h)
	v := stateOf(t, recs)
	m.Update(listMsg{runs: []journal.Summary{v.Summary}, at: noon})
	m.open(testRun)
	m.Update(pageOfTest(testRun, 0, recs[max(0, len(recs)-pageSize):]))
	m.Update(stateMsg{run: testRun, view: stateOf(t, recs)})
	return m
}

// pageOfTest is the answer to the question for a page.
func pageOfTest(run journal.RunID, before journal.Seq, recs []journal.Record) pageMsg {
	return pageMsg{run: run, before: before, recs: recs, page: pageOf(recs), at: noon}
}

// news delivers records as following does.
func news(m *Model, recs ...journal.Record) {
	msg := newsMsg{from: m.run.follow, at: m.now}
	for i := range recs {
		msg.items = append(msg.items, api.Item{Record: &recs[i]})
	}
	m.Update(msg)
}

// screen is what a person sees, without colours.
func screen(m *Model) string {
	lines := m.Screen()
	for i, l := range lines {
		lines[i] = strings.TrimRight(ansi.Strip(l), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// checkFrame holds what every frame must: as many lines as the screen has, each exactly as wide, and no control but SGR.
func checkFrame(t testing.TB, m *Model) {
	t.Helper()
	lines := m.Screen()
	if len(lines) != m.h {
		t.Fatalf("%d lines on a screen of %d", len(lines), m.h)
	}
	for i, l := range lines {
		if got := ansi.StringWidth(l); got != m.w {
			t.Fatalf("line %d is %d columns wide on a screen of %d: %q", i, got, m.w, l)
		}
		if got := ansi.StringWidthWc(l); got != m.w {
			t.Fatalf("line %d is %d columns wide for a terminal without clusters, the screen has %d: %q", i, got, m.w, l)
		}
		if bare := stripSGR(l); strings.ContainsFunc(bare, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("line %d has a control character: %q", i, l)
		}
	}
}

func runs() []journal.Summary {
	at := func(min int) time.Time { return noon.Add(-time.Duration(min) * time.Minute) }
	return []journal.Summary{
		{Run: "aaaaaaaaaaaa", Status: journal.StatusRunning, Goal: "Make the tests pass", Workspace: "/home/me/project", Model: "openai/small", Started: at(3), Updated: at(0), Last: 90, Steps: 4, Tokens: 12_345, USD: 0.12, Now: "fix: shell"},
		{Run: "bbbbbbbbbbbb", Status: journal.StatusWaiting, Goal: "Überprüfe die 日本語 Dokumente 👨‍👩‍👧 und schreibe einen sehr langen Bericht darüber, der nicht in eine Zeile passt", Workspace: "/srv/docs", Model: "local", Started: at(65), Asks: 2, Tokens: 1_200_000, USD: 1.5, Now: "look: shell"},
		{Run: "cccccccccccc", Status: journal.StatusAccepted, Self: true, Goal: "Upgrade the dependencies", Name: "upgrade", Workspace: "/home/me/project", Model: "local", Started: at(60 * 30), Tokens: 500},
		{Run: "dddddddddddd", Status: journal.StatusBudget, Goal: "\x1b]0;owned\x07\u202egoal of a bad \x1b[2Jclient", Workspace: "/tmp", Model: "local", Started: at(60 * 24 * 9), Tokens: 999_960, USD: 0.0042, Reason: "tokens exhausted"},
	}
}

// TestViews compares whole screens with what they were: -update writes them anew.
func TestViews(t *testing.T) {
	home := func(t *testing.T, w, h int) *Model {
		m := model(w, h)
		m.Update(listMsg{runs: runs(), at: noon})
		return m
	}
	run := func(t *testing.T, w, h int) *Model { return opened(t, w, h, report(t)) }
	then := func(f func(*testing.T, int, int) *Model, keys ...string) func(*testing.T, int, int) *Model {
		return func(t *testing.T, w, h int) *Model {
			m := f(t, w, h)
			press(m, keys...)
			return m
		}
	}
	for _, tt := range []struct {
		name string
		make func(*testing.T, int, int) *Model
	}{
		{"empty", func(t *testing.T, w, h int) *Model {
			m := model(w, h)
			m.Update(listMsg{at: noon})
			return m
		}},
		{"home", home},
		{"filter", then(home, "/", "d", "o", "c", "s")},
		{"form", then(home, "n", "H", "i", "tab")},
		{"help", then(home, "?")},
		{"run", run},
		{"panel", then(run, "tab")},
		{"scrolled", then(run, "k", "k", "k", "k", "k", "k", "enter")},
		{"ask", then(run, "a")},
		{"palette", then(run, ":", "c", "a", "n")},
		{"plan", then(run, "v")},
		{"ended", func(t *testing.T, w, h int) *Model {
			m := run(t, w, h)
			news(m, records(t, 21,
				journal.AskAnswered{Ask: "c3", Answer: "deny", Reason: "keep it", By: "me"},
				journal.ToolFinished{Call: journal.Call{ID: "c3", Task: "write", Tool: "shell", Args: args(t, map[string]string{"command": "rm -rf build"})}, Status: journal.ToolRefused},
				journal.CheckFinished{Phase: "final", OK: true, Checks: []journal.Check{{Name: "there", Cmd: "test -f report.md", OK: true}}},
				journal.RunFinished{Status: journal.StatusAccepted, Result: "The report is in report.md.", Changed: []string{"report.md"}})...)
			return m
		}},
		{"away", func(t *testing.T, w, h int) *Model {
			m := run(t, w, h)
			m.Update(newsMsg{from: m.run.follow, at: noon, items: []api.Item{{Down: api.Errorf(api.ErrNotRunning, "agentctl daemon start", "the daemon at /run/agentd.sock went away")}}})
			return m
		}},
		{"version", func(t *testing.T, w, h int) *Model {
			m := run(t, w, h)
			m.Update(newsMsg{from: m.run.follow, at: noon, err: api.Errorf(api.ErrVersion, "agentctl daemon stop, then again: its runs go on with the new daemon", "the daemon is version 2, this program is version 1")})
			return m
		}},
	} {
		for _, size := range [][2]int{{80, 24}, {120, 40}} {
			t.Run(fmt.Sprintf("%s-%dx%d", tt.name, size[0], size[1]), func(t *testing.T) {
				m := tt.make(t, size[0], size[1])
				checkFrame(t, m)
				golden.RequireEqual(t, []byte(screen(m)))
			})
		}
	}
}

func TestHomeFindsAndSorts(t *testing.T) {
	ids := func(m *Model) string {
		var s []string
		for _, r := range m.home.shown {
			s = append(s, string(r.Run[:1]))
		}
		return strings.Join(s, "")
	}
	for _, tt := range []struct {
		name string
		keys []string
		want string
		sel  journal.RunID
	}{
		{"live first, newest first", nil, "abcd", "aaaaaaaaaaaa"},
		{"down", []string{"j"}, "abcd", "bbbbbbbbbbbb"},
		{"end", []string{"G"}, "abcd", "dddddddddddd"},
		{"past the end", []string{"G", "j", "j", "k"}, "abcd", "cccccccccccc"},
		{"by last active", []string{"o"}, "abdc", "aaaaaaaaaaaa"},
		{"by cost, live first still", []string{"o", "o"}, "badc", "aaaaaaaaaaaa"},
		{"filter", []string{"/", "p", "r", "o", "j", "enter"}, "ac", "aaaaaaaaaaaa"},
		{"filter of scattered letters", []string{"/", "u", "p", "g", "d", "e", "enter"}, "c", "cccccccccccc"},
		{"a filter that is given up", []string{"/", "z", "z", "esc"}, "abcd", "bbbbbbbbbbbb"},
		{"only live", []string{"tab"}, "ab", "aaaaaaaaaaaa"},
		{"only those that need a person", []string{"tab", "tab"}, "b", "bbbbbbbbbbbb"},
		{"all again", []string{"tab", "esc"}, "abcd", "aaaaaaaaaaaa"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := model(120, 30)
			m.Update(listMsg{runs: slices.Clone(runs()), at: noon})
			press(m, tt.keys...)
			if got := ids(m); got != tt.want || m.home.sel != tt.sel {
				t.Errorf("shows %s with %s chosen, want %s with %s", got, m.home.sel, tt.want, tt.sel)
			}
			m.Update(listMsg{runs: slices.Clone(runs()), at: noon})
			if m.home.sel != tt.sel {
				t.Errorf("a new look moved the choice from %s to %s", tt.sel, m.home.sel)
			}
		})
	}
}

// TestOpenAsksAreAlwaysInSight looks at every screen for the count.
func TestOpenAsksAreAlwaysInSight(t *testing.T) {
	m := model(100, 30)
	m.Update(listMsg{runs: runs(), at: noon})
	for _, keys := range [][]string{nil, {"enter"}, {"tab"}, {"esc"}, {"n"}, {"esc"}, {"?"}} {
		press(m, keys...)
		if got := strings.SplitN(screen(m), "\n", 2)[0]; !strings.Contains(got, "2 asks in 1 run") {
			t.Errorf("after %q the first line is %q", keys, got)
		}
	}
}

func TestScrollingBackIsNotPulledDown(t *testing.T) {
	m := opened(t, 80, 24, report(t))
	if !m.run.stream.list.follow {
		t.Fatal("a run is opened at its end")
	}
	press(m, "pgup")
	before := screen(m)
	body := func(s string) string { return strings.Join(strings.Split(s, "\n")[2:22], "\n") }
	var more []journal.Event
	for i := range 50 {
		more = append(more, journal.Noted{Topic: "loop", Text: fmt.Sprint("note ", i)})
	}
	news(m, records(t, 21, more...)...)
	if got := screen(m); body(got) != body(before) {
		t.Errorf("news moved the text that is being read:\n%s\n\nbefore:\n%s", got, before)
	}
	press(m, "G")
	if got := screen(m); !strings.Contains(got, "note 49") {
		t.Errorf("G does not go to the end:\n%s", got)
	}
	news(m, records(t, 71, journal.Noted{Text: "the newest"})...)
	if got := screen(m); !strings.Contains(got, "the newest") {
		t.Errorf("it does not follow after G:\n%s", got)
	}
}

func TestReplyIsShownWhileItIsWritten(t *testing.T) {
	m := opened(t, 80, 24, report(t))
	news(m, records(t, 21, journal.ModelAsked{Call: "live", Task: "write", Purpose: "step", Step: 4, Try: 1})...)
	delta := func(d api.Delta) {
		m.Update(newsMsg{from: m.run.follow, at: m.now, items: []api.Item{{Delta: &d}}})
	}
	delta(api.Delta{Call: "live", Text: "I am thinking ab"})
	delta(api.Delta{Call: "live", Text: "out it", Chars: 22})
	if got := screen(m); !strings.Contains(got, "I am thinking about it") || !strings.Contains(got, "writing 22") {
		t.Errorf("not shown while it is written:\n%s", got)
	}
	delta(api.Delta{Call: "live", Reset: true})
	delta(api.Delta{Call: "live", Text: "anew", Tool: "shell"})
	if got := screen(m); strings.Contains(got, "thinking about") || !strings.Contains(got, "calls shell") {
		t.Errorf("a dropped try is still shown:\n%s", got)
	}
	news(m, records(t, 22, journal.ModelReplied{Call: "live", Reply: &llm.Reply{Text: "the truth"}})...)
	delta(api.Delta{Call: "live", Text: "late"})
	if got := screen(m); strings.Contains(got, "anew") || strings.Contains(got, "late") || !strings.Contains(got, "the truth") {
		t.Errorf("the journaled reply is not what is shown:\n%s", got)
	}
}

// TestPagesJoin cuts a run into pages at every event: read from its end, it looks as if it had been read at once.
func TestPagesJoin(t *testing.T) {
	recs := report(t)
	texts := func(m *Model) []string {
		var out []string
		for _, e := range m.run.stream.list.items {
			out = append(out, fmt.Sprint(e.id, e.step.seq, strings.Join(drawStep(e, 100, noon), "\n")))
		}
		return out
	}
	want := texts(opened(t, 80, 24, recs))
	for cut := 1; cut < len(recs); cut++ {
		m := model(80, 24)
		m.open(testRun)
		m.Update(pageOfTest(testRun, 0, recs[cut:]))
		m.Update(stateMsg{run: testRun, view: stateOf(t, recs)})
		m.Update(pageOfTest(testRun, recs[cut].Seq, recs[:cut]))
		got := texts(m)
		slices.Sort(got)
		sorted := slices.Clone(want)
		slices.Sort(sorted)
		if !slices.Equal(got, sorted) {
			t.Errorf("cut before event %d:\n%s\n\nwant:\n%s", cut+1, strings.Join(got, "\n"), strings.Join(sorted, "\n"))
		}
		checkFrame(t, m)
	}
}

// TestStateMayComeLate delivers the state before, between and after the news.
func TestStateMayComeLate(t *testing.T) {
	recs := report(t)
	want := stateOf(t, recs).State.Summary()
	for at := 1; at <= len(recs); at++ {
		for page := 1; page <= len(recs); page++ {
			m := model(80, 24)
			m.open(testRun)
			m.Update(pageOfTest(testRun, 0, recs[:page]))
			if at >= page {
				news(m, recs[page:at]...)
			}
			m.Update(stateMsg{run: testRun, view: stateOf(t, recs[:at])})
			news(m, recs[max(at, page):]...)
			if got := m.run.sum(); got != want {
				t.Fatalf("page of %d, state at %d: %+v, want %+v", page, at, got, want)
			}
		}
	}
}

// TestAsksBeforeTheState answers while the state of a long run is still being read.
func TestAsksBeforeTheState(t *testing.T) {
	m := model(100, 30)
	m.open(testRun)
	m.Update(pageOfTest(testRun, 0, report(t)))
	press(m, "a")
	if got := screen(m); !strings.Contains(got, "May this call run?") {
		t.Fatalf("the ask is not put:\n%s", got)
	}
	if press(m, "y") == nil || len(m.run.asks()) != 0 {
		t.Error("the answer is not sent, or it is still open here")
	}
}

func TestActionsHaveKeysAndTitles(t *testing.T) {
	for _, at := range []where{inHome, inRun} {
		seen := map[string]string{}
		for _, a := range actions() {
			if a.where != at && a.where != anywhere {
				continue
			}
			if a.title == "" || a.do == nil || len(a.keys) == 0 {
				t.Errorf("%+v lacks a title, a key or what it does", a)
			}
			for _, k := range a.keys {
				if other, ok := seen[k]; ok {
					t.Errorf("key %s means %q and %q on one screen", k, other, a.title)
				}
				seen[k] = a.title
			}
		}
	}
}

func TestParseLimits(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want goals.Budget
		err  bool
	}{
		{"steps 200", goals.Budget{Steps: 200}, false},
		{"steps=50, tokens=1.5M usd=$2 wall=2h", goals.Budget{Steps: 50, Tokens: 1_500_000, USD: 2, Wall: 2 * time.Hour}, false},
		{"wall -1 steps -1", goals.Budget{Wall: -time.Second, Steps: -1}, false},
		{"", goals.Budget{}, true},
		{"steps", goals.Budget{}, true},
		{"steps 0", goals.Budget{}, true},
		{"usd NaN", goals.Budget{}, true},
		{"tokens 1.5", goals.Budget{}, true},
		{"wall soon", goals.Budget{}, true},
		{"money 3 colour red", goals.Budget{}, true},
	} {
		got, err := parseLimits(tt.in)
		if got != tt.want || (err != nil) != tt.err {
			t.Errorf("parseLimits(%q) = %+v, %v", tt.in, got, err)
		}
	}
}

func TestFormMakesARequest(t *testing.T) {
	m := model(100, 30)
	m.Update(listMsg{runs: nil, at: noon})
	press(m, "n")
	typed(m, "make it work")
	press(m, "enter")
	typed(m, "and fast")
	press(m, "tab", "tab")
	typed(m, "openai/small")
	press(m, "tab")
	m.Update(tea.PasteMsg{Content: "go vet ./...\ngo test ./...\n"})
	press(m, "tab")
	typed(m, "steps 5")
	f := m.front().(*form)
	r, err := f.request()
	if err != nil {
		t.Fatal(err)
	}
	if r.Goal != "make it work\nand fast" || r.Workspace != "/home/me/project" || r.Model != "openai/small" || !slices.Equal(r.Checks, []string{"go vet ./...", "go test ./..."}) || r.Budget.Steps != 5 || !r.Attended {
		t.Errorf("the form asks for %+v", r)
	}
	if press(m, "ctrl+s") == nil || !f.busy {
		t.Error("ctrl+s does not start it")
	}
	m.Update(startedMsg{err: api.Errorf(api.ErrWorkspace, "make it", "no such folder")})
	if got := screen(m); !strings.Contains(got, "no such folder") || !strings.Contains(got, "make it work") {
		t.Errorf("an error drops the form or is not shown:\n%s", got)
	}
}
