package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/abuse"
)

// runAbuse tries to break out of a box in every way that the suite knows, prints a row for each, and returns the exit code: 1 when
// one got out, or when something ordinary does not work in a box.
func runAbuse(ctx context.Context, backend string, asJSON bool, stdout, stderr io.Writer) int {
	count := make(map[abuse.Outcome]int)
	enc := json.NewEncoder(stdout)
	err := abuse.Run(ctx, sandbox.Options{Backend: backend}, nil, func(r abuse.Row) {
		count[r.Outcome]++
		if asJSON {
			enc.Encode(r) // a writer that fails shows at the end
			return
		}
		fmt.Fprintf(stdout, "%-14s %-5s %-52s %6s", r.Outcome, r.ID, r.Title, r.Took.Round(10*time.Millisecond))
		if r.Detail != "" {
			fmt.Fprintf(stdout, "  %s", r.Detail)
		}
		fmt.Fprintln(stdout)
	})
	if err != nil {
		return fail(stderr, err)
	}
	if !asJSON {
		fmt.Fprintf(stdout, "%d passed, %d failed, %d not applicable\n", count[abuse.Passed], count[abuse.Failed], count[abuse.NotApplicable])
	}
	if count[abuse.Failed] > 0 {
		return 1
	}
	return 0
}
