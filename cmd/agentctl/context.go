package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) contextCmd() *cobra.Command {
	var step int
	var asJSON bool
	c := &cobra.Command{
		Use:   "context RUN --step N",
		Short: "Print the exact bytes that were sent to the model at a step",
		Long: "Print the exact bytes that were sent to the model at a step, to standard output; their number of tokens and their hash go to standard error. " +
			"On a terminal control characters are neutralised; into a file or a pipe the bytes go as they were.",
		Args: exactly(1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, _ []string) error {
			if step < 1 {
				return invalid("agentctl events "+string(run)+" shows the steps", "--step takes a number from 1")
			}
			got, err := c.Context(ctx, run, step)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(got)
			}
			out := got.Bytes
			if terminal(a.stdout) {
				out = append([]byte(clean(string(out))), '\n')
			}
			if _, err := a.stdout.Write(out); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			word := "verified against the journal"
			if !got.Verified {
				word = "NOT the bytes that the journal recorded: rendered anew"
			}
			a.note("step %d to %s: %d bytes, %d tokens, sha256 %s, %s", got.Step, got.Model, len(got.Bytes), got.Tokens, got.Hash, word)
			return nil
		}),
	}
	c.Flags().IntVar(&step, "step", 0, "which step, from 1")
	jsonFlag(c, &asJSON)
	return c
}
