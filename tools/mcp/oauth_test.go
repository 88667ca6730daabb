package mcp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/tools/mcp"
	"agentd/tools/mcp/mcptest"
)

// guarded serves a server behind OAuth on loopback.
func guarded(t *testing.T, life time.Duration) (*mcptest.Guarded, mcp.Server) {
	t.Helper()
	g := &mcptest.Guarded{Life: life}
	server := mcptest.New("")
	srv := serve(t, server, g.Handler(server))
	g.URL = srv.URL
	return g, mcp.Server{Name: "g", URL: srv.URL + "/mcp", Timeout: 5 * time.Second}
}

// serve serves a handler on loopback, and ends what is open at the end of the test.
func serve(t *testing.T, server *sdk.Server, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		for s := range server.Sessions() {
			s.Close()
		}
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

// visit is a person's browser, in which they agree.
func visit(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err == nil && !strings.Contains(string(page), "logged in") {
		err = errors.New(string(page))
	}
	return err
}

func TestLogin(t *testing.T) {
	r := newRig(t)
	g, s := guarded(t, 11*time.Second) // the client renews what has less than ten seconds left

	// Nobody is logged in: the run is told how, and nothing of it is opened by itself.
	_, list, _, notes := r.open(t, s)
	if len(list) != 0 || len(notes) != 1 {
		t.Fatalf("got %v and %q", list, notes)
	}
	wants(t, "no login", notes[0], "agentctl mcp login g")

	if err := r.opts.Login(t.Context(), s, visit); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(r.opts.Dir, "tokens", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got the files %v, %v", files, err)
	}
	if fi, err := os.Stat(files[0]); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the tokens have mode %v, %v", fi.Mode(), err)
	}
	if at, err := r.opts.LoggedIn(s); err != nil || time.Since(at) > time.Minute {
		t.Errorf("logged in at %v, %v", at, err)
	}
	run, list, set, notes := r.open(t, s)
	if len(list) != 1 || len(notes) != 0 {
		t.Fatalf("got %v and %q", list, notes)
	}
	if res, text := r.call(t, set["g.echo"], `{"text":"hi"}`); !res.OK || text != "echo: hi\n" {
		t.Errorf("got %q", text)
	}

	// A token that ends is renewed, and the new one is kept for the next daemon.
	before, _ := os.ReadFile(files[0])
	time.Sleep(1500 * time.Millisecond)
	if res, text := r.call(t, set["g.echo"], `{"text":"later"}`); !res.OK {
		t.Errorf("after the token's end: %q", text)
	}
	after, _ := os.ReadFile(files[0])
	if n, renewed := g.Counts(); n != 1 || renewed == 0 || string(before) == string(after) {
		t.Errorf("%d logins, %d renewals, kept anew: %v", n, renewed, string(before) != string(after))
	}
	run.Close()
	_, _, set, notes = r.open(t, s)
	if len(notes) != 0 {
		t.Fatal(notes)
	}

	// More scopes are asked for at the next login.
	g.Want("write:all")
	_, text := r.call(t, set["g.echo"], `{"text":"x"}`)
	wants(t, "scopes", text, "write:all", "agentctl mcp login g")
	if err := r.opts.Login(t.Context(), s, visit); err != nil {
		t.Fatal(err)
	}
	_, _, set, _ = r.open(t, s)
	if res, text := r.call(t, set["g.echo"], `{"text":"x"}`); !res.OK {
		t.Errorf("with the scopes: %q", text)
	}

	// What the server forgot is said so, and a logout leaves nothing.
	g.Forget()
	_, text = r.call(t, set["g.echo"], `{"text":"x"}`)
	wants(t, "forgotten", text, "agentctl mcp login g")
	if had, err := r.opts.Logout(s); !had || err != nil {
		t.Errorf("logout: %v, %v", had, err)
	}
	if files, _ := filepath.Glob(filepath.Join(r.opts.Dir, "tokens", "*")); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

func TestLoginFails(t *testing.T) {
	r := newRig(t)
	g, s := guarded(t, time.Minute)
	refuse := errors.New("no browser here")
	if err := r.opts.Login(t.Context(), s, func(context.Context, string) error { return refuse }); !errors.Is(err, refuse) && (err == nil || !strings.Contains(err.Error(), refuse.Error())) {
		t.Errorf("got %v", err)
	}
	deny := func(ctx context.Context, raw string) error {
		req, _ := http.NewRequest("GET", raw, nil)
		back := req.URL.Query().Get("redirect_uri")
		_ = visit(ctx, back+"?error=access_denied&error_description=no%1bway&state="+req.URL.Query().Get("state"))
		return nil
	}
	err := r.opts.Login(t.Context(), s, deny)
	if err == nil || !strings.Contains(err.Error(), "access_denied") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %v", err)
	}
	forged := func(ctx context.Context, raw string) error {
		req, _ := http.NewRequest("GET", raw, nil)
		return visit(ctx, req.URL.Query().Get("redirect_uri")+"?code=stolen&state=another")
	}
	if err := r.opts.Login(t.Context(), s, forged); err == nil {
		t.Error("an answer to another question was taken")
	}
	open := mcptest.New("")
	plain := serve(t, open, mcptest.HTTP(open))
	if err := r.opts.Login(t.Context(), mcp.Server{Name: "p", URL: plain.URL}, visit); !errors.Is(err, mcp.ErrNoLogin) {
		t.Errorf("got %v", err)
	}
	if err := r.opts.Login(t.Context(), mcp.Server{Name: "c", Command: "x"}, visit); err == nil {
		t.Error("a command was logged in to")
	}
	if n, _ := g.Counts(); n != 0 {
		t.Errorf("%d tokens were given", n)
	}
	// A file that others can read is not used.
	if err := r.opts.Login(t.Context(), s, visit); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(r.opts.Dir, "tokens", "*"))
	if err := os.Chmod(files[0], 0o644); err != nil {
		t.Fatal(err)
	}
	_, list, _, notes := r.open(t, s)
	if len(list) != 0 || len(notes) != 1 {
		t.Fatalf("got %v %q", list, notes)
	}
	wants(t, "mode", notes[0], "can be read by others")
}

// The same tools over streamable HTTP, with what a connection does beside answering.
func TestHTTP(t *testing.T) {
	r := newRig(t)
	mcptest.Told = filepath.Join(t.TempDir(), "cancelled.txt")
	var seen atomic.Value // the key of the last request
	server := mcptest.New("")
	h := mcptest.HTTP(server)
	srv := serve(t, server, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		seen.Store(q.Header.Get("X-Key"))
		h.ServeHTTP(w, q)
	}))
	s := mcp.Server{Name: "h", URL: srv.URL, Headers: map[string]string{"X-Key": "k1"}, Timeout: 3 * time.Second}
	run, list, set, notes := r.open(t, s)
	if len(list) != 1 || len(notes) != 0 || !list[0].Resources || !list[0].Prompts {
		t.Fatalf("got %+v and %q", list, notes)
	}
	if key := seen.Load(); key != "k1" {
		t.Errorf("got the key %v", key)
	}
	var live strings.Builder
	r.env.Out = &live
	if res, text := r.call(t, set["h.slow"], `{}`); !res.OK || text != "done\n" {
		t.Errorf("slow: %q", text)
	}
	wants(t, "progress", live.String(), "9 of 10: working")
	_, text := r.call(t, set["mcp_resource"], `{"server":"h","uri":"test://doc"}`)
	wants(t, "resource", text, "the document's text")
	_, text = r.call(t, set["mcp_prompt"], `{"server":"h","name":"greet","args":"{\"who\":\"Anna\"}"}`)
	wants(t, "prompt", text, "user: Greet Anna")
	r.env.Ask = func(context.Context, string) (string, error) { return "colour=green", nil }
	_, text = r.call(t, set["h.ask"], `{}`)
	wants(t, "elicitation", text, `accept {"colour":"green","count":1}`)
	res, text := r.call(t, set["h.hang"], `{}`)
	if res.OK || res.Killed == "" {
		t.Errorf("hang: got %+v %q", res, text)
	}
	// A description that changes is noticed at the next call.
	r.call(t, set["h.more"], `{}`)
	time.Sleep(200 * time.Millisecond)
	_, text = r.call(t, set["h.echo"], `{"text":"x"}`)
	wants(t, "changed", text, "says something else of echo")
	res, text = r.call(t, set["h.big"], `{}`)
	if res.OK {
		t.Errorf("10 MB: got %d bytes", len(text))
	}
	if res, text = r.call(t, set["h.long"], `{}`); !res.OK {
		t.Errorf("after 10 MB: %q", text)
	}
	run.Close()
}

// A server that a goal names is reached only where the run's network opens it, also when it is opened later.
func TestGoalServerNeedsTheNetwork(t *testing.T) {
	r := newRig(t)
	server := mcptest.New("")
	srv := serve(t, server, mcptest.HTTP(server))
	s := mcp.Server{Name: "h", URL: srv.URL, Strict: true, Timeout: time.Second}
	run, list, _, notes := r.open(t, s)
	if len(list) != 0 || len(notes) != 1 {
		t.Fatalf("got %v and %q", list, notes)
	}
	r.env.Policy.Net.Allow = []string{strings.Replace(strings.TrimPrefix(srv.URL, "http://"), ":", "/32:", 1)}
	list, notes = run.List(t.Context(), r.env.Policy)
	if len(list) != 1 || len(notes) != 0 {
		t.Fatalf("with the host opened: got %v and %q", list, notes)
	}
	set := byName(run.Tools(list))
	if res, text := r.call(t, set["h.echo"], `{"text":"x"}`); !res.OK {
		t.Errorf("got %q", text)
	}
}

// A stdio server's box has what the run was granted since it was started.
func TestLaterGrants(t *testing.T) {
	r := newRig(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the site") }))
	defer site.Close()
	_, _, set, _ := r.open(t, server(t, "s", "good"))
	get := `{"text":"` + site.URL + `"}`
	if _, text := r.call(t, set["s.fetch"], get); strings.Contains(text, "from the site") {
		t.Fatalf("it got out: %q", text)
	}
	r.env.Policy.Net.Allow = []string{strings.Replace(strings.TrimPrefix(site.URL, "http://"), ":", "/32:", 1)}
	if _, text := r.call(t, set["s.fetch"], get); !strings.Contains(text, "from the site") {
		t.Errorf("after the grant: %q", text)
	}
}
