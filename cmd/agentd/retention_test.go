package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"agentd/agent"
	"agentd/api"
	"agentd/goals"
	"agentd/journal"
	"agentd/journal/bolt"
	"agentd/tools"
)

// purged notes what is removed; it refuses one run.
type purged struct {
	runs  []journal.RunID
	keeps journal.RunID
}

func (p *purged) Purge(_ context.Context, run journal.RunID) error {
	if run == p.keeps {
		return errors.New("it is in use")
	}
	p.runs = append(p.runs, run)
	return nil
}

func TestOldRuns(t *testing.T) {
	store, err := bolt.Open(bolt.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, run := range []journal.RunID{"a-ended", "b-live", "c-held", "d-ended"} {
		id, _, err := store.Create(t.Context(), run, "", journal.RunStarted{Goal: goals.Goal{Text: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		if run != "b-live" {
			if _, err := store.Append(t.Context(), id, 1, journal.RunFinished{Status: journal.StatusAccepted}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		age  time.Duration
		now  time.Time
		want []journal.RunID
	}{
		{0, time.Now().Add(time.Hour), nil},
		{2 * time.Hour, time.Now().Add(time.Hour), nil},
		{time.Minute, time.Now().Add(time.Hour), []journal.RunID{"a-ended", "d-ended"}},
	} {
		p := &purged{keeps: "c-held"}
		n, err := oldRuns(t.Context(), store, p, tt.age, tt.now)
		if err != nil || n != len(tt.want) || !slices.Equal(p.runs, tt.want) {
			t.Errorf("age %s: removed %v (%d, %v), want %v", tt.age, p.runs, n, err, tt.want)
		}
	}
}

func TestOldMemoriesGo(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	if n, err := m.drop(ctx, time.Hour, time.Now()); n != 0 || err != nil {
		t.Fatalf("of no memory: %d, %v", n, err)
	}
	if _, err := m.AddMemory(ctx, api.MemoryAdd{Text: "What a person said stays."}); err != nil {
		t.Fatal(err)
	}
	run := m.ofRun("r1", journal.RunStarted{Workspace: t.TempDir(), Memory: agent.MemoryAuto})
	if _, err := run.Keep(ctx, tools.Note{Text: "The zebra crossing is open."}); err != nil {
		t.Fatal(err)
	}
	if n, err := m.drop(ctx, 2*time.Hour, time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Fatalf("what is young: %d, %v", n, err)
	}
	if n, err := m.drop(ctx, 2*time.Hour, time.Now().Add(3*time.Hour)); n != 1 || err != nil {
		t.Fatalf("what is old: %d, %v", n, err)
	}
	list, err := m.ListMemory(ctx, api.MemoryFilter{})
	if err != nil || len(list) != 1 || list[0].Trust != "person" {
		t.Errorf("left: %+v, %v", list, err)
	}
	data, err := os.ReadFile(m.path)
	if err != nil || bytes.Contains(data, []byte("zebra")) {
		t.Errorf("its bytes are in the file (%v)", err)
	}
}
