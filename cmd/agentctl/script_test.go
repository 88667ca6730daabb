package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/llm"
	"agentd/planner"
)

// The scripts run the real main against a daemon that has the real server and store, and an engine that plays a run by
// the words of its goal.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"agentctl": main,
		"agentd":   func() { os.Exit(playDaemon(os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("AGENTD_HOME", e.WorkDir+"/home")
			e.Setenv("HOME", e.WorkDir)
			e.Defer(func() { stopDaemon(e.WorkDir + "/home") })
			return os.Mkdir(e.WorkDir+"/ws", 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// signal SIG NAME: kill knows INT and KILL only.
			"signal": func(ts *testscript.TestScript, _ bool, args []string) {
				sig, ok := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[args[0]]
				if !ok {
					ts.Fatalf("unknown signal %s", args[0])
				}
				cmds := ts.BackgroundCmds()
				ts.Check(cmds[len(cmds)-1].Process.Signal(sig))
			},
		},
	})
}

// stopDaemon ends the daemon of a data folder, if one runs.
func stopDaemon(home string) {
	c, err := api.Dial(home + "/agentd.sock")
	if err != nil {
		return
	}
	defer c.Close()
	if pid, err := c.PID(context.Background()); err == nil {
		_ = syscall.Kill(pid, syscall.SIGTERM) // gone already is fine
	}
}

// player is the engine of the played daemon.
type player struct {
	*apitest.Engine
	mu     sync.Mutex
	runs   sync.WaitGroup
	ctx    context.Context
	store  journal.Store
	memory apitest.Memory
}

// playDaemon is agentd with another engine.
func playDaemon(args []string) int {
	if len(args) > 0 && args[0] == "doctor" {
		fmt.Println("doctor", strings.Join(args[1:], " "))
		return 1
	}
	if fault := os.Getenv("PLAY_FAULT"); fault != "" {
		fmt.Fprintln(os.Stderr, fault)
		return 1
	}
	if err := play(args); err != nil {
		fmt.Fprintln(os.Stderr, "agentd:", err)
		return 1
	}
	return 0
}

func play(args []string) (err error) {
	fs := flag.NewFlagSet("agentd", flag.ContinueOnError)
	home := fs.String("home", "", "")
	ready := fs.Int("ready-fd", 0, "")
	lifeline := fs.Int("lifeline-fd", 0, "")
	fs.Bool("ephemeral", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	readyFile := os.NewFile(uintptr(*ready), "ready")
	p, err := api.FindPlaces(*home, os.Getenv)
	if err != nil {
		return err
	}
	store, err := bolt.Open(bolt.Options{Dir: p.Home})
	if _, locked := errors.AsType[*bolt.LockedError](err); locked {
		_, err := fmt.Fprintln(readyFile, "running")
		return err
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	time.Sleep(50 * time.Millisecond) // leave two that are started at once the time to meet
	ln, err := p.Listen()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if *lifeline != 0 {
		go func() { // ends with the program: its pipe closes then at the latest
			_, _ = io.Copy(io.Discard, os.NewFile(uintptr(*lifeline), "lifeline"))
			stop()
		}()
	}
	pl := &player{ctx: ctx, store: store, Engine: &apitest.Engine{Store: store}}
	pl.functions(p)
	if _, err := fmt.Fprintln(readyFile, "ready"); err != nil {
		return err
	}
	readyFile.Close()
	srv := api.NewServer(api.Options{Store: store, Engine: pl, Memory: &pl.memory, Build: os.Getenv("PLAY_VERSION")})
	err = srv.Serve(ctx, ln)
	pl.runs.Wait()
	return err
}

func (p *player) functions(at api.Places) {
	began := time.Now()
	p.OnInfo = func(context.Context) (api.Info, error) {
		return api.Info{
			PID: os.Getpid(), Started: began, Home: at.Home, Socket: at.Socket, Log: at.Log, Model: "local", Budget: goals.DefaultBudget,
			Sandbox: api.SandboxInfo{Level: "namespaces", Required: "landlock", Backend: "native"},
		}, nil
	}
	p.OnStart = func(ctx context.Context, r api.StartRequest, key string) (journal.RunID, bool, error) {
		switch {
		case r.Model != "" && r.Model != "local":
			return "", false, api.Errorf(api.ErrModel, "", "unknown model %q; known: local, openai/gpt-5", r.Model)
		case r.Workspace == "/":
			return "", false, api.Errorf(api.ErrWorkspace, "give a folder of its own with -C", "/ can't be a workspace")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		runs, err := p.store.List(ctx, journal.Filter{Limit: 1000})
		if err != nil {
			return "", false, err
		}
		run := journal.RunID(fmt.Sprintf("run%09d", len(runs)+1))
		run, fresh, err := p.store.Create(ctx, run, key, apitest.Started(r))
		if err == nil && fresh {
			p.runs.Go(func() { p.drive(run, apitest.Started(r)) })
		}
		return run, fresh, err
	}
	p.OnContext = func(_ context.Context, _ journal.RunID, step int) (api.Context, error) {
		return api.Context{Step: step, Model: "local", Bytes: []byte("the \x1b[1mbytes"), Tokens: 3, Hash: "abc", Verified: true}, nil
	}
	p.OnDiff = func(context.Context, journal.RunID) (api.Diff, error) {
		return api.Diff{Files: []api.FileDiff{{Path: "a", Change: "changed", Patch: "--- a\n+++ a\n@@ -1 +1 @@\n-x\n+\x1b[2Jy\n"}, {Path: "pic", Change: "created", Binary: true}}}, nil
	}
	p.OnUndo = func(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error) {
		return journal.Undone{By: by, Restored: []string{"a"}, Kept: []string{"b"}}, nil
	}
	p.OnModels = func(context.Context) ([]api.ModelInfo, error) {
		return []api.ModelInfo{{Name: "local", Provider: "local", Default: true, Local: true, Size: 3 << 30, Window: 32768, Priced: true, Note: "agentctl model pull"}}, nil
	}
	p.OnPull = func(_ context.Context, name string, progress func(api.PullProgress)) error {
		if name != "local" {
			return api.Errorf(api.ErrModel, "agentctl model ls", "no model %q can be fetched", name)
		}
		progress(api.PullProgress{File: "m.gguf", State: "fetching", Done: 1, Total: 2})
		progress(api.PullProgress{File: "m.gguf", State: "verifying"})
		return nil
	}
}

// add appends events, and nothing any more once the daemon stops.
func (p *player) add(run journal.RunID, events ...journal.Event) {
	_, err := journal.Update(p.ctx, p.store, run, func(st *journal.State) ([]journal.Event, error) {
		if st.Outcome != nil {
			return nil, nil
		}
		return events, nil
	})
	if err != nil && p.ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "agentd: play:", err)
	}
}

// wait follows the run until its state is as wanted.
func (p *player) wait(run journal.RunID, is func(*journal.State) bool) {
	var st journal.State
	for r, err := range p.store.Watch(p.ctx, run, 0) {
		if err != nil || st.Apply(r) != nil || is(&st) {
			return
		}
	}
}

// drive plays a run.
func (p *player) drive(run journal.RunID, s journal.RunStarted) {
	words := s.Goal.Text
	task := planner.Task{ID: "t1", Do: "Do it"}
	if strings.Contains(words, "remember") {
		fact := journal.Recall{ID: "m1", Text: "Reports go to Anna", Score: 0.0325, WordRank: 2, VectorRank: 1, Cosine: 0.61, Source: "said by a person"}
		p.add(run, journal.Recalled{Query: words, Items: []journal.Recall{fact}})
		p.memory.Propose("Learned while: "+words, string(run))
	}
	p.add(run, journal.DriverClaimed{Epoch: 1}, journal.PlanMade{Plan: planner.Plan{Revision: 1, Tasks: []planner.Task{task}}, Reason: "first plan"})
	args, err := json.Marshal(map[string]string{"command": "echo \x1b[31mhi\x1b[0m"})
	if err != nil {
		panic(err)
	}
	c := journal.Call{ID: "c1", Task: "t1", Tool: "shell", Args: args, From: "m1"}
	p.add(run, journal.TaskStarted{Task: "t1", Attempt: 1}, journal.ModelAsked{Call: "m1", Task: "t1", Purpose: "step", Step: 1, Reserved: 2000},
		journal.ModelReplied{Call: "m1", Reply: &llm.Reply{Text: "Say hi first."}, Used: 1000})
	answer := "allow"
	if strings.Contains(words, "ask") {
		p.add(run, journal.ToolAsked{Call: c, Ask: journal.AskTool, Verdict: journal.Verdict{Do: "ask", Rule: "egress", Why: "it leaves the sandbox"}, Effect: "once"})
		switch {
		case s.Yes:
			p.add(run, journal.AskAnswered{Ask: "c1", Answer: "allow", By: "--yes"})
		case !s.Attended:
			p.add(run, journal.Paused{Parked: true, Reason: "nobody is here to answer"})
		}
		p.wait(run, func(st *journal.State) bool {
			if call := st.ToolCall("c1"); call != nil && call.Answer != nil {
				answer = call.Answer.Answer
				return true
			}
			return st.Cancel
		})
	}
	if strings.Contains(words, "slow") {
		p.wait(run, func(st *journal.State) bool { return st.Cancel })
		p.add(run, journal.RunFinished{Status: journal.StatusCancelled})
		return
	}
	if answer == "deny" {
		p.add(run, journal.ToolFinished{Call: c, Status: journal.ToolRefused, Rule: "egress"}, journal.RunFinished{Status: journal.StatusDenied, Reason: "the call was denied"})
		return
	}
	if strings.Contains(words, "remember") {
		p.add(run, journal.Recalled{Task: "t1", Call: "m1.0", Query: "Anna", Items: []journal.Recall{{ID: "m1", Score: 0.0164, WordRank: 1}}})
	}
	p.add(run, journal.ToolFinished{Call: c, Status: journal.ToolOK, Ms: 12})
	end := journal.RunFinished{Status: journal.StatusAccepted, Result: "done: " + words}
	if strings.Contains(words, "fail") {
		p.add(run, journal.PlanMade{Plan: planner.Plan{Revision: 2, Tasks: []planner.Task{{ID: "t1", Do: "Do it again"}, {ID: "t2", Do: "Look", Needs: []string{"t1"}}}}, Reason: "t1 failed"})
		end = journal.RunFinished{Status: journal.StatusUnmet, Reason: "check1 did not end with 0"}
	}
	p.add(run, end)
}
