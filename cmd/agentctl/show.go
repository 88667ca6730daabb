package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) showCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run: goal, plan, what it waits for, how it ended",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			read := func() (api.RunView, error) { return c.Recent(ctx, run, 1) }
			if asJSON {
				read = func() (api.RunView, error) { return c.Get(ctx, run) }
			}
			v, err := read()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(v)
			}
			if v.State == nil {
				return api.Errorf(api.ErrInternal, "", "the daemon sent no state of run %s", run)
			}
			a.show(v)
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

// withRun is withClient for a command whose first argument is a run.
func (a *app) withRun(f func(ctx context.Context, c *api.Client, run journal.RunID, args []string) error) func(*cobra.Command, []string) error {
	return a.withClient(func(ctx context.Context, c *api.Client, args []string) error {
		run, err := c.Resolve(ctx, args[0])
		if err != nil {
			return err
		}
		return f(ctx, c, run, args[1:])
	})
}

func (a *app) show(v api.RunView) {
	s, w := v.State, width(a.stdout)
	field := func(name, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-10s %s\n", name, clean(fmt.Sprintf(format, args...)))
	}
	field("run", "%s", v.Run)
	status := statusWord(v.Summary)
	if v.Status.Ended() {
		status = outcomeWord(v.Status, v.Self)
	}
	field("status", "%s%s", status, dash(v.Reason))
	if v.Now != "" {
		field("now", "%s", v.Now)
	}
	if v.Name != "" {
		field("goal file", "%s (%s)", v.Name, s.Start.Goal.File)
	}
	field("goal", "%s", strings.ReplaceAll(strings.TrimSpace(s.Start.Goal.Text), "\n", "\n           "))
	field("workspace", "%s", v.Workspace)
	field("model", "%s", v.Model)
	field("started", "%s (%s ago)", v.Started.Local().Format(time.DateTime), age(time.Since(v.Started)))
	field("used", "%s, %s tokens, %s", plural(v.Steps, "step"), count(v.Tokens), dollars(v.USD))
	field("limits", "%s", limits(s.Budget))
	for _, p := range s.Start.Goal.Probes {
		field("check", "%s: %s", p.Name, p.Cmd)
	}
	for _, p := range s.Proposed {
		field("proposed", "%s: %s", p.Name, p.Cmd)
	}
	if len(s.Plan.Tasks) > 0 {
		field("plan", "revision %d", s.Plan.Revision)
		for _, l := range tree(s.Plan, s, w) {
			fmt.Fprintln(a.stdout, l)
		}
	}
	if len(s.Net) > 0 {
		field("network", "%s", strings.Join(s.Net, ", "))
	}
	for _, sec := range s.Start.Secrets {
		field("secret", "%s for %s", sec.Name, strings.Join(sec.Hosts, ", "))
	}
	for _, h := range s.Hosts {
		field("connected", "%s", connection(h))
	}
	if o := s.Origins(); len(o) > 0 {
		field("has read", "untrusted content from %s", line(strings.Join(o, ", "), 2*w))
	}
	for _, id := range sortedAsks(s) {
		ask := s.Asks[id]
		field("ask", "%s: %s %s", ask.Ask, ask.Call.Tool, what(ask.Call, w))
		field("", "%s", howToAnswer(v.Run, ask.ToolAsked))
	}
	if s.Paused != nil && len(s.Asks) == 0 {
		field("", "go on: agentctl resume %s", v.Run)
	}
	if s.Final != nil {
		for _, c := range s.Final.Checks {
			word := "ok"
			if !c.OK {
				word = fmt.Sprintf("exit %d", c.Exit)
			}
			field("measured", "%s (%s)", c.Cmd, word)
		}
	}
	if s.Outcome != nil {
		if len(s.Outcome.Changed) > 0 {
			field("changed", "%s", strings.Join(s.Outcome.Changed, ", "))
		}
		if len(s.Outcome.Tests) > 0 {
			field("tests", "changed, look like tests: %s", strings.Join(s.Outcome.Tests, ", "))
		}
		if s.Learned != nil {
			for _, it := range s.Learned.Items {
				field("learned", "%s (%s): %s", it.ID, it.State, line(it.Text, w))
			}
		}
		if s.Outcome.Hint != "" {
			field("next", "%s", s.Outcome.Hint)
		}
		if s.Outcome.Result != "" {
			fmt.Fprintf(a.stdout, "\n%s\n", clean(strings.TrimSpace(s.Outcome.Result)))
		}
	}
}
