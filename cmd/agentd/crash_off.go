//go:build !crashpoint

package main

import "agentd/journal"

// wrapStore is where the crash suite's build puts its crash points.
func wrapStore(s journal.Store) journal.Store { return s }
