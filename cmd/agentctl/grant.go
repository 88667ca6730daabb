package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/authority"
	"agentd/goals"
)

func (a *app) goalGrantCmd() *cobra.Command {
	var yes bool
	var file, dir string
	c := &cobra.Command{
		Use:   "grant GOAL",
		Short: "Grant a goal file what it asks for beyond the default",
		Long: "Show what a goal file asks for beyond what every goal file has, and what changed since it was last granted, and ask. The grant is for this very text and what it " +
			"imports: a changed file needs another one. With --file it goes into a file that is reviewed with the goal, for agentctl run --grants in CI.",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			a.end(a.goalGrant(ctx, dir, args[0], file, yes))
			return nil
		},
	}
	c.Flags().StringVarP(&dir, "dir", "C", "", "workspace in which a name is looked up, the current folder if not given")
	c.Flags().StringVar(&file, "file", "", "write the grant into this file instead of the daemon's")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "without asking")
	return c
}

func (a *app) goalGrant(ctx context.Context, dir, word, into string, yes bool) error {
	ws, err := workspace(dir)
	if err != nil {
		return err
	}
	path := word
	if _, err := os.Stat(word); err != nil {
		if path, err = goals.Find(ws, word); err != nil {
			return err
		}
	}
	g, sent, err := a.loadGoal(path)
	if err != nil {
		return err
	}
	if into != "" {
		return a.grantInFile(g, into, yes)
	}
	c, _, _, err := a.ensure(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	granted, err := a.askGrant(ctx, c, sent, nil, yes, true)
	if err == nil && granted != nil {
		a.note("granted")
	} else if err == nil {
		a.note("%s needs no grant", word)
	}
	return err
}

// askGrant shows what a goal file asks for that nobody granted, and asks the person at the terminal; yes answers beforehand. What is granted is kept
// by the daemon, for this very text. It returns what is granted now, nil where nothing needed to be.
func (a *app) askGrant(ctx context.Context, c *api.Client, file *api.GoalFile, granted []string, yes, ask bool) ([]string, error) {
	r, err := c.ReviewGoal(ctx, api.GoalReview{File: *file, Granted: granted})
	if err != nil {
		return nil, err
	}
	var needed, keep []string
	for _, w := range r.Requests {
		switch authority.State(w.State) {
		case authority.Beyond:
			return nil, api.Errorf(api.ErrDenied, "no grant reaches it: change the goal, or have the ceiling raised", "%s asks for %q, which is beyond the ceiling of %s", clean(r.Goal), clean(w.Request), clean(w.Layer))
		case authority.Needed:
			needed = append(needed, w.Request)
			keep = append(keep, w.Request)
		case authority.Granted:
			keep = append(keep, w.Request)
		}
	}
	if len(needed) == 0 {
		return nil, nil
	}
	if !ask && !yes {
		return nil, api.Errorf(api.ErrGoal, "look at it, then: agentctl goal grant "+file.Name+", or start this one run with --grant; in CI: --grants FILE",
			"%s asks for what nobody has granted it: %s", clean(r.Goal), clean(strings.Join(needed, "; ")))
	}
	a.showGrant(r, file, needed)
	if !yes {
		if !terminal(a.stdin) || !terminal(a.stderr) {
			return nil, invalid("add --yes once you have read it", "nobody can be asked here")
		}
		ok, err := a.confirm("Grant this to " + clean(r.Goal) + ", as it is now?")
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, api.Errorf(api.ErrDenied, "", "%s was not granted what it asks for", clean(r.Goal))
		}
	}
	_, err = c.GrantGoal(ctx, api.GrantAdd{File: *file, Requests: keep, By: person(a.getenv)})
	return keep, err
}

// person is the name of who sits here, as far as it is known.
func person(getenv func(string) string) string { return or(getenv("USER"), "somebody") }

// showGrant shows what changed since the last grant, and what is asked for.
func (a *app) showGrant(r api.GoalReviewed, file *api.GoalFile, needed []string) {
	was := []string{}
	if p := r.Previous; p != nil {
		was = p.Requests
		fmt.Fprintf(a.stderr, "%s was granted by %s on %s and has changed since:\n%s\n", clean(r.Goal), clean(or(p.By, "somebody")), p.At.Local().Format("2006-01-02"),
			clean(udiff.Unified("granted", file.Name, p.Source, file.Text)))
	}
	fmt.Fprintf(a.stderr, "%s asks for what not every goal file has:\n", clean(r.Goal))
	for _, n := range needed {
		mark := "+"
		if slices.Contains(was, n) {
			mark = " "
		}
		fmt.Fprintf(a.stderr, "  %s %s\n", mark, clean(n))
	}
}

// grantInFile writes a grant into a file that is reviewed with the goal.
func (a *app) grantInFile(g goals.Goal, into string, yes bool) error {
	var list []authority.Grant
	data, err := readLimited(into)
	if err == nil {
		list, err = authority.ParseGrants(into, data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	one := authority.Grant{Goal: g.Name, Hash: g.Hash}
	for _, it := range (authority.Authority{Base: goals.DefaultBudget}).Judge(g, nil) {
		if it.State == authority.Needed {
			one.Requests = append(one.Requests, it.String())
		}
	}
	a.showGrant(api.GoalReviewed{Goal: g.Name}, nil, one.Requests)
	if !yes {
		if !terminal(a.stdin) || !terminal(a.stderr) {
			return invalid("add --yes once you have read it", "nobody can be asked here")
		}
		if ok, err := a.confirm("Write this into " + into + "?"); err != nil || !ok {
			return err
		}
	}
	list = append(slices.DeleteFunc(list, func(o authority.Grant) bool { return o.Goal == g.Name }), one)
	out, err := authority.PrintGrants(list)
	if err != nil {
		return err
	}
	return replaceFile(into, out)
}

// fileGrants are what a file of grants gives a goal's very text.
func fileGrants(path string, g goals.Goal) ([]string, error) {
	data, err := readLimited(path)
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "", "grants: %v", err)
	}
	list, err := authority.ParseGrants(path, data)
	if err != nil {
		return nil, api.Errorf(api.ErrInvalid, "", "grants: %v", err)
	}
	given := authority.Of(list, g.Hash)
	if given == nil && slices.ContainsFunc(list, func(o authority.Grant) bool { return o.Goal == g.Name }) {
		return nil, api.Errorf(api.ErrGoal, "review the goal, then: agentctl goal grant --file "+path+" "+g.File, "%s: what it grants %s is for another text than this one (%.12s…)", path, g.Name, g.Hash)
	}
	return given, nil
}

func (a *app) goalGrantsCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "grants", Short: "List what was granted to goal files", Args: cobra.NoArgs,
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, _ []string) error {
			all, err := c.Grants(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(api.GrantList{Grants: all})
			}
			if len(all) == 0 {
				a.note("nothing was granted yet")
				return nil
			}
			tw := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(tw, "GOAL\tHASH\tSINCE\tBY\tGRANTED")
			for _, g := range all {
				fmt.Fprintf(tw, "%s\t%.12s\t%s\t%s\t%s\n", line(g.Goal, 60), g.Hash, g.At.Local().Format("2006-01-02 15:04"), line(g.By, 30), line(strings.Join(g.Requests, "; "), 300))
			}
			return tw.Flush()
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) goalRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke GOAL|HASH", Short: "Take back what was granted to a goal file; runs that have begun go on", Args: exactly(1),
		RunE: a.withSchedule(func(ctx context.Context, c *api.Client, args []string) error {
			n, err := c.Revoke(ctx, args[0])
			if err == nil {
				a.note("%d taken back", n)
			}
			return err
		}),
	}
}
