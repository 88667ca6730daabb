package mcp_test

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/cmd/agentctl/mcp"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/planner"
)

// rig is a daemon's real server and store, with an engine that plays a run by its goal's words, and an SDK client at the MCP server.
type rig struct {
	store   journal.Store
	ws      string
	session *sdk.ClientSession
	started chan api.StartRequest

	mu       sync.Mutex
	progress []string
}

func newRig(t *testing.T, change ...func(*mcp.Options)) *rig {
	t.Helper()
	dir := t.TempDir()
	store, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: store, ws: t.TempDir(), started: make(chan api.StartRequest, 8)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	engine := &apitest.Engine{Store: store, OnStart: func(ctx2 context.Context, req api.StartRequest, key string) (journal.RunID, bool, error) {
		r.started <- req
		run, fresh, err := store.Create(ctx2, journal.RunID("run"+key), key, apitest.Started(req))
		if err == nil && fresh {
			wg.Go(func() { r.play(ctx, run, req.Goal) })
		}
		return run, fresh, err
	}}
	var memory apitest.Memory
	p := api.Places{Home: dir, Socket: filepath.Join(dir, "s"), Link: filepath.Join(dir, "l")}
	ln, err := p.Listen()
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewServer(api.Options{Store: store, Engine: engine, Memory: &memory})
	wg.Go(func() { _ = srv.Serve(ctx, ln) })
	o := mcp.Options{Version: "test", Workspace: r.ws, Connect: func(context.Context) (*api.Client, error) {
		c, err := api.Dial(p.Socket)
		if c != nil {
			c.By = "anna"
		}
		return c, err
	}}
	for _, f := range change {
		f(&o)
	}
	// As two processes would be: each has one end of two pipes.
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	wg.Go(func() {
		_ = mcp.Serve(ctx, o, inR, outW)
		outW.Close()
	})
	client := sdk.NewClient(&sdk.Implementation{Name: "tester", Version: "1"}, &sdk.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, n *sdk.ProgressNotificationClientRequest) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.progress = append(r.progress, n.Params.Message)
		},
	})
	if r.session, err = client.Connect(ctx, &sdk.IOTransport{Reader: outR, Writer: inW}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.session.Close()
		cancel()
		wg.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// play drives a run: one that asks, one that goes on until it is cancelled, one that ends.
func (r *rig) play(ctx context.Context, run journal.RunID, goal string) {
	add := func(events ...journal.Event) {
		_, _ = journal.Update(ctx, r.store, run, func(st *journal.State) ([]journal.Event, error) {
			if st.Outcome != nil {
				return nil, nil
			}
			return events, nil
		})
	}
	wait := func(is func(*journal.State) bool) {
		var st journal.State
		for rec, err := range r.store.Watch(ctx, run, 0) {
			if err != nil || st.Apply(rec) != nil || is(&st) {
				return
			}
		}
	}
	add(journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: planner.Plan{Revision: 1, Tasks: []planner.Task{{ID: "t1", Do: "Do it"}}}, Reason: "first plan"})
	add(journal.TaskStarted{Task: "t1", Attempt: 1})
	switch {
	case strings.Contains(goal, "ask"):
		args, _ := json.Marshal(map[string]string{"command": "curl https://example.com \x1b[31m"})
		c := journal.Call{ID: "c1", Task: "t1", Tool: "shell", Args: args}
		add(journal.ToolAsked{Call: c, Ask: journal.AskTool, Verdict: journal.Verdict{Do: "ask", Why: "it leaves the sandbox"}, Origins: []string{"mcp:mail"}},
			journal.Paused{Parked: true, Reason: "nobody is here to answer"})
		wait(func(st *journal.State) bool {
			call := st.ToolCall("c1")
			return call != nil && call.Answer != nil || st.Cancel
		})
		add(journal.ToolFinished{Call: c, Status: journal.ToolOK})
	case strings.Contains(goal, "slow"):
		wait(func(st *journal.State) bool { return st.Cancel })
	}
	add(journal.RunFinished{Status: journal.StatusAccepted, Result: "done: " + goal, Changed: []string{"a.txt"}})
}

// call calls a tool and decodes its answer; want is a part of the error, "" for none.
func (r *rig) call(t *testing.T, tool string, args map[string]any, out any, want string) {
	t.Helper()
	p := &sdk.CallToolParams{Name: tool, Arguments: args}
	p.SetProgressToken("p1")
	res, err := r.session.CallTool(t.Context(), p)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	text := res.Content[0].(*sdk.TextContent).Text
	if want != "" || res.IsError {
		if !res.IsError || want == "" || !strings.Contains(text, want) {
			t.Fatalf("%s %v: got %q (error %v), want an error with %q", tool, args, text, res.IsError, want)
		}
		return
	}
	data, err := json.Marshal(res.StructuredContent)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%s: %v in %s", tool, err, data)
	}
}

type state struct {
	Run, Status, Result, Next string
	Ended                     bool
	Changed                   []string
	Asks                      []struct {
		Ask, Kind, Call, Why string
		Origins, Answers     []string
	}
}

func TestTools(t *testing.T) {
	r := newRig(t)
	list, err := r.session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if got, want := strings.Join(names, " "), "answer memory_search run_events run_goal run_status"; got != want {
		t.Fatalf("got the tools %s, want %s", got, want)
	}

	var st state
	r.call(t, "run_goal", map[string]any{"goal": "tidy up", "key": "one", "steps": 7}, &st, "")
	if st.Run != "runone" || st.Status != "accepted" || !st.Ended || st.Result != "done: tidy up" || len(st.Changed) != 1 {
		t.Errorf("got %+v", st)
	}
	if req := <-r.started; req.Workspace != r.ws || req.Budget.Steps != 7 || req.Net != nil || req.Yes || req.Attended {
		t.Errorf("started %+v", req)
	}
	r.call(t, "run_goal", map[string]any{"goal": "tidy up", "key": "one"}, &st, "")
	<-r.started
	if st.Run != "runone" {
		t.Errorf("the same key started %s", st.Run)
	}

	var ev struct {
		Events []struct {
			Seq        int
			Kind, Text string
		}
		More bool
	}
	r.call(t, "run_events", map[string]any{"run": "last", "limit": 2}, &ev, "")
	if len(ev.Events) != 2 || !ev.More || ev.Events[0].Text != "goal: tidy up" {
		t.Errorf("got %+v", ev)
	}
	r.call(t, "run_events", map[string]any{"run": "runone", "after": 2}, &ev, "")
	if ev.More || ev.Events[0].Seq != 3 || ev.Events[len(ev.Events)-1].Kind != string(journal.KindRunFinished) {
		t.Errorf("got %+v", ev)
	}

	var found struct {
		Items []struct{ ID, Text, Trust string }
	}
	r.call(t, "memory_search", map[string]any{"query": "anything"}, &found, "")
}

func TestAnAskIsAnswered(t *testing.T) {
	r := newRig(t)
	var st state
	began := time.Now()
	r.call(t, "run_goal", map[string]any{"goal": "ask me", "key": "two", "wait_seconds": 60}, &st, "")
	if time.Since(began) > 20*time.Second || st.Ended || len(st.Asks) != 1 || st.Next == "" {
		t.Fatalf("after %v: got %+v", time.Since(began), st)
	}
	a := st.Asks[0]
	if a.Kind != "tool" || !strings.Contains(a.Call, "curl https://example.com") || strings.Contains(a.Call, "\x1b") || a.Why != "it leaves the sandbox" ||
		!slices.Contains(a.Origins, "mcp:mail") || !slices.Contains(a.Answers, "allow") {
		t.Errorf("got %+v", a)
	}
	r.call(t, "answer", map[string]any{"run": "runtwo", "answer": "perhaps"}, &st, "perhaps")
	r.call(t, "answer", map[string]any{"run": "runtwo", "answer": "allow", "reason": "fine"}, &st, "")
	r.call(t, "run_status", map[string]any{"run": "runtwo", "wait_seconds": 60}, &st, "")
	if !st.Ended || st.Status != "accepted" {
		t.Errorf("got %+v", st)
	}
	by := ""
	for rec, err := range r.store.Read(t.Context(), "runtwo", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := rec.Decode(); e.Kind() == journal.KindAskAnswered {
			by = e.(journal.AskAnswered).By
		}
	}
	if by != "anna through the MCP client tester" {
		t.Errorf("answered by %q", by)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.progress, "\n"); !strings.Contains(got, "task t1") || !strings.Contains(got, "asks: shell curl") {
		t.Errorf("got the progress %q", got)
	}
	r.call(t, "answer", map[string]any{"run": "runtwo", "answer": "allow"}, &st, "0 asks open")
}

// A run outlives a client that doesn't wait for it, whether its time is up or it takes its request back.
func TestWaiting(t *testing.T) {
	r := newRig(t)
	var st state
	r.call(t, "run_goal", map[string]any{"goal": "slow", "key": "three", "wait_seconds": 1}, &st, "")
	if st.Ended || st.Status != "running" {
		t.Fatalf("got %+v", st)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := r.session.CallTool(ctx, &sdk.CallToolParams{Name: "run_status", Arguments: map[string]any{"run": "runthree", "wait_seconds": 600}}); err == nil {
		t.Error("a cancelled call gave an answer")
	}
	r.call(t, "run_status", map[string]any{"run": "runthree"}, &st, "")
	if st.Ended || st.Status != "running" {
		t.Fatalf("after a cancelled call: got %+v", st)
	}
}

func TestOnlyTheServerOpensTheNetwork(t *testing.T) {
	r := newRig(t, func(o *mcp.Options) { o.Net = []string{"example.com:443"} })
	var st state
	r.call(t, "run_goal", map[string]any{"goal": "x", "net": []string{"public"}}, &st, "net")
	r.call(t, "run_goal", map[string]any{"goal": "x", "key": "four"}, &st, "")
	if req := <-r.started; !slices.Equal(req.Net, []string{"example.com:443"}) {
		t.Errorf("started with %q", req.Net)
	}
}

func TestBadArguments(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"run_goal", nil, "one of goal and file"},
		{"run_goal", map[string]any{"goal": "a", "file": "b"}, "one of goal and file"},
		{"run_goal", map[string]any{"goal": "a", "workspace": "rel"}, "absolute"},
		{"run_goal", map[string]any{"goal": "a", "wall": "soon"}, "wall"},
		{"run_goal", map[string]any{"goal": "a", "wait_seconds": -1}, "wait_seconds"},
		{"run_goal", map[string]any{"goal": "a", "steps": -1}, "negative"},
		{"run_goal", map[string]any{"file": "../../etc/passwd"}, "not below the workspace"},
		{"run_goal", map[string]any{"file": "goals/none.goal.md"}, "no such file"},
		{"run_status", map[string]any{"run": "nothing"}, "nothing"},
		{"run_events", map[string]any{"run": "last", "limit": 100000}, "limit"},
		{"memory_search", map[string]any{"query": " "}, "empty"},
		{"memory_search", map[string]any{}, "query"},
	} {
		r.call(t, tt.tool, tt.args, nil, tt.want)
	}
	if len(r.started) > 0 {
		t.Errorf("something was started: %+v", <-r.started)
	}
}
