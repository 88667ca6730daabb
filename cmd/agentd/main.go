// Command agentd is the daemon: it owns every run, and serves clients on a unix socket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"agentd/api"
	"agentd/journal/bolt"
	"agentd/sandbox/abuse"
	_ "agentd/sandbox/boxinit" // takes over when this program is started as the first process of a box
)

// version is set by the linker.
var version = ""

func main() {
	abuse.Main() // a case of the abuse suite runs this program inside its box
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

const usage = `agentd owns runs and serves clients on a unix socket. agentctl starts it by itself.

  agentd [flags]               serve until SIGTERM
  agentd doctor [--json]       say what this machine can do; exit 1 if runs can't work
  agentd doctor --abuse        try to break out of the sandbox, in every way listed; takes minutes
  agentd mcp ls|tools|check|login|logout
                               look at the configured MCP servers, log in to one
  agentd db check FILE         check a journal's structure (exit 1 and the fault)
  agentd memory repair FILE NEW
                               write what is whole of a damaged memory to a new file
  agentd version

Flags of serve:
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if version == "" {
		version = api.Build()
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "doctor":
			return runDoctor(ctx, args[1:], stdout, stderr)
		case "mcp":
			return runMCP(ctx, args[1:], stdout, stderr)
		case "db":
			if len(args) == 3 && args[1] == "check" {
				return fail(stderr, bolt.CheckFile(args[2]))
			}
		case "memory":
			if len(args) == 4 && args[1] == "repair" {
				return repairMemory(args[2], args[3], stdout, stderr)
			}
		case "version":
			fmt.Fprintln(stdout, "agentd", version)
			return 0
		}
		fmt.Fprintf(stderr, "agentd: unknown command %q; see agentd --help\n", strings.Join(args, " "))
		return 2
	}
	o, code := parseFlags(args, stderr)
	if o == nil {
		return code
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)
	return fail(stderr, serve(ctx, *o, stderr))
}

// options are the flags of serve.
type options struct {
	home      string
	config    string
	ephemeral bool
	unboxed   bool
	ready     int
	lifeline  int
	debug     bool
}

// parseFlags returns nil and the exit code when the program should end here.
func parseFlags(args []string, stderr io.Writer) (*options, int) {
	var o options
	fs := flag.NewFlagSet("agentd", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	fs.StringVar(&o.home, "home", "", "data folder and socket (default $AGENTD_HOME, else below $XDG_DATA_HOME)")
	fs.StringVar(&o.config, "config", "", "configuration file (default $XDG_CONFIG_HOME/agentd/config.yaml)")
	fs.BoolVar(&o.ephemeral, "ephemeral", false, "private daemon of one run: an ask that nobody can answer is denied")
	fs.BoolVar(&o.unboxed, "allow-unsandboxed", false, "run commands without a sandbox where none can be had (marked in every result)")
	fs.BoolVar(&o.debug, "debug", false, "log more")
	fs.IntVar(&o.ready, "ready-fd", -1, "descriptor that gets a line when the socket listens")
	fs.IntVar(&o.lifeline, "lifeline-fd", -1, "descriptor whose end of file stops the daemon")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, 0
	case err != nil:
		return nil, 2
	case fs.NArg() > 0:
		fmt.Fprintf(stderr, "agentd: unexpected argument %q\n", fs.Arg(0))
		return nil, 2
	}
	return &o, 0
}

// fail prints an error with its hint and returns the exit code.
func fail(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "agentd:", err)
	var h interface{ Hint() string }
	if e := (*api.Error)(nil); errors.As(err, &e) && e.Hint != "" {
		fmt.Fprintln(stderr, "  ", e.Hint)
	} else if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintln(stderr, "  ", h.Hint())
	}
	return 1
}
