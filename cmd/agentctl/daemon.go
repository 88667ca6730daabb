package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
)

func (a *app) daemonCmd() *cobra.Command {
	c := &cobra.Command{Use: "daemon", Short: "Start, stop and look at the daemon", Args: cobra.NoArgs, RunE: needSubcommand}
	c.AddCommand(a.daemonStartCmd(), a.daemonStopCmd(), a.daemonStatusCmd(), a.daemonLogCmd(), a.daemonInstallCmd())
	return c
}

func (a *app) daemonStartCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "start",
		Short: "Start the daemon, if none runs",
		Args:  exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			c, info, started, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			word := "already running"
			if started {
				word = "started"
			}
			fmt.Fprintf(a.stdout, "%s: pid %d, %s, version %s\n", word, info.PID, clean(info.Socket), clean(info.Version))
			return nil
		}),
	}
}

func (a *app) daemonStopCmd() *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use:   "stop",
		Short: "Stop the daemon; its runs go on when it is started again",
		Args:  exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			c, err := a.dial()
			if errors.Is(err, api.ErrNotRunning) {
				a.note("no daemon is running")
				return nil
			}
			if err != nil {
				return err
			}
			defer c.Close()
			pid, err := c.PID(ctx) // of who listens, as the kernel says: also of a daemon of another version
			if err != nil {
				return err
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop the daemon (pid %d): %w", pid, err)
			}
			return a.gone(ctx, pid, wait)
		}),
	}
	c.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for it to end")
	return c
}

// gone waits until a process has ended.
func (a *app) gone(ctx context.Context, pid int, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			fmt.Fprintf(a.stdout, "stopped: pid %d\n", pid)
			return nil
		}
		select {
		case <-ctx.Done():
			return api.Errorf(context.DeadlineExceeded, fmt.Sprintf("agentctl daemon log; kill %d ends it at once and loses nothing that was acknowledged", pid), "the daemon (pid %d) has not ended after %s", pid, wait)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// zombie reports whether a process has ended and only waits for its parent to notice.
func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(data), ") ")
	return ok && strings.HasPrefix(rest, "Z")
}

func (a *app) daemonStatusCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say whether a daemon runs, and with what; exit 1 if none does",
		Args:  exactly(0),
		RunE: a.withClient(func(ctx context.Context, c *api.Client, _ []string) error {
			i, err := c.Info(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(i)
			}
			field := func(name, format string, args ...any) {
				fmt.Fprintf(a.stdout, "%-9s %s\n", name, clean(fmt.Sprintf(format, args...)))
			}
			field("daemon", "pid %d, version %s, up %s", i.PID, i.Version, age(time.Since(i.Started)))
			field("socket", "%s", i.Socket)
			field("data", "%s", i.Home)
			field("log", "%s", i.Log)
			field("runs", "%s live", plural(i.Live, "run"))
			field("model", "%s", i.Model)
			field("provider", "%s", or(strings.Join(i.Env, ", "), "no variables set"))
			field("memory", "%s", or(i.Embedder, "words only, no embedder"))
			field("sandbox", "%s (%s), at least %s", i.Sandbox.Level, i.Sandbox.Backend, i.Sandbox.Required)
			if i.Sandbox.Fix != "" {
				field("", "%s", i.Sandbox.Fix)
			}
			field("limits", "%s", limits(i.Budget))
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) daemonLogCmd() *cobra.Command {
	var lines int
	var follow bool
	c := &cobra.Command{
		Use:   "log",
		Short: "Print the end of the daemon's log",
		Args:  exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			p, err := api.FindPlaces(a.home, a.getenv)
			if err != nil {
				return err
			}
			f, err := os.Open(p.Log)
			if errors.Is(err, os.ErrNotExist) {
				a.note("there is no log at %s", p.Log)
				return nil
			}
			if err != nil {
				return fmt.Errorf("open the log: %w", err)
			}
			defer f.Close()
			return a.log(ctx, f, lines, follow)
		}),
	}
	c.Flags().IntVarP(&lines, "lines", "n", 50, "how many lines")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as it grows")
	return c
}

// log prints the last lines of a file and, if asked, what is added to it.
func (a *app) log(ctx context.Context, f *os.File, lines int, follow bool) error {
	const most = 4 << 20 // of the file's end that is looked at
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if _, err := f.Seek(max(0, fi.Size()-most), io.SeekStart); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	r := bufio.NewReader(f)
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	all := strings.SplitAfter(string(data), "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	fmt.Fprint(a.stdout, clean(strings.Join(all[max(0, len(all)-max(lines, 0)):], "")))
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		fmt.Fprint(a.stdout, clean(string(data)))
	}
	return nil
}

func (a *app) doctorCmd() *cobra.Command {
	c := &cobra.Command{
		Use:                "doctor",
		Short:              "Check what this machine offers, with the way to fix what is missing",
		Long:               "Check what this machine offers: model, sandbox, kernel, disk, data folder; each with the way to fix it. Works without a daemon. Exit 1 if the main job can't run.",
		DisableFlagParsing: true, // agentd doctor has the flags
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.end(a.doctor(cmd.Context(), args))
		return nil
	}
	return c
}

func (a *app) doctor(ctx context.Context, args []string) error {
	return a.daemonProgram(ctx, append([]string{"doctor"}, args...))
}

// daemonProgram runs agentd with arguments; its exit code is this program's.
func (a *app) daemonProgram(ctx context.Context, args []string) error {
	exe, err := findDaemon()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		a.code = exit.ExitCode()
		return nil
	}
	if err != nil {
		return fmt.Errorf("agentd %s: %w", args[0], err)
	}
	return nil
}
