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
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentd/api"
	"agentd/llm"
	"agentd/llm/local"
	"agentd/sandbox"
	"agentd/tools/browser"
)

// finding is one line of doctor's report.
type finding struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

type report struct {
	Version  string         `json:"version"`
	OK       bool           `json:"ok"` // the main job can run
	Findings []finding      `json:"findings"`
	Sandbox  sandbox.Report `json:"sandbox"`
	Local    local.Facts    `json:"local"`
}

func (r *report) add(name, state, fix, format string, args ...any) {
	r.Findings = append(r.Findings, finding{name, state, fmt.Sprintf(format, args...), fix})
	if state == "fail" {
		r.OK = false
	}
}

func runDoctor(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("agentd doctor", flag.ContinueOnError)
	fs.SetOutput(stderr)
	asJSON := fs.Bool("json", false, "print JSON")
	home := fs.String("home", "", "data folder")
	config := fs.String("config", "", "configuration file")
	mend := fs.Bool("fix", false, "install a browser where none is and apt-get may")
	quick := fs.Bool("quick", false, "don't measure the local model's speed")
	hostile := fs.Bool("abuse", false, "try to break out of the sandbox, and print what happened")
	backend := fs.String("backend", "", "with --abuse: the sandbox backend to try, native, bubblewrap or landlock (default: the one in use)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *hostile {
		return runAbuse(ctx, *backend, *asJSON, stdout, stderr)
	}
	if *mend {
		if err := installBrowser(ctx, stderr); err != nil {
			fmt.Fprintln(stderr, "agentd: browser:", err)
		}
	}
	r := &report{Version: version, OK: true}
	d := &daemon{opts: options{home: *home, config: *config}, log: slog.New(slog.DiscardHandler)}
	if err := d.configure(); err != nil {
		r.add("configuration", "fail", "mend the file, or name another with --config", "%v", err)
	} else {
		r.examine(ctx, d, !*quick)
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fail(stderr, err)
		}
	} else {
		r.print(stdout)
	}
	if !r.OK {
		return 1
	}
	return 0
}

func (r *report) examine(ctx context.Context, d *daemon, measure bool) {
	r.add("configuration", "ok", "", "%s", d.configPath)
	r.data(d.places)
	r.boxes(d)
	r.model(ctx, d, measure)
	r.chromium(ctx)
	r.search(d, os.Getenv)
}

// data looks at the data folder: can it be written, is there room.
func (r *report) data(p api.Places) {
	if err := os.MkdirAll(p.Home, 0o700); err != nil {
		r.add("data folder", "fail", "set AGENTD_HOME to a folder that you can write", "%v", err)
		return
	}
	f, err := os.CreateTemp(p.Home, ".doctor-")
	if err != nil {
		r.add("data folder", "fail", "set AGENTD_HOME to a folder that you can write", "%v", err)
		return
	}
	f.Close()
	os.Remove(f.Name())
	r.add("data folder", "ok", "", "%s", p.Home)
	var st unix.Statfs_t
	if err := unix.Statfs(p.Home, &st); err != nil {
		r.add("disk", "warn", "", "%v", err)
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	switch {
	case free < 100<<20:
		r.add("disk", "fail", "free some space, or set AGENTD_HOME to another disk", "%s free in %s", sandbox.Bytes(free), p.Home)
	case free < 3<<30:
		r.add("disk", "warn", "a local model needs 1.2 GB", "%s free in %s", sandbox.Bytes(free), p.Home)
	default:
		r.add("disk", "ok", "", "%s free", sandbox.Bytes(free))
	}
}

// boxes reports what the sandbox enforces here.
func (r *report) boxes(d *daemon) {
	r.Sandbox = d.probe()
	state, fix := "ok", r.Sandbox.Fix
	if r.Sandbox.Level < d.require {
		state = "fail"
	}
	r.add("sandbox", state, fix, "level %s (required: %s) by %s, kernel %s", r.Sandbox.Level, d.require, r.Sandbox.Backend, r.Sandbox.Kernel)
	for _, g := range r.Sandbox.Guarantees {
		s := map[string]string{"enforced": "ok", "partial": "warn", "absent": "warn"}[g.State]
		r.add("  "+g.Name, s, "", "%s", strings.TrimRight(g.State+" by "+g.By+"; "+g.Reason, "; "))
	}
}

// model says which model a run would use, and how fast the embedded one is.
func (r *report) model(ctx context.Context, d *daemon, measure bool) {
	m, err := newModels(d)
	if err != nil {
		r.add("models", "fail", "", "%v", err)
		return
	}
	defer m.Close()
	def := m.fallback(ctx)
	isLocal := def == "local" || strings.HasPrefix(def, "local/")
	r.Local = local.Doctor(ctx, local.Options{Dir: m.store.Dir(), Model: d.cfg.Local.Model}, measure && isLocal)
	if keys := m.keys(); len(keys) > 0 {
		r.add("provider keys", "ok", "", "%s", strings.Join(keys, ", "))
	}
	switch f := r.Local; {
	case f.Fault != "" && isLocal:
		r.add("model", "fail", f.Fix+"; or set a provider's key", "%s: %s", def, f.Fault)
	case f.Fault != "":
		r.add("local model", "warn", f.Fix, "%s", f.Fault)
	case f.Predict > 0:
		r.add("model", "ok", "", "%s: loads in %.1f s, reads %.0f and writes %.1f tokens/s", def, f.LoadMS/1000, f.Prompt, f.Predict)
	default:
		r.add("local model", "ok", "", "%s", f.Model)
	}
	if !isLocal {
		if _, err := m.open(ctx, def); err != nil {
			r.add("model", "fail", "set its key in the daemon's environment, or choose another with --model", "%s: %v", def, err)
			return
		}
		p, _, err := llm.ParseName(def)
		if err == nil {
			r.add("model", "ok", "", "%s, answered by %s", def, p.Name)
		}
	}
	if r.Local.Embed == "" {
		r.add("embedder", "warn", "agentctl model pull "+local.DefaultEmbed, "none: memory finds by words alone")
	} else {
		r.add("embedder", "ok", "", "%s", r.Local.Embed)
	}
}

// chromium says which browser runs use.
func (r *report) chromium(ctx context.Context) {
	fix := "install Chromium or Chrome"
	if runtime.GOOS == "linux" {
		fix = "apt-get install chromium, which agentctl doctor --fix does"
	}
	path, err := browser.Find()
	if err != nil {
		r.add("browser", "warn", fix, "none found: goals that need one can't run")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		r.add("browser", "warn", "reinstall it", "%s --version: %v", path, err)
		return
	}
	if r.Sandbox.Level < sandbox.LevelNamespaces {
		r.add("browser", "warn", r.Sandbox.Fix, "%s (%s), but runs can't use it: it needs the sandbox level namespaces", path, strings.TrimSpace(string(out)))
		return
	}
	r.add("browser", "ok", "", "%s: %s", path, strings.TrimSpace(string(out)))
}

// installBrowser installs a browser where there is none and this user may.
func installBrowser(ctx context.Context, w io.Writer) error {
	if _, err := browser.Find(); err == nil {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	switch {
	case err != nil:
		return errors.New("no browser is installed, and there is no apt-get to install one with: install Chromium or Chrome")
	case os.Geteuid() != 0:
		return errors.New("no browser is installed, and only root may: sudo apt-get install chromium")
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "chromium"}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	_, err = browser.Find()
	return err
}

func (r *report) print(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%-4s  %-16s %s\n", f.State, f.Name, f.Detail)
		if f.Fix != "" && f.State != "ok" {
			fmt.Fprintf(w, "      %-16s fix: %s\n", "", f.Fix)
		}
	}
	if !r.OK {
		fmt.Fprintln(w, "\nRuns can't work until what failed above is mended.")
	}
}

// probe opens the sandbox as a serving daemon would, and closes it.
func (d *daemon) probe() sandbox.Report {
	box, err := sandbox.Open(sandbox.Options{AllowNone: true, Log: d.log})
	if err != nil {
		return sandbox.Report{Level: sandbox.LevelNone, Fix: err.Error()}
	}
	defer box.Close()
	return box.Report()
}
