package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) limitsCmd() *cobra.Command {
	var f runFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "limits RUN",
		Short: "Show a run's limits, or change them",
		Args:  exactly(1),
	}
	c.RunE = a.withRun(func(ctx context.Context, cl *api.Client, run journal.RunID, _ []string) error {
		f.set = c.Flags().Changed
		b, err := f.budget()
		if err != nil {
			return err
		}
		if f.set("steps") || f.set("tokens") || f.set("usd") || f.set("wall") {
			if err := cl.Patch(ctx, run, api.Patch{Limits: &b}); err != nil {
				return err
			}
		}
		v, err := cl.Recent(ctx, run, 1)
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(v.State.Budget)
		}
		fmt.Fprintf(a.stdout, "limits %s\nused   %s, %s tokens, %s, %s\n", limits(v.State.Budget),
			plural(v.Steps, "step"), count(v.Tokens), dollars(v.USD), span(v.Updated.Sub(v.Started)))
		return nil
	})
	c.Flags().IntVar(&f.steps, "steps", 0, "most model calls, -1 for no limit")
	c.Flags().StringVar(&f.tokens, "tokens", "", "most tokens, for example 800k; -1 for no limit")
	c.Flags().StringVar(&f.usd, "usd", "", "most money in US dollars, -1 for no limit")
	c.Flags().StringVar(&f.wall, "wall", "", "most time since its start, for example 45m; -1s for no limit")
	jsonFlag(c, &asJSON)
	return c
}
