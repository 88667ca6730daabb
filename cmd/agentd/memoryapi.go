package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"agentd/api"
	"agentd/journal"
	"agentd/memory"
)

var _ api.Memory = (*memories)(nil)

// AddMemory stores what a person said, or says that another did.
func (m *memories) AddMemory(ctx context.Context, a api.MemoryAdd) (api.MemoryItem, error) {
	it := memory.Item{
		Namespace: memory.User, Text: a.Text, Trust: memory.Person, Tags: a.Tags, Expires: a.Expires,
		Source: memory.Source{Kind: a.Source.Kind, Run: a.Source.Run, Step: a.Source.Step, File: a.Source.File, URL: a.Source.URL, Events: a.Source.Events},
	}
	if it.Source.Kind == "" {
		it.Source.Kind = "user"
	}
	switch {
	case a.Namespace != "":
		it.Namespace = memory.Namespace(a.Namespace)
	case a.Workspace != "":
		it.Namespace = repository(a.Workspace)
	}
	var err error
	if a.Trust != "" {
		err = it.Trust.UnmarshalText([]byte(a.Trust))
	}
	if err == nil {
		it.Supersedes, err = parseIDs(a.Supersedes)
	}
	if err == nil {
		it.Contradicts, err = parseIDs(a.Contradicts)
	}
	if err != nil {
		return api.MemoryItem{}, refused(err)
	}
	var out api.MemoryItem
	err = m.use(true, func(s *memory.Store) error {
		ids, err := s.Add(ctx, it)
		if err != nil {
			return err
		}
		out, err = get(s, ids[0])
		return err
	})
	return out, refused(err)
}

// SearchMemory finds what is remembered.
func (m *memories) SearchMemory(ctx context.Context, q api.MemoryQuery) (api.MemoryFound, error) {
	mq := memory.Query{Text: q.Text, K: q.K, MinScore: q.MinScore, Filter: q.Filter, WordsOnly: q.WordsOnly, Exact: q.Exact, Namespaces: spaces(q.Workspace, q.Namespaces...)}
	if mq.K == 0 {
		mq.K = 10
	}
	var out api.MemoryFound
	err := m.use(false, func(s *memory.Store) error {
		hits, r, err := s.Recall(ctx, mq)
		out.Mode, out.Note, out.Model = r.Mode, r.Note, r.Model
		for _, h := range hits {
			out.Hits = append(out.Hits, api.MemoryHit{Item: shown(&h.Item), Score: h.Score, WordRank: h.WordRank, VectorRank: h.VectorRank, Cosine: h.Cosine})
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return api.MemoryFound{Mode: "words", Note: errNothing.Error()}, nil
	}
	return out, refused(err)
}

// ListMemory lists what is remembered.
func (m *memories) ListMemory(_ context.Context, f api.MemoryFilter) ([]api.MemoryItem, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	var after memory.ID
	var state memory.State
	var err error
	if f.After != "" {
		after, err = memory.ParseID(f.After)
	}
	if f.State != "" && err == nil {
		err = state.UnmarshalText([]byte(f.State))
	}
	if err != nil {
		return nil, refused(err)
	}
	var names []string
	if f.Namespace != "" {
		names = []string{f.Namespace}
	}
	in := spaces(f.Workspace, names...)
	var out []api.MemoryItem
	err = m.use(false, func(s *memory.Store) error {
		for it, err := range s.All() {
			if damaged := (*memory.CorruptError)(nil); errors.As(err, &damaged) {
				continue // stats and export name it
			}
			if err != nil {
				return err
			}
			if it.ID <= after || f.State != "" && it.State != state || len(in) > 0 && !slices.Contains(in, it.Namespace) {
				continue
			}
			if out = append(out, shown(it)); len(out) == f.Limit {
				return nil
			}
		}
		return nil
	})
	return out, empty(err)
}

// Memory returns one item.
func (m *memories) Memory(_ context.Context, id string) (api.MemoryItem, error) {
	var out api.MemoryItem
	err := m.one(id, func(s *memory.Store, id memory.ID) (err error) {
		out, err = get(s, id)
		return err
	})
	return out, err
}

// ForgetMemory removes an item.
func (m *memories) ForgetMemory(ctx context.Context, id string) (api.MemoryForgotten, error) {
	var out api.MemoryForgotten
	err := m.one(id, func(s *memory.Store, id memory.ID) (err error) {
		out.Runs, err = s.Forget(ctx, id)
		return err
	})
	return out, err
}

// ReviewMemory decides about proposed items. Those named twice, accepted and rejected, are refused before anything changes.
func (m *memories) ReviewMemory(ctx context.Context, r api.MemoryReview) error {
	yes, err := parseIDs(r.Accept)
	if err != nil {
		return refused(err)
	}
	no, err := parseIDs(r.Reject)
	if err != nil {
		return refused(err)
	}
	err = m.use(false, func(s *memory.Store) error {
		for _, id := range slices.Concat(yes, no) {
			if _, err := s.Get(id); err != nil {
				return err
			}
			if slices.Contains(yes, id) && slices.Contains(no, id) {
				return fmt.Errorf("%w: %s is both accepted and rejected", memory.ErrItem, id)
			}
		}
		if len(yes) > 0 {
			if err := s.Accept(ctx, yes...); err != nil {
				return err
			}
		}
		if len(no) > 0 {
			return s.Reject(ctx, no...)
		}
		return nil
	})
	return refused(err)
}

// MemoryStats counts.
func (m *memories) MemoryStats(context.Context) (api.MemoryStats, error) {
	out := api.MemoryStats{Path: m.path}
	if e := m.models.embedder(); e != nil {
		out.Embedder = e.ID()
	}
	err := m.use(false, func(s *memory.Store) error {
		st, err := s.Stats()
		out.Items, out.Proposed, out.Segments, out.Tail, out.Rows, out.Hidden = st.Items, st.Proposed, st.Segments, st.Tail, st.Rows, st.Hidden
		out.Vectors, out.Model, out.Dim, out.FileBytes, out.CodeBytes = st.Vectors, st.Model, st.Dim, st.FileBytes, st.CodeBytes
		return err
	})
	return out, empty(err)
}

// ExportMemory writes every item.
func (m *memories) ExportMemory(_ context.Context, w io.Writer, vectors bool) error {
	return empty(m.use(false, func(s *memory.Store) error { return s.Export(w, vectors) }))
}

// ImportMemory adds exported items.
func (m *memories) ImportMemory(ctx context.Context, r io.Reader) (n int, err error) {
	err = m.use(true, func(s *memory.Store) (err error) {
		n, err = s.Import(ctx, r)
		return err
	})
	return n, refused(err)
}

// CompactMemory writes the file anew, without what was forgotten and what has expired.
func (m *memories) CompactMemory(ctx context.Context) error {
	return empty(m.use(false, func(s *memory.Store) error {
		if _, err := s.Expire(ctx, nil); err != nil {
			return err
		}
		return s.Compact(ctx)
	}))
}

// ReembedMemory makes all vectors anew.
func (m *memories) ReembedMemory(ctx context.Context, progress func(done, of int)) error {
	if m.models.embedder() == nil {
		return api.Errorf(api.ErrProvider, "agentctl model pull minilm", "there is no embedder on this machine")
	}
	return empty(m.use(false, func(s *memory.Store) error { return s.Reembed(ctx, progress) }))
}

// one calls f with an item's id.
func (m *memories) one(name string, f func(*memory.Store, memory.ID) error) error {
	id, err := memory.ParseID(name)
	if err == nil {
		err = m.use(false, func(s *memory.Store) error { return f(s, id) })
	}
	if errors.Is(err, errNothing) {
		err = fmt.Errorf("%w: %s: %w", memory.ErrNotFound, id, err)
	}
	return refused(err)
}

func get(s *memory.Store, id memory.ID) (api.MemoryItem, error) {
	it, err := s.Get(id)
	if err != nil {
		return api.MemoryItem{}, err
	}
	return shown(it), nil
}

// spaces are the namespaces that are named, else those that a run in a folder sees, else none, which is all.
func spaces(workspace string, names ...string) []memory.Namespace {
	var out []memory.Namespace
	for _, n := range names {
		out = append(out, memory.Namespace(n))
	}
	if len(out) == 0 && workspace != "" {
		return []memory.Namespace{memory.User, repository(workspace)}
	}
	return out
}

func parseIDs(names []string) ([]memory.ID, error) {
	var out []memory.ID
	for _, n := range names {
		id, err := memory.ParseID(n)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func idNames(ids []memory.ID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

func shown(it *memory.Item) api.MemoryItem {
	out := api.MemoryItem{
		ID: it.ID.String(), Namespace: string(it.Namespace), Text: it.Text, Trust: it.Trust.String(), State: it.State.String(),
		Source: api.MemorySource{Kind: it.Source.Kind, Run: it.Source.Run, Step: it.Source.Step, File: it.Source.File, URL: it.Source.URL, Events: it.Source.Events},
		Tags:   it.Tags, Created: it.Created, Updated: it.Updated, Expires: it.Expires,
		Supersedes: idNames(it.Supersedes), Contradicts: idNames(it.Contradicts),
	}
	if it.SupersededBy != 0 {
		out.SupersededBy = it.SupersededBy.String()
	}
	return out
}

// empty is refused for what is no error of an empty memory.
func empty(err error) error {
	if errors.Is(err, errNothing) {
		return nil
	}
	return refused(err)
}

// refused is an error of the memory as clients see it.
func refused(err error) error {
	if err == nil {
		return nil
	}
	corrupt := (*memory.CorruptError)(nil)
	for _, k := range []struct {
		is   bool
		kind error
		hint string
	}{
		{errors.Is(err, memory.ErrNotFound), journal.ErrNotFound, "agentctl memory ls shows what is remembered"},
		{errors.Is(err, errNothing), journal.ErrNotFound, "agentctl memory add TEXT"},
		{errors.Is(err, memory.ErrItem), api.ErrInvalid, ""},
		{errors.Is(err, memory.ErrQuery), api.ErrInvalid, ""},
		{errors.Is(err, memory.ErrModel), api.ErrInvalid, "agentctl memory reembed"},
		{errors.Is(err, memory.ErrDamaged), journal.ErrCorrupt, "stop the daemon, then: agentd memory repair OLD NEW"},
		{errors.As(err, &corrupt), journal.ErrCorrupt, "stop the daemon, then: agentd memory repair OLD NEW"},
		{errors.Is(err, memory.ErrVersion), journal.ErrCorrupt, "move the file away, or use the program that wrote it"},
		{errors.Is(err, memory.ErrLocked), api.ErrRunning, "stop the other daemon"},
		{errors.Is(err, memory.ErrClosed), journal.ErrClosed, ""},
		{errors.Is(err, errEmbedder), api.ErrProvider, "agentctl doctor"},
	} {
		if k.is {
			return api.Errorf(k.kind, k.hint, "%v", err)
		}
	}
	return err
}

// repairMemory salvages a memory file.
func repairMemory(path, to string, stdout, stderr io.Writer) int {
	sv, err := memory.Repair(path, to)
	if err != nil {
		return fail(stderr, err)
	}
	how := ""
	if sv.Broken {
		how = "; its structure was broken, and pages were read one by one"
	}
	fmt.Fprintf(stdout, "%d items written to %s, %d of them with vectors; %d lost%s\n", sv.Items, to, sv.Vectors, sv.Lost, how)
	return 0
}
