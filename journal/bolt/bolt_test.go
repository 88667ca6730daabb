package bolt_test

import (
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

func TestConformance(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journal.Store { return open(t, t.TempDir()) })
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, dir string) *bolt.Store {
	t.Helper()
	st, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return st
}
