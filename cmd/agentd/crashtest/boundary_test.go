package crashtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agentd/api"
	"agentd/journal"
)

// twoTasks scripts a run of two tasks with an idempotent, a reading and a once tool. effect is the bash of the once call; look is
// what the model does when it is told that the call may or may not have run.
func twoTasks(effect, look string) reply {
	return func(msgs []message, tools bool) (string, any, string) {
		type m = map[string]any
		if !tools {
			return "", nil, `{"tasks":[{"id":"a","do":"write out.txt","needs":[],"writes":["out.txt"],"out":"","done":""},` +
				`{"id":"b","do":"count","needs":["a"],"writes":["log"],"out":"","done":""}],"checks":[]}`
		}
		n, last := results(msgs)
		if strings.Contains(msgs[1].Content, "Your task now (a)") {
			switch n {
			case 0:
				return "write", m{"path": "out.txt", "content": "hello\n"}, ""
			case 1:
				return "read", m{"path": "out.txt"}, ""
			}
			return "finish", m{"result": "a is done"}, ""
		}
		switch {
		case n == 0:
			return "shell", m{"command": effect}, ""
		case strings.Contains(last, "cut off") && !strings.Contains(last, "says that it took effect") && n == 1:
			return "shell", m{"command": look}, ""
		}
		return "finish", m{"result": "b is done"}, ""
	}
}

// scenario is one scripted run and how its effect is counted.
type scenario struct {
	name   string
	decide func(world *effects) reply
	net    bool
	count  func(ws string, world *effects) int
}

var scenarios = []scenario{
	{
		name:   "confined",
		decide: func(*effects) reply { return twoTasks("echo x >> log", "test -s log || echo x >> log") },
		count: func(ws string, _ *effects) int {
			l, err := lines(filepath.Join(ws, "log"))
			if err != nil {
				panic(err)
			}
			return len(l)
		},
	},
	{
		name: "outside",
		decide: func(w *effects) reply {
			host, port, _ := strings.Cut(w.addr, ":")
			call := fmt.Sprintf("exec 3<>/dev/tcp/%s/%s; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 > log", host, port)
			return twoTasks(call, call)
		},
		net:   true,
		count: func(_ string, w *effects) int { return int(w.n.Load()) },
	},
}

// TestEveryBoundary kills the daemon before and after each commit of a run, restarts it, and wants the outcome of the run that
// nothing disturbed, with the effect once.
func TestEveryBoundary(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for _, when := range []string{"before", "after"} {
				for n := 1; ; n++ {
					if n > 60 {
						t.Fatal("the run never ends by itself")
					}
					crashed := false
					t.Run(fmt.Sprintf("%s_%d", when, n), func(t *testing.T) {
						crashed = boundary(t, sc, fmt.Sprintf("AGENTD_CRASH_AT=%d:%s", n, when))
					})
					if t.Failed() {
						t.FailNow()
					}
					if !crashed {
						t.Logf("%s: %d boundaries", when, n-1)
						break
					}
				}
			}
		})
	}
}

func boundary(t *testing.T, sc scenario, crash string) (crashed bool) {
	world := outside(t)
	e := serve(t, sc.decide(world))
	dir := home(t)
	ws := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req := api.StartRequest{Goal: "write out.txt,\nthen count", Checks: []string{"grep -qx hello out.txt && test -s log"}, Workspace: ws, Yes: true, Model: "openai/scripted"}
	if sc.net {
		req.Net = []string{world.addr}
	}
	var run journal.RunID
	var s *journal.State
	var records []journal.Record
	env := append(e.env(), crash)
	for attempt := 0; ; attempt++ {
		d := start(t, dir, env...)
		if d == nil {
			crashed, env = true, e.env()
			continue
		}
		err := func() error {
			if run == "" {
				st, err := d.c.Start(ctx, req, "the-key")
				if err != nil {
					return err
				}
				run = st.Run
			}
			return follow(ctx, d, run, world, sc, ws)
		}()
		if err == nil {
			s, records, err = taught(ctx, d, run)
		}
		dead := err != nil && ended(d)
		d.kill()
		if err == nil {
			break
		}
		if ctx.Err() != nil || !dead {
			t.Fatalf("run %s: %v", run, err)
		}
		crashed, env = true, e.env()
	}
	if s.Outcome.Status != journal.StatusAccepted || s.Outcome.Result != "b is done" {
		t.Errorf("outcome %+v", s.Outcome)
	}
	if !s.Outcome.Learn || s.Learned == nil || len(s.Learned.Items) != 1 {
		t.Errorf("learned %+v", s.Learned)
	}
	if len(s.InFlight) != 0 || len(s.OpenCalls()) != 0 || len(s.Asks) != 0 {
		t.Errorf("left open: %d model calls, %d tool calls, %d asks", len(s.InFlight), len(s.OpenCalls()), len(s.Asks))
	}
	if n := sc.count(ws, world); n != 1 {
		t.Errorf("the effect took place %d times", n)
	}
	if got, err := os.ReadFile(filepath.Join(ws, "out.txt")); err != nil || string(got) != "hello\n" {
		t.Errorf("out.txt holds %q (%v)", got, err)
	}
	if changed := slices.Sorted(slices.Values(s.Outcome.Changed)); !slices.Equal(changed, []string{"log", "out.txt"}) {
		t.Errorf("changed %v", changed)
	}
	checkReplies(t, e, records)
	return crashed
}

// ended waits a moment for a daemon that stopped answering to be gone.
func ended(d *daemon) bool {
	select {
	case <-d.dead:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

// follow watches a run to its end, and decides what is in doubt as a person does who looks at the outside world.
func follow(ctx context.Context, d *daemon, run journal.RunID, world *effects, sc scenario, ws string) error {
	s := new(journal.State)
	short, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	go func() { // a daemon that died answers no more: end the watch
		select {
		case <-d.dead:
		case <-short.Done():
		}
		cancel()
	}()
	for r, err := range d.c.Events(short, run, 0) {
		if err != nil {
			return err
		}
		if err := s.Apply(r); err != nil {
			return err
		}
		if s.Outcome != nil {
			return nil
		}
		for id, a := range s.Asks {
			if a.Ask != journal.AskDoubt {
				continue // --yes answers in the same commit
			}
			answer := "again"
			if sc.count(ws, world) > 0 {
				answer = "done"
			}
			if err := d.c.Answer(ctx, run, id, api.Answer{Answer: answer}); err != nil && !errors.Is(err, api.ErrNotOpen) {
				return err
			}
		}
	}
	return errors.New("the watch ended")
}
