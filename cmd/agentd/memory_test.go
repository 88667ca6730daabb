package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/agent"
	"agentd/api"
	"agentd/journal"
	"agentd/tools"
)

// remembering is a daemon's memory on a machine without an embedder.
func remembering(t *testing.T) *memories {
	t.Helper()
	t.Setenv("AGENTD_MODELS", t.TempDir())
	d := &daemon{log: slog.New(slog.DiscardHandler)}
	d.places.Home = t.TempDir()
	var err error
	if d.models, err = newModels(d); err != nil {
		t.Fatal(err)
	}
	m := newMemories(d)
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), d.models.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestMemoryIsOpenedWhenNeeded(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	run := m.ofRun("r1", journal.RunStarted{Workspace: t.TempDir(), Memory: agent.MemoryPropose})
	if facts, note, err := run.Find(ctx, "anything", 1000); err != nil || facts != nil || note != "" {
		t.Errorf("found %v %q, %v", facts, note, err)
	}
	if st, err := m.MemoryStats(ctx); err != nil || st.Items != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if err := m.CompactMemory(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(m.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made the file: %v", err)
	}
	if _, err := m.AddMemory(ctx, api.MemoryAdd{Text: "The database listens on port 5433"}); err != nil {
		t.Fatal(err)
	}
	facts, note, err := run.Find(ctx, "Connect to the database", 1000)
	if err != nil || len(facts) != 1 || facts[0].ID != "m1" || facts[0].Trust != "person" || facts[0].WordRank != 1 {
		t.Errorf("found %+v, %v", facts, err)
	}
	if !strings.Contains(note, "words alone: no embedder") {
		t.Errorf("note %q", note)
	}
	if facts, _, err := run.Find(ctx, "Rename the file of the logo", 1000); err != nil || len(facts) > 0 {
		t.Errorf("found %+v by \"the\", %v", facts, err)
	}
}

func TestRunSeesItsOwnMemory(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	here, there := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(here, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(here, "cmd", "x")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	for ws, text := range map[string]string{"": "Reports are in German", inner: "Reports need pandoc", there: "Reports need troff"} {
		if _, err := m.AddMemory(ctx, api.MemoryAdd{Text: text, Workspace: ws}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(ws string) string {
		facts, _, err := m.ofRun("r1", journal.RunStarted{Workspace: ws, Memory: agent.MemoryRead}).Find(ctx, "Write the reports", 1000)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, f := range facts {
			texts = append(texts, f.Text)
		}
		return strings.Join(texts, "; ")
	}
	if got := find(here); !strings.Contains(got, "pandoc") || !strings.Contains(got, "German") || strings.Contains(got, "troff") {
		t.Errorf("in the checkout: %s", got)
	}
	if got := find(there); strings.Contains(got, "pandoc") || !strings.Contains(got, "troff") {
		t.Errorf("elsewhere: %s", got)
	}
	list, err := m.ListMemory(ctx, api.MemoryFilter{Workspace: there})
	if err != nil || len(list) != 2 {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func TestRunKeeps(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	ws := t.TempDir()
	for _, tt := range []struct {
		mode string
		note tools.Note
		want tools.Kept
	}{
		{agent.MemoryPropose, tools.Note{Text: "The port is 8080.", Step: 3}, tools.Kept{ID: "m1", State: "proposed", Trust: "model"}},
		{agent.MemoryPropose, tools.Note{Text: "the port is 8080", Step: 4}, tools.Kept{ID: "m1", State: "proposed", Trust: "model", Known: true}},
		{agent.MemoryAuto, tools.Note{Text: "Anna reviews.", User: true, Untrusted: true}, tools.Kept{ID: "m2", State: "accepted", Trust: "untrusted"}},
		{
			agent.MemoryPropose, tools.Note{Text: "The port is 9090.", Events: []int64{4, 9}},
			tools.Kept{ID: "m3", State: "proposed", Trust: "model", Contradicts: []string{"m1"}},
		},
		{
			agent.MemoryPropose, tools.Note{Text: "Bert reviews the drafts.", Contradicts: []string{"m2", "m99", "nonsense"}},
			tools.Kept{ID: "m4", State: "proposed", Trust: "model", Contradicts: []string{"m2"}},
		},
		{agent.MemoryAuto, tools.Note{Text: "Anna reviews.", User: true}, tools.Kept{ID: "m2", State: "accepted", Trust: "untrusted", Known: true, Contradicts: []string{"m4"}}},
	} {
		got, err := m.ofRun("r1", journal.RunStarted{Workspace: ws, Memory: tt.mode}).Keep(ctx, tt.note)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s %+v: %v, (-want +got)\n%s", tt.mode, tt.note, err, diff)
		}
	}
	it, err := m.Memory(ctx, "m1")
	if err != nil || it.Trust != "model" || it.Source.Run != "r1" || it.Source.Step != 3 || !strings.HasPrefix(it.Namespace, "repository:") {
		t.Errorf("%+v, %v", it, err)
	}
	if it, err := m.Memory(ctx, "m2"); err != nil || it.Trust != "untrusted" || it.Namespace != "user" {
		t.Errorf("%+v, %v", it, err)
	}
	if err := m.ReviewMemory(ctx, api.MemoryReview{Reject: []string{"m1"}}); err != nil {
		t.Fatal(err)
	}
	again, err := m.ofRun("r2", journal.RunStarted{Workspace: ws, Memory: agent.MemoryAuto}).Keep(ctx, tools.Note{Text: "The port is 8080"})
	if diff := cmp.Diff(tools.Kept{ID: "m1", Known: true, State: "rejected", Trust: "model"}, again); err != nil || diff != "" {
		t.Errorf("what was rejected: %v, (-want +got)\n%s", err, diff)
	}
	if f, err := m.ForgetMemory(ctx, "m1"); err != nil || len(f.Runs) != 1 || f.Runs[0] != "r1" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestMemoryRefuses(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	if _, err := m.Memory(ctx, "m1"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("an item of no memory: %v", err)
	}
	if _, err := m.AddMemory(ctx, api.MemoryAdd{Text: "one"}); err != nil {
		t.Fatal(err)
	}
	add := func(a api.MemoryAdd) func() error {
		return func() error { _, err := m.AddMemory(ctx, a); return err }
	}
	search := func(q api.MemoryQuery) func() error {
		return func() error { _, err := m.SearchMemory(ctx, q); return err }
	}
	for _, tt := range []struct {
		name string
		do   func() error
		is   error
		says string
	}{
		{"no text", add(api.MemoryAdd{Text: " "}), api.ErrInvalid, "empty"},
		{"a long text", add(api.MemoryAdd{Text: strings.Repeat("x", 1<<20)}), api.ErrInvalid, "1048576 bytes"},
		{"no UTF-8", add(api.MemoryAdd{Text: "\xff"}), api.ErrInvalid, "UTF-8"},
		{"strange trust", add(api.MemoryAdd{Text: "x", Trust: "blind"}), api.ErrInvalid, "blind"},
		{"a link to nothing", add(api.MemoryAdd{Text: "x", Supersedes: []string{"m77"}}), journal.ErrNotFound, "m77"},
		{"no id", func() error { _, err := m.Memory(ctx, "../x"); return err }, journal.ErrNotFound, "ids look like m17"},
		{"a missing item", func() error { _, err := m.ForgetMemory(ctx, "m77"); return err }, journal.ErrNotFound, "no such memory"},
		{"k too large", search(api.MemoryQuery{Text: "x", K: 1e9}), api.ErrInvalid, "1000000000"},
		{"k negative", search(api.MemoryQuery{Text: "x", K: -1}), api.ErrInvalid, "-1"},
		{"an unknown field", search(api.MemoryQuery{Text: "x", Filter: map[string][]string{"colour": {"red"}}}), api.ErrInvalid, "colour"},
		{"an unknown state", func() error { _, err := m.ListMemory(ctx, api.MemoryFilter{State: "odd"}); return err }, api.ErrInvalid, "odd"},
		{"both ways", func() error {
			return m.ReviewMemory(ctx, api.MemoryReview{Accept: []string{"m1"}, Reject: []string{"m1"}})
		}, api.ErrInvalid, "both"},
		{"a bad line", func() error { _, err := m.ImportMemory(ctx, strings.NewReader("no\n")); return err }, api.ErrInvalid, "line 1"},
		{"no embedder", func() error { return m.ReembedMemory(ctx, nil) }, api.ErrProvider, "no embedder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.is, tt.says)
			}
		})
	}
	if st, err := m.MemoryStats(ctx); err != nil || st.Items != 1 {
		t.Errorf("the store changed: %+v, %v", st, err)
	}
	// Another daemon on the file, and another program's file.
	other := &memories{path: m.path, models: m.models}
	if _, err := other.AddMemory(ctx, api.MemoryAdd{Text: "x"}); !errors.Is(err, api.ErrRunning) {
		t.Errorf("two daemons on one file: %v", err)
	}
	strange := &memories{path: filepath.Join(t.TempDir(), "memory.db"), models: m.models}
	if err := os.WriteFile(strange.path, bytes.Repeat([]byte("not a database\n"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := strange.AddMemory(ctx, api.MemoryAdd{Text: "x"}); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("another program's file: %v", err)
	}
}

func TestMemoryTravels(t *testing.T) {
	m, to := remembering(t), remembering(t)
	ctx := context.Background()
	for _, text := range []string{"one", "two"} {
		if _, err := m.AddMemory(ctx, api.MemoryAdd{Text: text, Workspace: "/w", Tags: []string{"t"}}); err != nil {
			t.Fatal(err)
		}
	}
	var lines bytes.Buffer
	if err := m.ExportMemory(ctx, &lines, true); err != nil {
		t.Fatal(err)
	}
	if n, err := to.ImportMemory(ctx, &lines); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	got, err := to.ListMemory(ctx, api.MemoryFilter{Namespace: "repository:/w"})
	if err != nil || len(got) != 2 || got[1].Text != "two" || got[1].Tags[0] != "t" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := to.ListMemory(ctx, api.MemoryFilter{After: "m1", Limit: 1}); err != nil || len(got) != 1 || got[0].ID != "m2" {
		t.Errorf("%+v, %v", got, err)
	}
	salvaged := filepath.Join(t.TempDir(), "new.db")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"memory", "repair", m.path, salvaged}, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "2 items written") {
		t.Errorf("repair ended with %d: %s%s", code, out.String(), errs.String())
	}
}

func TestMemoryMode(t *testing.T) {
	for text, want := range map[string]string{"": "", "memory: off": "off", "memory: read\n": "read", "memory: auto": "auto", "memory: false": "!", "memory: always": "!"} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(path, true)
		if want == "!" {
			if err == nil || !strings.Contains(err.Error(), "memory") {
				t.Errorf("%q: %+v, %v; want an error", text, c, err)
			}
		} else if err != nil || c.Memory != want {
			t.Errorf("%q: %q, %v; want %q", text, c.Memory, err, want)
		}
	}
}

// What is forgotten, and what has expired, is nowhere in the file after a compaction; the rest is.
func TestForgottenBytesAreGone(t *testing.T) {
	m := remembering(t)
	ctx := t.Context()
	for _, a := range []api.MemoryAdd{
		{Text: "The harbour of Zanzibar"}, {Text: "Until Valparaiso", Expires: time.Now().Add(time.Second)}, {Text: "Samarkand stays"},
	} {
		if _, err := m.AddMemory(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.ForgetMemory(ctx, "m1"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	if err := m.CompactMemory(ctx); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(m.path)
	if err != nil {
		t.Fatal(err)
	}
	low := bytes.ToLower(data)
	for word, want := range map[string]bool{"zanzibar": false, "valparaiso": false, "samarkand": true} {
		if got := bytes.Contains(low, []byte(word)); got != want {
			t.Errorf("%s in the file: %t, want %t", word, got, want)
		}
	}
	if list, err := m.ListMemory(ctx, api.MemoryFilter{}); err != nil || len(list) != 1 || list[0].ID != "m3" {
		t.Errorf("left: %+v, %v", list, err)
	}
}
