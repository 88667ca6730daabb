package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
)

// service is a server on a real socket with a real store.
type service struct {
	*apitest.Engine
	socket string
	client *api.Client
	stop   func() // ends the server and waits
}

// serve starts a service; change may set functions of its engine and options before.
func serve(t *testing.T, change func(*apitest.Engine, *api.Options)) *service {
	t.Helper()
	dir := t.TempDir()
	store, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &service{Engine: &apitest.Engine{Store: store}, socket: filepath.Join(dir, "s.sock")}
	o := api.Options{Store: store, Engine: s.Engine, Build: "test"}
	if change != nil {
		change(s.Engine, &o)
	}
	s.start(t, o)
	s.client, err = api.Dial(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	s.client.By = "ann"
	t.Cleanup(s.client.Close)
	return s
}

func (s *service) start(t *testing.T, o api.Options) {
	t.Helper()
	ln, err := api.Places{Socket: s.socket}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.NewServer(o).Serve(ctx, ln) }()
	s.stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
}

// begin starts a run.
func (s *service) begin(t *testing.T) journal.RunID {
	t.Helper()
	st, err := s.client.Start(t.Context(), api.StartRequest{Goal: "find the files", Workspace: "/w", Model: "local"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return st.Run
}

// add appends events as a driver does.
func (s *service) add(t *testing.T, run journal.RunID, events ...journal.Event) {
	t.Helper()
	if _, err := journal.Update(t.Context(), s.Store, run, func(*journal.State) ([]journal.Event, error) { return events, nil }); err != nil {
		t.Fatal(err)
	}
}

func ask(id string, kind journal.AskKind) journal.ToolAsked {
	return journal.ToolAsked{Call: journal.Call{ID: id, Tool: "shell", Args: json.RawMessage(`{"command":"x"}`)}, Ask: kind, Effect: "once"}
}

func TestStart(t *testing.T) {
	var asked api.StartRequest
	s := serve(t, func(e *apitest.Engine, _ *api.Options) {
		e.OnStart = func(ctx context.Context, r api.StartRequest, key string) (journal.RunID, bool, error) {
			asked = r
			return e.Store.Create(ctx, "run000000001", key, apitest.Started(r))
		}
	})
	want := api.StartRequest{
		Goal: "find the files", Checks: []string{"true"}, Protect: []string{"*.go"}, Net: []string{"h:1"}, Model: "a/b", Workspace: "/w",
		Budget: goals.Budget{USD: 1.5, Tokens: 10, Steps: -1, Wall: time.Minute}, Yes: true, Attended: true, Parallel: 3, Params: map[string]string{"a": "b"},
	}
	for i, fresh := range []bool{true, false} { // the same key starts one run
		got, err := s.client.Start(t.Context(), want, "key-1")
		if err != nil {
			t.Fatal(err)
		}
		if want := (api.Started{Run: "run000000001", Fresh: fresh}); got != want {
			t.Errorf("start %d: got %+v, want %+v", i, got, want)
		}
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("what the engine got:\n%s", d)
	}
	sum, err := s.client.Summary(t.Context(), "run000000001")
	if err != nil || sum.Status != journal.StatusQueued || sum.Goal != "find the files" {
		t.Errorf("summary %+v, %v", sum, err)
	}
}

func TestChanges(t *testing.T) {
	yes, no := true, false
	open := []journal.Event{journal.DriverClaimed{Epoch: 1}, ask("c1", journal.AskTool), ask("c2", journal.AskDoubt), ask("c3", journal.AskModel)}
	ended := []journal.Event{journal.RunFinished{Status: journal.StatusAccepted}}
	answer := func(id, a string) func(context.Context, *api.Client, journal.RunID) error {
		return func(ctx context.Context, c *api.Client, r journal.RunID) error {
			return c.Answer(ctx, r, id, api.Answer{Answer: a, Reason: "why"})
		}
	}
	patch := func(p api.Patch) func(context.Context, *api.Client, journal.RunID) error {
		return func(ctx context.Context, c *api.Client, r journal.RunID) error { return c.Patch(ctx, r, p) }
	}
	say := func(text string) func(context.Context, *api.Client, journal.RunID) error {
		return func(ctx context.Context, c *api.Client, r journal.RunID) error { return c.Say(ctx, r, text) }
	}
	cancel := func(ctx context.Context, c *api.Client, r journal.RunID) error { return c.Cancel(ctx, r) }
	tests := []struct {
		name   string
		before []journal.Event
		do     func(context.Context, *api.Client, journal.RunID) error
		want   []journal.Event
		err    error
	}{
		{"allow a call", open, answer("c1", "allow"), []journal.Event{journal.AskAnswered{Ask: "c1", Answer: "allow", Reason: "why", By: "ann"}}, nil},
		{"done, for a call", open, answer("c1", "done"), nil, api.ErrInvalid},
		{"done, for one in doubt", open, answer("c2", "done"), []journal.Event{journal.AskAnswered{Ask: "c2", Answer: "done", Reason: "why", By: "ann"}}, nil},
		{"allow, for one in doubt", open, answer("c2", "allow"), nil, api.ErrInvalid},
		{"words", open, answer("c3", "use the second"), []journal.Event{journal.AskAnswered{Ask: "c3", Answer: "use the second", Reason: "why", By: "ann"}}, nil},
		{"no words", open, answer("c3", " "), nil, api.ErrInvalid},
		{"an ask that never was", open, answer("c9", "allow"), nil, journal.ErrNotFound},
		{"a slash in an ask's id", open, answer("../c1", "allow"), nil, journal.ErrNotFound},
		{"the same answer again", append(open, journal.AskAnswered{Ask: "c1", Answer: "allow", By: "bob"}), answer("c1", "allow"), nil, nil},
		{"another answer", append(open, journal.AskAnswered{Ask: "c1", Answer: "allow", By: "bob"}), answer("c1", "deny"), nil, api.ErrNotOpen},
		{"an answer too long", open, answer("c3", strings.Repeat("x", 70<<10)), nil, api.ErrTooLarge},
		{"an answer after the end", append(open, ended...), answer("c1", "allow"), nil, api.ErrEnded},
		{"say", open, say("look below"), []journal.Event{journal.MessageSent{Text: "look below", By: "ann"}}, nil},
		{"say nothing", open, say("\n"), nil, api.ErrInvalid},
		{"say too much", open, say(strings.Repeat("x", 300<<10)), nil, api.ErrTooLarge},
		{"say after the end", ended, say("x"), nil, api.ErrEnded},
		{"pause", open, patch(api.Patch{Paused: &yes, Reason: "lunch"}), []journal.Event{journal.Paused{By: "ann", Reason: "lunch"}}, nil},
		{"pause twice", []journal.Event{journal.Paused{}}, patch(api.Patch{Paused: &yes}), nil, nil},
		{"resume", []journal.Event{journal.Paused{}}, patch(api.Patch{Paused: &no}), []journal.Event{journal.Resumed{By: "ann"}}, nil},
		{"resume what runs", open, patch(api.Patch{Paused: &no}), nil, nil},
		{"limits and resume", []journal.Event{journal.Paused{Parked: true}}, patch(api.Patch{Paused: &no, Limits: &goals.Budget{Steps: 9}}),
			[]journal.Event{journal.LimitChanged{Budget: goals.Budget{Steps: 9}, By: "ann"}, journal.Resumed{By: "ann"}}, nil},
		{"nothing to change", open, patch(api.Patch{}), nil, api.ErrInvalid},
		{"limits after the end", ended, patch(api.Patch{Limits: &goals.Budget{Steps: 9}}), nil, api.ErrEnded},
		{"cancel", open, cancel, []journal.Event{journal.CancelAsked{By: "ann"}}, nil},
		{"cancel twice", []journal.Event{journal.CancelAsked{}}, cancel, nil, nil},
		{"cancel after the end", ended, cancel, nil, api.ErrEnded},
	}
	woken := atomic.Int64{}
	s := serve(t, func(e *apitest.Engine, _ *api.Options) { e.OnWake = func(journal.RunID) { woken.Add(1) } })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run := s.begin(t)
			s.add(t, run, tt.before...)
			woken.Store(0)
			if err := tt.do(t.Context(), s.client, run); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			recs, err := s.client.Page(t.Context(), run, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []journal.Event
			for _, r := range recs[1+len(tt.before):] {
				e, err := r.Decode()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("appended (-want +got):\n%s", d)
			}
			if len(got) > 0 && woken.Load() == 0 {
				t.Error("the driver was not woken")
			}
		})
	}
}

func TestUnknownRun(t *testing.T) {
	s := serve(t, nil)
	for _, run := range []journal.RunID{"nosuchrun123", "..", "a/b", "", "ABC", journal.RunID(strings.Repeat("a", 100))} {
		calls := map[string]func() error{
			"get":     func() error { _, err := s.client.Get(t.Context(), run); return err },
			"summary": func() error { _, err := s.client.Summary(t.Context(), run); return err },
			"say":     func() error { return s.client.Say(t.Context(), run, "x") },
			"cancel":  func() error { return s.client.Cancel(t.Context(), run) },
			"purge":   func() error { return s.client.Purge(t.Context(), run) },
			"events": func() error {
				for _, err := range s.client.Events(t.Context(), run, 0) {
					return err
				}
				return nil
			},
		}
		for name, call := range calls {
			if run == "" && (name == "get" || name == "summary") { // that is the list
				continue
			}
			if err := call(); !errors.Is(err, journal.ErrNotFound) && !errors.Is(err, api.ErrInvalid) {
				t.Errorf("%s of run %q: %v, want not found", name, run, err)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	s := serve(t, nil)
	run := string(s.begin(t))
	hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	defer hc.CloseIdleConnections()
	tests := []struct {
		name, method, path, body string
		header                   [2]string
		status                   int
		code                     string
		says                     string
	}{
		{"unknown field", "POST", "/v1/runs", `{"gaol":"x"}`, [2]string{}, 400, "invalid", "gaol"},
		{"not JSON", "POST", "/v1/runs", `goal=x`, [2]string{}, 400, "invalid", "body"},
		{"not UTF-8", "POST", "/v1/runs", "{\"goal\":\"\xff\"}", [2]string{}, 400, "invalid", "UTF-8"},
		{"two values", "POST", "/v1/runs", `{} {}`, [2]string{}, 400, "invalid", "more than one"},
		{"empty body", "POST", "/v1/runs", ``, [2]string{}, 400, "invalid", "body"},
		{"no goal", "POST", "/v1/runs", `{"workspace":"/w"}`, [2]string{}, 400, "invalid_goal", "empty"},
		{"two goals", "POST", "/v1/runs", `{"goal":"a b","file":{"name":"x","text":"y"}}`, [2]string{}, 400, "invalid_goal", "both"},
		{"a huge body", "POST", "/v1/runs", `{"goal":"` + strings.Repeat("x", 5<<20) + `"}`, [2]string{}, 413, "too_large", "larger"},
		{"a huge key", "POST", "/v1/runs", `{"goal":"a b"}`, [2]string{"Idempotency-Key", strings.Repeat("k", 300)}, 413, "too_large", "Idempotency-Key"},
		{"unknown parameter", "GET", "/v1/runs?limt=3", "", [2]string{}, 400, "invalid", "limt"},
		{"a limit in words", "GET", "/v1/runs?limit=many", "", [2]string{}, 400, "invalid", "limit"},
		{"a negative limit", "GET", "/v1/runs?limit=-1", "", [2]string{}, 400, "invalid", "limit"},
		{"a flag in words", "GET", "/v1/runs?live=perhaps", "", [2]string{}, 400, "invalid", "live"},
		{"a strange event id", "GET", "/v1/runs/" + run + "/events", "", [2]string{"Last-Event-ID", "x"}, 400, "invalid", "Last-Event-ID"},
		{"step 0", "GET", "/v1/runs/" + run + "/context?step=0", "", [2]string{}, 400, "invalid", "step"},
		{"no step", "GET", "/v1/runs/" + run + "/context", "", [2]string{}, 400, "invalid", "step"},
		{"no route", "GET", "/v2/runs", "", [2]string{}, 404, "not_found", "/v2/runs"},
		{"a strange hash", "GET", "/v1/blobs/..%2f..%2fetc", "", [2]string{}, 404, "not_found", "blob"},
		{"a long signature", "DELETE", "/v1/runs/" + run + "?by=" + strings.Repeat("x", 101), "", [2]string{}, 413, "too_large", "by"},
		{"another version of the interface", "GET", "/v1/info", "", [2]string{"Agentd-Api", "99"}, 426, "version", "version 99"},
		{"no model", "POST", "/v1/models/pull", `{"name":""}`, [2]string{}, 400, "unknown_model", "model"},
		{"a strange follow", "GET", "/v1/runs/" + run + "/events?follow=maybe", "", [2]string{}, 400, "invalid", "follow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, "http://agentd"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.header[0] != "" {
				req.Header.Set(tt.header[0], tt.header[1])
			}
			resp, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var e api.Error
			if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || e.Code != tt.code || !strings.Contains(e.Message, tt.says) {
				t.Errorf("got %d %+v, want %d %s … %s …", resp.StatusCode, e, tt.status, tt.code, tt.says)
			}
		})
	}
}

// A connection that nobody asks anything on doesn't hold up the end of the server.
func TestStopIsQuick(t *testing.T) {
	s := serve(t, nil)
	began := time.Now()
	s.stop()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the server took %v to stop", d)
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	s := serve(t, func(e *apitest.Engine, _ *api.Options) {
		e.OnInfo = func(context.Context) (api.Info, error) { panic("broken invariant") }
	})
	if _, err := s.client.Info(t.Context()); !errors.Is(err, api.ErrInternal) || strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want an internal error without details", err)
	}
	if _, err := s.client.List(t.Context(), journal.Filter{}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestListAndResolve(t *testing.T) {
	s := serve(t, nil)
	var runs []journal.RunID
	for range 3 {
		runs = append(runs, s.begin(t))
	}
	s.add(t, runs[0], journal.RunFinished{Status: journal.StatusAccepted})
	live, err := s.client.List(t.Context(), journal.Filter{Live: true, Oldest: true, Limit: 1})
	if err != nil || len(live) != 1 || live[0].Run != runs[1] {
		t.Errorf("live: %+v, %v", live, err)
	}
	tests := []struct {
		name string
		want journal.RunID
		err  error
	}{
		{"last", runs[2], nil}, {string(runs[1]), runs[1], nil}, {"run", "", api.ErrInvalid}, {"zzz", "", journal.ErrNotFound}, {"", "", journal.ErrNotFound},
		{string(runs[1][:11]), "", api.ErrInvalid},
	}
	for _, tt := range tests {
		got, err := s.client.Resolve(t.Context(), tt.name)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("resolve %q: %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	if err := s.client.Purge(t.Context(), runs[1]); !errors.Is(err, api.ErrLive) {
		t.Errorf("purge of a live run: %v", err)
	}
	if err := s.client.Purge(t.Context(), runs[0]); err != nil {
		t.Error(err)
	}
	if _, err := s.client.Summary(t.Context(), runs[0]); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("after the purge: %v", err)
	}
}

func TestEngineCalls(t *testing.T) {
	hash := ""
	ctxWant := api.Context{Step: 2, Model: "local", Bytes: []byte("{\"a\":\x00}"), Tokens: 3, Hash: "h", Verified: true}
	diffWant := api.Diff{Files: []api.FileDiff{{Path: "a", Change: "changed", Patch: "@@"}}}
	undoWant := journal.Undone{By: "ann", Restored: []string{"a"}, Kept: []string{"b"}}
	modelsWant := []api.ModelInfo{{Name: "local", Ready: true, Size: 5}}
	s := serve(t, func(e *apitest.Engine, _ *api.Options) {
		e.OnContext = func(_ context.Context, _ journal.RunID, step int) (api.Context, error) {
			if step != 2 {
				return api.Context{}, journal.ErrNotFound
			}
			return ctxWant, nil
		}
		e.OnDiff = func(context.Context, journal.RunID) (api.Diff, error) { return diffWant, nil }
		e.OnUndo = func(_ context.Context, _ journal.RunID, by string, step int) (journal.Undone, error) {
			return journal.Undone{By: by, Restored: []string{"a"}, Kept: []string{"b"}}, nil
		}
		e.OnModels = func(context.Context) ([]api.ModelInfo, error) { return modelsWant, nil }
		e.OnRemove = func(_ context.Context, name string) error {
			if name != "local/qwen" {
				return api.Errorf(api.ErrModel, "", "no model %q", name)
			}
			return nil
		}
		e.OnPull = func(_ context.Context, name string, progress func(api.PullProgress)) error {
			progress(api.PullProgress{File: "m.gguf", State: "fetching", Done: 1, Total: 2})
			if name == "bad" {
				return api.Errorf(api.ErrProvider, "", "sha256 is a, want b")
			}
			progress(api.PullProgress{File: "m.gguf", State: "done", Done: 2, Total: 2})
			return nil
		}
	})
	run := s.begin(t)
	got, err := s.client.Context(t.Context(), run, 2)
	if d := cmp.Diff(ctxWant, got); d != "" || err != nil {
		t.Errorf("context: %v\n%s", err, d)
	}
	if _, err := s.client.Context(t.Context(), run, 3); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a step that never was: %v", err)
	}
	diff, err := s.client.Diff(t.Context(), run)
	if d := cmp.Diff(diffWant, diff); d != "" || err != nil {
		t.Errorf("diff: %v\n%s", err, d)
	}
	undone, err := s.client.Undo(t.Context(), run, 0)
	if d := cmp.Diff(undoWant, undone); d != "" || err != nil {
		t.Errorf("undo: %v\n%s", err, d)
	}
	models, err := s.client.Models(t.Context())
	if d := cmp.Diff(modelsWant, models); d != "" || err != nil {
		t.Errorf("models: %v\n%s", err, d)
	}
	if err := s.client.RemoveModel(t.Context(), "local/qwen"); err != nil {
		t.Error(err)
	}
	if err := s.client.RemoveModel(t.Context(), "x"); !errors.Is(err, api.ErrModel) {
		t.Error(err)
	}
	for name, want := range map[string]error{"good": nil, "bad": api.ErrProvider} {
		var states []string
		err := s.client.Pull(t.Context(), name, func(p api.PullProgress) { states = append(states, p.State) })
		if !errors.Is(err, want) || states[0] != "fetching" {
			t.Errorf("pull %s: %v, %v", name, err, states)
		}
	}
	info, err := s.client.Info(t.Context())
	if err != nil || info.API != api.Version || info.Version != "test" || info.Model != "local" {
		t.Errorf("info: %+v, %v", info, err)
	}
	if hash, _, err = s.Store.PutBlob(t.Context(), run, strings.NewReader("the whole output")); err != nil {
		t.Fatal(err)
	}
	var blob, backup bytes.Buffer
	if _, err := s.client.Blob(t.Context(), hash, &blob); err != nil || blob.String() != "the whole output" {
		t.Errorf("blob: %q, %v", blob.String(), err)
	}
	if _, err := s.client.Blob(t.Context(), strings.Repeat("0", 64), io.Discard); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("no blob: %v", err)
	}
	if n, err := s.client.Backup(t.Context(), &backup); err != nil || n == 0 || n != int64(backup.Len()) {
		t.Errorf("backup: %d bytes, %v", n, err)
	}
	if pid, err := s.client.PID(t.Context()); err != nil || pid != os.Getpid() {
		t.Errorf("pid: %d, %v", pid, err)
	}
}
