package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
)

// runFlags are the flags of agentctl run.
type runFlags struct {
	file, dir, model        string
	checks, protect, net    []string
	secrets                 []string
	grant                   bool
	grants                  string
	params                  []string
	steps, parallel         int
	tokens, usd, wall       string
	memory, mode            string
	apply                   bool
	browser                 bool
	mcp                     []string
	json, detach, ephemeral bool
	yes, plain, tui         bool
	set                     func(flag string) bool
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [GOAL]",
		Short: "Start a run and watch it",
		Long: "Start a run and watch it. GOAL is what is wanted, in plain words, or the name of a goal file in goals/. A daemon is started when none runs. " +
			"The result goes to standard output, progress to standard error.\n\n" +
			"Ctrl-C once asks whether to detach or to cancel (without a terminal it cancels), twice cancels, a third time ends this program. " +
			"When the terminal closes, the run goes on.\n\n" + exitCodes,
		Example: `# Words, with a check that must end with 0
agentctl run "make the tests pass" --check "go test ./..." --protect "**/*_test.go"
# A goal file, for a script: one event a line
agentctl run -f goals/upgrade.goal.md --json --yes`,
		RunE: func(c *cobra.Command, args []string) error {
			f.set = c.Flags().Changed
			a.end(a.run(c.Context(), f, args))
			return nil
		},
	}
	fl := c.Flags()
	fl.SortFlags = false
	fl.StringVarP(&f.file, "file", "f", "", "goal file (Markdown with front matter), - is standard input")
	fl.StringVarP(&f.dir, "dir", "C", "", "workspace, the current folder if not given")
	fl.StringVarP(&f.model, "model", "m", "", "model as provider/model, or a chain a,b,c to fall back on")
	fl.StringArrayVar(&f.checks, "check", nil, "command that must end with 0 for the run to be accepted (repeatable)")
	fl.StringArrayVar(&f.protect, "protect", nil, "glob of files that nothing in the run may write (repeatable)")
	fl.StringArrayVar(&f.net, "net", nil, "let the sandbox connect to HOST:PORT, *.SUFFIX:PORT, CIDR:PORT, or public for all public web servers (repeatable)")
	fl.StringArrayVar(&f.secrets, "secret", nil, "add a kept secret to requests for a host as NAME@HOST[=HEADER]; no command sees it (repeatable)")
	fl.BoolVar(&f.grant, "grant", false, "let the goal file have all that it asks for, in this one run")
	fl.StringVar(&f.grants, "grants", "", "file of grants, reviewed with the goal (agentctl goal grant --file): what it grants this very text is granted")
	fl.StringArrayVarP(&f.params, "param", "p", nil, "param of the goal file as NAME=VALUE (repeatable); also AGENTD_PARAM_NAME in the environment")
	fl.IntVar(&f.steps, "steps", 0, "most model calls, -1 for no limit")
	fl.StringVar(&f.tokens, "tokens", "", "most tokens, for example 800k; -1 for no limit")
	fl.StringVar(&f.usd, "usd", "", "most money in US dollars, -1 for no limit")
	fl.StringVar(&f.wall, "wall", "", "most time, for example 45m; -1s for no limit")
	fl.StringVar(&f.memory, "memory", "", "what it does with memory: off, read, propose (what it wants kept waits for a review) or auto")
	fl.StringVar(&f.mode, "mode", "", "where it works: direct (in the workspace, the default), copy (a copy, see agentctl apply) or worktree (a git checkout, which becomes a branch)")
	fl.BoolVar(&f.apply, "apply", false, "with --mode copy or worktree: apply the work when the run is accepted")
	fl.BoolVar(&f.browser, "browser", false, "offer a web browser; without this, where the goal names an address or --net is given; =false never")
	fl.StringArrayVar(&f.mcp, "mcp", nil, "MCP server to offer: the NAME of a configured one (then only those that are named; none for none), or a FILE that names some (repeatable)")
	fl.IntVar(&f.parallel, "parallel", 0, "most tasks at once")
	fl.BoolVarP(&f.yes, "yes", "y", false, "approve what asks; never what policy denies or what is in doubt")
	fl.BoolVarP(&f.detach, "detach", "d", false, "print the run's id and leave it to the daemon")
	fl.BoolVar(&f.ephemeral, "ephemeral", false, "a private daemon that ends with this run")
	fl.BoolVar(&f.json, "json", false, "one event a line on standard output")
	fl.BoolVar(&f.tui, "tui", false, "watch it in the full-screen interface")
	fl.BoolVar(&f.plain, "plain", false, "lines only, nothing that moves")
	return c
}

// run starts a run and watches it to its end.
func (a *app) run(ctx context.Context, f runFlags, args []string) error {
	req, err := a.request(f, args)
	if err != nil {
		return err
	}
	// Until the run is started an interrupt ends the program; from then on the watcher takes it.
	early, stop := a.interruptible(ctx)
	defer stop()
	if f.tui && (f.json || f.plain || f.detach || !a.screen()) {
		return invalid("leave --tui out", "--tui needs a terminal, and neither --json, --plain nor --detach")
	}
	if f.detach && f.ephemeral {
		return invalid("leave one of them out", "--detach and --ephemeral contradict each other: an ephemeral daemon ends with its client")
	}
	if f.ephemeral && (f.memory == "propose" || f.memory == "auto") {
		return invalid("use --memory read or off", "--ephemeral keeps nothing, so --memory %s can't be had", f.memory)
	}
	var c *api.Client
	var info api.Info
	fresh := true
	if f.ephemeral {
		var end func() error
		c, info, end, err = a.ephemeral(early)
		if err != nil {
			return err
		}
		defer func() {
			if err := end(); err != nil {
				a.complain(fmt.Errorf("end the private daemon: %w", err))
			}
		}()
		if f.memory == "read" {
			if err := a.lend(early, c); err != nil {
				return err
			}
		}
		c.Patience = time.Millisecond // it does not come back
	} else if c, info, fresh, err = a.ensure(early); err != nil {
		return err
	}
	defer c.Close()
	if !fresh {
		a.compare(info, req)
	}
	if req.Attended && req.File != nil && !req.Grant {
		granted, err := a.askGrant(early, c, req.File, slices.Concat(req.Granted, ownWishes(req)), false, true)
		if err != nil {
			return err
		}
		req.Granted = append(req.Granted, granted...)
	}
	signals, ignore := a.catch()
	defer ignore()
	stop()
	started, err := c.Start(ctx, req, rand.Text())
	if err != nil {
		return err
	}
	if f.detach {
		fmt.Fprintln(a.stdout, started.Run)
		a.note("started; watch it: agentctl events -f %s", started.Run)
		return nil
	}
	if f.tui {
		ignore() // the interface takes signals itself
		return a.watchUI(ctx, c, started.Run)
	}
	w := a.watcher(c, started.Run, f.json, f.plain)
	w.info, w.private = info, f.ephemeral
	w.interactive = req.Attended
	return w.watch(ctx, signals)
}

// ownWishes are what the command line opens itself: the goal file needs no grant for the same.
func ownWishes(req api.StartRequest) []string {
	g := goals.Goal{Sandbox: goals.Sandbox{Net: req.Net}}
	for _, s := range req.Secrets {
		g.Secrets = append(g.Secrets, goals.Secret(s))
	}
	var out []string
	for _, w := range g.Requests() {
		out = append(out, w.String())
	}
	return out
}

// compare says where a daemon that was already running differs from what this shell would start.
func (a *app) compare(info api.Info, req api.StartRequest) {
	if info.Version != build() {
		a.note("note: the daemon is version %s, agentctl is %s; for the new one: agentctl daemon stop, then again (runs go on)", info.Version, build())
	}
	if req.Model != "" && !strings.Contains(req.Model, "/") {
		return
	}
	var missing []string
	for _, name := range providerEnv {
		if a.getenv(name) != "" && !slices.Contains(info.Env, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		a.note("note: %s is set here, but the daemon was started without it; to pass it on: agentctl daemon stop, then again (runs go on)", strings.Join(missing, ", "))
	}
}

// providerEnv are the variables by which providers are configured.
var providerEnv = []string{
	"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "MISTRAL_API_KEY", "OPENROUTER_API_KEY",
	"GROQ_API_KEY", "DEEPSEEK_API_KEY", "OLLAMA_HOST",
}

// request makes the request of the flags. Whatever can be wrong with them is found here, before a daemon is started.
func (a *app) request(f runFlags, args []string) (api.StartRequest, error) {
	req := api.StartRequest{
		Checks: f.checks, Protect: f.protect, Net: f.net, Model: f.model, Yes: f.yes, Parallel: f.parallel, Memory: f.memory, Mode: f.mode, Apply: f.apply,
		Attended: terminal(a.stdin) && terminal(a.stderr) && !f.json && !f.detach,
	}
	if f.set("browser") {
		req.Browser = map[bool]string{true: "on", false: "off"}[f.browser]
	}
	var err error
	if req.Budget, err = f.budget(); err != nil {
		return req, err
	}
	req.Grant = f.grant
	if req.Secrets, err = parseSecrets(f.secrets); err != nil {
		return req, err
	}
	if f.memory != "" && !slices.Contains([]string{"off", "read", "propose", "auto"}, f.memory) {
		return req, invalid("use off, read, propose or auto", "--memory %.40q is none of them", f.memory)
	}
	if f.mode != "" && !slices.Contains([]string{"direct", "copy", "worktree"}, f.mode) {
		return req, invalid("use direct, copy or worktree", "--mode %.40q is none of them", f.mode)
	}
	for _, m := range f.mcp {
		if strings.ContainsAny(m, "/.") {
			if m, err = filepath.Abs(m); err != nil {
				return req, err
			}
			if _, err := os.Stat(m); err != nil {
				return req, invalid("give a file with mcpServers, or a name that agentctl mcp ls lists", "--mcp: %v", err)
			}
		}
		req.MCP = append(req.MCP, m)
	}
	if f.apply && (f.mode == "" || f.mode == "direct") {
		return req, invalid("add --mode copy or --mode worktree", "--apply: in the mode direct the work is in the workspace already")
	}
	if f.parallel < 0 {
		return req, invalid("give a number from 1", "--parallel %d is negative", f.parallel)
	}
	if req.Workspace, err = workspace(f.dir); err != nil {
		return req, err
	}
	return req, a.goal(&req, f, args)
}

// goal reads the goal of a request and checks it.
func (a *app) goal(req *api.StartRequest, f runFlags, args []string) error {
	file := f.file
	words := strings.TrimSpace(strings.Join(args, " "))
	if file != "" && words != "" {
		return invalid("use one of them", "both a goal file and a goal in words are given")
	}
	if file == "" && words == "" {
		return api.Errorf(api.ErrGoal, `agentctl run "what you want"`, "the goal is empty")
	}
	if file == "" && goals.IsWord(words) {
		found, err := goals.Find(req.Workspace, words)
		if err != nil {
			return err
		}
		file = found
	}
	if file == "" {
		if len(f.params) > 0 {
			return invalid("drop -p, or give a goal file", "a goal in words has no params")
		}
		if _, err := goals.FromText(words, req.Checks); err != nil {
			return err
		}
		req.Goal = words
		return nil
	}
	g, sent, err := a.loadGoal(file)
	if err != nil {
		return err
	}
	if err := checkLock(file, g, sent); err != nil {
		return api.Errorf(api.ErrGoal, "", "%s: %v", lockName(file), err)
	}
	if f.grants != "" {
		if req.Granted, err = fileGrants(f.grants, g); err != nil {
			return err
		}
	}
	if req.Params, err = a.params(g, f.params, req.Attended && file != "-"); err != nil {
		return err
	}
	req.File = sent
	return nil
}

func (a *app) readGoal(file string) (string, []byte, error) {
	if file == "-" {
		data, err := io.ReadAll(io.LimitReader(a.stdin, goals.MaxFile+1))
		return "stdin.goal.md", data, err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return "", nil, err
	}
	data, err := readLimited(path)
	return path, data, err
}

// workspace is the absolute path of the folder that is meant. Whether it may be a workspace is the daemon's to say.
func workspace(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the workspace: %w", err)
	}
	switch fi, err := os.Stat(abs); {
	case err != nil:
		return "", api.Errorf(api.ErrWorkspace, "make it, or give another with -C", "the workspace: %v", err)
	case !fi.IsDir():
		return "", api.Errorf(api.ErrWorkspace, "give its folder with -C", "the workspace %s is no folder", abs)
	}
	return abs, nil
}

// budget reads the limits. A flag that is given as 0 is an error: it would silently mean the default.
func (f runFlags) budget() (goals.Budget, error) {
	b := goals.Budget{Steps: f.steps}
	var err error
	if f.set("wall") {
		if b.Wall, err = time.ParseDuration(f.wall); err != nil {
			return b, invalid("write for example --wall 45m", "--wall %.40q is no time", f.wall)
		}
	}
	if f.set("tokens") {
		if b.Tokens, err = parseCount(f.tokens); err != nil {
			return b, err
		}
	}
	if f.set("usd") {
		if b.USD, err = strconv.ParseFloat(strings.TrimPrefix(f.usd, "$"), 64); err != nil || math.IsNaN(b.USD) || math.IsInf(b.USD, 0) {
			return b, invalid("write for example --usd 1.50", "--usd %.40q is no amount of money", f.usd)
		}
	}
	for _, l := range []struct {
		flag string
		zero bool
	}{{"steps", b.Steps == 0}, {"tokens", b.Tokens == 0}, {"usd", b.USD == 0}, {"wall", b.Wall == 0}} {
		if f.set(l.flag) && l.zero {
			return b, invalid("leave it out for the default, or give a negative number for no limit", "--%s 0 leaves nothing to run with", l.flag)
		}
	}
	return b, nil
}

// parseCount reads a number of tokens: 800000, 800k, 1.5M.
func parseCount(s string) (int64, error) {
	unit := 1.0
	num := s
	if n, ok := strings.CutSuffix(strings.ToLower(s), "k"); ok {
		num, unit = n, 1e3
	} else if n, ok := strings.CutSuffix(strings.ToLower(s), "m"); ok {
		num, unit = n, 1e6
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || math.IsNaN(v) || math.Abs(v*unit) > 1e15 || v*unit != math.Trunc(v*unit) {
		return 0, invalid("write for example --tokens 800k", "--tokens %.40q is no number of tokens", s)
	}
	return int64(v * unit), nil
}

// limits is a budget in words.
func limits(b goals.Budget) string {
	bound := func(none bool, limit, what string) string {
		if none {
			return "no limit of " + what
		}
		return limit
	}
	return strings.Join([]string{
		bound(b.Steps < 0, count(int64(b.Steps))+" steps", "steps"), bound(b.Tokens < 0, count(b.Tokens)+" tokens", "tokens"),
		bound(b.USD < 0, dollars(b.USD), "money"), bound(b.Wall < 0, span(b.Wall), "time"),
	}, ", ")
}
