package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) lsCmd() *cobra.Command {
	var f journal.Filter
	var status, dir string
	var asJSON, here bool
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List runs, newest first",
		Args:    exactly(0),
		RunE: a.withClient(func(ctx context.Context, c *api.Client, _ []string) error {
			f.Status = journal.Status(status)
			if here || dir != "" {
				ws, err := workspace(dir)
				if err != nil {
					return err
				}
				f.Workspace = ws
			}
			if f.Limit < 1 || f.Limit > 1000 {
				return invalid("", "--limit %d is not between 1 and 1000", f.Limit)
			}
			runs, err := c.List(ctx, f)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(runs)
			}
			return a.table(runs)
		}),
	}
	c.Flags().BoolVarP(&f.Live, "live", "l", false, "only runs that have not ended")
	c.Flags().StringVar(&status, "status", "", "only runs with this status")
	c.Flags().StringVarP(&dir, "dir", "C", "", "only runs of this workspace")
	c.Flags().BoolVar(&here, "here", false, "only runs of the current folder")
	c.Flags().IntVarP(&f.Limit, "limit", "n", 20, "most runs")
	c.Flags().BoolVar(&f.Oldest, "oldest", false, "oldest first")
	jsonFlag(c, &asJSON)
	return c
}

func jsonFlag(c *cobra.Command, v *bool) { c.Flags().BoolVar(v, "json", false, "print JSON") }

// printJSON prints a value for programs. encoding/json escapes what a terminal would act on below U+0020; the rest of what
// clean neutralises is the reader's to handle, so that nothing is changed.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (a *app) table(runs []journal.Summary) error {
	if len(runs) == 0 {
		a.note("no runs; start one: agentctl run \"what you want\"")
		return nil
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tSTATUS\tAGE\tSTEPS\tTOKENS\tCOST\tGOAL")
	for _, r := range runs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Run, statusWord(r), age(time.Since(r.Started)), r.Steps, count(r.Tokens), dollars(r.USD), line(or(r.Name, r.Goal), 60))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func statusWord(r journal.Summary) string {
	switch {
	case r.Asks == 1:
		return string(r.Status) + " (1 ask)"
	case r.Asks > 1:
		return fmt.Sprintf("%s (%d asks)", r.Status, r.Asks)
	case r.Self && r.Status == journal.StatusAccepted:
		return "accepted*"
	}
	return clean(string(r.Status))
}
