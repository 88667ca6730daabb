package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"agentd/sandbox"
	"agentd/tools/args"
)

// maxTimeout is the longest that a model can ask one command to run, in seconds.
const maxTimeout = 3600

// shell runs bash in a box.
var shell = define(builtin[args.Shell]{
	spec: Spec{Fenced: Fenced{Body: "command"}},
	check: func(a args.Shell) error {
		if strings.TrimSpace(a.Command) == "" {
			return errors.New(`argument "command" is empty`)
		}
		return checkCommand("command", a.Command, a.Timeout)
	},
	effect: always[args.Shell](Once),
	run: func(ctx context.Context, env Env, a args.Shell) (Result, error) {
		return runBox(ctx, env, a.Timeout, sandbox.Command{Argv: []string{"bash", "-c", a.Command}})
	},
})

// maxCommand bounds a command line: the kernel takes 128 KiB in one argument.
const maxCommand = 120 << 10

func checkCommand(name, text string, timeout int) error {
	switch {
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("argument %q holds a NUL byte", name)
	case name == "command" && len(text) > maxCommand:
		return fmt.Errorf("argument %q has %d bytes, more than %d: write a script with the tool write and run that", name, len(text), maxCommand)
	case timeout < 0 || timeout > maxTimeout:
		return fmt.Errorf(`argument "timeout" is %d: give 1 to %d seconds`, timeout, maxTimeout)
	}
	return nil
}

// runBox runs one command in the call's box, for at most timeout seconds (0: as the policy says), and tells how it ended.
func runBox(ctx context.Context, env Env, timeout int, c sandbox.Command) (Result, error) {
	if env.Box == nil {
		return Result{}, errors.New("there is no sandbox to run it in")
	}
	p := env.Policy
	if t := time.Duration(timeout) * time.Second; t > 0 && (p.Limits.Wall <= 0 || t < p.Limits.Wall) {
		p.Limits.Wall = t
	}
	out := NewOutput(DefaultKeep)
	c.Stdout = out
	if env.Out != nil {
		c.Stdout = io.MultiWriter(out, display{env.Out})
	}
	res, err := env.Box.Run(ctx, p, c)
	if err != nil {
		return Result{}, errors.Join(err, out.Close())
	}
	r := Result{OK: res.Exit == 0 && res.Killed == "", Exit: res.Exit, Output: out, Egress: res.Egress}
	if res.Level != 0 {
		r.Level = res.Level.String()
	}
	if res.Killed != "" {
		r.Killed = killedWords(res)
	}
	return r, nil
}

// display hides the errors of a viewer: a closed terminal never ends a command.
type display struct{ io.Writer }

func (d display) Write(p []byte) (int, error) {
	_, _ = d.Writer.Write(p) // for display only: what a viewer misses, the journal has
	return len(p), nil
}

// killedWords says which limit ended a command.
func killedWords(r sandbox.Result) string {
	if r.Detail != "" {
		return r.Detail
	}
	switch r.Killed {
	case sandbox.KilledWall:
		return "time limit, after " + r.Usage.Wall.Round(time.Second).String()
	case sandbox.KilledCPU:
		return "limit of processor time"
	case sandbox.KilledMemory:
		return "limit of memory"
	case sandbox.KilledProcs:
		return "limit of processes"
	case sandbox.KilledDisk:
		return "limit of disk space"
	case sandbox.KilledOutput:
		return "limit of output"
	}
	return string(r.Killed)
}
