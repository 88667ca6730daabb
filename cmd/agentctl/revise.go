package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

// maxGoal bounds what is read of a goal from an editor or from standard input.
const maxGoal = 1 << 20

func (a *app) reviseCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revise RUN [GOAL]",
		Short: "Say anew what a run is to do",
		Long: "Say anew what a run is to do: its goal gets another text and its plan is made anew for it. Criteria and limits stay, and what was done stays done.\n" +
			"Without GOAL the text is edited in $EDITOR; \"-\" reads it from standard input.",
		Example: "agentctl revise last 'list the ten largest files, not five'",
		Args:    between(1, -1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, args []string) error {
			text := strings.Join(args, " ")
			switch text {
			case "-":
				data, err := io.ReadAll(io.LimitReader(a.stdin, maxGoal))
				if err != nil {
					return fmt.Errorf("read the goal: %w", err)
				}
				text = string(data)
			case "":
				v, err := c.Recent(ctx, run, 1)
				if err != nil {
					return err
				}
				if v.State == nil || v.Status.Ended() {
					return api.Errorf(api.ErrEnded, "start another: agentctl run", "run %s has ended", run)
				}
				was := v.State.Start.Goal.Text
				if text, err = a.edit(ctx, was); err != nil {
					return err
				}
				if strings.TrimSpace(text) == was {
					a.note("the goal is as it was")
					return nil
				}
			}
			return c.Patch(ctx, run, api.Patch{Goal: &text})
		}),
	}
}

// edit lets a person edit a text in the editor of the environment.
func (a *app) edit(ctx context.Context, text string) (string, error) {
	editor := or(a.getenv("VISUAL"), a.getenv("EDITOR"))
	if editor == "" || !terminal(a.stdin) {
		return "", invalid("give the text: agentctl revise RUN 'the new goal', or set EDITOR", "there is no editor to write the goal in")
	}
	dir, err := os.MkdirTemp("", "agentctl")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "goal.md")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		return "", err
	}
	words := strings.Fields(editor)
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w", words[0], err)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxGoal))
	return string(data), errors.Join(err, f.Close())
}
