//go:build browser

package browser_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"agentd/tools"
	"agentd/tools/browser"
)

// driver uses a real browser as a model would: by the tool alone.
type driver struct {
	t       testing.TB
	b       *browser.Browser
	tool    tools.Tool
	env     tools.Env
	dir     string
	scratch string
	quiet   bool // what is done is not logged
}

// drive starts a browser on the host that ends with the test.
func drive(t testing.TB) *driver {
	t.Helper()
	program, err := browser.Find()
	if err != nil {
		t.Fatal(err)
	}
	scratch, release, err := browser.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	marks[t] = scratch
	b, err := browser.New(browser.Options{Program: program, Start: browser.OnHost, Scratch: scratch, NoSandbox: os.Geteuid() == 0})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := release.Close(); err != nil {
			t.Error(err)
		}
	})
	d := with(t, b)
	d.scratch = scratch
	return d
}

func with(t testing.TB, b *browser.Browser) *driver {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &driver{t: t, b: b, tool: browser.Tool{}, env: tools.Env{Root: root, Tabs: b.Tabs("main")}, dir: dir}
}

// try does one action: its arguments are the action, then name and value.
func (d *driver) try(action string, kv ...string) (string, bool) {
	d.t.Helper()
	m := map[string]any{"action": action}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	raw, err := json.Marshal(m)
	if err != nil {
		d.t.Fatal(err)
	}
	a, err := d.tool.Decode(raw)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	began := time.Now()
	r, err := d.tool.Run(ctx, d.env, a)
	if err != nil {
		d.t.Fatalf("%v: %v", m, err)
	}
	if d.quiet {
		return whole(d.t, r), r.OK
	}
	d.t.Logf("%s (%v) ok=%v in %v\n%s", raw, kv, r.OK, time.Since(began).Round(time.Millisecond), show(r))
	return whole(d.t, r), r.OK
}

func show(r tools.Result) string { return r.Output.Head() + r.Output.Tail() }

func whole(t testing.TB, r tools.Result) string {
	f, err := r.Output.Spilled()
	if err != nil {
		t.Fatal(err)
	}
	if f == nil {
		return show(r)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (d *driver) do(action string, kv ...string) string {
	d.t.Helper()
	text, ok := d.try(action, kv...)
	if !ok {
		d.t.Fatalf("%s %v: %s", action, kv, text)
	}
	return text
}

// ref finds the ref behind a piece of an outline.
func ref(t testing.TB, outline, before string) string {
	t.Helper()
	_, rest, ok := strings.Cut(outline, before)
	if !ok {
		t.Fatalf("no %s in:\n%s", before, outline)
	}
	_, rest, _ = strings.Cut(rest, "[")
	r, _, _ := strings.Cut(rest, "]")
	return r
}

// pages serves testdata and what handlers are given.
func pages(t testing.TB, more map[string]http.HandlerFunc) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata")))
	for p, h := range more {
		mux.HandleFunc(p, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func html(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, body) // a browser that went away
	}
}
