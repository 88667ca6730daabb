package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"agentd/internal/secretfile"
	"agentd/journal"
	"agentd/sandbox"
	"agentd/sandbox/egress"
)

// secrets are the values that the daemon knows and nobody else gets to see.
type secrets struct {
	path   string
	getenv func(string) string
	log    *slog.Logger
	public []string // names of models: a value that is one of them can't be a secret

	mu    sync.Mutex // guards the fields below
	used  []string   // values of the environment that runs named
	known []string   // all of them, longest first
	read  time.Time  // of the file, when known was made
}

func newSecrets(config string, log *slog.Logger) *secrets {
	return &secrets{path: secretfile.Path(config), getenv: os.Getenv, log: log}
}

// modelNames are the names of models in a configuration, with and without their provider.
func modelNames(c config) []string {
	var names []string
	for name := range strings.SplitSeq(c.Model+","+c.Local.Model, ",") {
		name = strings.TrimSpace(name)
		names = append(names, name)
		if provider, rest, ok := strings.Cut(name, "/"); ok {
			names = append(names, provider, rest)
		}
	}
	for provider := range c.Providers {
		names = append(names, provider)
	}
	return names
}

// value is a secret's value: the file's, else the environment's.
func (s *secrets) value(name string) (string, error) {
	if err := secretfile.CheckName(name); err != nil {
		return "", err
	}
	all, err := secretfile.Read(s.path)
	if err != nil {
		return "", err
	}
	if v, ok := all[name]; ok {
		if err := secretfile.CheckSecret(v, s.public...); err != nil {
			return "", fmt.Errorf("secret %s: %w", name, err)
		}
		return v, nil
	}
	v := s.getenv(name)
	if v == "" {
		return "", fmt.Errorf("there is no secret %s: neither in %s nor in the daemon's environment", name, s.path)
	}
	if err := secretfile.CheckSecret(v, s.public...); err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.used, v) {
		s.used, s.known = append(s.used, v), nil
	}
	return v, nil
}

// values are all that must not be written anywhere: secrets in the file, those that runs use, and the keys of providers.
func (s *secrets) values() []string {
	var changed time.Time
	if fi, err := os.Stat(s.path); err == nil {
		changed = fi.ModTime()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil && changed.Equal(s.read) {
		return s.known
	}
	all, err := secretfile.Read(s.path)
	if err != nil {
		s.log.Warn("secrets can't be read", "err", err)
	}
	out := slices.Clone(s.used)
	for _, v := range all {
		out = append(out, v)
	}
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); strings.HasSuffix(k, "_API_KEY") {
			out = append(out, v)
		}
	}
	// A password is one on its own too.
	for _, v := range slices.Clone(out) {
		if _, pw, ok := strings.Cut(v, ":"); ok {
			out = append(out, pw)
		}
	}
	// Some servers want a key and take any word: what everybody may see isn't masked.
	out = slices.DeleteFunc(out, func(v string) bool { return secretfile.CheckSecret(v, s.public...) != nil })
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.known, s.read = append([]string{}, slices.Compact(out)...), changed
	return s.known
}

// hide is a slog option that masks secrets in what is logged.
func (s *secrets) hide(_ []string, a slog.Attr) slog.Attr {
	values := s.values()
	if len(values) == 0 || a.Value.Kind() != slog.KindString && a.Value.Kind() != slog.KindAny {
		return a
	}
	text := a.Value.String()
	if masked := journal.MaskText(text, values); masked != text {
		return slog.String(a.Key, masked)
	}
	return a
}

// hideSecrets masks secrets in what is logged, once they are known.
func (d *daemon) hideSecrets(groups []string, a slog.Attr) slog.Attr {
	if d.secrets == nil {
		return a
	}
	return d.secrets.hide(groups, a)
}

// maskingStore writes no secret: what runs give and what clients say is masked before it is stored.
type maskingStore struct {
	journal.Store
	secrets *secrets
}

// Mask is an event as it will be stored.
func (m maskingStore) Mask(e journal.Event) journal.Event { return journal.Mask(e, m.secrets.values()) }

// Hidden are the values that are masked.
func (m maskingStore) Hidden() []string { return m.secrets.values() }

// Create masks the first event.
func (m maskingStore) Create(ctx context.Context, run journal.RunID, key string, first journal.RunStarted) (journal.RunID, bool, error) {
	if e, ok := m.Mask(first).(journal.RunStarted); ok {
		first = e
	}
	return m.Store.Create(ctx, run, key, first)
}

// Append masks the events.
func (m maskingStore) Append(ctx context.Context, run journal.RunID, after journal.Seq, events ...journal.Event) (journal.Seq, error) {
	if values := m.secrets.values(); len(values) > 0 {
		events = slices.Clone(events)
		for i, e := range events {
			events[i] = journal.Mask(e, values)
		}
	}
	return m.Store.Append(ctx, run, after, events...)
}

// PutBlob masks the bytes.
func (m maskingStore) PutBlob(ctx context.Context, run journal.RunID, r io.Reader) (string, int64, error) {
	if values := m.secrets.values(); len(values) > 0 {
		r = egress.Masked(r, values)
	}
	return m.Store.PutBlob(ctx, run, r)
}

// newEgress makes the way out of one box, with the values of its secrets. No policy opens the daemon's own address.
func (d *daemon) newEgress(n sandbox.Net) (sandbox.Egress, error) {
	p, err := d.newProxy(n)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// newProxy is the same for what the daemon itself sends for a run.
func (d *daemon) newProxy(n sandbox.Net) (*egress.Proxy, error) {
	p := n.Policy()
	o := egress.Options{Never: ownListener(d.cfg.Listen), CA: d.ca}
	for _, s := range n.Secrets {
		v, err := d.secrets.value(s.Name)
		if err != nil {
			return nil, err
		}
		e, err := s.Fill(v)
		if err != nil {
			return nil, err
		}
		p.Secrets = append(p.Secrets, e)
	}
	return egress.New(p, o)
}

// openCA makes the daemon's certificate authority for boxes with secrets, and the file of roots that they trust. Its key is in memory alone.
func (d *daemon) openCA() (roots string, err error) {
	if d.ca, err = egress.NewCA(nil); err != nil {
		return "", err
	}
	bundle, err := d.ca.Bundle()
	if err != nil {
		return "", err
	}
	roots = filepath.Join(d.places.Home, "roots.pem")
	if err := os.WriteFile(roots, bundle, 0o644); err != nil {
		return "", fmt.Errorf("roots for boxes: %w", err)
	}
	return roots, nil
}

// checkNet reports what is wrong with where a run may connect: the rules, the secrets, and values that aren't there.
func (d *daemon) checkNet(allow []string, list []journal.Secret) error {
	n := sandbox.Net{Allow: allow}
	for _, s := range list {
		n.Secrets = append(n.Secrets, sandbox.Secret(s))
		v, err := d.secrets.value(s.Name)
		if err != nil {
			return err
		}
		if _, err := sandbox.Secret(s).Fill(v); err != nil {
			return err
		}
	}
	return n.Check()
}
