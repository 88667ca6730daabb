package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
	"agentd/planner"
)

func (a *app) planCmd() *cobra.Command {
	c := &cobra.Command{Use: "plan", Short: "Show a run's plan and how it changed", Args: cobra.NoArgs, RunE: needSubcommand}
	c.AddCommand(a.planShowCmd(), a.planDiffCmd())
	return c
}

// needSubcommand is the function of a command that only holds others: its error is a usage error.
func needSubcommand(c *cobra.Command, _ []string) error {
	var names []string
	for _, s := range c.Commands() {
		names = append(names, s.Name())
	}
	return fmt.Errorf("%s needs one of: %s", c.CommandPath(), strings.Join(names, ", "))
}

func (a *app) planShowCmd() *cobra.Command {
	var asJSON bool
	var revision int
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "Show the plan, or one of its earlier revisions",
		Args:  exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			v, err := c.Recent(ctx, run, 1)
			if err != nil {
				return err
			}
			made, err := revisionOf(v, revision)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(made)
			}
			st := v.State
			if made.Plan.Revision != st.Plan.Revision {
				st = nil // states of tasks belong to the current plan
			}
			fmt.Fprintf(a.stdout, "revision %d%s\n", made.Plan.Revision, dash(line(made.Reason, 200)))
			for _, l := range tree(made.Plan, st, width(a.stdout)) {
				fmt.Fprintln(a.stdout, l)
			}
			for _, c := range made.Checks {
				fmt.Fprintf(a.stdout, "  proposed check %s: %s\n", line(c.Name, 40), line(c.Cmd, 200))
			}
			return nil
		}),
	}
	c.Flags().IntVarP(&revision, "revision", "r", 0, "this revision instead of the current one")
	jsonFlag(c, &asJSON)
	return c
}

// revisionOf finds a revision of a run's plan; 0 is the current one.
func revisionOf(v api.RunView, revision int) (journal.PlanMade, error) {
	if v.State == nil || len(v.State.Plans) == 0 {
		return journal.PlanMade{}, api.Errorf(journal.ErrNotFound, "agentctl show "+string(v.Run), "run %s has no plan yet", v.Run)
	}
	plans := v.State.Plans
	if revision == 0 {
		return plans[len(plans)-1], nil
	}
	for _, p := range plans {
		if p.Plan.Revision == revision {
			return p, nil
		}
	}
	return journal.PlanMade{}, api.Errorf(journal.ErrNotFound, "", "run %s has no revision %d of its plan; the last is %d", v.Run, revision, plans[len(plans)-1].Plan.Revision)
}

func (a *app) planDiffCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff RUN R1 R2",
		Short: "Show what revision R2 changed of revision R1",
		Args:  exactly(3),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, args []string) error {
			var rev [2]int
			for i, arg := range args {
				n, err := strconv.Atoi(strings.TrimPrefix(arg, "r"))
				if err != nil || n < 1 {
					return invalid("revisions are 1, 2, …", "%.20q is no revision", arg)
				}
				rev[i] = n
			}
			v, err := c.Recent(ctx, run, 1)
			if err != nil {
				return err
			}
			from, err := revisionOf(v, rev[0])
			if err != nil {
				return err
			}
			to, err := revisionOf(v, rev[1])
			if err != nil {
				return err
			}
			changes := planner.Diff(from.Plan, to.Plan)
			if asJSON {
				return a.printJSON(map[string]any{"reason": to.Reason, "changes": changes})
			}
			fmt.Fprintf(a.stdout, "revision %d to %d%s\n", rev[0], rev[1], dash(line(to.Reason, 200)))
			for _, ch := range changes {
				fmt.Fprintln(a.stdout, change(ch))
			}
			if len(changes) == 0 {
				a.note("no task differs")
			}
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

// change is one node of a plan's difference.
func change(c planner.Change) string {
	switch {
	case c.New != nil && c.Old == nil:
		return fmt.Sprintf("+ %s: %s", line(c.ID, 60), line(c.New.Do, 160))
	case c.Old != nil && c.New == nil:
		return fmt.Sprintf("- %s: %s", line(c.ID, 60), line(c.Old.Do, 160))
	}
	return fmt.Sprintf("~ %s: %s changed\n    - %s\n    + %s", line(c.ID, 60), line(c.What, 80), taskLine(c.Old), taskLine(c.New))
}

func taskLine(t *planner.Task) string {
	s := line(t.Do, 160)
	if len(t.Needs) > 0 {
		s += " (after " + line(strings.Join(t.Needs, ", "), 80) + ")"
	}
	if len(t.Writes) > 0 {
		s += " (writes " + line(strings.Join(t.Writes, ", "), 80) + ")"
	}
	return s
}
