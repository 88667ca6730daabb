package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"agentd/journal"
)

func testCreateRace(t *testing.T, st journal.Store) {
	const n = 16
	var mu sync.Mutex
	ids := make(map[journal.RunID]int)
	fresh := 0
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() {
			run, isNew, err := st.Create(t.Context(), id(i), "same", Started("a"))
			if err != nil {
				t.Errorf("create %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[run]++
			if isNew {
				fresh++
			}
		})
	}
	g.Wait()
	if len(ids) != 1 || fresh != 1 {
		t.Errorf("%d creates with one key: %d fresh, ids %v; want one", n, fresh, ids)
	}
	if got, err := st.List(t.Context(), journal.Filter{}); err != nil || len(got) != 1 {
		t.Errorf("got %d runs, %v; want 1", len(got), err)
	}
}

// testAppendRace lets clients decide on what they read: each number is added once although all see the same state.
func testAppendRace(t *testing.T, st journal.Store) {
	const clients, each = 8, 25
	create(t, st, id(1))
	var g sync.WaitGroup
	for range clients {
		g.Go(func() {
			for done := 0; done < each; {
				sum, err := st.Get(t.Context(), id(1))
				if err != nil {
					t.Error(err)
					return
				}
				// The event says after which number it was decided.
				_, err = st.Append(t.Context(), id(1), sum.Last, Note(int(sum.Last)))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, journal.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
	got := all(t, st, id(1), 1)
	if len(got) != clients*each {
		t.Fatalf("got %d events, want %d", len(got), clients*each)
	}
	for _, r := range got {
		if n := noteOf(t, r); n != int(r.Seq)-1 {
			t.Errorf("event %d was decided after %d", r.Seq, n)
		}
	}
}

// testWatch has watchers that start at different places and read at different speeds while several writers append.
func testWatch(t *testing.T, st journal.Store) {
	const events = 400
	create(t, st, id(1))
	create(t, st, id(2))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var g sync.WaitGroup
	for w := range 6 {
		after := journal.Seq(w % 3)
		g.Go(func() {
			next := after + 1
			for r, err := range st.Watch(ctx, id(1), after) {
				if err != nil {
					t.Errorf("watcher %d at %d: %v", w, next, err)
					return
				}
				if r.Seq != next {
					t.Errorf("watcher %d: got event %d, want %d", w, r.Seq, next)
					return
				}
				if next++; r.Seq > events {
					return
				}
				if w >= 3 && r.Seq%50 == 0 {
					time.Sleep(5 * time.Millisecond) // a slow reader
				}
			}
			t.Errorf("watcher %d ended at %d", w, next)
		})
	}
	for w := range 4 {
		g.Go(func() {
			for i := range events / 4 {
				_, err := journal.Update(ctx, st, id(1), func(*journal.State) ([]journal.Event, error) {
					return []journal.Event{Note(w*1000 + i)}, nil
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	g.Go(func() { // another run's events wake nobody wrongly
		for i := range 50 {
			if _, err := st.Append(ctx, id(2), journal.Seq(i+1), Note(i)); err != nil {
				t.Error(err)
			}
		}
	})
	g.Wait()
}

func testWatchEnds(t *testing.T, st journal.Store) {
	wantErr(t, "watch of no run", readErr(st.Watch(t.Context(), id(9), 0)), journal.ErrNotFound)
	for i, c := range []struct {
		name string
		end  func(run journal.RunID, cancel func()) error
		want []error // nil: it may also end without an error
	}{
		{"context", func(_ journal.RunID, cancel func()) error { cancel(); return nil }, []error{context.Canceled, nil}},
		{"removal", func(run journal.RunID, _ func()) error { return st.Remove(t.Context(), run) }, []error{journal.ErrNotFound, nil}},
		{"close", func(journal.RunID, func()) error { return st.Close() }, []error{journal.ErrClosed}},
	} {
		run := id(i)
		create(t, st, run)
		ctx, cancel := context.WithCancel(t.Context())
		begun, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			var last error
			for r, err := range st.Watch(ctx, run, 0) {
				if last = err; err == nil && r.Seq == 1 {
					close(begun)
				}
			}
			ended <- last
		}()
		<-begun
		time.Sleep(5 * time.Millisecond) // now it waits, most likely
		if err := c.end(run, cancel); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		select {
		case got := <-ended:
			if !slices.ContainsFunc(c.want, func(want error) bool { return errors.Is(got, want) }) {
				t.Errorf("%s: the watch ended with %v, want %v", c.name, got, c.want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the watch goes on", c.name)
		}
		cancel()
	}
}

// testConcurrent appends to many runs at once, so that transactions are shared, with conflicts among them.
func testConcurrent(t *testing.T, st journal.Store) {
	const runs, events = 24, 20
	var g sync.WaitGroup
	for i := range runs {
		g.Go(func() {
			if _, _, err := st.Create(t.Context(), id(i), fmt.Sprint("key", i), Started("a")); err != nil {
				t.Error(err)
				return
			}
			for n := range events {
				if n%7 == 3 {
					_, err := st.Append(t.Context(), id(i), 0, Note(99))
					wantErr(t, "append after 0", err, journal.ErrConflict)
				}
				if _, err := st.Append(t.Context(), id(i), journal.Seq(n+1), Note(n)); err != nil {
					t.Errorf("run %d: %v", i, err)
					return
				}
			}
		})
	}
	g.Wait()
	for i := range runs {
		got := all(t, st, id(i), 1)
		if len(got) != events {
			t.Errorf("run %d has %d events, want %d", i, len(got), events)
		}
		for n, r := range got {
			if noteOf(t, r) != n {
				t.Errorf("run %d: event %d is %d, want %d", i, r.Seq, noteOf(t, r), n)
			}
		}
	}
}
