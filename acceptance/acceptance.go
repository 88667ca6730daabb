// Package acceptance measures criteria: probes run in fresh boxes and conditions over their results.
package acceptance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentd/goals"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/workspace"
)

// Runner runs one command in a box. *sandbox.Box is one.
type Runner interface {
	Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error)
}

// Result is one probe's measurement.
type Result struct {
	Name   string
	Cmd    string
	Exit   int    // never 0 when Killed or Signal is set
	Killed string // the limit that ended it, in words, or ""
	Signal string
	Output string // the end of what it printed, at most OutputTail bytes
	Text   string // more of it, for conditions: head and tail, at most outputText bytes
	Note   string // what a person should know about how it was measured
	Status int    // of an answer over HTTP
	Read   Reading
	Parsed bool   // Read is what the output says
	Unread string // why the probe's parser could not read its output, or there is none to read
	Took   time.Duration
	Level  sandbox.Level
}

// OutputTail bounds Result.Output in bytes.
const OutputTail = 2 << 10

// outputText bounds Result.Text in bytes.
const outputText = 64 << 10

// OK reports whether the probe ended by itself with exit code 0.
func (r Result) OK() bool { return r.Exit == 0 && r.Killed == "" && r.Signal == "" }

// defaultCopy bounds the throw-away copy of the workspace that a probe works on.
var defaultCopy = workspace.Options{MaxFiles: 50_000, MaxBytes: 1 << 30}

// Measurer measures probes. Each gets a box of its own on a throw-away copy of the workspace, without network, with empty
// caches and nothing left of another box: what an agent planted outside of the workspace can't move the result, and a probe
// can't change the workspace. A workspace too large to copy is shown read-only instead, and the result says so.
type Measurer struct {
	Box     Runner
	Scratch string            // folder for copies and caches, the daemon's own; "" for the system's temporary one
	Copy    workspace.Options // the largest copy; the zero value means 50,000 files and 1 GiB
}

// Measure runs the probes one after the other. base is the run's policy: its workspace, read-only paths, environment and limits hold; its network,
// caches and protected paths don't. No box of the run may be alive. A probe that fails is a result; an error means that nothing was measured.
func (m *Measurer) Measure(ctx context.Context, base sandbox.Policy, probes []goals.Probe) ([]Result, error) {
	results := make([]Result, 0, len(probes))
	for _, p := range probes {
		r, err := m.probe(ctx, base, p)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", p.Name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// Sweep deletes the copies that a daemon which died left in Scratch. No probe may be running.
func (m *Measurer) Sweep() error {
	entries, err := os.ReadDir(m.Scratch)
	if m.Scratch == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "probe-") {
			err = errors.Join(err, workspace.Discard(filepath.Join(m.Scratch, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove old probes: %w", err)
	}
	return nil
}

func (m *Measurer) probe(ctx context.Context, base sandbox.Policy, p goals.Probe) (r Result, err error) {
	if m.Scratch != "" {
		if err := os.MkdirAll(m.Scratch, 0o700); err != nil {
			return r, err
		}
	}
	dir, err := os.MkdirTemp(m.Scratch, "probe-")
	if err != nil {
		return r, err
	}
	defer func() {
		if derr := workspace.Discard(dir); err == nil && derr != nil {
			err = fmt.Errorf("remove the probe's copy: %w", derr)
		}
	}()
	pol, note, err := m.policy(ctx, base, dir)
	if err != nil {
		return r, err
	}
	pol.Limits.Wall = p.Timeout
	if p.Timeout == 0 {
		pol.Limits.Wall = goals.DefaultProbeTimeout
	}
	out := &ends{keep: outputText / 2}
	whole := &capped{most: maxParsed}
	var sink io.Writer = out
	if p.Parse != "" || p.HTTP.URL != "" {
		sink = io.MultiWriter(out, whole)
	}
	argv, err := argvOf(p, pol.Limits.Wall)
	if err != nil {
		return r, err
	}
	start := time.Now()
	res, err := m.Box.Run(ctx, pol, sandbox.Command{Argv: argv, Stdout: sink})
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	if err != nil {
		return r, err
	}
	r = Result{
		Name: p.Name, Cmd: Command(p), Exit: res.Exit, Signal: res.Signal, Killed: killed(res), Note: note,
		Output: out.tail(OutputTail), Text: out.text(), Took: time.Since(start), Level: res.Level,
	}
	if r.Exit == 0 && !r.OK() {
		r.Exit = 137
	}
	r.read(p, whole)
	if r.Note == "" {
		r.Note = r.Unread
	} else if r.Unread != "" {
		r.Note += "; " + r.Unread
	}
	return r, nil
}

// read parses what the probe gave.
func (r *Result) read(p goals.Probe, whole *capped) {
	body := whole.buf
	if p.HTTP.URL != "" && r.Exit == 0 {
		var err error
		if r.Status, body, err = answer(p, whole.buf); err != nil {
			r.Exit, r.Unread = 1, err.Error()
			return
		}
		out := &ends{keep: outputText / 2}
		out.Write(body)
		r.Output, r.Text = out.tail(OutputTail), out.text()
	}
	switch {
	case p.HTTP.URL != "" && r.Exit != 0:
		r.Unread = "nothing answered"
	case p.Parse == "":
		r.Parsed = true
	case r.Killed != "" || r.Signal != "":
		r.Unread = "it was cut off, so its output is not whole"
	case whole.over:
		r.Unread = fmt.Sprintf("it printed more than %d MiB: write less, or a summary", maxParsed>>20)
	case p.Cmd == "" && r.Exit != 0:
		r.Unread = "there is nothing to read"
	default:
		reading, err := Read(p, body)
		if err != nil {
			r.Unread = err.Error()
			return
		}
		r.Read, r.Parsed = reading, true
	}
}

// policy narrows the run's policy to a probe's.
func (m *Measurer) policy(ctx context.Context, base sandbox.Policy, dir string) (sandbox.Policy, string, error) {
	pol := base
	pol.Net = sandbox.Net{}
	pol.Protect = nil // the copy is thrown away
	pol.ReadOnly = slices.Clone(base.ReadOnly)
	pol.Caches = nil
	n := 0
	for _, inBox := range base.Caches {
		if pol.Caches == nil {
			pol.Caches = map[string]string{}
		}
		host := filepath.Join(dir, "cache"+strconv.Itoa(n))
		n++
		if err := os.Mkdir(host, 0o700); err != nil {
			return pol, "", err
		}
		pol.Caches[host] = inBox
	}
	opts := m.Copy
	if opts == (workspace.Options{}) {
		opts = defaultCopy
	}
	pol.Workspace = filepath.Join(dir, "workspace")
	err := workspace.Clone(ctx, base.Workspace, pol.Workspace, opts)
	if big, ok := errors.AsType[*workspace.LimitError](err); ok {
		pol.Workspace, pol.ReadOnlyWS = base.Workspace, true
		return pol, fmt.Sprintf("measured on a read-only view: the workspace is too large to copy (%s %d)", big.Setting, big.Limit), nil
	}
	return pol, "", err
}

func killed(r sandbox.Result) string {
	if r.Killed == "" {
		return ""
	}
	if r.Detail != "" {
		return r.Detail
	}
	return string(r.Killed)
}

// Verdict is what conditions say of results.
type Verdict struct {
	OK      bool              // there is a condition, and all hold
	Require map[string]bool   // each condition, and whether it holds
	Reasons map[string]string // of conditions that could not be evaluated, which counts as unmet
	Left    map[string]string // conditions that were left out, as an optional probe of theirs could not be measured, and why
}

// Decide evaluates the goal's conditions over facts; Results of the facts are made of results. Proposed are probes that a planner added. An error means
// that a condition isn't valid for these probes.
func Decide(g goals.Goal, require []string, results []Result, facts policy.Facts, proposed ...goals.Probe) (Verdict, error) {
	lang, err := g.Language(proposed...)
	if err != nil {
		return Verdict{}, fmt.Errorf("conditions: %w", err)
	}
	facts.Results = Facts(results)
	if facts.Params == nil {
		facts.Params = g.Values
	}
	v := Verdict{OK: true, Require: map[string]bool{}, Reasons: map[string]string{}, Left: map[string]string{}}
	for _, src := range require {
		c, err := lang.Require(src)
		if err != nil {
			return Verdict{}, fmt.Errorf("condition %q: %w", src, err)
		}
		if name, why := unmeasured(g, c.Uses(), results); name != "" {
			v.Left[src] = fmt.Sprintf("the optional probe %s could not be measured: %s", name, why)
			continue
		}
		ok, err := c.Eval(facts)
		if err != nil {
			ok = false
			v.Reasons[src] = err.Error() + unread(c.Uses(), results)
		}
		v.Require[src] = ok
		v.OK = v.OK && ok
	}
	v.OK = v.OK && len(v.Require) > 0
	return v, nil
}

// unmeasured names an optional probe that could not be measured: its program is missing, nothing answered, or its output can't be read.
func unmeasured(g goals.Goal, uses []string, results []Result) (name, why string) {
	for _, p := range g.Probes {
		if !p.Optional || !slices.Contains(uses, p.Name) {
			continue
		}
		for _, r := range results {
			switch {
			case r.Name != p.Name || r.Parsed && r.Exit != 127 && r.Killed == "" && r.Signal == "":
			case r.Unread != "":
				return p.Name, r.Unread
			default:
				return p.Name, cmp.Or(r.Killed, r.Signal, fmt.Sprintf("it ended with %d", r.Exit))
			}
		}
	}
	return "", ""
}

// Facts are results as conditions see them.
func Facts(results []Result) map[string]policy.ProbeResult {
	seen := make(map[string]policy.ProbeResult, len(results))
	for _, r := range results {
		p := r.Read.facts()
		p.Exit, p.OK, p.Output, p.Status = r.Exit, r.OK(), r.Text, r.Status
		p.Read = r.Parsed
		seen[r.Name] = p
	}
	return seen
}

// unread says why the probes that a condition uses gave no reading.
func unread(uses []string, results []Result) string {
	var b strings.Builder
	for _, r := range results {
		if r.Unread != "" && slices.Contains(uses, r.Name) {
			fmt.Fprintf(&b, " (%s: %s)", r.Name, r.Unread)
		}
	}
	return b.String()
}

// Vacuous names the probes that succeeded already before the run: as criteria that somebody proposed for it, they show nothing.
func Vacuous(base []Result) []string {
	var names []string
	for _, r := range base {
		if r.OK() {
			names = append(names, r.Name)
		}
	}
	return names
}
