package apitest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"agentd/api"
	"agentd/journal"
)

// Memory is an api.Memory in a list, which finds by the query's text alone.
type Memory struct {
	mu    sync.Mutex // guards the fields below
	items []api.MemoryItem
	next  int
}

var _ api.Memory = (*Memory)(nil)

// Propose adds an item as a run would.
func (m *Memory) Propose(text, run string) {
	m.add(api.MemoryItem{Text: text, Namespace: "user", Trust: "model", State: "proposed", Source: api.MemorySource{Kind: "model", Run: run, Step: 1}})
}

func (m *Memory) add(it api.MemoryItem) api.MemoryItem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	it.ID, it.Created = fmt.Sprintf("m%d", m.next), time.Now()
	m.items = append(m.items, it)
	return it
}

func (m *Memory) at(id string) (int, error) {
	i := slices.IndexFunc(m.items, func(it api.MemoryItem) bool { return it.ID == id })
	if i < 0 {
		return 0, api.Errorf(journal.ErrNotFound, "agentctl memory ls shows what is remembered", "%s: no such memory", id)
	}
	return i, nil
}

// AddMemory adds an item.
func (m *Memory) AddMemory(_ context.Context, a api.MemoryAdd) (api.MemoryItem, error) {
	if strings.TrimSpace(a.Text) == "" {
		return api.MemoryItem{}, api.Errorf(api.ErrInvalid, "", "invalid item: the text is empty")
	}
	it := api.MemoryItem{Text: a.Text, Namespace: "user", Trust: "person", State: "accepted", Source: a.Source, Tags: a.Tags, Expires: a.Expires}
	if a.Workspace != "" {
		it.Namespace = "repository:" + a.Workspace
	}
	if a.Trust != "" {
		it.Trust = a.Trust
	}
	return m.add(it), nil
}

// SearchMemory finds the items that contain the query.
func (m *Memory) SearchMemory(_ context.Context, q api.MemoryQuery) (api.MemoryFound, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := api.MemoryFound{Mode: "words", Note: "no embedder"}
	for _, it := range m.items {
		if strings.Contains(it.Text, q.Text) && it.State == "accepted" {
			out.Hits = append(out.Hits, api.MemoryHit{Item: it, Score: 0.5, WordRank: len(out.Hits) + 1})
		}
	}
	return out, nil
}

// ListMemory lists by state.
func (m *Memory) ListMemory(_ context.Context, f api.MemoryFilter) ([]api.MemoryItem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.items), func(it api.MemoryItem) bool { return f.State != "" && it.State != f.State }), nil
}

// Memory returns an item.
func (m *Memory) Memory(_ context.Context, id string) (api.MemoryItem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, err := m.at(id)
	if err != nil {
		return api.MemoryItem{}, err
	}
	return m.items[i], nil
}

// ForgetMemory removes an item.
func (m *Memory) ForgetMemory(_ context.Context, id string) (api.MemoryForgotten, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, err := m.at(id)
	if err != nil {
		return api.MemoryForgotten{}, err
	}
	var out api.MemoryForgotten
	if run := m.items[i].Source.Run; run != "" {
		out.Runs = []string{run}
	}
	m.items = slices.Delete(m.items, i, i+1)
	return out, nil
}

// ReviewMemory sets states.
func (m *Memory) ReviewMemory(_ context.Context, r api.MemoryReview) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range slices.Concat(r.Accept, r.Reject) {
		i, err := m.at(id)
		if err != nil {
			return err
		}
		m.items[i].State = "accepted"
		if slices.Contains(r.Reject, id) {
			m.items[i].State = "rejected"
		}
	}
	return nil
}

// MemoryStats counts.
func (m *Memory) MemoryStats(context.Context) (api.MemoryStats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return api.MemoryStats{Path: "memory.db", Items: len(m.items), Rows: len(m.items)}, nil
}

// ExportMemory writes the items.
func (m *Memory) ExportMemory(_ context.Context, w io.Writer, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	enc := json.NewEncoder(w)
	for _, it := range m.items {
		if err := enc.Encode(it); err != nil {
			return err
		}
	}
	return nil
}

// ImportMemory adds exported items.
func (m *Memory) ImportMemory(_ context.Context, r io.Reader) (int, error) {
	n := 0
	for sc := bufio.NewScanner(r); sc.Scan(); n++ {
		var it api.MemoryItem
		if err := json.Unmarshal(sc.Bytes(), &it); err != nil {
			return n, api.Errorf(api.ErrInvalid, "", "import memory: line %d: %v", n+1, err)
		}
		m.add(it)
	}
	return n, nil
}

// CompactMemory does nothing.
func (m *Memory) CompactMemory(context.Context) error { return nil }

// ReembedMemory reports one segment.
func (m *Memory) ReembedMemory(_ context.Context, progress func(done, of int)) error {
	progress(1, 1)
	return nil
}
