//go:build browser && linux

package crashtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// browsers lists the processes of browsers in boxes of the daemon whose runtime folder is given.
func browsers(t *testing.T, runtime string) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range dirs {
		args, err := os.ReadFile(d + "/cmdline")
		if err != nil || !strings.Contains(string(args), "chrom") {
			continue
		}
		// A box shows the scratch folder, which is below the runtime folder, as its workspace.
		if mounts, err := os.ReadFile(d + "/mountinfo"); err == nil && strings.Contains(string(mounts), runtime) {
			out = append(out, filepath.Base(d)+" "+strings.ReplaceAll(string(args[:min(len(args), 80)]), "\x00", " "))
		}
	}
	return out
}

// gone waits until no browser and no folder of one is left.
func gone(t *testing.T, runtime, when string) {
	t.Helper()
	var left, dirs []string
	for range 100 {
		left = browsers(t, runtime)
		dirs, _ = filepath.Glob(filepath.Join(runtime, "agentd-browser-*"))
		if len(left)+len(dirs) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s: processes %q, folders %q are left", when, left, dirs)
}

// TestBrowserOfARun looks at a run that uses a browser from outside: nothing of it is left after the run, after a cancel and after the
// daemon's death; the next daemon opens its tabs again and gives no ref twice; a click that was cut off is not repeated.
func TestBrowserOfARun(t *testing.T) {
	var clicks atomic.Int32
	hang := make(chan struct{})
	page := http.NewServeMux()
	page.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<title>Shop</title><h1>Shop</h1><input aria-label=Name><button onclick="let x=new XMLHttpRequest;x.open('POST','/buy',false);x.send()">Buy</button>`)
	})
	page.HandleFunc("/buy", func(_ http.ResponseWriter, r *http.Request) {
		clicks.Add(1)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	srv := httptest.NewServer(page)
	defer srv.Close()
	defer close(hang)

	dir := home(t)
	runtime := filepath.Join(dir, "rt")
	if err := os.Mkdir(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	buy := regexp.MustCompile(`button "Buy" \[(e\d+)\]`)
	var after atomic.Value // what the model saw first after the restart
	e := serve(t, func(msgs []message, tools bool) (string, any, string) {
		if !tools {
			return "", nil, `{"tasks":[{"id":"a","do":"buy","needs":[],"writes":[],"out":"","done":""}],"checks":[]}`
		}
		n, last := results(msgs)
		stay := strings.Contains(msgs[1].Content, "stay")
		switch {
		case n == 0:
			return "browser", m{"action": "open", "url": srv.URL}, ""
		case stay:
			return "browser", m{"action": "wait", "text": "never there", "timeout": 200}, ""
		case strings.Contains(last, "took effect"):
			return "browser", m{"action": "outline"}, ""
		case strings.Contains(last, "opened again"):
			after.Store(last)
			return "finish", m{"result": "bought"}, ""
		}
		return "browser", m{"action": "click", "ref": buy.FindStringSubmatch(last)[1], "timeout": 200}, ""
	})
	env := append(e.env(), "XDG_RUNTIME_DIR="+runtime)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	d := start(t, dir, env...)
	if d == nil {
		t.Fatal("the daemon did not start")
	}
	begin := func(goal string) journal.RunID {
		t.Helper()
		ws := t.TempDir()
		st, err := d.c.Start(ctx, api.StartRequest{
			Goal: goal, Checks: []string{"true"}, Workspace: ws, Yes: true, Attended: true, Model: "openai/scripted", Browser: "on", Net: []string{strings.TrimPrefix(srv.URL, "http://")},
		}, goal)
		if err != nil {
			t.Fatal(err)
		}
		return st.Run
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case <-ctx.Done():
				t.Fatal("waiting for " + what)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}

	// The daemon dies in the middle of a click.
	run := begin("buy")
	wait("the click", func() bool { return clicks.Load() == 1 })
	if n := len(browsers(t, runtime)); n < 2 {
		t.Fatalf("%d processes of a browser", n)
	}
	d.kill()
	for range 100 {
		if len(browsers(t, runtime)) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if left := browsers(t, runtime); len(left) > 0 {
		t.Errorf("after kill -9 of the daemon: %q", left)
	}
	if d = start(t, dir, env...); d == nil {
		t.Fatal("the daemon did not start again")
	}
	defer func() { d.kill() }()
	var s *journal.State
	state := func() *journal.State {
		var err error
		if s, _, err = fold(ctx, d.c, run); err != nil {
			t.Fatal(err)
		}
		return s
	}
	wait("the doubt", func() bool { return len(state().Asks) == 1 })
	for id, ask := range s.Asks {
		if ask.Ask != journal.AskDoubt {
			t.Errorf("ask %+v", ask)
		}
		if err := d.c.Answer(ctx, run, id, api.Answer{Answer: "done"}); err != nil {
			t.Fatal(err)
		}
	}
	wait("the end", func() bool { return state().Outcome != nil })
	if s.Outcome.Status != journal.StatusAccepted || clicks.Load() != 1 {
		t.Errorf("%s (%s) after %d clicks", s.Outcome.Status, s.Outcome.Reason, clicks.Load())
	}
	if text, _ := after.Load().(string); !strings.Contains(text, `button "Buy" [e4]`) {
		t.Errorf("the page after the restart: %s", text)
	}
	gone(t, runtime, "after the run")

	run = begin("stay on the page")
	wait("the page", func() bool { return len(state().Tabs) > 0 })
	if n := len(browsers(t, runtime)); n < 2 {
		t.Errorf("%d processes of a browser", n)
	}
	if err := d.c.Cancel(ctx, run); err != nil {
		t.Fatal(err)
	}
	wait("the cancel", func() bool { return state().Outcome != nil })
	gone(t, runtime, "after the cancel")
}
