//go:build !crashpoint

package main

import (
	"time"

	"agentd/journal"
)

// wrapStore is where the crash suite's build puts its crash points.
func wrapStore(s journal.Store) journal.Store { return s }

// scheduleClock is the clock of the schedule, which the crash suite's build reads from a file.
func scheduleClock() (now func() time.Time, poll time.Duration) { return time.Now, 0 }
