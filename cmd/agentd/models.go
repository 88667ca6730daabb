package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"agentd/api"
	"agentd/llm"
	"agentd/llm/langchain"
	"agentd/llm/local"
)

// models opens models by name and keeps them: their connections, and the embedded model's process.
type models struct {
	d      *daemon
	prices *llm.Prices
	store  *local.Store

	mu     sync.Mutex // guards the fields below
	opened map[string]llm.Model
	locals map[string]*local.Supervisor // by chat model
	embeds *local.Supervisor            // embeds where no chat model's process does; nil until needed
	def    string
}

func newModels(d *daemon) (*models, error) {
	m := &models{d: d, prices: llm.BuiltinPrices(), opened: make(map[string]llm.Model), locals: make(map[string]*local.Supervisor)}
	var err error
	if d.cfg.Prices != "" {
		if m.prices, err = llm.LoadPrices(d.cfg.Prices); err != nil {
			return nil, err
		}
	}
	dir, err := local.DefaultDir()
	if err != nil {
		return nil, err
	}
	m.store = local.OpenStore(dir)
	return m, nil
}

// Close stops the embedded models.
func (m *models) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all error
	for _, s := range m.locals {
		all = errors.Join(all, s.Close())
	}
	m.locals = nil
	if m.embeds != nil {
		all = errors.Join(all, m.embeds.Close())
	}
	return all
}

// getenv is the environment with the configured providers' keys and addresses over it.
func (m *models) getenv(name string) string {
	for provider, c := range m.d.cfg.Providers {
		p, ok := llm.FindProvider(provider)
		switch {
		case !ok:
		case name == p.KeyEnv && c.Key != "":
			return c.Key
		case name == p.BaseEnv && c.BaseURL != "":
			return c.BaseURL
		}
	}
	return os.Getenv(name)
}

// open returns the models of a chain a,b,c; the first one is asked first.
func (m *models) open(ctx context.Context, chain string) ([]llm.Model, error) {
	var out []llm.Model
	for name := range strings.SplitSeq(chain, ",") {
		one, err := m.one(ctx, strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// openAny checks a chain that may be empty.
func (m *models) openAny(ctx context.Context, chain string) ([]llm.Model, error) {
	if chain == "" {
		return nil, nil
	}
	return m.open(ctx, chain)
}

func (m *models) one(ctx context.Context, name string) (llm.Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.opened[name]; have != nil {
		return have, nil
	}
	p, model, err := llm.ParseName(name)
	if err != nil {
		return nil, api.Errorf(api.ErrModel, "see what is known with: agentctl model ls", "%v", err)
	}
	var opened llm.Model
	if p.Name == "local" {
		opened, err = m.local(cmp.Or(model, m.d.cfg.Local.Model, local.DefaultChat))
	} else {
		opened, err = langchain.Open(ctx, name, m.getenv, langchain.Options{Prices: m.prices})
	}
	if err != nil {
		var e *llm.Error
		if errors.As(err, &e) {
			return nil, api.Errorf(api.ErrProvider, e.Hint, "%v", e)
		}
		return nil, api.Errorf(api.ErrModel, "see what is known with: agentctl model ls", "%v", err)
	}
	m.opened[name] = opened
	return opened, nil
}

// local opens an embedded model; its process starts at the first call.
func (m *models) local(name string) (llm.Model, error) {
	sup := m.locals[name]
	if sup == nil {
		var err error
		sup, err = local.New(local.Options{Dir: m.store.Dir(), Model: name, Idle: m.d.cfg.Local.Idle, Logger: m.d.log})
		if err != nil {
			return nil, err
		}
		m.locals[name] = sup
	}
	if err := sup.Ready(); err != nil {
		return nil, &llm.Error{Kind: llm.KindConnect, Model: "local", Message: err.Error(), Hint: "fetch it with: agentctl model pull " + name}
	}
	return langchain.New(langchain.Config{
		Provider: "local", Model: name, BaseURL: sup.BaseURL(), DialContext: sup.DialContext, Window: sup.Window(), MaxOut: 1024,
		Style: llm.StyleFenced, Schema: true, Grammar: true, Local: true, Price: &llm.Price{},
	})
}

// fallback is the model of a run that names none: the configured one, else by the keys that are set, else local.
func (m *models) fallback(ctx context.Context) string {
	if m.d.cfg.Model != "" {
		return m.d.cfg.Model
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.def == "" {
		m.def = langchain.Default(ctx, m.getenv)
	}
	return m.def
}

// keys names the provider variables that are set.
func (m *models) keys() []string {
	var out []string
	for _, p := range llm.Providers() {
		for _, name := range []string{p.KeyEnv, p.BaseEnv} {
			if name != "" && m.getenv(name) != "" {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Models lists what this daemon can use or fetch.
func (e *engine) Models(ctx context.Context) ([]api.ModelInfo, error) {
	m := e.d.models
	def := m.fallback(ctx)
	var out []api.ModelInfo
	for _, item := range local.Catalog() {
		info := api.ModelInfo{
			Name: "local/" + item.Name, Provider: "local", Local: true, Size: item.Size, Window: item.Window, Priced: true,
			Embedding: item.Kind == local.Embed, Note: item.Title,
		}
		if item.Kind != local.Chat {
			info.Name = item.Name
		}
		if f, err := m.store.Find(item.Name); err == nil {
			info.Ready, info.Path = true, f.Path
		} else {
			info.Note += "; fetch it with: agentctl model pull " + item.Name
		}
		info.Default = item.Kind == local.Chat && (def == info.Name || def == "local" && item.Name == cmp.Or(e.d.cfg.Local.Model, local.DefaultChat))
		out = append(out, info)
	}
	for _, p := range llm.Providers() {
		if p.Local {
			continue
		}
		ready := p.KeyEnv == "" || m.getenv(p.KeyEnv) != ""
		for _, name := range m.prices.Names(p.Name) {
			entry, _ := m.prices.Lookup(name)
			info := api.ModelInfo{
				Name: name, Provider: p.Name, Ready: ready, Default: name == def, Window: entry.Window, Priced: true,
				USDIn: entry.Prompt, USDOut: entry.Completion,
			}
			if !ready {
				info.Note = fmt.Sprintf("set %s in the daemon's environment", p.KeyEnv)
			}
			out = append(out, info)
		}
	}
	return out, nil
}

// Pull fetches a local model and what it needs to run: the library, and for the default one the embedder.
func (e *engine) Pull(ctx context.Context, name string, progress func(api.PullProgress)) error {
	names := []string{strings.TrimPrefix(name, "local/")}
	if names[0] == "" || names[0] == "local" {
		names = []string{cmp.Or(e.d.cfg.Local.Model, local.DefaultChat), local.DefaultEmbed}
	}
	if !slices.Contains(names, local.LibraryName) {
		names = append([]string{local.LibraryName}, names...)
	}
	for _, n := range names {
		err := e.d.models.store.Pull(ctx, n, func(p local.Progress) {
			progress(api.PullProgress{File: p.Name, State: p.Phase, Done: p.Done, Total: p.Total, Note: strings.TrimSpace(p.Source + " " + p.Note)})
		})
		if errors.Is(err, local.ErrUnknown) {
			return api.Errorf(api.ErrModel, "see what can be fetched with: agentctl model ls", "%v", err)
		}
		if err != nil {
			return api.Errorf(api.ErrProvider, "", "%v", err)
		}
	}
	return nil
}

// RemoveModel deletes a local model's files.
func (e *engine) RemoveModel(_ context.Context, name string) error {
	err := e.d.models.store.Remove(strings.TrimPrefix(name, "local/"))
	if errors.Is(err, local.ErrUnknown) || errors.Is(err, local.ErrMissing) {
		return api.Errorf(api.ErrModel, "see what is here with: agentctl model ls", "%v", err)
	}
	return err
}
