package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"agentd/llm/local"
)

// errEmbedder is returned where the embedding model doesn't work.
var errEmbedder = errors.New("the embedder failed")

// embedTime bounds the embedding of one text: a recall goes on by words alone then.
const embedTime = 20 * time.Second

// embedder makes vectors with the local embedding model: in the process that serves a local chat model if there is one, else in one of
// its own, which starts at the first text.
type embedder struct{ m *models }

// embedder returns the embedder of this machine, or nil where it isn't downloaded or can't be served.
func (m *models) embedder() *embedder {
	if _, err := m.store.Find(local.DefaultEmbed); err != nil {
		return nil
	}
	if s, err := m.embedding(); err != nil || s.Ready() != nil {
		return nil
	}
	return &embedder{m}
}

// embedding is the supervisor that embeds.
func (m *models) embedding() (*local.Supervisor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.locals {
		if running, _, _ := s.Running(); running {
			return s, nil
		}
	}
	if m.locals == nil {
		return nil, local.ErrClosed
	}
	if m.embeds == nil {
		s, err := local.New(local.Options{Dir: m.store.Dir(), Model: "none", Embed: local.DefaultEmbed, Idle: m.d.cfg.Local.Idle, Logger: m.d.log})
		if err != nil {
			return nil, err
		}
		m.embeds = s
	}
	return m.embeds, nil
}

// ID names the model and its version.
func (e *embedder) ID() string {
	s, err := e.m.embedding()
	if err != nil {
		return ""
	}
	return s.EmbedID()
}

// Embed returns a vector for each text.
func (e *embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	s, err := e.m.embedding()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEmbedder, err)
	}
	ctx, cancel := context.WithTimeout(ctx, embedTime*time.Duration(1+len(texts)/32))
	defer cancel()
	out, err := s.Embedder().Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEmbedder, err)
	}
	return out, nil
}
