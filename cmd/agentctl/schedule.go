package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
)

func (a *app) scheduleCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "Goals that start by themselves: at times, when files change, on a webhook",
		Long: "Goals that start by themselves: at times, when files change, on a webhook.\n\n" +
			"Adding a goal file approves its very text: its triggers start that and nothing else. When the file changes, ls says so, diff shows it and approve takes it over.",
		Args: cobra.NoArgs,
		RunE: needSubcommand,
	}
	c.AddCommand(a.scheduleAddCmd(), a.scheduleLsCmd(), a.scheduleShowCmd(), a.scheduleRunCmd(), a.scheduleDiffCmd(), a.scheduleApproveCmd(),
		a.schedulePauseCmd("pause", "Keep a goal from starting", true), a.schedulePauseCmd("resume", "Let a paused goal start again", false), a.scheduleRmCmd())
	return c
}

// withSchedule makes a command's function of one that needs a daemon that goes on.
func (a *app) withSchedule(f func(ctx context.Context, c *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := a.interruptible(cmd.Context())
		defer stop()
		c, _, _, err := a.ensure(ctx)
		if err == nil {
			defer c.Close()
			err = f(ctx, c, args)
		}
		a.end(err)
		return nil
	}
}

func (a *app) scheduleAddCmd() *cobra.Command {
	var dir, name, model, mode, grants string
	var yes bool
	var net, params []string
	var apply, asJSON bool
	c := &cobra.Command{
		Use:   "add GOAL",
		Short: "Schedule a goal file, and so approve its text",
		Args:  exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			add := api.ScheduleAdd{Name: name, Model: model, Net: net, Mode: mode, Apply: apply}
			var err error
			if add.Workspace, err = workspace(dir); err != nil {
				return err
			}
			for _, p := range params {
				k, v, ok := strings.Cut(p, "=")
				if !ok || k == "" {
					return invalid("write -p NAME=VALUE", "-p %.60q has no name or no value", p)
				}
				if add.Params == nil {
					add.Params = map[string]string{}
				}
				add.Params[k] = v
			}
			path, err := goals.Find(add.Workspace, args[0])
			if err != nil {
				return err
			}
			g, sent, err := a.loadGoal(path)
			if err != nil {
				return err
			}
			add.File = *sent
			if grants != "" {
				if add.Granted, err = fileGrants(grants, g); err != nil {
					return err
				}
			}
			granted, err := a.askGrant(ctx, c, sent, slices.Concat(add.Granted, ownWishes(api.StartRequest{Net: net})), yes, terminal(a.stdin) && terminal(a.stderr))
			if err != nil {
				return err
			}
			add.Granted = append(add.Granted, granted...)
			s, err := c.AddSchedule(ctx, add)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			a.printScheduled(s)
			return nil
		}),
	}
	fl := c.Flags()
	fl.StringVarP(&dir, "dir", "C", "", "workspace, the current folder if not given")
	fl.StringVar(&name, "name", "", "name it has in the schedule; the goal's if not given")
	fl.StringVarP(&model, "model", "m", "", "model as provider/model, or a chain a,b,c")
	fl.StringArrayVar(&net, "net", nil, "let its sandbox connect there, as with agentctl run (repeatable)")
	fl.StringArrayVarP(&params, "param", "p", nil, "parameter of the goal file as NAME=VALUE (repeatable)")
	fl.StringVar(&grants, "grants", "", "file of grants, reviewed with the goal")
	fl.BoolVarP(&yes, "yes", "y", false, "grant the goal file what it asks for, without asking")
	fl.StringVar(&mode, "mode", "", "where its runs work: direct, copy or worktree")
	fl.BoolVar(&apply, "apply", false, "with --mode copy or worktree: apply the work when a run is accepted")
	jsonFlag(c, &asJSON)
	return c
}

// printScheduled says when a goal starts next.
func (a *app) printScheduled(s api.Scheduled) {
	when := strings.Join(s.Triggers, "; ")
	if !s.Next.IsZero() {
		when += ", next " + s.Next.Local().Format(time.RFC1123)
	}
	if s.Paused {
		when += ", paused"
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", line(s.Name, 200), line(when, 500))
}

func (a *app) scheduleLsCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Short: "List the scheduled goals", Args: cobra.NoArgs,
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, _ []string) error {
			all, err := c.ListSchedule(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(api.ScheduleList{Goals: all})
			}
			if len(all) == 0 {
				a.note("nothing is scheduled; agentctl schedule add GOAL does it")
				return nil
			}
			tw := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(tw, "NAME\tNEXT\tTRIGGERS\tLAST RUN\tSTATE")
			for _, s := range all {
				next, state := "-", "approved"
				if !s.Next.IsZero() {
					next = s.Next.Local().Format("2006-01-02 15:04")
				}
				if s.Waiting > 0 {
					state = fmt.Sprintf("%d waiting", s.Waiting)
				}
				switch {
				case s.Paused:
					state = "paused"
				case s.Changed != "":
					state = "file " + s.Changed
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", line(s.Name, 60), next, line(strings.Join(s.Triggers, "; "), 60), or(string(s.Run), "-"), line(state, 40))
			}
			return tw.Flush()
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) scheduleShowCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show NAME", Short: "Show a scheduled goal and what became of its times", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			s, err := c.Scheduled(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			a.printScheduled(s)
			fmt.Fprintf(a.stdout, "workspace %s\nfile %s %s\napproved %s by %s\n", line(s.Workspace, 4096), line(s.File, 4096), s.Changed, s.Approved.Local().Format(time.RFC1123), line(or(s.By, "somebody"), 100))
			for _, h := range s.History {
				fmt.Fprintf(a.stdout, "%s  %-8s %s %s\n", h.At.Local().Format("2006-01-02 15:04:05"), clean(h.What), h.Run, line(h.Cause, 300))
			}
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) scheduleRunCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "run NAME", Short: "Start a run of a scheduled goal now", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			h, err := c.RunScheduled(ctx, args[0], rand.Text())
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(h)
			}
			if h.What == "started" {
				fmt.Fprintln(a.stdout, h.Run)
				a.note("started; watch it: agentctl events -f %s", h.Run)
				return nil
			}
			fmt.Fprintf(a.stdout, "%s: %s\n", clean(h.What), line(h.Cause, 300))
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

// revision is a scheduled goal, its file as it is now, and the difference as a diff.
func (a *app) revision(ctx context.Context, c *api.Client, name string) (s api.Scheduled, now *api.GoalFile, diff string, err error) {
	if s, err = c.Scheduled(ctx, name); err != nil {
		return s, nil, "", err
	}
	if _, err := os.Stat(s.File); os.IsNotExist(err) {
		return s, nil, "", api.Errorf(api.ErrGoal, "agentctl schedule rm "+name+" forgets it; its triggers go on with the approved text", "the file %s is gone", s.File)
	}
	g, now, err := a.loadGoal(s.File)
	if err != nil {
		return s, nil, "", err
	}
	if now.Text == s.Source && g.Hash != s.Hash {
		return s, now, "what it imports has changed\n", nil
	}
	return s, now, udiff.Unified("approved", s.File, s.Source, now.Text), nil
}

func (a *app) scheduleDiffCmd() *cobra.Command {
	return &cobra.Command{
		Use: "diff NAME", Short: "Show how a goal's file differs from the text that was approved", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			_, _, diff, err := a.revision(ctx, c, args[0])
			if err != nil {
				return err
			}
			if diff == "" {
				a.note("the file is what was approved")
				return nil
			}
			fmt.Fprint(a.stdout, clean(diff))
			return nil
		}),
	}
}

func (a *app) scheduleApproveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "approve NAME", Short: "Take over a goal's changed file: show the diff, then ask", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			s, now, diff, err := a.revision(ctx, c, args[0])
			if err != nil {
				return err
			}
			if diff == "" {
				a.note("the file is what was approved")
				return nil
			}
			fmt.Fprint(a.stderr, clean(diff))
			if !yes {
				if !terminal(a.stdin) || !terminal(a.stderr) {
					return invalid("add --yes once you have read the diff", "nobody can be asked here")
				}
				ok, err := a.confirm("Let the triggers start this from now on?")
				if err != nil || !ok {
					return err
				}
			}
			granted, err := a.askGrant(ctx, c, now, ownWishes(api.StartRequest{Net: s.Net}), yes, true)
			if err != nil {
				return err
			}
			s, err = c.AddSchedule(ctx, api.ScheduleAdd{
				Name: s.Name, File: *now, Granted: granted, Workspace: s.Workspace, Model: s.Model, Net: s.Net, Params: s.Params, Mode: s.Mode, Apply: s.Apply,
			})
			if err == nil {
				a.printScheduled(s)
			}
			return err
		}),
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "without asking")
	return c
}

func (a *app) schedulePauseCmd(use, short string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			s, err := c.PauseScheduled(ctx, args[0], paused)
			if err == nil {
				a.printScheduled(s)
			}
			return err
		}),
	}
}

func (a *app) scheduleRmCmd() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Forget a scheduled goal; its runs go on", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error { return c.RemoveScheduled(ctx, args[0]) }),
	}
}

// confirm asks a person on the terminal. Anything but yes is no.
func (a *app) confirm(question string) (bool, error) {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(a.stdin, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	a.note("nothing was changed")
	return false, nil
}
