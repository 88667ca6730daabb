package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"agentd/api"
)

// lend copies the user's memory to a private daemon, which lets its run recall from it. The copy ends with that daemon.
func (a *app) lend(ctx context.Context, to *api.Client) error {
	from, _, _, err := a.ensure(ctx)
	if err != nil {
		return fmt.Errorf("--memory read: %w", err)
	}
	defer from.Close()
	st, err := from.MemoryStats(ctx)
	if err != nil {
		return fmt.Errorf("--memory read: %w", err)
	}
	if st.Items == 0 {
		return nil
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		// Vectors of another model than this machine's embedder would be taken for its own.
		_, err := from.ExportMemory(ctx, w, st.Model != "" && st.Model == st.Embedder)
		done <- errors.Join(err, w.CloseWithError(err))
	}()
	_, err = to.ImportMemory(ctx, r)
	if err := errors.Join(err, r.Close(), <-done); err != nil {
		return fmt.Errorf("--memory read: copy the memory: %w", err)
	}
	return nil
}
