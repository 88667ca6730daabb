package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) diffCmd() *cobra.Command {
	var asJSON, names bool
	c := &cobra.Command{
		Use:   "diff RUN",
		Short: "Show what changed in the workspace since a run's snapshot",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			d, err := c.Diff(ctx, run)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(d)
			}
			if len(d.Files) == 0 {
				a.note("nothing changed")
			}
			for _, f := range d.Files {
				switch {
				case names:
					fmt.Fprintf(a.stdout, "%-8s %s\n", clean(f.Change), line(f.Path, 4096))
				case f.Patch == "":
					fmt.Fprintf(a.stdout, "%s: %s%s\n", clean(f.Change), line(f.Path, 4096), binary(f))
				default:
					fmt.Fprintln(a.stdout, strings.TrimRight(clean(f.Patch), "\n"))
				}
			}
			return nil
		}),
	}
	c.Flags().BoolVar(&names, "name-only", false, "only the files")
	jsonFlag(c, &asJSON)
	return c
}

func binary(f api.FileDiff) string {
	if f.Mode != "" {
		return " (mode " + clean(f.Mode) + ")"
	}
	if f.Binary {
		return " (binary or large)"
	}
	return ""
}

func (a *app) undoCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "undo RUN",
		Short: "Put the workspace back as it was before a run",
		Long:  "Put the workspace back as it was before a run. A file that a person edited since is kept and named.",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			u, err := c.Undo(ctx, run)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(u)
			}
			fmt.Fprintf(a.stdout, "%s restored\n", plural(len(u.Restored), "file"))
			for _, k := range u.Kept {
				fmt.Fprintf(a.stdout, "kept, edited since: %s\n", line(k, 4096))
			}
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}
