package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"agentd/sandbox"
	"agentd/tools/mcp"
)

const mcpUsage = `agentd mcp ls                  list the configured MCP servers
agentd mcp tools NAME          list what a server offers
agentd mcp check [NAME...]     start or reach servers, and compare what they offer with what was pinned; exit 1 if one fails or differs
agentd mcp login NAME          log in to a server over OAuth
agentd mcp logout NAME         forget a login

  --json      print JSON
  --accept    with check: what differs is accepted for later runs
`

// runMCP looks at the configured servers, without a daemon.
func runMCP(ctx context.Context, argv []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("agentd mcp", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, mcpUsage) }
	asJSON := fs.Bool("json", false, "")
	accept := fs.Bool("accept", false, "")
	home := fs.String("home", "", "")
	config := fs.String("config", "", "")
	var words []string
	for rest := argv; ; { // flags may stand anywhere
		if err := fs.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return 0
			}
			return 2
		}
		if fs.NArg() == 0 {
			break
		}
		words, rest = append(words, fs.Arg(0)), fs.Args()[1:]
	}
	if len(words) == 0 || len(words) != 2 && slices.Contains([]string{"tools", "login", "logout"}, words[0]) || words[0] == "ls" && len(words) > 1 {
		fs.Usage()
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := &daemon{opts: options{home: *home, config: *config}, log: slog.New(slog.DiscardHandler)}
	if err := d.configure(); err != nil {
		return fail(stderr, err)
	}
	c := &mcpCommand{d: d, o: d.mcpOptions(), json: *asJSON, accept: *accept, stdout: stdout, stderr: stderr}
	defer c.close()
	var err error
	if c.servers, err = d.globalServers(); err != nil {
		return fail(stderr, err)
	}
	switch words[0] {
	case "ls":
		err = c.list()
	case "tools":
		err = c.tools(ctx, words[1])
	case "check":
		err = c.check(ctx, words[1:])
	case "login":
		err = c.login(ctx, words[1])
	case "logout":
		err = c.logout(words[1])
	default:
		fs.Usage()
		return 2
	}
	return fail(stderr, err)
}

type mcpCommand struct {
	d              *daemon
	o              mcp.Options
	servers        []mcp.Server
	json, accept   bool
	stdout, stderr io.Writer
	box            *sandbox.Box
	scratch        string
}

// open makes the box in which servers are started, with an empty workspace.
func (c *mcpCommand) open() (sandbox.Policy, error) {
	var err error
	if c.box, err = sandbox.Open(sandbox.Options{Log: c.d.log, NewEgress: c.d.newEgress}); err != nil {
		return sandbox.Policy{}, err
	}
	c.o.Box = c.box
	if c.scratch, err = os.MkdirTemp("", "agentd-mcp-"); err != nil {
		return sandbox.Policy{}, err
	}
	return sandbox.Policy{Workspace: c.scratch, Require: c.d.require}, nil
}

func (c *mcpCommand) close() {
	if c.box != nil {
		c.box.Close()
	}
	if c.scratch != "" {
		os.RemoveAll(c.scratch)
	}
}

func (c *mcpCommand) find(name string) (mcp.Server, error) {
	i := slices.IndexFunc(c.servers, func(s mcp.Server) bool { return s.Name == name })
	if i < 0 {
		return mcp.Server{}, fmt.Errorf("no MCP server %.60q is configured: agentctl mcp ls lists them", name)
	}
	s := c.servers[i]
	s.Disabled = false
	return s, nil
}

func (c *mcpCommand) print(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// serverLine is a server in the list.
type serverLine struct {
	Name     string    `json:"name"`
	Where    string    `json:"where"`
	From     string    `json:"from"`
	Disabled bool      `json:"disabled,omitempty"`
	Pinned   int       `json:"pinned"` // tools; -1: it was not used yet
	Login    time.Time `json:"login,omitzero"`
}

func (c *mcpCommand) list() error {
	out := []serverLine{}
	for _, s := range c.servers {
		l := serverLine{Name: s.Name, Where: s.Where(), From: s.From, Disabled: s.Disabled, Pinned: -1}
		pin, err := c.o.Pins().Get(s)
		if err != nil {
			return err
		}
		if pin != nil {
			l.Pinned = len(pin.Tools)
		}
		if l.Login, err = c.o.LoggedIn(s); err != nil {
			return err
		}
		out = append(out, l)
	}
	if c.json {
		return c.print(out)
	}
	for _, l := range out {
		state := "not used yet"
		if l.Pinned >= 0 {
			state = fmt.Sprintf("%d tools", l.Pinned)
		}
		if l.Disabled {
			state = "disabled"
		}
		if !l.Login.IsZero() {
			state += ", logged in since " + l.Login.Local().Format(time.DateTime)
		}
		fmt.Fprintf(c.stdout, "%-16s %s (%s; %s)\n", l.Name, l.Where, state, l.From)
	}
	if len(out) == 0 {
		fmt.Fprintln(c.stderr, "no MCP server is configured: docs/mcp.md says where they are named")
	}
	return nil
}

// tools lists what a server offers: its pin, or what it says now where there is none, which is not pinned by looking.
func (c *mcpCommand) tools(ctx context.Context, name string) error {
	s, err := c.find(name)
	if err != nil {
		return err
	}
	l, err := c.o.Pins().Get(s)
	if err != nil {
		return err
	}
	if l == nil {
		p, err := c.open()
		if err != nil {
			return err
		}
		if l, err = mcp.Ask(ctx, c.o, s, p); err != nil {
			return err
		}
	}
	if c.json {
		return c.print(l)
	}
	for _, t := range l.Tools {
		first, _, _ := strings.Cut(t.Description, "\n")
		fmt.Fprintf(c.stdout, "%s.%s  %s\n", s.Name, t.Name, first)
	}
	for _, f := range l.Faults {
		fmt.Fprintln(c.stderr, "not offered:", f)
	}
	return nil
}

// checked is what became of one server.
type checked struct {
	Name     string       `json:"name"`
	OK       bool         `json:"ok"`
	Error    string       `json:"error,omitempty"`
	Version  string       `json:"version,omitempty"`
	Protocol string       `json:"protocol,omitempty"`
	Tools    int          `json:"tools"`
	Faults   []string     `json:"faults,omitempty"`
	Changes  []mcp.Change `json:"changes,omitempty"`
	Accepted bool         `json:"accepted,omitempty"`
}

func (c *mcpCommand) check(ctx context.Context, names []string) error {
	var list []mcp.Server
	for _, n := range names {
		s, err := c.find(n)
		if err != nil {
			return err
		}
		list = append(list, s)
	}
	if len(names) == 0 {
		list = slices.DeleteFunc(slices.Clone(c.servers), func(s mcp.Server) bool { return s.Disabled })
	}
	p, err := c.open()
	if err != nil {
		return err
	}
	bad, out := 0, []checked{}
	for _, s := range list {
		r, err := c.one(ctx, s, p)
		if err != nil {
			return err
		}
		if !r.OK {
			bad++
		}
		out = append(out, r)
		if !c.json {
			c.say(r)
		}
	}
	if c.json {
		err = c.print(out)
	}
	if bad > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d servers fail or differ from what was pinned", bad, len(list)))
	}
	return err
}

func (c *mcpCommand) one(ctx context.Context, s mcp.Server, p sandbox.Policy) (checked, error) {
	r := checked{Name: s.Name}
	pin, err := c.o.Pins().Get(s)
	if err != nil {
		return r, err
	}
	l, err := mcp.Ask(ctx, c.o, s, p)
	if err != nil {
		r.Error = err.Error()
		return r, ctx.Err()
	}
	r.Version, r.Protocol, r.Tools, r.Faults = l.Version, l.Protocol, len(l.Tools), l.Faults
	if pin != nil {
		r.Changes = mcp.Compare(pin, l)
	}
	r.OK = len(r.Changes) == 0
	if !r.OK && c.accept {
		if err := c.o.Pins().Set(s, l); err != nil {
			return r, err
		}
		r.OK, r.Accepted = true, true
	}
	return r, nil
}

func (c *mcpCommand) say(r checked) {
	if r.Error != "" {
		fmt.Fprintf(c.stdout, "✗ %s: %s\n", r.Name, r.Error)
		return
	}
	mark := "✓"
	if !r.OK {
		mark = "✗"
	}
	fmt.Fprintf(c.stdout, "%s %s: %s, protocol %s, %d tools\n", mark, r.Name, r.Version, r.Protocol, r.Tools)
	for _, f := range r.Faults {
		fmt.Fprintf(c.stdout, "    not offered: %s\n", f)
	}
	for _, ch := range r.Changes {
		fmt.Fprintf(c.stdout, "    %s: %s\n", ch.Tool, ch.What)
		for line := range strings.SplitSeq(ch.Diff, "\n") {
			fmt.Fprintf(c.stdout, "      %s\n", line)
		}
	}
	switch {
	case r.Accepted:
		fmt.Fprintln(c.stdout, "    accepted for later runs")
	case len(r.Changes) > 0:
		fmt.Fprintln(c.stdout, "    to accept it: agentctl mcp check --accept "+r.Name)
	}
}

func (c *mcpCommand) login(ctx context.Context, name string) error {
	s, err := c.find(name)
	if err != nil {
		return err
	}
	err = c.o.Login(ctx, s, func(_ context.Context, url string) error {
		_, err := fmt.Fprintf(c.stdout, "open this address in your browser and log in:\n\n  %s\n\nwaiting (Ctrl-C gives up) …\n", url)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "logged in to %s\n", s.Name)
	return err
}

func (c *mcpCommand) logout(name string) error {
	s, err := c.find(name)
	if err != nil {
		return err
	}
	had, err := c.o.Logout(s)
	if err == nil && !had {
		err = fmt.Errorf("nobody is logged in to %s", s.Name)
	}
	return err
}
