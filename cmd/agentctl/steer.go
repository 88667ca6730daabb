package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

// askOf finds which ask is meant: the one that is named, or the only open one.
func (a *app) askOf(ctx context.Context, c *api.Client, run journal.RunID, args []string) (ask, answer string, err error) {
	if len(args) > 1 {
		return args[0], strings.Join(args[1:], " "), nil
	}
	v, err := c.Recent(ctx, run, 1)
	if err != nil {
		return "", "", err
	}
	if v.State == nil || len(v.State.Asks) != 1 {
		return "", "", invalid("agentctl show "+string(run)+" lists them", "run %s has %s open: say which one you answer", run, plural(v.Asks, "ask"))
	}
	return sortedAsks(v.State)[0], args[0], nil
}

func (a *app) sayCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "say RUN TEXT",
		Short: "Tell a run something: it reads it before its next step",
		Args:  between(2, -1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, args []string) error {
			return c.Say(ctx, run, strings.Join(args, " "))
		}),
	}
}

func (a *app) pauseCmd() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "pause RUN",
		Short: "Stop a run before its next action",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			return c.Patch(ctx, run, api.Patch{Paused: new(true), Reason: reason})
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

func (a *app) resumeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "resume RUN",
		Short: "Let a paused or parked run go on",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			return c.Patch(ctx, run, api.Patch{Paused: new(false)})
		}),
	}
}

func (a *app) cancelCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			return c.Cancel(ctx, run)
		}),
	}
}

func (a *app) rmCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rm RUN...",
		Short: "Remove ended runs with their outputs and snapshots",
		Args:  between(1, -1),
		RunE: a.withClient(func(ctx context.Context, c *api.Client, args []string) error {
			var runs []journal.RunID // all are found before the first is removed: "last" would mean another then
			for _, arg := range args {
				run, err := c.Resolve(ctx, arg)
				if err != nil {
					return err
				}
				runs = append(runs, run)
			}
			for _, run := range runs {
				if err := c.Purge(ctx, run); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
