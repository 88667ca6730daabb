package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"agentd/api"
)

func (a *app) backupCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the journal while it is in use",
		Long:  "Write a consistent copy of the journal while it is in use. FILE is replaced only by a whole copy; - is standard output.",
		Args:  exactly(1),
		RunE: a.withClient(func(ctx context.Context, c *api.Client, args []string) error {
			if args[0] == "-" {
				_, err := c.Backup(ctx, a.stdout)
				return err
			}
			n, err := replace(args[0], func(w io.Writer) (int64, error) { return c.Backup(ctx, w) })
			if err != nil {
				return fmt.Errorf("back up to %s: %w", args[0], err)
			}
			a.note("%s written to %s", size(n), args[0])
			return nil
		}),
	}
}

// replace writes to a file beside path, syncs it and renames it.
func replace(path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	n, err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), path)
}
