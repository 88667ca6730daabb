package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/cmd/agentctl/web"
	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/llm"
	"agentd/planner"
)

const testRun = journal.RunID("abcdefghijkl")

// rig is a daemon without an engine, and the pages of its runs.
type rig struct {
	store  *bolt.Store
	engine *apitest.Engine
	base   string
	links  chan string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "web") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	store, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	engine := &apitest.Engine{Store: store, OnDiff: func(context.Context, journal.RunID) (api.Diff, error) {
		return api.Diff{Files: []api.FileDiff{{Path: "a<b>.go", Change: "changed", Patch: "--- a\n+++ b\n@@ -1 +1 @@\n-<script>old()</script>\n+<script>fresh()</script>\n"}}}, nil
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { api.NewServer(api.Options{Store: store, Engine: engine}).Serve(ctx, socket) })
	client, err := api.Dial(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	client.By = "ann"
	r := &rig{store: store, engine: engine, links: make(chan string, 8)}
	s, err := web.New(web.Options{Client: client, Announce: func(l string) { r.links <- l }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.base = "http://" + ln.Addr().String()
	wg.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	return r
}

// evil is text that tries to become more than text.
const evil = `<script>document.title="owned"</script><img src=x onerror=alert(1)>" onmouseover="x` + "\x1b]0;owned\a \u202eabc"

// begin makes a run with an open ask, all of whose texts are evil.
func (r *rig) begin(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if _, _, err := r.store.Create(ctx, testRun, "", journal.RunStarted{
		Goal: goals.Goal{Text: "Tidy the build " + evil, Budget: goals.Budget{Steps: 50, Tokens: 800_000, USD: 2, Wall: time.Hour}}, Workspace: "/home/me/project", Model: "anthropic/claude",
	}); err != nil {
		t.Fatal(err)
	}
	call := journal.Call{ID: `c1.0"><script>`, Task: "write", Tool: "shell", From: "m1", Args: json.RawMessage(`{"command":"rm -rf build # <script>alert(1)</script>"}`)}
	r.add(t, 1, journal.DriverClaimed{Epoch: 1},
		journal.PlanMade{Plan: planner.Plan{Revision: 1, Tasks: []planner.Task{{ID: "look", Do: "Look at what is here"}, {ID: "write", Do: "Write it " + evil, Needs: []string{"look"}}}}},
		journal.TaskStarted{Task: "look", Attempt: 1}, journal.ModelAsked{Call: "m0", Task: "look", Purpose: "step", Step: 1},
		journal.ModelReplied{Call: "m0", Reply: &llm.Reply{Text: "I look at the folder. " + evil}, Used: 1200, Ms: 900},
		journal.ToolStarted{Call: journal.Call{ID: "c0", Task: "look", Tool: "shell", From: "m0", Args: json.RawMessage(`{"command":"ls -la"}`)}, Effect: "once"},
		journal.ToolFinished{Call: journal.Call{ID: "c0", Task: "look", Tool: "shell", From: "m0", Args: json.RawMessage(`{"command":"ls -la"}`)}, Status: journal.ToolOK, Head: "total 4\nbuild\n" + evil, Ms: 20},
		journal.TaskFinished{Task: "look", OK: true, Result: "There is a build folder."},
		journal.TaskStarted{Task: "write", Attempt: 1}, journal.ModelAsked{Call: "m1", Task: "write", Purpose: "step", Step: 2},
		journal.ModelReplied{Call: "m1", Reply: &llm.Reply{Text: "The build folder goes."}, Used: 1500, Ms: 800},
		journal.ToolAsked{Call: call, Ask: journal.AskTool, Effect: "once", Verdict: journal.Verdict{Do: "ask", Rule: "careful", Why: "it removes files " + evil}},
	)
}

func (r *rig) add(t *testing.T, after journal.Seq, events ...journal.Event) {
	t.Helper()
	if _, err := r.store.Append(t.Context(), testRun, after, events...); err != nil {
		t.Fatal(err)
	}
}

// browser is an HTTP client with cookies.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// Only a browser with the newest link gets in, once; only pages of here may send forms; only names of this machine are answered.
func TestWhoGetsIn(t *testing.T) {
	r := newRig(t)
	r.begin(t)
	link := <-r.links
	c := browser(t)
	if code, _ := get(t, c, r.base+"/"); code != http.StatusUnauthorized {
		t.Errorf("without a link: %d", code)
	}
	if code, _ := get(t, c, r.base+"/runs/"+string(testRun)); code != http.StatusUnauthorized {
		t.Errorf("a run without a link: %d", code)
	}
	if code, _ := get(t, c, r.base+"/?token=nonsense"); code != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", code)
	}
	if code, _ := get(t, c, link); code != http.StatusOK {
		t.Fatalf("with the link: %d", code)
	}
	if code, body := get(t, c, r.base+"/"); code != http.StatusOK || !strings.Contains(body, "Tidy the build") {
		t.Errorf("after it: %d %s", code, body)
	}
	if code, _ := get(t, browser(t), link); code != http.StatusUnauthorized {
		t.Errorf("the link of another browser, again: %d", code)
	}
	if next := <-r.links; next == link {
		t.Error("the next link is the same")
	}

	post := func(host, origin, site string) int {
		req, err := http.NewRequest("POST", r.base+"/runs/"+string(testRun)+"/say", strings.NewReader("text=hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if host != "" {
			req.Host = host
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		at, err := url.Parse(r.base)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range c.Jar.Cookies(at) { // whatever name is asked for
			req.AddCookie(k)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	own := strings.TrimPrefix(r.base, "http://")
	for _, x := range []struct {
		name, host, origin, site string
		want                     int
	}{
		{"this page", "", r.base, "", 303},
		{"this page in a tunnel", "localhost:9999", "http://localhost:9999", "", 303},
		{"no origin, same site", "", "", "same-origin", 303},
		{"another page", "", "http://evil.example", "cross-site", 403},
		{"another port of this machine", "", "http://127.0.0.1:1", "same-site", 403},
		{"a page without an origin", "", "null", "", 403},
		{"nothing said", "", "", "", 403},
		{"a name that points here", "evil.example:80", "http://evil.example:80", "same-origin", 421},
		{"a name that looks like here", "localhost.evil.example", "http://" + own, "", 421},
	} {
		if got := post(x.host, x.origin, x.site); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); err == nil {
		t.Error("it listens on every address")
	}
}

// harmless fails where evil text is more than text.
func harmless(t *testing.T, what, body string) {
	t.Helper()
	for _, bad := range []string{"<script>document", "<script>alert", "<script>old", "<img src=x", `" onmouseover="`, "\x1b", "\u202e"} {
		if strings.Contains(body, bad) {
			t.Errorf("%s has %q", what, bad)
		}
	}
}

// Pages show a run and its ask; an answer, a message and the rest reach the journal; no text becomes markup.
func TestReadAndAnswer(t *testing.T) {
	r := newRig(t)
	r.begin(t)
	c := browser(t)
	get(t, c, <-r.links)
	run := r.base + "/runs/" + string(testRun)
	code, body := get(t, c, run)
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for _, want := range []string{"May this call run?", "rm -rf build", "step 2", "There is a build folder.", "1 ask", "rule careful", "2.7k/800k", "/live.js"} {
		if want == "1 ask" {
			_, home := get(t, c, r.base+"/")
			harmless(t, "home", home)
			if !strings.Contains(home, want) {
				t.Errorf("home has no %q", want)
			}
			continue
		}
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	harmless(t, "run", body)
	_, diff := get(t, c, run+"/diff")
	harmless(t, "diff", diff)
	if !strings.Contains(diff, `<span class="plus">&#43;&lt;script&gt;fresh()`) {
		t.Errorf("diff:\n%s", diff)
	}

	live, err := http.NewRequest("GET", run+"/live?after=13", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := (&http.Client{Jar: c.Jar}).Do(live)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	form := func(deed string, v url.Values) int {
		req, err := http.NewRequest("POST", run+"/"+deed, strings.NewReader(v.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", r.base)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := form("answer", url.Values{"ask": {`c1.0"><script>`}, "answer": {"deny"}, "reason": {"keep it " + evil}}); got != 200 {
		t.Errorf("answer: %d", got)
	}
	if got := form("answer", url.Values{"ask": {"nonsense"}, "answer": {"allow"}}); got != 404 {
		t.Errorf("an answer to nothing: %d", got)
	}
	for deed, v := range map[string]url.Values{"say": {"text": {"also this"}}, "pause": nil, "resume": nil, "cancel": nil} {
		if got := form(deed, v); got != 200 {
			t.Errorf("%s: %d", deed, got)
		}
	}
	if got := form("explode", nil); got != 404 {
		t.Errorf("an unknown deed: %d", got)
	}
	var st journal.State
	if err := journal.CatchUp(t.Context(), r.store, testRun, &st); err != nil {
		t.Fatal(err)
	}
	if a := st.ToolCall(`c1.0"><script>`).Answer; a == nil || a.Answer != "deny" || a.By != "ann" || !strings.HasPrefix(a.Reason, "keep it") {
		t.Errorf("answer %+v", a)
	}
	if len(st.Messages) != 1 || !st.Cancel {
		t.Errorf("messages %v, cancelled %v", st.Messages, st.Cancel)
	}

	// The stream brought what the forms did, as elements, and ends with the run.
	r.add(t, st.Last, journal.RunFinished{Status: journal.StatusCancelled, Reason: "cancelled " + evil})
	var names []string
	lines := bufio.NewScanner(stream.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, n)
		}
		if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var v struct{ HTML string }
			if err := json.Unmarshal([]byte(d), &v); err != nil {
				t.Fatal(err)
			}
			harmless(t, "stream", v.HTML)
		}
		if len(names) > 0 && names[len(names)-1] == "end" {
			break
		}
	}
	all := strings.Join(names, " ")
	if !strings.Contains(all, "entry") || !strings.Contains(all, "state") || !strings.HasSuffix(all, "end") {
		t.Errorf("stream of %s", all)
	}
}

// A real browser shows the pages, runs live.js, and takes no text for more. WEB_SHOTS names a folder for its pictures.
func TestInChromium(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on the path: apt-get install chromium")
	}
	shots := os.Getenv("WEB_SHOTS")
	r := newRig(t)
	r.begin(t)
	r.add(t, 13, journal.RunFinished{Status: journal.StatusAccepted, Self: true, Result: "Done. " + evil}) // an open stream would hold the browser
	show := func(name, size, query string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		home := t.TempDir()
		a := []string{"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir=" + home, "--window-size=" + size, "--virtual-time-budget=8000"}
		cmd := exec.CommandContext(ctx, chromium, append(append(a, args...), <-r.links+query)...)
		cmd.Env = append(os.Environ(), "HOME="+home)
		cmd.WaitDelay = 5 * time.Second
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(out)
	}
	dom := show("run", "1280,900", "&run="+string(testRun), "--dump-dom")
	if strings.Contains(dom, "<title>owned") || !strings.Contains(dom, "self-checked") || !strings.Contains(dom, "rm -rf build") {
		t.Errorf("the page became\n%s", dom)
	}
	for name, q := range map[string]string{"home": "", "run": "&run=" + string(testRun)} {
		for kind, size := range map[string]string{"wide": "1280,900", "phone": "390,844"} {
			file := filepath.Join(t.TempDir(), name+".png")
			if shots != "" {
				file = filepath.Join(shots, name+"-"+kind+".png")
			}
			show(name, size, q, "--screenshot="+file)
			if fi, err := os.Stat(file); err != nil || fi.Size() < 5000 {
				t.Errorf("%s %s: no picture: %v", name, kind, err)
			}
		}
	}
}

// A rule is shown before it is added, and what it says has no power over the page.
func TestAllowByRule(t *testing.T) {
	r := newRig(t)
	kept := make(chan string, 1)
	rule := `shell.command == "rm"` + strings.NewReplacer("\x1b", "", "\a", "", "\u202e", "").Replace(evil)
	r.engine.OnRules = func(*journal.State, journal.ToolAsked) (api.AskRules, error) {
		return api.AskRules{Run: []string{"for the run"}, Always: []string{evil, rule, "wider"}, File: "/cfg/granted.yaml"}, nil
	}
	r.engine.OnKeep = func(when, _ string) error { kept <- when; return nil }
	r.begin(t)
	c := browser(t)
	get(t, c, <-r.links)
	run := r.base + "/runs/" + string(testRun)
	ask := url.Values{"scope": {"always"}, "ask": {`c1.0"><script>`}}
	_, page := get(t, c, run)
	if !strings.Contains(page, "rule?scope=always&amp;ask=c1.0%22%3e%3cscript%3e") {
		t.Errorf("the page leads to no rule:\n%s", page)
	}
	code, body := get(t, c, run+"/rule?"+ask.Encode())
	harmless(t, "rule", body)
	for _, want := range []string{"Allow it always", "/cfg/granted.yaml", "shell.command == &#34;rm&#34;", "wider"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Fatalf("%d, no %q in\n%s", code, want, body)
		}
	}
	if code, _ := get(t, c, run+"/rule?scope=ever&ask=c1"); code != 400 {
		t.Errorf("an unknown scope: %d", code)
	}
	v := url.Values{"ask": {`c1.0"><script>`}, "answer": {"allow"}, "scope": {"always"}, "rule": {rule}}
	req, err := http.NewRequest("POST", run+"/answer", strings.NewReader(v.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.base)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("answer: %d", resp.StatusCode)
	}
	if got := <-kept; got != rule {
		t.Errorf("kept %q", got)
	}
	var st journal.State
	if err := journal.CatchUp(t.Context(), r.store, testRun, &st); err != nil {
		t.Fatal(err)
	}
	if len(st.Granted) != 1 || st.Granted[0].Scope != journal.ScopeAlways || st.Granted[0].Rule != rule {
		t.Errorf("granted %+v", st.Granted)
	}
}
