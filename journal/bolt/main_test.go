package bolt_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/journal/journaltest"
)

// TestMain is also the program that tests start as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		var err error
		switch what, arg := os.Args[1], os.Args[2]; what {
		case "check":
			err = bolt.CheckFile(arg)
		case "open":
			err = tryOpen(arg)
		case "write":
			err = writeUntilKilled(arg)
		case "full":
			err = fillDisk(arg)
		default:
			err = fmt.Errorf("unknown command %q", what)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// self is the command that runs one of TestMain's commands.
func self(t testing.TB, what string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, what}
}

func tryOpen(dir string) error {
	st, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		return err
	}
	return st.Close()
}

// writeUntilKilled writes to four runs at once and prints a line for everything that was acknowledged. Two of the runs get
// their events in pairs.
func writeUntilKilled(dir string) error {
	st, err := bolt.Open(bolt.Options{Dir: dir})
	if err != nil {
		return err
	}
	ctx := context.Background()
	failed := make(chan error)
	for i := range 4 {
		run := runID(i)
		go func() {
			failed <- func() error {
				if _, _, err := st.Create(ctx, run, "key"+string(run), journaltest.Started("crash")); err != nil {
					return err
				}
				sum, err := st.Get(ctx, run)
				if err != nil {
					return err
				}
				for seq := sum.Last; ; {
					events := []journal.Event{journaltest.Note(int(seq) + 1), journaltest.Note(int(seq) + 2)}
					if seq, err = st.Append(ctx, run, seq, events[:1+i%2]...); err != nil {
						return err
					}
					fmt.Printf("event %s %d\n", run, seq)
					if seq%5 == 0 {
						hash, _, err := st.PutBlob(ctx, run, strings.NewReader(fmt.Sprint("blob ", run, seq)))
						if err != nil {
							return err
						}
						fmt.Printf("blob %s %s\n", run, hash)
					}
				}
			}()
		}()
	}
	return <-failed
}

// check reads all of a run: its notes hold their own numbers.
func check(t testing.TB, st journal.Store, run journal.RunID) journal.Seq {
	t.Helper()
	last := journal.Seq(0)
	for r, err := range st.Read(context.Background(), run, 0) {
		if err != nil {
			t.Fatalf("read %s after %d: %v", run, last, err)
		}
		if last++; r.Seq != last {
			t.Fatalf("read %s: got event %d, want %d", run, r.Seq, last)
		}
		e, err := r.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := e.(journal.Noted); ok && n.Text != fmt.Sprint(last) {
			t.Fatalf("event %d of %s holds %q", last, run, n.Text)
		}
	}
	return last
}
