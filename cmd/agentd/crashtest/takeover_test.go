//go:build browser && linux

package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agentd/api"
	"agentd/cmd/agentctl/web"
	"agentd/journal"
	"agentd/tools"
	"agentd/tools/args"
	"agentd/tools/browser"
)

// site is a page that only a person gets past: one types a word into the field in its middle, and a button that a person presses.
func site(t *testing.T) *httptest.Server {
	const form = `<title>Log in</title><h1>Log in</h1><form method=post action=/account?from=login><input name=word type=password aria-label=Word autocomplete=off style="position:fixed;inset:35% 20%;font-size:60px"></form>`
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, text)
	}
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { say(w, form) })
	mux.HandleFunc("POST /account", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("word") != "zebra7" {
			say(w, "<p>That is wrong: "+fmt.Sprint(len(r.PostFormValue("word"))))
			return
		}
		say(w, "<title>Account</title><h1>Welcome Ada</h1>")
	})
	mux.HandleFunc("GET /button", func(w http.ResponseWriter, _ *http.Request) {
		say(w, `<title>Button</title><button style="position:fixed;inset:35% 20%" onclick="document.body.append('go on')">Press</button>`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// person is a browser of its own, by which a person uses the pages that agentctl serves.
type person struct {
	t    *testing.T
	tabs tools.Tabs
	env  tools.Env
	dir  string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	program, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	scratch, release, err := browser.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	b, err := browser.New(browser.Options{Program: program, Start: browser.OnHost, Scratch: scratch, NoSandbox: os.Geteuid() == 0})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, tabs: b.Tabs("person"), dir: t.TempDir()}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.env.Root = root
	t.Cleanup(func() { root.Close(); b.Close(); release.Close() })
	return p
}

// do does one action and returns what is shown.
func (p *person) do(a args.Browser) string {
	p.t.Helper()
	r, err := p.tabs.Do(p.t.Context(), p.env, a)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Output.Close()
	text := r.Output.Head() + r.Output.Tail()
	if !r.OK {
		p.t.Fatalf("%s %s: %s", a.Action, a.Ref, text)
	}
	return text
}

// ref finds an element in what is shown now.
func (p *person) ref(what string) string {
	p.t.Helper()
	text := p.do(args.Browser{Action: "outline"})
	m := regexp.MustCompile(regexp.QuoteMeta(what) + `[^\[\n]*\[(e\d+)\]`).FindStringSubmatch(text)
	if m == nil {
		p.t.Fatalf("no %s in\n%s", what, text)
	}
	return m[1]
}

func (p *person) picture(name string) {
	p.t.Helper()
	p.do(args.Browser{Action: "screenshot", To: name})
	if dir := os.Getenv("TAKEOVER_SHOTS"); dir != "" { // to look at them
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			p.t.Error(err)
		}
	}
}

// TestTakenOver takes the browsers of two runs over: of one that asks for it, and of one that does not. The person types in a browser
// of its own, on the page that agentctl serves.
func TestTakenOver(t *testing.T) {
	s := site(t)
	var calls atomic.Int32
	type m = map[string]any
	e := serve(t, func(msgs []message, tools bool) (string, any, string) {
		if !tools {
			return "", nil, `{"tasks":[{"id":"a","do":"log in","needs":[],"writes":[],"out":"","done":""}],"checks":[]}`
		}
		n, last := results(msgs)
		calls.Add(1)
		press := strings.Contains(msgs[1].Content, "press")
		switch {
		case n == 0 && press:
			return "browser", m{"action": "open", "url": s.URL + "/button"}, ""
		case n == 0:
			return "browser", m{"action": "open", "url": s.URL + "/login"}, ""
		case strings.Contains(last, "Welcome Ada"), strings.Contains(last, "go on"):
			if strings.Contains(last, "it did not come") {
				break
			}
			return "finish", m{"result": last[:min(len(last), 400)]}, ""
		case press:
		case n == 1:
			return "browser", m{"action": "takeover", "text": "log in, please"}, ""
		default:
			return "finish", m{"result": "no: " + last, "failed": true}, ""
		}
		return "browser", m{"action": "wait", "text": "go on", "timeout": 3 + n%50}, ""
	})
	dir := home(t)
	d := start(t, dir, e.env()...)
	if d == nil {
		t.Fatal("the daemon did not start")
	}
	defer d.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	begin := func(goal string) journal.RunID {
		t.Helper()
		st, err := d.c.Start(ctx, api.StartRequest{
			Goal: goal, Checks: []string{"true"}, Workspace: t.TempDir(), Yes: true, Model: "openai/scripted", Browser: "on", Net: []string{strings.TrimPrefix(s.URL, "http://")},
		}, goal)
		if err != nil {
			t.Fatal(err)
		}
		return st.Run
	}
	until := func(run journal.RunID, what string, ok func(*journal.State) bool) *journal.State {
		t.Helper()
		for {
			st, _, err := fold(ctx, d.c, run)
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			if ok(st) {
				return st
			}
			select {
			case <-ctx.Done():
				t.Fatalf("waiting for %s", what)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	p := newPerson(t)
	// look opens the page of a run as agentctl browser serves it.
	look := func(run journal.RunID) (stop func()) {
		t.Helper()
		links := make(chan string, 8)
		w, err := web.New(web.Options{Client: d.c, Enter: "/runs/" + string(run) + "/browser", Announce: func(l string) { links <- l }})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- w.Serve(ctx, ln) }()
		link := <-links
		for _, bad := range []struct{ host, url string }{{"evil.example", link}, {"", strings.Split(link, "?")[0] + "runs/" + string(run) + "/browser/frames"}} {
			req, _ := http.NewRequestWithContext(ctx, "GET", bad.url, nil)
			req.Host = bad.host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("%s as %q: %s", bad.url, bad.host, resp.Status)
			}
		}
		p.do(args.Browser{Action: "open", URL: link})
		p.do(args.Browser{Action: "wait", URL: "/browser"})
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}

	run := begin("log in")
	st := until(run, "the ask", func(s *journal.State) bool { return len(s.Asks) > 0 })
	for _, a := range st.Asks {
		if a.Ask != journal.AskTake || !strings.Contains(a.Verdict.Why, "log in, please") || st.Status() != journal.StatusParked {
			t.Errorf("%s, ask %+v", st.Status(), a)
		}
	}
	stop := look(run)
	p.do(args.Browser{Action: "wait", Text: "log in, please"})
	p.picture("asked.png")
	p.do(args.Browser{Action: "click", Ref: p.ref(`button "Take over"`)})
	p.do(args.Browser{Action: "wait", Text: "is yours"})
	canvas := p.ref(`canvas`)
	p.do(args.Browser{Action: "click", Ref: canvas})
	for _, key := range "zebra7" {
		p.do(args.Browser{Action: "press", Ref: canvas, Text: string(key)})
	}
	time.Sleep(300 * time.Millisecond)
	p.picture("typed.png")
	p.do(args.Browser{Action: "press", Ref: canvas, Text: "Enter"})
	until(run, "the account", func(*journal.State) bool { return strings.Contains(p.do(args.Browser{Action: "outline"}), "/account") })
	p.picture("done.png")
	before := calls.Load()
	p.do(args.Browser{Action: "click", Ref: p.ref(`button "Give it back"`)})
	st = until(run, "the end", func(s *journal.State) bool { return s.Outcome != nil })
	stop()
	if st.Outcome.Status != journal.StatusAccepted || !strings.Contains(st.Outcome.Result, "Welcome Ada") || before != 2 {
		t.Errorf("%s (%s): %s; %d calls before it was given back", st.Outcome.Status, st.Outcome.Reason, st.Outcome.Result, before)
	}
	_, records, err := fold(ctx, d.c, run)
	if err != nil {
		t.Fatal(err)
	}
	var visits []journal.TakenOver
	for _, r := range records {
		if strings.Contains(string(r.Data), "zebra") {
			t.Errorf("the journal has what was typed: %s", r.Data)
		}
		if r.Kind == journal.KindTakenOver {
			var v journal.TakenOver
			if err := json.Unmarshal(r.Data, &v); err != nil {
				t.Fatal(err)
			}
			visits = append(visits, v)
		}
	}
	if len(visits) != 1 || visits[0].Clicks != 1 || visits[0].Keys != 7 || visits[0].Ms < 100 || !slices.Equal(visits[0].Pages, []string{s.URL + "/login", s.URL + "/account"}) {
		t.Errorf("visits %+v", visits)
	}

	// A person takes over unasked: the agent waits until the page is closed.
	run = begin("press the button")
	until(run, "the page", func(s *journal.State) bool { return len(s.Tabs) > 0 })
	stop = look(run)
	p.do(args.Browser{Action: "click", Ref: p.ref(`button "Take over"`)})
	p.do(args.Browser{Action: "wait", Text: "is yours", Timeout: 60})
	st = until(run, "the ask", func(s *journal.State) bool { return len(s.Asks) == 1 })
	before = calls.Load()
	p.do(args.Browser{Action: "click", Ref: p.ref(`canvas`)})
	time.Sleep(2 * time.Second)
	if n := calls.Load(); n > before+1 || st.Status() != journal.StatusWaiting { // a reply that was under way may still come
		t.Errorf("%s, and %d calls of the model while the browser was taken", st.Status(), n-before)
	}
	p.picture("pressed.png")
	p.do(args.Browser{Action: "open", URL: "about:blank"})
	st = until(run, "the end", func(s *journal.State) bool { return s.Outcome != nil })
	stop()
	if st.Outcome.Status != journal.StatusAccepted || !strings.Contains(st.Outcome.Result, "go on") {
		t.Errorf("%s (%s): %s", st.Outcome.Status, st.Outcome.Reason, st.Outcome.Result)
	}
}
