package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/llm"
)

// rig is a daemon without an engine: the real server on a real journal, at a unix socket.
type rig struct {
	t      testing.TB
	store  *bolt.Store
	engine *apitest.Engine
	socket string
	views  string
	client *api.Client
	stop   func()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "tui") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	store, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r := &rig{t: t, store: store, engine: &apitest.Engine{Store: store}, socket: filepath.Join(dir, "s"), views: filepath.Join(dir, "views")}
	r.serve()
	t.Cleanup(func() { r.stop() })
	if r.client, err = api.Dial(r.socket); err != nil {
		t.Fatal(err)
	}
	r.client.By = "tester"
	return r
}

// serve starts the server; stop ends it as a daemon does that goes away.
func (r *rig) serve() {
	r.t.Helper()
	ln, err := net.Listen("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := api.NewServer(api.Options{Store: r.store, Engine: r.engine, Views: r.views})
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx, ln) })
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
}

// run makes a run of events.
func (r *rig) run(events ...journal.Event) {
	r.t.Helper()
	ctx := context.Background()
	if _, _, err := r.store.Create(ctx, testRun, "", events[0].(journal.RunStarted)); err != nil {
		r.t.Fatal(err)
	}
	r.add(1, events[1:]...)
}

func (r *rig) add(after journal.Seq, events ...journal.Event) {
	r.t.Helper()
	for len(events) > 0 {
		n := min(len(events), 2000)
		seq, err := r.store.Append(context.Background(), testRun, after, events[:n]...)
		if err != nil {
			r.t.Fatal(err)
		}
		after, events = seq, events[n:]
	}
}

func eventsOf(t testing.TB, recs []journal.Record) []journal.Event {
	t.Helper()
	var out []journal.Event
	for _, r := range recs {
		e, err := r.Decode()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// terminal is a program's screen: it keeps all bytes, and what the model shows can be waited for.
type terminal struct {
	t    testing.TB
	p    *tea.Program
	mu   sync.Mutex
	out  bytes.Buffer
	in   *io.PipeWriter
	done chan error
	m    *Model
}

// Write implements io.Writer.
func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *terminal) bytes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// snapMsg asks the program for its screen.
type snapMsg struct{ c chan string }

// watched is the model with a way to look at it.
type watched struct{ *Model }

func (w watched) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if s, ok := msg.(snapMsg); ok {
		s.c <- screen(w.Model)
		return w, nil
	}
	_, cmd := w.Model.Update(msg)
	return w, cmd
}

func start(t testing.TB, c *api.Client, run journal.RunID, w, h int) *terminal {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &terminal{t: t, done: make(chan error, 1)}
	c.Patience = time.Hour
	s.m = New(ctx, Options{Client: c, Run: run, Workspace: "/ws", Version: "v1"})
	in, inW := io.Pipe()
	s.in = inW
	s.p = tea.NewProgram(watched{s.m}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(s), tea.WithWindowSize(w, h), tea.WithFPS(120),
		tea.WithoutSignals(), tea.WithColorProfile(colorprofile.ANSI), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	go func() { _, err := s.p.Run(); s.done <- err }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil && !errors.Is(err, tea.ErrProgramKilled) {
			t.Errorf("the program ended with %v", err)
		}
		inW.Close()
		s.m.jobs.end()
	})
	return s
}

func (s *terminal) screen() string {
	c := make(chan string, 1)
	s.p.Send(snapMsg{c})
	select {
	case got := <-c:
		return got
	case err := <-s.done:
		s.done <- err
		return ""
	}
}

// wait waits until the screen has all the words.
func (s *terminal) wait(words ...string) string {
	s.t.Helper()
	var got string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = s.screen()
		missing := false
		for _, w := range words {
			missing = missing || !strings.Contains(got, w)
		}
		if !missing {
			return got
		}
	}
	s.t.Fatalf("never showed %q; the screen is\n%s", words, got)
	return ""
}

func (s *terminal) keys(names ...string) {
	for _, n := range names {
		s.p.Send(keyNamed(n))
	}
}

// TestAnswerAndWatch goes through the real program, server and journal.
func TestAnswerAndWatch(t *testing.T) {
	r := newRig(t)
	r.run(eventsOf(t, report(t))...)
	s := start(t, r.client, "", 120, 40)
	s.wait("1 ask in 1 run", "Write a report")
	s.keys("a")
	s.wait("May this call run?", "rm -rf build")
	s.keys("r")
	s.wait("Deny, because")
	for _, c := range "keep it" {
		s.p.Send(tea.KeyPressMsg(tea.Key{Code: c, Text: string(c)}))
	}
	s.keys("enter")
	s.wait("deny by tester — keep it", "no asks")
	s.keys("m")
	for _, c := range "count them too" {
		s.p.Send(tea.KeyPressMsg(tea.Key{Code: c, Text: string(c)}))
	}
	s.keys("enter")
	s.wait("tester: count them too")
	s.keys("p")
	s.wait("paused by tester")
	s.keys("p")
	s.wait("resumed by tester")
	s.keys("L")
	for _, c := range "steps 7" {
		s.p.Send(tea.KeyPressMsg(tea.Key{Code: c, Text: string(c)}))
	}
	s.keys("enter")
	s.wait("limits changed by tester", "3/7")
	s.keys("x")
	s.wait("Cancel run")
	s.keys("y")
	s.wait("cancel was asked by tester")
	st, err := r.client.Get(context.Background(), testRun)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.State.Asks) != 0 || !st.State.Cancel || st.State.Budget.Steps != 7 || len(st.State.Messages) != 2 {
		t.Errorf("the journal says %d asks, cancel %v, %d steps, %d messages", len(st.State.Asks), st.State.Cancel, st.State.Budget.Steps, len(st.State.Messages))
	}
}

// TestReconnects stops the server below the program and starts it again.
func TestReconnects(t *testing.T) {
	r := newRig(t)
	r.run(eventsOf(t, report(t))...)
	s := start(t, r.client, testRun, 120, 40)
	s.wait("waits for you")
	s.keys("k", "k", "k", "k")
	place := s.wait("event 15 of 20")
	r.stop()
	s.wait("daemon away")
	r.serve()
	r.add(20, journal.MessageSent{Text: "while it was away", By: "me"})
	got := s.wait("event 15 of 21")
	stream := func(screen string) string { // without the panel, in which clocks run
		var out []string
		for _, l := range strings.Split(screen, "\n")[1:37] {
			_, right, _ := strings.Cut(l, "│")
			out = append(out, right)
		}
		return strings.Join(out, "\n")
	}
	if stream(got) != stream(place) {
		t.Errorf("it lost its place:\n%s\n\nbefore:\n%s", got, place)
	}
	s.keys("G")
	s.wait("me: while it was away")
}

// TestOutputHasNoPower writes what attacks terminals into every text that a run has, and looks at the bytes that are sent to
// the terminal.
func TestOutputHasNoPower(t *testing.T) {
	attacks := []string{
		"\x1b]0;PWNTITLE\x07", "\x1b]2;PWNTITLE\x1b\\", "\x1b]52;c;UFdOQ0xJUA==\x07", "\x1b]8;;http://pwn.example\x1b\\link", "\x1bPPWNDCS\x1b\\", "\x1b_PWNAPC\x1b\\",
		"\x1b[2J\x1b[31;7H", "\x1b[?1049l\x1b[?25h", "\x1b[6n\x1b[c", "\u009b2J", "\u009d0;PWNTITLE\u009c", "\r\n\rOVER\b\b\b\b", "\u202eesrever\u2066", "\x1b]1337;File=inline=1:AAAA\x07", "\x1b[8mPWNHIDDEN", "\x0e\x0f\x05",
	}
	evil := strings.Join(attacks, " mid ")
	recs := report(t)
	events := eventsOf(t, recs)
	events[0] = func() journal.Event {
		e := events[0].(journal.RunStarted)
		e.Goal.Text, e.Model, e.Workspace = evil, evil, "/"+evil
		return e
	}()
	for i, e := range events {
		switch e := e.(type) {
		case journal.ModelReplied:
			e.Reply = &llm.Reply{Text: evil}
			events[i] = e
		case journal.ToolFinished:
			e.Head, e.Tail, e.Rule, e.Changed = evil, evil, evil, []string{evil}
			events[i] = e
		case journal.ToolAsked:
			e.Verdict.Why, e.Verdict.Rule, e.Effect = evil, evil, evil
			e.Call.Args = args(t, map[string]string{"command": evil})
			events[i] = e
		case journal.MessageSent:
			events[i] = journal.MessageSent{Text: evil, By: evil}
		case journal.PlanMade:
			e.Reason, e.Plan.Tasks[1].Do = evil, evil
			events[i] = e
		case journal.Recalled:
			e.Items[0].Text = evil
			events[i] = e
		}
	}
	r := newRig(t)
	r.engine.OnDiff = func(context.Context, journal.RunID) (api.Diff, error) {
		return api.Diff{Files: []api.FileDiff{{Path: evil, Change: evil, Patch: "+" + evil, Mode: evil}}}, nil
	}
	r.engine.OnContext = func(context.Context, journal.RunID, int) (api.Context, error) {
		return api.Context{Bytes: []byte(evil), Model: evil, Hash: evil}, nil
	}
	r.engine.OnInfo = func(context.Context) (api.Info, error) { return api.Info{Model: evil, Socket: evil}, nil }
	r.run(events...)
	s := start(t, r.client, "", 120, 40)
	s.wait("1 ask in 1 run")
	s.keys("n")
	s.wait("New goal")
	s.keys("esc", "enter")
	s.wait("waits for you", "Spent")
	for range 30 {
		s.keys("enter", "k")
	}
	for _, step := range []struct {
		key  string
		want string
	}{{"a", "May this call run?"}, {"d", "Changes of"}, {"v", "Revisions"}, {"?", "Help"}} {
		s.keys(step.key)
		s.wait(step.want)
		s.keys("pgdown", "pgdown", "esc")
	}
	s.keys("tab", "pgdown", "tab", "G", "k", "c")
	s.wait("Sent at step")
	s.keys("esc")
	time.Sleep(200 * time.Millisecond)
	sent := s.bytes()
	for _, bad := range []string{"\x1b]0;PWN", "\x1b]2;PWN", "]52;c;UFd" + "\x07", "\x1b]52;c;UF", "\x1b]8;", "\x1bP", "\x1b_", "\x1b[31;7H\x1b", "\x1b[6n", "\u009b", "\u009d", "\u202e", "\u2066", "\x1b]1337", "\x1b[8m", "\x0e", "\x0f", "\x05"} {
		if i := strings.Index(sent, bad); i >= 0 {
			t.Errorf("%q was sent to the terminal: %q", bad, sent[max(0, i-60):min(len(sent), i+80)])
		}
	}
	// What remains are the program's own sequences: every OSC is one of its kinds.
	for rest := sent; ; {
		i := strings.Index(rest, "\x1b]")
		if i < 0 {
			break
		}
		rest = rest[i+2:]
		body, _, _ := strings.Cut(rest, "\x07")
		body, _, _ = strings.Cut(body, "\x1b")
		if title, ok := strings.CutPrefix(body, "2;"); !ok || !strings.HasPrefix(title, "agentctl") {
			t.Errorf("an OSC that is not the window's title: %.80q", body)
		}
	}
}

// TestRandomKeys presses keys and changes sizes at random: no panic, and every frame whole. TUI_FUZZ makes it longer.
func TestRandomKeys(t *testing.T) {
	length := 3 * time.Second
	if v, err := time.ParseDuration(os.Getenv("TUI_FUZZ")); err == nil {
		length = v
	}
	seed := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("TUI_SEED"), 10, 64); err == nil {
		seed = v
	}
	r := rand.New(rand.NewPCG(seed, 0))
	keys := strings.Fields("j k j k down up pgup pgdown g G home end enter esc esc tab / n N a y d o s c v r m p x L u ? : # J q left right ctrl+p ctrl+s ctrl+u ctrl+d ctrl+w backspace delete shift+tab alt+b 1 2 日 e 👨 D Y t A ctrl+enter M f l h")
	var trail []string
	defer func() {
		if p := recover(); p != nil || t.Failed() {
			t.Fatalf("seed %d after %q: %v", seed, trail[max(0, len(trail)-12):], p)
		}
	}()
	n := 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		recs := report(t)
		cut := 1 + r.IntN(len(recs))
		m := opened(t, 20+r.IntN(200), 6+r.IntN(60), recs[:cut])
		m.Update(listMsg{runs: runs(), at: noon})
		for range 150 {
			n++
			switch k := r.IntN(20); {
			case k == 0:
				w, h := 1+r.IntN(300), 1+r.IntN(100)
				trail = append(trail, fmt.Sprintf("%dx%d", w, h))
				m.Update(tea.WindowSizeMsg{Width: w, Height: h})
			case k == 1 && m.run != nil && m.run.id == testRun && m.run.follow != nil && cut < len(recs):
				trail = append(trail, "news")
				news(m, recs[cut])
				cut++
			case k == 2:
				trail = append(trail, "click")
				m.Update(tea.MouseClickMsg(tea.Mouse{X: r.IntN(200), Y: r.IntN(60), Button: tea.MouseLeft}))
			case k == 3:
				trail = append(trail, "wheel")
				m.Update(tea.MouseWheelMsg(tea.Mouse{X: r.IntN(200), Y: r.IntN(60), Button: []tea.MouseButton{tea.MouseWheelUp, tea.MouseWheelDown}[r.IntN(2)]}))
			case k == 4 && m.run != nil && !m.run.opened:
				trail = append(trail, "page")
				m.Update(pageOfTest(m.run.id, 0, recs[r.IntN(cut):cut]))
			case k == 5:
				trail = append(trail, "paste")
				m.Update(tea.PasteMsg{Content: "pasted\n\x1b[31m日本"})
			case k == 7:
				if b, ok := m.front().(*ruleBox); ok {
					trail = append(trail, "rules")
					rules := []string{`tool == "shell" && shell.command == "rm -rf build"`, strings.Repeat("日本 ", 500)}
					m.Update(rulesMsg{ask: b.ask.ask.Call.ID, rules: api.AskRules{Run: rules, Always: rules[r.IntN(2):], File: "/etc/granted.yaml", Note: "no\x1b[2J"}})
				}
			case k == 6:
				trail = append(trail, "toast")
				m.Update(doneMsg{words: "x", err: errors.New("no\x1b[2J")})
			default:
				key := keys[r.IntN(len(keys))]
				trail = append(trail, key)
				m.Update(keyNamed(key))
			}
			if m.w >= 20 && m.h >= 6 {
				checkFrame(t, m)
			} else {
				m.Screen()
			}
		}
	}
	t.Logf("%d messages", n)
}
