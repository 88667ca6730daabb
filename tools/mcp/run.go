package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/egress"
	"agentd/tools"
)

// Options are what servers need of the daemon.
type Options struct {
	Box     Starter
	Dir     string // pins/ and cache/ are made below it
	Version string // of agentd
	Egress  func(sandbox.Net) (*egress.Proxy, error)
	Log     *slog.Logger

	StartTimeout time.Duration // to start and say what it is; 0 is a minute
}

// Pins are where what servers offer is pinned.
func (o *Options) Pins() Pins { return Pins{filepath.Join(o.Dir, "pins")} }

// caches are the folders that a server with a way out of its own keeps between runs: what it downloads to start.
func (o *Options) caches(s Server) (map[string]string, error) {
	if len(s.Net) == 0 || o.Dir == "" {
		return nil, nil
	}
	out := map[string]string{}
	for _, name := range []string{".npm", ".cache", ".local"} {
		host := filepath.Join(o.Dir, "cache", s.Key(), name)
		if err := os.MkdirAll(host, 0o700); err != nil {
			return nil, fmt.Errorf("cache of %s: %w", s.Name, err)
		}
		out[host] = "/home/agent/" + name
	}
	return out, nil
}

// Run is one run's servers. Its methods are safe for concurrent use.
type Run struct {
	opts    *Options
	clients map[string]*client
	order   []string
	cancel  context.CancelCauseFunc

	mu    sync.Mutex                 // guards the fields below
	shown map[string]string          // changes that a person was asked about, by tool
	adopt map[string]map[string]Tool // definitions that a person accepted for this run, by server and name
}

// ErrClosed is the cause when a run's servers are closed.
var ErrClosed = errors.New("the run's servers are closed")

// Open makes a run's servers of a configuration. None is started yet. Disabled ones are left out.
func Open(opts Options, servers []Server) *Run {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &Run{
		opts: &opts, clients: map[string]*client{}, cancel: cancel, shown: map[string]string{}, adopt: map[string]map[string]Tool{},
	}
	for _, s := range servers {
		if s.Disabled || r.clients[s.Name] != nil {
			continue
		}
		r.clients[s.Name] = &client{s: s, opts: r.opts, ctx: ctx}
		r.order = append(r.order, s.Name)
	}
	return r
}

// Ask starts or reaches a server and returns what it offers now. Nothing is pinned.
func Ask(ctx context.Context, opts Options, s Server, p sandbox.Policy) (*Listing, error) {
	r := Open(opts, []Server{s})
	defer r.Close()
	c := r.clients[s.Name]
	if c == nil {
		return nil, fmt.Errorf("the MCP server %s is disabled", s.Name)
	}
	if _, err := c.connect(ctx, p); err != nil {
		return nil, err
	}
	return c.listing(), nil
}

// Close ends all servers and waits for them.
func (r *Run) Close() error {
	r.cancel(ErrClosed)
	r.Stop()
	return nil
}

// Stop ends the processes of all servers and waits until none is left. A later call starts its server again.
func (r *Run) Stop() {
	var wg sync.WaitGroup
	for _, c := range r.clients {
		wg.Go(c.stop)
	}
	wg.Wait()
}

// List says what each server offers: its pin where there is one, else what it says now, which becomes its pin. A server that
// can't be asked gives a note instead.
func (r *Run) List(ctx context.Context, p sandbox.Policy) (list []Listing, notes []string) {
	type answer struct {
		l    *Listing
		note string
	}
	got := make([]answer, len(r.order))
	var wg sync.WaitGroup
	for i, name := range r.order {
		wg.Go(func() {
			c := r.clients[name]
			l, err := r.first(ctx, c, p)
			if err != nil {
				got[i].note = fmt.Sprintf("MCP server %s offers nothing in this run: %v", name, err)
				return
			}
			got[i].l = only(l, c.s.Only)
			if len(l.Faults) > 0 {
				got[i].note = fmt.Sprintf("MCP server %s has tools that can't be offered: %s", name, clip(strings.Join(l.Faults, "; "), 500))
			}
		})
	}
	wg.Wait()
	for _, a := range got {
		if a.l != nil {
			list = append(list, *a.l)
		}
		if a.note != "" {
			notes = append(notes, a.note)
		}
	}
	return list, notes
}

// only is a listing without the tools that are not named; all of it where none is.
func only(l *Listing, names []string) *Listing {
	if len(names) == 0 {
		return l
	}
	out := *l
	out.Tools = nil
	for _, t := range l.Tools {
		if slices.Contains(names, t.Name) {
			out.Tools = append(out.Tools, t)
		}
	}
	return &out
}

// first is a server's pin, made now if there is none.
func (r *Run) first(ctx context.Context, c *client, p sandbox.Policy) (*Listing, error) {
	pin, err := r.opts.Pins().Get(c.s)
	if err != nil || pin != nil {
		return pin, err
	}
	if _, err := c.connect(ctx, p); err != nil {
		return nil, err
	}
	l := c.listing()
	return l, r.opts.Pins().Set(c.s, l)
}

// Update says what a run must be told anew of what it was told: definitions that a person has accepted since.
func (r *Run) Update(told []Listing) (list []Listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range told {
		news := r.adopt[l.Server]
		changed := false
		l.Tools = slices.Clone(l.Tools)
		for i, t := range l.Tools {
			if n, ok := news[t.Name]; ok && !n.equal(t) {
				l.Tools[i], changed = n, true
			}
		}
		if changed {
			list = append(list, l)
		}
	}
	return list
}

// doubt says how the tool that a run was told of differs from what its server says now, "" if it doesn't or is not known to.
func (r *Run) doubt(server string, told Tool) (string, *Tool) {
	c := r.clients[server]
	if c == nil {
		return "", nil
	}
	now := c.listing()
	if now == nil {
		return "", nil
	}
	t := now.find(told.Name)
	if t == nil || told.equal(*t) {
		return "", t
	}
	return told.diff(*t), t
}

// ask notes that a person is shown a change.
func (r *Run) ask(tool, diff string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown[tool] = diff
}

// accepted reports whether a person was shown this very change: the call runs only because they allowed it.
func (r *Run) accepted(server string, t Tool, diff string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := tools.Join(server, t.Name)
	if r.shown[name] != diff {
		return false
	}
	delete(r.shown, name)
	if r.adopt[server] == nil {
		r.adopt[server] = map[string]Tool{}
	}
	r.adopt[server][t.Name] = t
	return true
}

// Names are the servers, in the configuration's order.
func (r *Run) Names() []string { return slices.Clone(r.order) }
