package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"agentd/journal"
)

// A view of a run is its folded state with the last turns of each task: what a client shows and decides by. Folding a
// run of 100,000 events takes seconds, so views are kept: a few in memory, and those of long runs as files that a later
// daemon goes on from. They are a cache: each can be deleted at any time and is made anew from the journal.
const (
	viewTurns  = 3    // of each task
	viewTrim   = 500  // events folded between two trims
	viewEvents = 1000 // a view is written when it is so many events longer than its file
	viewsKept  = 16   // in memory
	maxView    = 64 << 20

	keepEvery = 30 * time.Second
	keepRuns  = 200 // newest runs that are looked at besides all live ones
)

// views keeps them.
type views struct {
	store journal.Store
	dir   string // "" keeps none in files
	maker string // the program whose fold the files hold: another one's may differ

	mu    sync.Mutex // guards the fields below
	byRun map[journal.RunID]*view
	saved map[journal.RunID]journal.Seq // what the files hold, as far as it is known
}

// view is one run's. Who holds its turn may use it.
type view struct {
	turn chan struct{}
	st   *journal.State
	used time.Time // guarded by views.mu
}

func newViews(store journal.Store, dir, build string) *views {
	maker := "1 " + build
	if exe, err := os.Executable(); err == nil {
		if fi, err := os.Stat(exe); err == nil {
			maker += fmt.Sprintf(" %d %d", fi.Size(), fi.ModTime().UnixNano())
		}
	}
	return &views{store: store, dir: dir, maker: maker, byRun: map[journal.RunID]*view{}, saved: map[journal.RunID]journal.Seq{}}
}

// get answers with a run's state, of which at most so many turns of each task are wanted.
func (v *views) get(ctx context.Context, run journal.RunID, turns int) (json.RawMessage, error) {
	var out json.RawMessage
	err := v.with(ctx, run, func(st *journal.State) (err error) {
		out, err = json.Marshal(RunView{Summary: st.Summary(), State: st})
		return err
	})
	if err != nil || turns >= viewTurns {
		return out, err
	}
	var fewer RunView
	if err := json.Unmarshal(out, &fewer); err != nil {
		return nil, err
	}
	fewer.State.Trim(turns)
	return json.Marshal(fewer)
}

// update appends what decide makes of a run's view, and decides again when another appended meanwhile, as journal.Update.
func (v *views) update(ctx context.Context, run journal.RunID, decide func(*journal.State) ([]journal.Event, error)) (journal.Seq, error) {
	for {
		var events []journal.Event
		var last journal.Seq
		err := v.with(ctx, run, func(st *journal.State) (err error) {
			last = st.Last
			events, err = decide(st)
			return err
		})
		if err != nil || len(events) == 0 {
			return last, err
		}
		seq, err := v.store.Append(ctx, run, last, events...)
		if !errors.Is(err, journal.ErrConflict) {
			return seq, err
		}
	}
}

// with calls f with a run's view as of now. f may neither change it nor keep it.
func (v *views) with(ctx context.Context, run journal.RunID, f func(*journal.State) error) error {
	w := v.of(run)
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.turn }()
	if err := v.catchUp(ctx, run, w); err != nil {
		return err
	}
	return f(w.st)
}

// of returns a run's view, which may be new.
func (v *views) of(run journal.RunID) *view {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.byRun[run]
	if w == nil {
		if len(v.byRun) >= viewsKept {
			var oldest journal.RunID
			for r, o := range v.byRun {
				if oldest == "" || o.used.Before(v.byRun[oldest].used) {
					oldest = r
				}
			}
			delete(v.byRun, oldest) // who has it still holds it
		}
		w = &view{turn: make(chan struct{}, 1)}
		v.byRun[run] = w
	}
	w.used = time.Now()
	return w
}

// catchUp folds what came since into a view, from its file where there is one.
func (v *views) catchUp(ctx context.Context, run journal.RunID, w *view) error {
	if w.st == nil {
		w.st = v.load(ctx, run)
	}
	if err := v.fold(ctx, run, w.st); err != nil {
		w.st = nil
		if errors.Is(err, journal.ErrNotFound) {
			v.forget(run)
		}
		return err
	}
	if v.dir != "" && w.st.Last >= v.savedOf(run)+viewEvents {
		v.save(ctx, run, w.st)
	}
	return nil
}

// fold is journal.CatchUp for a state that stays small.
func (v *views) fold(ctx context.Context, run journal.RunID, st *journal.State) error {
	if last, err := v.last(ctx, run); err != nil || st.Last == last && last > 0 {
		return err
	}
	n := 0
	for r, err := range v.store.Read(ctx, run, st.Last) {
		if err != nil {
			return err
		}
		if err := st.Apply(r); err != nil {
			return err
		}
		if n++; n%viewTrim == 0 {
			st.Trim(viewTurns)
		}
	}
	if st.Last == 0 {
		return journal.ErrNotFound
	}
	if n > 0 {
		st.Trim(viewTurns)
	}
	return nil
}

func (v *views) last(ctx context.Context, run journal.RunID) (journal.Seq, error) {
	sum, err := v.store.Get(ctx, run)
	return sum.Last, err
}

func (v *views) savedOf(run journal.RunID) journal.Seq {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.saved[run]
}

// forget drops what is kept of a run that is no more.
func (v *views) forget(run journal.RunID) {
	v.mu.Lock()
	delete(v.byRun, run)
	delete(v.saved, run)
	v.mu.Unlock()
	if v.dir != "" {
		_ = os.Remove(v.path(run)) // most runs have none
	}
}

func (v *views) path(run journal.RunID) string { return filepath.Join(v.dir, string(run)+".json") }

// viewFile is a view's file.
type viewFile struct {
	Maker string          `json:"maker"`
	Last  journal.Seq     `json:"last"`
	Mark  uint64          `json:"mark"` // of the last event: another journal's view is not taken for this one's
	State json.RawMessage `json:"state"`
	Sum   uint64          `json:"sum"` // of the state's bytes
}

// load reads a view from its file; an empty state where there is none that fits the journal.
func (v *views) load(ctx context.Context, run journal.RunID) *journal.State {
	if v.dir == "" {
		return new(journal.State)
	}
	st, err := v.read(ctx, run)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		delete(v.saved, run)
		return new(journal.State)
	}
	v.saved[run] = st.Last
	return st
}

var errViewStale = errors.New("the view does not fit the journal")

func (v *views) read(ctx context.Context, run journal.RunID) (*journal.State, error) {
	fi, err := os.Stat(v.path(run))
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxView {
		return nil, errViewStale
	}
	data, err := os.ReadFile(v.path(run))
	if err != nil {
		return nil, err
	}
	var f viewFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Maker != v.maker || f.Sum != sumOf(f.State) {
		return nil, errViewStale
	}
	if mark, err := v.mark(ctx, run, f.Last); err != nil || mark != f.Mark {
		return nil, errors.Join(errViewStale, err)
	}
	st := new(journal.State)
	if err := json.Unmarshal(f.State, st); err != nil {
		return nil, err
	}
	if st.Run != run || st.Last != f.Last {
		return nil, errViewStale
	}
	return st, nil
}

// mark is a number of one event: its time and its content.
func (v *views) mark(ctx context.Context, run journal.RunID, seq journal.Seq) (uint64, error) {
	last, err := v.last(ctx, run)
	if err != nil {
		return 0, err
	}
	if seq == 0 || seq > last {
		return 0, errViewStale
	}
	recs, err := v.store.Page(ctx, run, seq+1, 1)
	if err != nil {
		return 0, err
	}
	if len(recs) != 1 || recs[0].Seq != seq {
		return 0, errViewStale
	}
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(recs[0].Time.UnixNano())))
	h.Write(recs[0].Data)
	return h.Sum64(), nil
}

func sumOf(data []byte) uint64 {
	h := fnv.New64a()
	h.Write(data)
	return h.Sum64()
}

// save writes a view to its file, whole or not at all. A failure costs only time later.
func (v *views) save(ctx context.Context, run journal.RunID, st *journal.State) {
	if err := v.write(ctx, run, st); err != nil {
		return
	}
	v.mu.Lock()
	v.saved[run] = st.Last
	v.mu.Unlock()
	if _, err := v.last(ctx, run); errors.Is(err, journal.ErrNotFound) { // removed meanwhile: its file would stay
		v.forget(run)
	}
}

func (v *views) write(ctx context.Context, run journal.RunID, st *journal.State) error {
	mark, err := v.mark(ctx, run, st.Last)
	if err != nil {
		return err
	}
	state, err := json.Marshal(st)
	if err != nil {
		return err
	}
	data, err := json.Marshal(viewFile{Maker: v.maker, Last: st.Last, Mark: mark, State: state, Sum: sumOf(state)})
	if err != nil {
		return err
	}
	if len(data) > maxView {
		return errViewStale
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(v.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), v.path(run))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// keep writes the views of long runs now and then, so that one is near the end of each when somebody looks. It ends with
// ctx.
func (v *views) keep(ctx context.Context) {
	if v.dir == "" {
		return
	}
	v.sweep(ctx)
	for {
		v.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(keepEvery):
		}
	}
}

// round brings the files up to date.
func (v *views) round(ctx context.Context) {
	live, err := v.store.List(ctx, journal.Filter{Live: true, Limit: 1000})
	if err != nil {
		return
	}
	newest, err := v.store.List(ctx, journal.Filter{Limit: keepRuns})
	if err != nil {
		return
	}
	done := map[journal.RunID]bool{}
	for _, r := range append(live, newest...) {
		if done[r.Run] || r.Last < v.savedOf(r.Run)+viewEvents {
			continue
		}
		done[r.Run] = true
		w := v.peek(r.Run)
		select {
		case w.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := v.catchUp(ctx, r.Run, w)
		<-w.turn
		if err != nil && ctx.Err() != nil {
			return
		}
	}
}

// peek is of for a run that nobody asked for: it pushes none out that somebody did.
func (v *views) peek(run journal.RunID) *view {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w := v.byRun[run]; w != nil {
		return w
	}
	return &view{turn: make(chan struct{}, 1)}
}

// sweep removes the files of runs that are no more, and those of a write that was cut.
func (v *views) sweep(ctx context.Context) {
	files, err := os.ReadDir(v.dir)
	if err != nil {
		return // there are none yet
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if ok {
			if _, err := v.store.Get(ctx, journal.RunID(name)); !errors.Is(err, journal.ErrNotFound) {
				continue
			}
		}
		if err := os.Remove(filepath.Join(v.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
