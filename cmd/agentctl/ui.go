package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/cmd/agentctl/tui"
	"agentd/journal"
)

// uiCmd is what agentctl does without a command on a terminal, under a name.
func (a *app) uiCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ui [RUN]",
		Short: "Watch and steer runs in a full-screen interface",
		Long:  "Watch and steer runs in a full-screen interface; agentctl alone on a terminal is the same. Leaving it ends no run. ? explains the keys.",
		Args:  between(0, 1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if !a.screen() {
				return invalid("agentctl ls lists the runs, agentctl events -f RUN follows one", "the interface needs a terminal that can move its cursor")
			}
			c, info, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			run := journal.RunID("")
			if len(args) > 0 {
				if run, err = c.Resolve(ctx, args[0]); err != nil {
					return err
				}
			}
			a.compare(info, api.StartRequest{})
			_, err = a.ui(ctx, c, run)
			return err
		}),
	}
}

// screen reports whether the streams are a terminal on which a full-screen interface can be drawn.
func (a *app) screen() bool {
	return terminal(a.stdin) && terminal(a.stdout) && a.getenv("TERM") != "dumb"
}

// ui shows the interface, on a run or on all of them, and returns the status of the run that it showed last.
func (a *app) ui(ctx context.Context, c *api.Client, run journal.RunID) (journal.Status, error) {
	dir, err := workspace("")
	if err != nil {
		dir = ""
	}
	notify, err := a.notify()
	if err != nil {
		return "", err
	}
	return tui.Run(ctx, tui.Options{Client: c, Run: run, Workspace: dir, Version: build(), In: a.stdin, Out: a.stdout, Notify: notify})
}

// notifyVariable says how the interface calls a person: ways of the terminal, comma-separated, or "none", or "run:" and a
// command line that gets the words as one more argument.
const notifyVariable = "AGENTCTL_NOTIFY"

func (a *app) notify() (tui.Notify, error) {
	v := strings.TrimSpace(a.getenv(notifyVariable))
	if v == "" {
		return tui.Notify{}, nil
	}
	n := tui.Notify{Ways: []string{}}
	if cmd, ok := strings.CutPrefix(v, "run:"); ok {
		if n.Command = strings.Fields(cmd); len(n.Command) == 0 {
			return n, invalid("for example "+notifyVariable+"=\"run:notify-send agentd\"", "%s names no command", notifyVariable)
		}
		return n, nil
	}
	for w := range strings.SplitSeq(v, ",") {
		w = strings.TrimSpace(w)
		switch {
		case w == "none":
		case slices.Contains(tui.NotifyWays(), w):
			n.Ways = append(n.Ways, w)
		default:
			return n, invalid("use "+strings.Join(tui.NotifyWays(), ", ")+", none, or run:COMMAND", "%s: %.40q is no way to notify", notifyVariable, w)
		}
	}
	return n, nil
}

// watchUI shows a run that was just started. Afterwards its result goes to standard output, if it has ended.
func (a *app) watchUI(ctx context.Context, c *api.Client, run journal.RunID) error {
	if _, err := a.ui(ctx, c, run); err != nil {
		return err
	}
	v, err := c.Recent(ctx, run, 1)
	if err != nil {
		return err
	}
	a.code = v.Status.Exit()
	if v.State == nil || v.State.Outcome == nil {
		a.note("run %s goes on (%s); watch it: agentctl ui %s", run, v.Status, run)
		return nil
	}
	out := v.State.Outcome
	a.note("%s%s", outcomeWord(out.Status, out.Self), dash(line(out.Reason, 200)))
	if out.Result != "" {
		if _, err := fmt.Fprintln(a.stdout, clean(strings.TrimRight(out.Result, "\n"))); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return nil
}
