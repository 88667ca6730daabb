package journaltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"agentd/journal"
)

// model is what a store should hold, as plain maps.
type model struct {
	runs  map[journal.RunID][]journal.Event
	keys  map[string]journal.RunID
	blobs map[string]map[journal.RunID]bool // hash -> who put it
	texts map[string]string                 // hash -> content
}

// testRandom makes random operations and compares what they answer with the model's answers.
func testRandom(t *testing.T, st journal.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{map[journal.RunID][]journal.Event{}, map[string]journal.RunID{}, map[string]map[journal.RunID]bool{}, map[string]string{}}
	samples := Samples()
	for step := range 400 {
		run := id(rng.IntN(12))
		switch op := rng.IntN(20); {
		case op < 4:
			m.create(t, st, run, rng)
		case op < 12:
			m.append(t, st, run, samples, rng)
		case op < 14:
			m.putBlob(t, st, run, rng)
		case op < 15:
			m.remove(t, st, run)
		default:
			m.compare(t, st, run, rng)
		}
		if t.Failed() {
			t.Fatalf("at step %d of seed %d", step, seed)
		}
	}
	for i := range 12 {
		m.compare(t, st, id(i), rng)
	}
	m.compareAll(t, st)
}

func (m *model) create(t *testing.T, st journal.Store, run journal.RunID, rng *rand.Rand) {
	key := ""
	if rng.IntN(2) == 0 {
		key = fmt.Sprint("key", rng.IntN(8))
	}
	first := Started(string(run))
	got, fresh, err := st.Create(t.Context(), run, key, first)
	old, known := m.keys[key]
	switch {
	case key != "" && known:
		if err != nil || got != old || fresh {
			t.Errorf("create %s with the key of %s: got %q, %v, %v", run, old, got, fresh, err)
		}
	case m.runs[run] != nil:
		if err == nil {
			t.Errorf("created %s again", run)
		}
	default:
		if err != nil || got != run || !fresh {
			t.Errorf("create %s: got %q, %v, %v", run, got, fresh, err)
		}
		m.runs[run] = []journal.Event{first}
		if key != "" {
			m.keys[key] = run
		}
	}
}

func (m *model) append(t *testing.T, st journal.Store, run journal.RunID, samples []journal.Event, rng *rand.Rand) {
	have := len(m.runs[run])
	after := have
	if rng.IntN(4) == 0 {
		after = rng.IntN(have + 2)
	}
	events := make([]journal.Event, 1+rng.IntN(3))
	for i := range events {
		events[i] = samples[1+rng.IntN(len(samples)-1)]
	}
	got, err := st.Append(t.Context(), run, journal.Seq(after), events...)
	switch {
	case have == 0:
		wantErr(t, "append to no run", err, journal.ErrNotFound)
	case after != have:
		wantErr(t, fmt.Sprintf("append to %s after %d of %d", run, after, have), err, journal.ErrConflict)
	default:
		m.runs[run] = append(m.runs[run], events...)
		if err != nil || int(got) != len(m.runs[run]) {
			t.Errorf("append to %s after %d: got %d, %v", run, after, got, err)
		}
	}
}

func (m *model) putBlob(t *testing.T, st journal.Store, run journal.RunID, rng *rand.Rand) {
	if m.runs[run] == nil {
		return
	}
	text := fmt.Sprint("blob", rng.IntN(6))
	hash := put(t, st, run, text)
	if m.blobs[hash] == nil {
		m.blobs[hash] = map[journal.RunID]bool{}
	}
	m.blobs[hash][run], m.texts[hash] = true, text
}

func (m *model) remove(t *testing.T, st journal.Store, run journal.RunID) {
	err := st.Remove(t.Context(), run)
	if m.runs[run] == nil {
		wantErr(t, "remove of no run", err, journal.ErrNotFound)
		return
	}
	if err != nil {
		t.Errorf("remove %s: %v", run, err)
	}
	delete(m.runs, run)
	for key, r := range m.keys {
		if r == run {
			delete(m.keys, key)
		}
	}
	for _, users := range m.blobs {
		delete(users, run)
	}
}

// compare compares one run.
func (m *model) compare(t *testing.T, st journal.Store, run journal.RunID, rng *rand.Rand) {
	want := m.runs[run]
	sum, err := st.Get(t.Context(), run)
	if want == nil {
		wantErr(t, "get of no run", err, journal.ErrNotFound)
		return
	}
	if err != nil {
		t.Errorf("get %s: %v", run, err)
		return
	}
	got := all(t, st, run, 0)
	if len(got) != len(want) {
		t.Errorf("run %s has %d events, want %d", run, len(got), len(want))
		return
	}
	for i, r := range got {
		w, err := journal.Encode(want[i])
		if err != nil || r.Kind != w.Kind || string(r.Data) != string(w.Data) {
			t.Errorf("event %d of %s: got %s %s, want %s %s", i+1, run, r.Kind, r.Data, w.Kind, w.Data)
		}
	}
	state, err := journal.Fold(got)
	if err != nil {
		t.Error(err)
		return
	}
	if want := state.Summary(); !sameSummary(sum, want) {
		t.Errorf("summary of %s: got %+v\nwant %+v", run, sum, want)
	}
	before, limit := 1+rng.IntN(len(want)+1), 1+rng.IntN(5)
	page, err := st.Page(t.Context(), run, journal.Seq(before), limit)
	if err != nil || len(page) != min(limit, before-1) || len(page) > 0 && int(page[len(page)-1].Seq) != before-1 {
		t.Errorf("page of %d before %d of %s: got %d records, %v", limit, before, run, len(page), err)
	}
}

// compareAll compares the list and the blobs.
func (m *model) compareAll(t *testing.T, st journal.Store) {
	var want []journal.RunID
	for run := range m.runs {
		want = append(want, run)
	}
	slices.Sort(want)
	if got := pages(t, st, journal.Filter{Oldest: true, Limit: 5}); !slices.Equal(got, want) {
		t.Errorf("list: got %v, want %v", got, want)
	}
	for hash, users := range m.blobs {
		got, err := blob(t, st, hash)
		if len(users) == 0 {
			if !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("blob %q is left: %v", m.texts[hash], err)
			}
		} else if err != nil || got != m.texts[hash] {
			t.Errorf("blob: got %q, %v; want %q", got, err, m.texts[hash])
		}
	}
}
