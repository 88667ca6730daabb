package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"agentd/api"
)

func (a *app) modelCmd() *cobra.Command {
	c := &cobra.Command{Use: "model", Short: "List, fetch and remove models", Args: cobra.NoArgs, RunE: needSubcommand}
	c.AddCommand(a.modelLsCmd(), a.modelPullCmd(), a.modelRmCmd())
	return c
}

// withDaemon is do for a command that starts a daemon when none runs.
func (a *app) withDaemon(f func(ctx context.Context, c *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.do(func(ctx context.Context, args []string) error {
		c, _, _, err := a.ensure(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return f(ctx, c, args)
	})
}

func (a *app) modelLsCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the models that can be used or fetched",
		Args:  exactly(0),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, _ []string) error {
			models, err := c.Models(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(models)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "MODEL\tREADY\tSIZE\tWINDOW\t$/M IN\t$/M OUT\tNOTE")
			for _, m := range models {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", modelName(m), yesNo(m.Ready), orDash(m.Size > 0, size(m.Size)), orDash(m.Window > 0, count(int64(m.Window))), prices(m), line(m.Note, 100))
			}
			if err := t.Flush(); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}

func modelName(m api.ModelInfo) string {
	name := line(m.Name, 80)
	if m.Default {
		name += " (default)"
	}
	return name
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func orDash(known bool, s string) string {
	if !known {
		return "-"
	}
	return s
}

func prices(m api.ModelInfo) string {
	if !m.Priced {
		return "-\t-"
	}
	return fmt.Sprintf("%.2f\t%.2f", m.USDIn, m.USDOut)
}

func (a *app) modelPullCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pull [NAME]",
		Short: "Fetch a local model and verify it; goes on where it was cut off",
		Args:  between(0, 1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			name := "local"
			if len(args) > 0 {
				name = args[0]
			}
			moving := terminal(a.stderr) && a.getenv("TERM") != "dumb"
			var last string
			began, drawn := time.Now(), false
			err := c.Pull(ctx, name, func(p api.PullProgress) {
				text := p.State
				if p.File != "" {
					text += " " + p.File
				}
				if p.Note != "" {
					text += " (" + p.Note + ")"
				}
				switch {
				case moving && p.Total > 0:
					drawn = true
					text = fmt.Sprintf("%s: %s of %s, %d%%", text, size(p.Done), size(p.Total), p.Done*100/p.Total)
					fmt.Fprint(a.stderr, "\r\x1b[K"+line(text, width(a.stderr)-1))
				case text != last:
					if drawn {
						fmt.Fprint(a.stderr, "\r\x1b[K")
						drawn = false
					}
					a.note("%s", text)
					last = text
				}
			})
			if drawn {
				fmt.Fprintln(a.stderr)
			}
			if errors.Is(err, context.Canceled) {
				a.note("what was fetched is kept; the same command goes on")
			}
			if err == nil {
				a.note("%s is here after %s", name, span(time.Since(began)))
			}
			return err
		}),
	}
}

func (a *app) modelRmCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Delete a local model's files",
		Args:  exactly(1),
		RunE: a.withDaemon(func(ctx context.Context, c *api.Client, args []string) error {
			return c.RemoveModel(ctx, args[0])
		}),
	}
}
