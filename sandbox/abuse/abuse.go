//go:build linux

package abuse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agentd/sandbox"
)

// marker makes a program run a payload: its value is the case.
const marker = "AGENTD_ABUSE"

// abuse is one case: a payload that runs in the box and returns nil if the box held, or a check from outside.
type abuse struct {
	id, group, title string
	inside           func(*world) error
	outside          func(context.Context, *fixture) error
	policy           func(*fixture, *sandbox.Policy)
	signal           string // the payload is expected to end by it
	killed           []sandbox.Reason
}

// world is what a payload knows of the outside.
type world struct {
	Canary    string   // a file outside the workspace
	CanaryDir string   // its folder
	Other     string   // another workspace
	Home      []string // files in the home folder of the person
	PID       int      // the daemon
	Port      int      // a TCP port of the host
	Abstract  string   // an abstract unix socket of the host
	Socket    string   // a unix socket file of the host
	Proxy     bool
	Level     sandbox.Level
}

// notApplicable is returned by a case that this machine can't try.
type notApplicable string

func (n notApplicable) Error() string { return string(n) }

// Main runs a payload if the program was started for one, and then doesn't return.
func Main() {
	name := os.Getenv(marker)
	if name == "" {
		return
	}
	if name == "daemon" {
		daemon()
		os.Exit(0)
	}
	var w world
	if err := json.Unmarshal([]byte(os.Getenv(marker+"_WORLD")), &w); err != nil {
		fmt.Println("bad world:", err)
		os.Exit(2)
	}
	expect(w.Level)
	if child, ok := children[name]; ok {
		child()
		os.Exit(0)
	}
	for _, c := range table() {
		if c.id != name || c.inside == nil {
			continue
		}
		if err := c.inside(&w); err != nil {
			fmt.Println(err)
			var na notApplicable
			if errors.As(err, &na) {
				os.Exit(77)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	fmt.Println("no such case:", name)
	os.Exit(2)
}

// Run tries every case whose id matches only, or all where only is empty, and reports each as it ends.
func Run(ctx context.Context, o sandbox.Options, only func(id string) bool, report func(Row)) error {
	f, err := newFixture(o)
	if err != nil {
		return err
	}
	defer f.close()
	for _, c := range table() {
		if only != nil && !only(c.id) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		from := time.Now()
		row := Row{ID: c.id, Group: c.group, Title: c.title, Outcome: Passed}
		var err error
		if why := unpromised[c.id]; why != "" && f.world.Level == sandbox.LevelLandlock {
			err = notApplicable(why)
		} else {
			err = f.try(ctx, c)
		}
		var na notApplicable
		if errors.As(err, &na) {
			row.Outcome, row.Detail = NotApplicable, string(na)
		} else if err == nil {
			err = f.canaryHolds()
		}
		if err != nil && row.Outcome == Passed {
			row.Outcome, row.Detail = Failed, err.Error()
		}
		row.Took = time.Since(from)
		report(row)
	}
	return nil
}

// fixture is the outside of the cases.
type fixture struct {
	opts    sandbox.Options
	box     *sandbox.Box
	dir, ws string
	program string
	world   world
	closers []func()
}

func newFixture(o sandbox.Options) (*fixture, error) {
	f := &fixture{opts: o}
	var err error
	if f.program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("abuse suite: %w", err)
	}
	if f.box, err = sandbox.Open(o); err != nil {
		return nil, err
	}
	f.closers = append(f.closers, func() { f.box.Close() })
	if f.dir, err = os.MkdirTemp("", "agentd-abuse"); err != nil {
		f.close()
		return nil, fmt.Errorf("abuse suite: %w", err)
	}
	f.closers = append(f.closers, func() { os.RemoveAll(f.dir) })
	os.Chmod(f.dir, 0o755)
	f.ws = filepath.Join(f.dir, "ws")
	w := &f.world
	w.CanaryDir = filepath.Join(f.dir, "outside")
	w.Canary = filepath.Join(w.CanaryDir, "canary")
	w.Other = filepath.Join(f.dir, "other")
	w.PID = os.Getpid()
	w.Level = f.box.Report().Level
	for _, d := range []string{w.CanaryDir, w.Other} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			f.close()
			return nil, fmt.Errorf("abuse suite: %w", err)
		}
		os.Chmod(d, 0o777)
	}
	if err := errors.Join(os.WriteFile(w.Canary, []byte("canary"), 0o666), os.Chmod(w.Canary, 0o666), os.WriteFile(filepath.Join(w.Other, "file"), []byte("other"), 0o666)); err != nil {
		f.close()
		return nil, fmt.Errorf("abuse suite: %w", err)
	}
	if home, err := os.UserHomeDir(); err == nil {
		list, _ := os.ReadDir(home)
		for _, e := range list {
			if e.Type().IsRegular() && len(w.Home) < 50 {
				w.Home = append(w.Home, filepath.Join(home, e.Name()))
			}
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.close()
		return nil, fmt.Errorf("abuse suite: %w", err)
	}
	f.listen(l)
	w.Port = l.Addr().(*net.TCPAddr).Port
	w.Abstract = fmt.Sprintf("@agentd-abuse-%d", os.Getpid())
	w.Socket = filepath.Join(w.CanaryDir, "sock")
	for _, name := range []string{w.Abstract, w.Socket} {
		l, err := net.Listen("unix", name)
		if err != nil {
			f.close()
			return nil, fmt.Errorf("abuse suite: %w", err)
		}
		f.listen(l)
	}
	return f, nil
}

// listen accepts and closes.
func (f *fixture) listen(l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	f.closers = append(f.closers, func() { l.Close(); <-done })
}

func (f *fixture) close() {
	for i := len(f.closers) - 1; i >= 0; i-- {
		f.closers[i]()
	}
	f.closers = nil
}

// fresh empties the workspace.
func (f *fixture) fresh() error {
	f.box.Discard(f.ws)
	return errors.Join(os.RemoveAll(f.ws), os.MkdirAll(filepath.Join(f.ws, ".git/hooks"), 0o755),
		os.WriteFile(filepath.Join(f.ws, ".git/config"), []byte("[core]\n"), 0o644),
		os.WriteFile(filepath.Join(f.ws, "file"), []byte("file"), 0o644))
}

// basePolicy is the policy of a payload.
func (f *fixture) basePolicy(name string) sandbox.Policy {
	w, err := json.Marshal(f.world)
	if err != nil {
		panic(err) // strings and numbers
	}
	return sandbox.Policy{
		Workspace: f.ws, ReadOnly: []string{f.program}, Protect: []string{"absent"},
		Env: map[string]string{marker: name, marker + "_WORLD": string(w)}, Require: f.world.Level,
		Limits: sandbox.Limits{Wall: 60 * time.Second},
	}
}

func (f *fixture) try(ctx context.Context, c abuse) error {
	if err := f.fresh(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if c.outside != nil {
		return c.outside(ctx, f)
	}
	p := f.basePolicy(c.id)
	if c.policy != nil {
		c.policy(f, &p)
	}
	out, res, err := f.run(ctx, p, f.program)
	if err != nil {
		return err
	}
	if res.Killed != "" {
		for _, k := range c.killed {
			if res.Killed == k {
				return nil
			}
		}
		return fmt.Errorf("ended by limit %q, want %v: %s", res.Killed, c.killed, out)
	}
	if c.signal != "" {
		if res.Signal != c.signal {
			return fmt.Errorf("ended with exit %d, signal %q, want %s: %s", res.Exit, res.Signal, c.signal, out)
		}
		return nil
	}
	if res.Exit == 77 {
		return notApplicable(strings.TrimSpace(out))
	}
	if res.Exit != 0 {
		return fmt.Errorf("exit %d: %s", res.Exit, strings.TrimSpace(out))
	}
	return nil
}

// run runs a command and returns the start of its output.
func (f *fixture) run(ctx context.Context, p sandbox.Policy, argv ...string) (string, sandbox.Result, error) {
	var out bytes.Buffer
	res, err := f.box.Run(ctx, p, sandbox.Command{Argv: argv, Stdout: &head{&out}})
	return out.String(), res, err
}

// head keeps the first 4 KiB.
type head struct{ buf *bytes.Buffer }

func (h *head) Write(b []byte) (int, error) {
	if room := 4096 - h.buf.Len(); room > 0 {
		h.buf.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// canaryHolds says whether all outside is as it was.
func (f *fixture) canaryHolds() error {
	b, err := os.ReadFile(f.world.Canary)
	if err != nil || string(b) != "canary" {
		return fmt.Errorf("the canary outside was changed: %q, %v", b, err)
	}
	for dir, want := range map[string]int{f.world.CanaryDir: 2, f.world.Other: 1} {
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != want {
			return fmt.Errorf("the folder %s outside was changed: %v, %v", dir, list, err)
		}
	}
	return nil
}
