package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"agentd/agent"
	"agentd/api"
	"agentd/journal"
	"agentd/policy"
)

// grants are the rules that people added by answering "always": a file beside policy.yaml, which they may edit at any time.
type grants struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex // guards the fields below, and the file against two writers
	rules *policy.Rules
	at    time.Time // of the file, as it was read
	size  int64
}

func openGrants(path string, log *slog.Logger) (*grants, error) {
	g := &grants{path: path, log: log}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.read(); err != nil {
		return nil, err
	}
	return g, nil
}

// read reads the file if it is another than before. A file that can't be read grants nothing.
func (g *grants) read() error {
	st, err := os.Stat(g.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.rules, g.at, g.size = nil, time.Time{}, 0
		return nil
	case err != nil:
		g.rules, g.at, g.size = nil, time.Time{}, -1
		return fmt.Errorf("granted rules: %w", err)
	case st.ModTime().Equal(g.at) && st.Size() == g.size:
		return nil
	}
	g.at, g.size = st.ModTime(), st.Size()
	g.rules, err = policy.ReadGrants(g.path)
	return err
}

// now are the rules that hold at this moment.
func (g *grants) now() *policy.Rules {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.read(); err != nil {
		g.log.Warn("granted rules can't be read: none of them holds", "err", err)
	}
	return g.rules
}

// add appends a rule to the file, whole or not at all.
func (g *grants) add(when, why string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	path := g.path
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to // a link stays one
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := policy.AddGrant(g.path, old, when, why)
	if err != nil {
		return err
	}
	if string(text) == string(old) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".granted-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already after the rename
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	return g.read()
}

// Proposals are the rules that would answer an ask.
func (e *engine) Proposals(st *journal.State, ask journal.ToolAsked) (api.AskRules, error) {
	run, always, note, err := e.Engine.Proposals(st, ask)
	return api.AskRules{Run: run, Always: always, File: e.d.grants.path, Note: note}, err
}

// Covers reports why a rule would not answer an ask.
func (e *engine) Covers(st *journal.State, ask journal.ToolAsked, scope journal.Scope, when string) error {
	err := e.Engine.Covers(st, ask, scope, when)
	if errors.Is(err, agent.ErrNoGrant) {
		return api.Errorf(api.ErrInvalid, "allow it once, or write another rule: docs/policy.md has the names", "%v", err)
	}
	return err
}

// Keep adds a rule for every run.
func (e *engine) Keep(when, why string) error {
	if err := e.d.grants.add(when, why); err != nil {
		return api.Errorf(api.ErrInvalid, "the answer holds, in every ask of its run that the rule answers; give the same answer again when that is repaired", "the rule was not added to %s: %v", e.d.grants.path, err)
	}
	return nil
}
