package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
	"agentd/journal"
)

// completionPatience bounds how long a shell waits for live values at a tab.
const completionPatience = 2 * time.Second

// complete gives all commands completions with live values: runs, open asks, answers, goal files, models, revisions. No
// daemon is started for them.
func (a *app) complete(root *cobra.Command) {
	for _, c := range root.Commands() {
		a.complete(c)
		if flag := c.Flags().Lookup("model"); flag != nil {
			_ = c.RegisterFlagCompletionFunc("model", a.live(a.modelNames)) // fails only for a flag that is not there
		}
		if c.ValidArgsFunction != nil || !c.Runnable() {
			continue
		}
		_, args, _ := strings.Cut(c.Use, " ")
		names := strings.Fields(args)
		switch {
		case c.Name() == "run":
			c.ValidArgsFunction = goalNames
		case len(names) > 0 && strings.Trim(names[0], "[]") == "RUN", len(names) > 0 && names[0] == "RUN...":
			c.ValidArgsFunction = a.live(func(ctx context.Context, cl *api.Client, given []string) []cobra.Completion {
				if len(given) == 0 || names[0] == "RUN..." {
					return a.runNames(ctx, cl, c.Name())
				}
				if c.Name() == "answer" {
					return askNames(ctx, cl, given)
				}
				return nil
			})
		case len(names) == 0:
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// live makes a completion of what a running daemon knows.
func (a *app) live(f func(ctx context.Context, c *api.Client, given []string) []cobra.Completion) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		c, err := a.dial()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		return f(ctx, c, given), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// runNames are the runs that a command can do something to.
func (a *app) runNames(ctx context.Context, c *api.Client, command string) []cobra.Completion {
	runs, err := c.List(ctx, journal.Filter{Limit: 100})
	if err != nil {
		return nil
	}
	out := []cobra.Completion{}
	for _, r := range runs {
		ended := r.Status.Ended()
		switch command {
		case "say", "revise", "pause", "resume", "limits", "cancel":
			if ended {
				continue
			}
		case "answer":
			if ended || r.Asks == 0 {
				continue
			}
		case "rm", "undo":
			if !ended {
				continue
			}
		}
		out = append(out, cobra.CompletionWithDesc(string(r.Run), line(string(r.Status)+" · "+r.Goal, 60)))
	}
	if len(out) > 0 {
		out = append(out, cobra.CompletionWithDesc("last", "the newest run"))
	}
	return out
}

// askNames are the open asks of a run, then what answers the one that is given.
func askNames(ctx context.Context, c *api.Client, given []string) []cobra.Completion {
	run, err := c.Resolve(ctx, given[0])
	if err != nil {
		return nil
	}
	v, err := c.Recent(ctx, run, 1)
	if err != nil || v.State == nil {
		return nil
	}
	var out []cobra.Completion
	if len(given) == 1 {
		for _, id := range sortedAsks(v.State) {
			out = append(out, cobra.CompletionWithDesc(id, line(v.State.Asks[id].Call.Tool, 40)))
		}
		if len(out) != 1 {
			return out
		}
	}
	for id, ask := range v.State.Asks {
		if len(given) == 1 || given[1] == id {
			out = append(out, api.Answers(ask.Ask)...)
		}
	}
	return out
}

// goalNames are the goal files of the folder that a run would work in.
func goalNames(c *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	dir, _ := c.Flags().GetString("dir")
	ws, err := workspace(dir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	files, err := goals.List(ws)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f), ".goal.md"), ".goal.yaml")
		desc := ""
		if g, err := goals.ReadFile(f); err == nil {
			desc = g.Description
			if desc == "" {
				desc = g.Text
			}
		}
		out = append(out, cobra.CompletionWithDesc(name, line(desc, 60)))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// modelNames are the models that the daemon can use.
func (a *app) modelNames(ctx context.Context, c *api.Client, _ []string) []cobra.Completion {
	models, err := c.Models(ctx)
	if err != nil {
		return nil
	}
	slices.SortStableFunc(models, func(x, y api.ModelInfo) int { return ready(y) - ready(x) })
	var out []cobra.Completion
	for _, m := range models {
		if !m.Embedding {
			out = append(out, cobra.CompletionWithDesc(m.Name, line(or(m.Note, m.Provider), 60)))
		}
	}
	return out
}

func ready(m api.ModelInfo) int {
	if m.Ready {
		return 1
	}
	return 0
}
