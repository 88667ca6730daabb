package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"agentd/agent"
	"agentd/journal"
	"agentd/memory"
	"agentd/tools"
)

// memories is the daemon's memory file. It is opened when something is first looked for in it or kept.
type memories struct {
	path   string
	models *models

	mu       sync.RWMutex // held for reading while the store is used
	store    *memory.Store
	embedded bool // the store was opened with an embedder
	closed   bool
}

// errNothing is returned for a memory that was never written to.
var errNothing = errors.New("nothing was remembered yet")

func newMemories(d *daemon) *memories {
	return &memories{path: filepath.Join(d.places.Home, "memory.db"), models: d.models}
}

// Close closes the file after its uses have ended.
func (m *memories) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.store == nil {
		return nil
	}
	s := m.store
	m.store = nil
	return s.Close()
}

// use calls f with the open store. A file that isn't there is made only if f will write.
func (m *memories) use(write bool, f func(*memory.Store) error) error {
	for {
		have := m.models.embedder() != nil
		m.mu.RLock()
		if m.store != nil && m.embedded == have {
			defer m.mu.RUnlock()
			return f(m.store)
		}
		m.mu.RUnlock()
		if err := m.open(write, have); err != nil {
			return err
		}
	}
}

// open opens the store, anew where an embedder was fetched or removed since.
func (m *memories) open(write, embed bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return memory.ErrClosed
	case m.store != nil && m.embedded == embed:
		return nil
	case m.store != nil:
		err := m.store.Close()
		m.store = nil
		if err != nil {
			return err
		}
	}
	if _, err := os.Stat(m.path); errors.Is(err, fs.ErrNotExist) && !write {
		return errNothing
	}
	var o memory.Options
	if embed {
		o.Embedder = &embedder{m.models}
	}
	s, err := memory.Open(m.path, o)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	m.store, m.embedded = s, embed
	return nil
}

// repository is the namespace of a folder: of the checkout that it lies in, else its own. It is named by path, not by the address of a
// remote, which the folder itself claims.
func repository(dir string) memory.Namespace {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for at := dir; ; {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return memory.Repository(at)
		}
		up := filepath.Dir(at)
		if up == at {
			return memory.Repository(dir)
		}
		at = up
	}
}

// Bounds of a recall.
const (
	recallHits  = 8
	recallScore = 0.25 // cosine; unrelated sentences are mostly below it
)

// runMemory is the memory of one run.
type runMemory struct {
	m      *memories
	run    journal.RunID
	spaces []memory.Namespace // the user's and the workspace's
	accept bool
	hits   int     // most facts of a recall
	score  float64 // least cosine of one
}

// ofRun returns a run's memory.
func (m *memories) ofRun(run journal.RunID, s journal.RunStarted) tools.Memory {
	r := &runMemory{m: m, run: run, spaces: []memory.Namespace{memory.User, repository(s.Workspace)}, accept: s.Memory == agent.MemoryAuto, hits: recallHits, score: recallScore}
	if want := s.Goal.Memory; want.Scope == "repo" {
		r.spaces = r.spaces[1:]
	}
	if want := s.Goal.Memory; want.Recall > 0 {
		r.hits = want.Recall
	}
	if want := s.Goal.Memory; want.MinScore > 0 {
		r.score = want.MinScore
	}
	return r
}

// Find recalls. Where the run's namespaces are empty it answers at once, and no model is started.
func (r *runMemory) Find(ctx context.Context, query string, chars int) ([]tools.Fact, string, error) {
	var facts []tools.Fact
	var note string
	err := r.m.use(false, func(s *memory.Store) error {
		if any, err := s.Holds(r.spaces...); err != nil || !any {
			return err
		}
		hits, receipt, err := s.Recall(ctx, memory.Query{Namespaces: r.spaces, Text: query, K: r.hits, MinScore: r.score, MaxChars: chars})
		if receipt.Mode == "words" {
			note = "found by words alone: " + receipt.Note
		}
		for _, h := range hits {
			if receipt.Mode == "words" && !related(query, h.Item.Text) {
				continue
			}
			facts = append(facts, tools.Fact{
				ID: h.Item.ID.String(), Text: h.Item.Text, Trust: h.Item.Trust.String(), Source: origin(&h.Item),
				Score: h.Score, WordRank: h.WordRank, VectorRank: h.VectorRank, Cosine: h.Cosine,
			})
		}
		return err
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return facts, note, err
}

// related says whether two texts share a word that means something. By words alone any "the" would bring a fact to every run.
func related(a, b string) bool {
	words := func(s string) map[string]bool {
		out := map[string]bool{}
		for w := range strings.FieldsFuncSeq(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if r, _ := utf8.DecodeRuneInString(w); r >= 0x2e80 { // written without spaces
				for _, c := range w {
					out[string(c)] = true
				}
			}
			if (len(w) > 3 || strings.ContainsFunc(w, unicode.IsDigit)) && !slices.Contains(plainWords, w) {
				out[w] = true
			}
		}
		return out
	}
	have := words(a)
	for w := range words(b) {
		if have[w] {
			return true
		}
	}
	return false
}

var plainWords = []string{
	"about", "after", "also", "before", "been", "does", "each", "from", "have", "here", "into", "make", "more", "must", "only", "same", "some",
	"that", "their", "them", "then", "there", "these", "they", "this", "use", "used", "what", "when", "where", "which", "will", "with", "would", "your",
}

// origin says in words where an item came from.
func origin(it *memory.Item) string {
	words := []string{map[memory.Trust]string{memory.Person: "said by a person", memory.Model: "concluded by a run", memory.Untrusted: "untrusted"}[it.Trust]}
	for _, w := range []string{it.Source.Run, it.Source.File, it.Source.URL} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(append(words, it.Created.Format(time.DateOnly)), ", ")
}

// Keep stores a fact, for a person to review unless the run may accept it. What the run drew from untrusted content stays untrusted.
func (r *runMemory) Keep(ctx context.Context, n tools.Note) (tools.Kept, error) {
	it := memory.Item{
		Namespace: r.spaces[1], Text: n.Text, Trust: memory.Model,
		Source: memory.Source{Kind: "model", Run: string(r.run), Step: n.Step, Events: n.Events},
	}
	if n.User {
		it.Namespace = r.spaces[0]
	}
	if n.Untrusted {
		it.Trust = memory.Untrusted
	}
	var kept tools.Kept
	err := r.m.use(true, func(s *memory.Store) error {
		if id, err := rejected(s, &it); err != nil || id != 0 {
			kept = tools.Kept{ID: id.String(), Known: true, State: memory.Rejected.String(), Trust: it.Trust.String()}
			return err
		}
		it.Contradicts = present(s, n.Contradicts)
		got, err := s.Propose(ctx, r.accept, it)
		if err != nil {
			return err
		}
		now, err := s.Get(got[0].ID)
		if err != nil {
			return err
		}
		kept = tools.Kept{
			ID: now.ID.String(), Known: got[0].DuplicateOf != 0, State: now.State.String(), Trust: now.Trust.String(), Contradicts: idNames(now.Contradicts),
		}
		return nil
	})
	return kept, err
}

// present are the ids of those that are still there: a fact may be forgotten while a model thinks about it.
func present(s *memory.Store, names []string) []memory.ID {
	var out []memory.ID
	for _, n := range names {
		id, err := memory.ParseID(n)
		if err != nil {
			continue
		}
		if _, err := s.Get(id); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// rejected finds an item of the same text that a person has rejected: a no is not asked for again. Zero is none.
func rejected(s *memory.Store, it *memory.Item) (memory.ID, error) {
	if st, err := s.Stats(); err != nil || st.Hidden == 0 {
		return 0, err
	}
	for o, err := range s.All() {
		if damaged := (*memory.CorruptError)(nil); errors.As(err, &damaged) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if o.State == memory.Rejected && o.Namespace == it.Namespace && strings.EqualFold(strings.TrimRight(o.Text, "."), strings.TrimRight(it.Text, ".")) {
			return o.ID, nil
		}
	}
	return 0, nil
}
