// Command agentctl starts, watches and steers the runs of the agentd daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"syscall"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

// version is set by the linker.
var version = ""

// build is this program's version.
func build() string { return or(version, api.Build()) }

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is what the commands share: the streams, the environment and the exit code.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	home   string // --home
	code   int
	// heed holds the signals that this program takes: not those that whoever started it has it ignore, as nohup does, or
	// a shell for what it starts in the background. To listen for a signal ends its being ignored: hence asked first.
	heed []os.Signal
}

// run is the whole program: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			a.heed = append(a.heed, s)
		}
	}
	root := a.root()
	if len(args) == 0 && a.screen() {
		args = []string{"ui"}
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := fang.Execute(ctx, root, fang.WithVersion(build()), fang.WithErrorHandler(func(io.Writer, fang.Styles, error) {}))
	if err != nil { // only what cobra found wrong with the arguments gets here: see app.do
		a.usage(root, args, err)
		return 2
	}
	return a.code
}

// exitCodes is the table of outcomes for a help text.
var exitCodes = func() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, o := range journal.Outcomes() {
		fmt.Fprintf(&b, "  %3d %-12s %s\n", o.Exit, o.Status, o.Means)
	}
	return b.String() + "With --detach, 0 means started."
}()

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "agentctl",
		Short: "Give a goal to an agent on this machine, watch it, steer it",
		Long: "Give a goal to an agent on this machine, watch it, steer it.\n\n" +
			"RUN is a run's id, the beginning of one, or \"last\". Reading commands take --json.\n\n" + exitCodes,
		Example: `# Start a run here and watch it
agentctl run "find the five largest files and write a table of them to report.md"
# Steer it from another terminal
agentctl say last "skip the vendor folder"`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.home, "home", "", "data folder of the daemon to use (AGENTD_HOME)")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Runs"}, &cobra.Group{ID: "steer", Title: "Steering"}, &cobra.Group{ID: "look", Title: "Looking closer"}, &cobra.Group{ID: "daemon", Title: "Daemon and models"})
	group := func(id string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("run", a.runCmd(), a.uiCmd(), a.webCmd(), a.browserCmd(), a.lsCmd(), a.showCmd(), a.eventsCmd(), a.rmCmd(), a.scheduleCmd())
	group("steer", a.answerCmd(), a.sayCmd(), a.reviseCmd(), a.pauseCmd(), a.resumeCmd(), a.limitsCmd(), a.cancelCmd(), a.undoCmd(), a.applyCmd())
	group("look", a.goalCmd(), a.policyCmd(), a.planCmd(), a.diffCmd(), a.contextCmd(), a.memoryCmd(), a.secretCmd(), a.mcpCmd())
	group("daemon", a.initCmd(), a.modelCmd(), a.daemonCmd(), a.doctorCmd(), a.backupCmd(), a.versionCmd())
	addTopics(root)
	a.complete(root)
	return root
}

// do makes a command's function of one that returns an error: the error is printed with its hint and becomes the exit
// code. ctx ends at an interrupt.
func (a *app) do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		ctx, stop := a.interruptible(c.Context())
		defer stop()
		a.end(f(ctx, args))
		return nil
	}
}

// interruptible is a context that ends at an interrupt, a request to terminate, or when the terminal closes.
func (a *app) interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	if len(a.heed) == 0 { // NotifyContext takes none for all
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, a.heed...)
}

// withClient is do for a command that needs a daemon, which it doesn't start.
func (a *app) withClient(f func(ctx context.Context, c *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.do(func(ctx context.Context, args []string) error {
		c, err := a.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(ctx, c, args)
	})
}

// end prints an error, if there is one, and sets the exit code that goes with it.
func (a *app) end(err error) {
	if err == nil {
		return
	}
	if code := api.ExitCode(err); a.code == 0 {
		a.code = code
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "agentctl: interrupted")
		return
	}
	a.complain(err)
}

func (a *app) complain(err error) {
	fmt.Fprintln(a.stderr, "agentctl: "+clean(err.Error()))
	if e, ok := errors.AsType[*api.Error](err); ok && e.Hint != "" {
		fmt.Fprintln(a.stderr, "  hint: "+clean(e.Hint))
	}
}

func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.stderr, clean(fmt.Sprintf(format, args...)))
}

// usage prints what is wrong with the arguments, with the nearest command or flag.
func (a *app) usage(root *cobra.Command, args []string, err error) {
	cmd, _, findErr := root.Find(args)
	if findErr != nil {
		cmd = root
	}
	msg, _, _ := strings.Cut(err.Error(), "\n") // cobra's own suggestions follow
	fmt.Fprintln(a.stderr, "agentctl: "+clean(msg))
	if hint := suggest(cmd, msg); hint != "" {
		fmt.Fprintln(a.stderr, "  did you mean "+hint+"?")
	}
	fmt.Fprintln(a.stderr, "  see: "+cmd.CommandPath()+" --help")
}

// exactly takes as many arguments as the command's usage line names, and its error names them.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

// between takes from least to most arguments; most below 0 is any number.
func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		_, names, _ := strings.Cut(c.Use, " ")
		switch {
		case len(args) < least:
			return fmt.Errorf("%s needs %s", c.CommandPath(), names)
		case most >= 0 && len(args) > most:
			return fmt.Errorf("%s takes %s, not %.60q too", c.CommandPath(), or(names, "no arguments"), args[most])
		}
		return nil
	}
}

// invalid is an error of the command's own arguments.
func invalid(hint, format string, args ...any) error {
	return api.Errorf(api.ErrInvalid, hint, format, args...)
}

// signature is how this program signs what a person changes through it.
func signature() string {
	if u, err := user.LookupId(fmt.Sprint(os.Getuid())); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
