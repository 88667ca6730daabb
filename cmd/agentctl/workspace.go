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
	var step int
	c := &cobra.Command{
		Use:   "undo RUN",
		Short: "Put the workspace back as it was before a run, or before one of its steps",
		Long: "Put the workspace back as it was before a run. With --step N it is put back to before that step, which takes back step N and all after it. " +
			"A file that a person edited since is kept and named.",
		Args: exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			if step < 0 {
				return invalid("give a number from 1", "--step %d is negative", step)
			}
			u, err := c.Undo(ctx, run, step)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(u)
			}
			fmt.Fprintf(a.stdout, "%s restored%s\n", plural(len(u.Restored), "file"), undoneTo(u))
			for _, k := range u.Kept {
				fmt.Fprintf(a.stdout, "kept, edited since: %s\n", line(k, 4096))
			}
			return nil
		}),
	}
	c.Flags().IntVar(&step, "step", 0, "put it back to before this step (agentctl show RUN numbers them)")
	jsonFlag(c, &asJSON)
	return c
}

// undoneTo says how far back an undo went.
func undoneTo(u journal.Undone) string {
	switch {
	case u.Step == 0:
		return ""
	case u.At == 0:
		return ", to before the run's first change"
	case u.At < u.Step:
		return fmt.Sprintf(", to before step %d: the newest state that was noted up to step %d", u.At, u.Step)
	}
	return fmt.Sprintf(", to before step %d", u.At)
}

func (a *app) applyCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "apply RUN",
		Short: "Bring what a run did in its copy to the workspace",
		Long: "Bring what a run of --mode copy or worktree did to its workspace. A file that changed in the workspace meanwhile is kept and named; " +
			"the work of a worktree becomes a branch, and the workspace's own files and branches stay as they are.",
		Args: exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			ap, err := c.Apply(ctx, run)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(ap)
			}
			switch {
			case ap.Branch != "":
				fmt.Fprintf(a.stdout, "the work is in the branch %s; take it over: git merge %s\n", ap.Branch, ap.Branch)
			case len(ap.Changed) == 0 && len(ap.Kept) == 0:
				a.note("nothing to apply")
			default:
				fmt.Fprintf(a.stdout, "%s applied\n", plural(len(ap.Changed), "file"))
			}
			for _, k := range ap.Kept {
				fmt.Fprintf(a.stdout, "kept, changed meanwhile: %s\n", line(k, 4096))
			}
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}
