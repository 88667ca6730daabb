package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) eventsCmd() *cobra.Command {
	var follow, asJSON bool
	var after uint64
	c := &cobra.Command{
		Use:   "events RUN",
		Short: "Print a run's events, with -f as they come",
		Long:  "Print a run's events, with -f as they come. Ctrl-C ends the printing, never the run. With -f the exit code is the run's.",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			return a.events(ctx, c, run, journal.Seq(after), follow, asJSON)
		}),
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended")
	c.Flags().Uint64Var(&after, "after", 0, "only events after this number")
	c.Flags().BoolVar(&asJSON, "json", false, "one event a line")
	return c
}

func (a *app) events(ctx context.Context, c *api.Client, run journal.RunID, after journal.Seq, follow, asJSON bool) error {
	last := journal.Seq(0)
	if !follow {
		sum, err := c.Summary(ctx, run)
		if err != nil {
			return err
		}
		last = sum.Last
	}
	p := newPrinter(a.stdout, a.stdout, false, terminal(a.stdout) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb", width(a.stdout))
	out := json.NewEncoder(a.stdout)
	out.SetEscapeHTML(false)
	if asJSON {
		return a.eventLines(ctx, c, run, after, last, out)
	}
	from := after
	w := p.w
	for r, err := range c.Events(ctx, run, 0) { // from the start: lines are made of the state so far
		if err != nil {
			return err
		}
		if p.w = w; r.Seq <= from {
			p.w = io.Discard
		}
		p.result = p.w
		if err := p.record(r); err != nil {
			return err
		}
		if r.Seq == last {
			return nil
		}
	}
	if follow {
		a.code = p.state.Status().Exit()
	}
	return nil
}

func (a *app) eventLines(ctx context.Context, c *api.Client, run journal.RunID, after, last journal.Seq, out *json.Encoder) error {
	status := journal.StatusRunning
	if last != 0 && after >= last {
		return nil
	}
	for r, err := range c.Events(ctx, run, after) {
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
		if e, err := r.Decode(); err == nil {
			if f, ok := e.(journal.RunFinished); ok {
				status = f.Status
			}
		}
		if r.Seq == last {
			return nil
		}
	}
	a.code = status.Exit()
	return nil
}
