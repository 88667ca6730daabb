package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentd/acceptance"
	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/llm"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/tools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// model answers from a function; it counts its calls.
type model struct {
	info  llm.Info
	reply func(n int, r *llm.Request) (*llm.Reply, error) // n counts from 0

	mu sync.Mutex
	n  int
}

func (m *model) Info() llm.Info { return m.info }

func (m *model) Encode(r *llm.Request) ([]byte, error) { return json.Marshal(r) }

func (m *model) Stream(ctx context.Context, r *llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		m.mu.Lock()
		n := m.n
		m.n++
		m.mu.Unlock()
		if err := ctx.Err(); err != nil {
			yield(llm.Delta{}, err)
			return
		}
		reply, err := m.reply(n, r)
		if err != nil {
			yield(llm.Delta{}, err)
			return
		}
		if reply.Stop == "" {
			reply.Stop = llm.StopEnd
		}
		reply.Model = m.info.Name
		yield(llm.Delta{Kind: llm.DeltaDone, Reply: reply}, nil)
	}
}

func (m *model) calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

// host runs commands without a box: what boxes do is the sandbox's own suite.
type host struct{}

func (host) Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir = filepath.Join(p.Workspace, c.Dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if cmd.Stderr == nil {
		cmd.Stderr = cmd.Stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: cmd.ProcessState.ExitCode(), Level: sandbox.LevelNone}, nil
}

func measure(ctx context.Context, base sandbox.Policy, probes []goals.Probe) ([]acceptance.Result, error) {
	var out []acceptance.Result
	for _, p := range probes {
		o := tools.NewOutput(2000)
		res, err := host{}.Run(ctx, base, sandbox.Command{Argv: []string{"bash", "-c", p.Cmd}, Stdout: o})
		if err != nil {
			return nil, err
		}
		out = append(out, acceptance.Result{Name: p.Name, Cmd: p.Cmd, Exit: res.Exit, Output: o.Head() + o.Tail()})
	}
	return out, nil
}

// rig is an engine on real storage with scripted models.
type rig struct {
	*agent.Engine
	t     *testing.T
	store journal.Store
	cfg   agent.Config
	ws    string
}

func newRig(t *testing.T, models ...llm.Model) *rig {
	t.Helper()
	dir := t.TempDir()
	store, err := bolt.Open(bolt.Options{Dir: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	ws := filepath.Join(dir, "ws")
	if err := os.Mkdir(ws, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: store, ws: ws, cfg: agent.Config{
		Store: store, Open: func(context.Context, string) ([]llm.Model, error) { return models, nil },
		Box: host{}, Tools: tools.Builtin(), Policy: policy.Default(), Measure: measure,
		Snaps: filepath.Join(dir, "snaps"), Copies: filepath.Join(dir, "copies"), Version: "test", Now: time.Now,
	}}
	r.restart()
	t.Cleanup(func() { r.Close() })
	return r
}

// restart starts an engine on the store, as a daemon does.
func (r *rig) restart() {
	if r.Engine != nil {
		r.Close()
	}
	r.Engine = agent.New(r.cfg)
	if _, err := r.Resume(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start(req agent.Request) journal.RunID {
	r.t.Helper()
	if req.Workspace == "" {
		req.Workspace = r.ws
	}
	id, _, err := r.Start(r.t.Context(), req, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// until follows a run until cond holds of its state.
func (r *rig) until(id journal.RunID, what string, cond func(*journal.State) bool) *journal.State {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	s := new(journal.State)
	for rec, err := range r.store.Watch(ctx, id, 0) {
		if err != nil {
			r.t.Fatalf("waiting for %s: %v (status %s, %d events)", what, err, s.Status(), s.Last)
		}
		if err := s.Apply(rec); err != nil {
			r.t.Fatal(err)
		}
		if cond(s) {
			return s
		}
	}
	r.t.Fatalf("waiting for %s: the watch ended with status %s", what, s.Status())
	return nil
}

func (r *rig) ended(id journal.RunID) *journal.State {
	r.t.Helper()
	return r.until(id, "the end", func(s *journal.State) bool { return s.Outcome != nil })
}

func (r *rig) answer(id journal.RunID, answer string) {
	r.t.Helper()
	_, err := journal.Update(r.t.Context(), r.store, id, func(s *journal.State) ([]journal.Event, error) {
		for ask := range s.Asks {
			return []journal.Event{journal.AskAnswered{Ask: ask, Answer: answer, By: "test"}}, nil
		}
		return nil, errors.New("no ask is open")
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Wake(id)
}

func goal(text string, checks ...string) goals.Goal {
	g, err := goals.FromText(text, checks)
	if err != nil {
		panic(err)
	}
	return g
}

func say(text string) *llm.Reply { return &llm.Reply{Text: text} }

func call(tool string, args any) *llm.Reply {
	raw, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return &llm.Reply{Stop: llm.StopCalls, Calls: []llm.Call{{ID: "c1", Name: tool, Args: string(raw)}}}
}

func sh(command string) *llm.Reply { return call("shell", map[string]string{"command": command}) }

func plan(checks ...string) *llm.Reply {
	type m = map[string]any
	var cs []m
	for i, c := range checks {
		cs = append(cs, m{"name": fmt.Sprint(i), "cmd": c})
	}
	raw, err := json.Marshal(m{"tasks": []m{{"id": "work", "do": "do it"}}, "checks": cs})
	if err != nil {
		panic(err)
	}
	return say(string(raw))
}

// scripted replies in order; behind the script's end the last reply is repeated. Questions for a check get none and don't count.
func scripted(replies ...*llm.Reply) *model {
	m := &model{info: llm.Info{Name: "test/model", Window: 100000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{}}}
	m.reply = func(n int, r *llm.Request) (*llm.Reply, error) {
		if r.Schema == nil && len(r.Tools) == 0 {
			m.n--
			return say("none"), nil
		}
		reply := *replies[min(n, len(replies)-1)]
		return &reply, nil
	}
	return m
}

func TestRunIsAcceptedByItsCheck(t *testing.T) {
	r := newRig(t, scripted(sh("echo 42 > answer"), say("done")))
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer", "grep -qx 42 answer")}))
	if s.Outcome.Status != journal.StatusAccepted || s.Outcome.Self || s.Outcome.Result != "done" {
		t.Errorf("got %+v", s.Outcome)
	}
	if got := strings.Join(s.Outcome.Changed, " "); got != "answer" {
		t.Errorf("changed %q, want answer", got)
	}
}

func TestProposedChecksMustFailFirst(t *testing.T) {
	for _, tt := range []struct {
		name  string
		check string
		want  journal.Status
	}{
		{"meaningful", "grep -qx 42 answer", journal.StatusAccepted},
		{"blind to the contents", "test -s answer", journal.StatusUnverified},
		{"vacuous", "true", journal.StatusUnverified},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, scripted(plan(tt.check), sh("echo 42 > answer"), say("done")))
			s := r.ended(r.start(agent.Request{Goal: goal("write the answer")}))
			if s.Outcome.Status != tt.want || s.Outcome.Self != (tt.want == journal.StatusAccepted) {
				t.Errorf("got %+v, want %s", s.Outcome, tt.want)
			}
			if s.Base == nil || s.Base.Checks[0].Vacuous != (tt.name == "vacuous") {
				t.Errorf("base measurement: %+v", s.Base)
			}
		})
	}
}

func TestUnmetChecksGoBackToTheAgent(t *testing.T) {
	r := newRig(t, scripted(sh("echo 41 > answer"), say("done"), sh("echo 42 > answer"), say("mended")))
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer", "grep -x 42 answer")}))
	if s.Outcome.Status != journal.StatusAccepted || s.Measured != 2 || s.Plan.Revision != 2 {
		t.Errorf("got %+v, measured %d times, revision %d", s.Outcome, s.Measured, s.Plan.Revision)
	}
	if !strings.HasPrefix(s.Plans[1].Reason, "unmet: check1") {
		t.Errorf("the revision's reason is %q", s.Plans[1].Reason)
	}
}

// What was measured before a crash and not met stands: a daemon that dies before it has a plan that mends it costs the run no retry.
func TestARestartCostsNoRetry(t *testing.T) {
	r := newRig(t, scripted(sh("echo 41 > answer"), say("done"), sh("echo 42 > answer"), say("mended"), sh("echo 42 > answer"), say("mended")))
	id := r.start(agent.Request{Goal: goal("write the answer", "grep -x 42 answer")})
	r.ended(id)
	cut := journal.RunID("t00000000001")
	var last journal.Seq
	for rec, err := range r.store.Read(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		event, err := rec.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if first, ok := event.(journal.RunStarted); ok {
			_, _, err = r.store.Create(t.Context(), cut, "", first)
			last = 1
		} else {
			last, err = r.store.Append(t.Context(), cut, last, event)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind == journal.KindCheckFinished {
			break // the daemon dies here
		}
	}
	r.restart()
	if s := r.ended(cut); s.Outcome.Status != journal.StatusAccepted || s.Measured != 2 || len(s.Plans) != 2 {
		t.Errorf("got %+v, measured %d times, %d plans", s.Outcome, s.Measured, len(s.Plans))
	}
}

func TestUnusablePlansFallBack(t *testing.T) {
	m := scripted(say("no"), say("{"), say("never"), say("done"))
	r := newRig(t, m)
	s := r.ended(r.start(agent.Request{Goal: goal("write the answer")}))
	if s.Outcome.Status != journal.StatusUnverified || !s.Plans[0].Fallback || s.Notes != 4 || m.calls() != 4 {
		t.Errorf("got %+v, %d notes, %d calls", s.Outcome, s.Notes, m.calls())
	}
}

func TestRepeatedCallIsRefusedThenStalls(t *testing.T) {
	r := newRig(t, scripted(plan("test -s never"), sh("cat missing")))
	s := r.ended(r.start(agent.Request{Goal: goal("x"), Model: "m"}))
	if s.Outcome.Status != journal.StatusStalled {
		t.Fatalf("got %+v", s.Outcome)
	}
	if f := s.Plans[1].Reason; !strings.Contains(f, "same call was repeated") {
		t.Errorf("the first revision's reason is %q", f)
	}
}

func TestBudgets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		budget goals.Budget
		price  *llm.Price
		want   string
	}{
		{"steps", goals.Budget{Steps: 3}, &llm.Price{}, "budget.steps"},
		{"tokens", goals.Budget{Tokens: 12000}, &llm.Price{}, "budget.tokens"},
		{"usd", goals.Budget{USD: 0.05}, &llm.Price{Prompt: 3, Completion: 15}, "budget.usd"},
		{"unpriced", goals.Budget{USD: 0.05}, nil, "price"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			m := scripted(plan())
			m.info.Price = tt.price
			m.reply = func(i int, _ *llm.Request) (*llm.Reply, error) {
				n++
				var reply *llm.Reply
				if i == 0 {
					reply = plan()
				} else {
					reply = sh(fmt.Sprintf("echo %d", i))
				}
				reply.Usage = llm.Usage{Prompt: 500, Completion: 500}
				return reply, nil
			}
			r := newRig(t, m)
			g := goal("x")
			g.Budget = tt.budget
			s := r.ended(r.start(agent.Request{Goal: g}))
			if s.Outcome.Status != journal.StatusBudget || !strings.Contains(s.Outcome.Reason, tt.want) {
				t.Fatalf("got %+v, want the reason to name %q", s.Outcome, tt.want)
			}
			b := s.Budget
			if s.Spent.Steps > b.Steps || s.Spent.Tokens > b.Tokens || tt.price != nil && s.Spent.USD > b.USD {
				t.Errorf("spent %+v of %+v", s.Spent, b)
			}
		})
	}
}

func TestFailuresOfTheProvider(t *testing.T) {
	fault := func(kind llm.Kind) error {
		return &llm.Error{Kind: kind, Message: "scripted", RetryAfter: time.Millisecond}
	}
	t.Run("retried", func(t *testing.T) {
		ok := scripted(sh("echo 1"), say("done"))
		m := &model{info: ok.info, reply: func(n int, r *llm.Request) (*llm.Reply, error) {
			if n%2 == 0 {
				return nil, fault([]llm.Kind{llm.KindOverload, llm.KindTruncated}[n/2%2])
			}
			return ok.reply(n/2, r)
		}}
		r := newRig(t, m)
		s := r.ended(r.start(agent.Request{Goal: goal("x", "true")}))
		if s.Outcome.Status != journal.StatusAccepted || s.Spent.Steps != 2 || s.Spent.Calls != 4 {
			t.Errorf("got %+v, %+v", s.Outcome, s.Spent)
		}
	})
	t.Run("failover", func(t *testing.T) {
		bad := &model{info: llm.Info{Name: "test/bad", Style: llm.StyleTools}, reply: func(int, *llm.Request) (*llm.Reply, error) { return nil, fault(llm.KindAuth) }}
		good := scripted(say("done"))
		r := newRig(t, bad, good)
		s := r.ended(r.start(agent.Request{Goal: goal("x", "true")}))
		if s.Outcome.Status != journal.StatusAccepted || bad.calls() != 1 || s.Notes != 1 {
			t.Errorf("got %+v; the bad model had %d calls, %d notes", s.Outcome, bad.calls(), s.Notes)
		}
	})
	t.Run("refused", func(t *testing.T) {
		bad := &model{info: llm.Info{Name: "test/bad", Style: llm.StyleTools}, reply: func(int, *llm.Request) (*llm.Reply, error) {
			return nil, &llm.Error{Kind: llm.KindAuth, Message: "bad key", Hint: "set X_KEY"}
		}}
		r := newRig(t, bad)
		s := r.ended(r.start(agent.Request{Goal: goal("x")}))
		if s.Outcome.Status != journal.StatusProvider || !strings.Contains(s.Outcome.Reason, "set X_KEY") || s.Spent.Tokens != 0 {
			t.Errorf("got %+v, spent %+v", s.Outcome, s.Spent)
		}
	})
}

func TestCancel(t *testing.T) {
	r := newRig(t, scripted(plan(), sh("sleep 60")))
	id := r.start(agent.Request{Goal: goal("x")})
	r.until(id, "a call", func(s *journal.State) bool { return len(s.OpenCalls()) == 1 })
	if _, err := journal.Update(t.Context(), r.store, id, func(*journal.State) ([]journal.Event, error) {
		return []journal.Event{journal.CancelAsked{By: "test"}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	r.Wake(id)
	s := r.ended(id)
	if s.Outcome.Status != journal.StatusCancelled || len(s.OpenCalls()) != 0 || len(s.InFlight) != 0 {
		t.Errorf("got %+v", s.Outcome)
	}
}

func TestWallEndsARun(t *testing.T) {
	r := newRig(t, scripted(plan(), sh("sleep 60")))
	g := goal("x")
	g.Budget.Wall = 300 * time.Millisecond
	if s := r.ended(r.start(agent.Request{Goal: g})); s.Outcome.Status != journal.StatusTime {
		t.Errorf("got %+v", s.Outcome)
	}
}

// A driver that stopped in the middle of a confined call does not repeat it; the model is told.
func TestRestartDoesNotRepeatAnEffect(t *testing.T) {
	m := scripted(sh("echo x >> log; sleep 60"), say("done"))
	r := newRig(t, m)
	id := r.start(agent.Request{Goal: goal("x", "test -s log")})
	for {
		if b, err := os.ReadFile(filepath.Join(r.ws, "log")); err == nil && len(b) > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.restart()
	s := r.ended(id)
	if s.Outcome.Status != journal.StatusAccepted || s.Epoch != 2 {
		t.Errorf("got %+v, epoch %d", s.Outcome, s.Epoch)
	}
	if b, err := os.ReadFile(filepath.Join(r.ws, "log")); err != nil || string(b) != "x\n" {
		t.Errorf("log holds %q (%v): the effect was repeated", b, err)
	}
	if f := s.Tasks["goal"].Turns[0].Calls[0].Finished; f.Status != journal.ToolInDoubt {
		t.Errorf("the call ended %+v", f)
	}
	if n := m.calls(); n != 2 {
		t.Errorf("the model was asked %d times, want 2", n)
	}
}

func TestContextIsVerified(t *testing.T) {
	r := newRig(t, scripted(say("bad plan"), plan("test -s never"), sh("echo 1"), sh("echo 2"), say("done")))
	id := r.start(agent.Request{Goal: goal("x")})
	s := r.ended(id)
	for step := 1; step <= s.Spent.Steps; step++ {
		c, err := r.Context(t.Context(), id, step)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Verified {
			t.Errorf("step %d renders otherwise than it was sent", step)
		}
	}
	if _, err := r.Context(t.Context(), id, 99); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("step 99: got %v", err)
	}
}

// A hundred runs at once all end; TestMain sees that no goroutine is left behind.
func TestAHundredRunsAtOnce(t *testing.T) {
	m := &model{info: llm.Info{Name: "test/model", Window: 100000, Style: llm.StyleTools, Schema: true, Price: &llm.Price{}}}
	m.reply = func(_ int, q *llm.Request) (*llm.Reply, error) {
		switch {
		case len(q.Tools) == 0:
			return plan("grep -x 42 answer"), nil
		case q.Messages[len(q.Messages)-1].Role == llm.ToolRole:
			return call("finish", map[string]string{"result": "done"}), nil
		}
		return sh("echo 42 > answer"), nil
	}
	r := newRig(t, m)
	var ids []journal.RunID
	for i := range 100 {
		ws := filepath.Join(r.ws, fmt.Sprint(i))
		if err := os.Mkdir(ws, 0o755); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.start(agent.Request{Goal: goal("write the answer"), Workspace: ws, Yes: true}))
	}
	for _, id := range ids {
		if s := r.ended(id); s.Outcome.Status != journal.StatusAccepted {
			t.Errorf("run %s: %+v", id, s.Outcome)
		}
	}
}
