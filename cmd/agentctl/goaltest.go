package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
)

func (a *app) goalTestCmd() *cobra.Command {
	var dir string
	var params []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "test GOAL",
		Short: "Try a goal's criteria on broken copies of a workspace",
		Long: "Try a goal's criteria on a workspace where they hold, and on copies of it in which a file is deleted or emptied, a number flipped or the build broken. " +
			"A criterion that holds whatever is broken shows nothing: the exit code is then 3. The workspace itself is not changed.",
		Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			req := api.GoalTest{Params: map[string]string{}}
			var err error
			if req.Workspace, err = workspace(dir); err != nil {
				return err
			}
			for _, p := range params {
				k, v, ok := strings.Cut(p, "=")
				if !ok || k == "" {
					return invalid("write -p NAME=VALUE", "-p %.60q has no name or no value", p)
				}
				req.Params[k] = v
			}
			path, err := goals.Find(req.Workspace, args[0])
			if err != nil {
				return err
			}
			name, data, err := a.readGoal(path)
			if err != nil {
				return api.Errorf(api.ErrGoal, "", "read the goal file: %v", err)
			}
			req.File = api.GoalFile{Name: name, Text: string(data)}
			t, err := c.TestGoal(ctx, req)
			if err != nil {
				return err
			}
			for _, tr := range t.Trials {
				if tr.Blind {
					a.code = 3
				}
			}
			if asJSON {
				return a.printJSON(t)
			}
			for _, tr := range t.Trials {
				a.printTrial(tr)
			}
			return nil
		}),
	}
	c.Flags().StringVarP(&dir, "dir", "C", "", "workspace, the current folder if not given")
	c.Flags().StringArrayVarP(&params, "param", "p", nil, "parameter of the goal file as NAME=VALUE (repeatable)")
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) printTrial(t api.GoalTrial) {
	switch {
	case t.Blind:
		fmt.Fprintf(a.stdout, "BLIND    %s\n         it holds whatever is broken\n", line(t.Condition, 500))
	case !t.Holds:
		fmt.Fprintf(a.stdout, "untried  %s\n         it does not hold on this workspace %s\n", line(t.Condition, 500), line(t.Why, 300))
	default:
		fmt.Fprintf(a.stdout, "notices  %s\n", line(t.Condition, 500))
	}
	for _, n := range t.Notices {
		fmt.Fprintf(a.stdout, "         fails after: %s\n", line(n, 300))
	}
	for _, m := range t.Misses {
		fmt.Fprintf(a.stdout, "         still holds after: %s\n", line(m, 300))
	}
}
