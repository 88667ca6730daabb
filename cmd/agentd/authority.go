package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agentd/api"
	"agentd/authority"
	"agentd/goals"
	"agentd/journal"
	"agentd/policy"
	"agentd/sandbox"
)

// organisationDir is policy.OrganisationDir; builds for tests have another (-ldflags -X).
var organisationDir = "/etc/agentd"

// openAuthority reads what the organisation and the user say of goal files, and raises the least isolation to what they ask for.
func (d *daemon) openAuthority() error {
	org, err := authority.Read(filepath.Join(organisationDir, authority.FileName))
	if err != nil {
		return err
	}
	own, err := authority.Read(filepath.Join(filepath.Dir(d.configPath), authority.FileName))
	if err != nil {
		return err
	}
	d.layers = authority.Authority{Layers: []authority.Layer{org, own}, Base: d.cfg.Budget.goal().Or(goals.DefaultBudget)}
	d.organisation = authority.Authority{Layers: []authority.Layer{org}}
	d.goalGrants = authority.Open(filepath.Join(d.places.Home, "grants.json"))
	if least := d.layers.Sandbox(); least != "" {
		level, err := sandbox.ParseLevel(least)
		if err != nil {
			return err
		}
		if d.opts.unboxed {
			return fmt.Errorf("a ceiling wants the sandbox level %s: start the daemon without --unboxed", least)
		}
		d.require = max(d.require, level)
	}
	return nil
}

// rules are the user's policy.yaml, or the shipped rules, narrowed by the organisation's, and what both approve where nobody can answer.
func (d *daemon) policy() (*policy.Rules, error) {
	own, err := policy.ReadFile(filepath.Join(filepath.Dir(d.configPath), "policy.yaml"))
	if err != nil {
		return nil, err
	}
	org, err := policy.ReadFile(filepath.Join(organisationDir, "policy.yaml"))
	if err != nil {
		return nil, err
	}
	if own == nil {
		own = policy.Default()
	}
	return policy.Combine(own, org).Approve(d.layers.Layers[1].ApproveIf, d.layers.Layers[0].ApproveIf)
}

// judge says what becomes of what a goal file asks for. granted come with the request; the daemon's own grants for that very text count too.
func (d *daemon) judge(g goals.Goal, granted []string) ([]authority.Item, error) {
	kept, err := d.goalGrants.List()
	if err != nil {
		return nil, err
	}
	return d.layers.Judge(g, slices.Concat(granted, authority.Of(kept, g.Hash))), nil
}

// granted are all requests of a goal file, or an error that names those which nobody granted. What the request itself opens needs no other grant: who
// sends it has the user's authority.
func (e *engine) granted(r api.StartRequest, g goals.Goal) ([]string, error) {
	given := slices.Clone(r.Granted)
	for _, w := range (goals.Goal{Sandbox: goals.Sandbox{Net: r.Net}, Secrets: secretsOf(r.Secrets)}).Requests() {
		given = append(given, w.String())
	}
	over := r.Budget
	for _, o := range []struct {
		set  bool
		drop func()
	}{
		{over.USD != 0, func() { g.Budget.USD = 0 }}, {over.Tokens != 0, func() { g.Budget.Tokens = 0 }},
		{over.Steps != 0, func() { g.Budget.Steps = 0 }}, {over.Wall != 0, func() { g.Budget.Wall = 0 }},
	} {
		if o.set {
			o.drop()
		}
	}
	items, err := e.d.judge(g, given)
	if err != nil {
		return nil, err
	}
	var all, needed []string
	for _, it := range items {
		switch {
		case it.State == authority.Beyond:
			return nil, api.Errorf(api.ErrDenied, "no grant reaches it: change the goal, or have the ceiling raised", "the goal file asks for %q, which is beyond the ceiling of %s", it.Wish, it.Layer)
		case it.State == authority.Needed && !r.Grant:
			needed = append(needed, it.String())
		}
		if it.Kind != "budget" || it.State != authority.Default {
			all = append(all, it.String())
		}
	}
	if len(needed) > 0 {
		return nil, api.Errorf(api.ErrGoal, "look at it, then: agentctl goal grant "+g.File+", or start this one run with --grant; in CI: --grants FILE",
			"the goal file asks for what nobody has granted it: %s", strings.Join(needed, "; "))
	}
	return all, nil
}

func secretsOf(list []journal.Secret) []goals.Secret {
	out := make([]goals.Secret, len(list))
	for i, s := range list {
		out[i] = goals.Secret(s)
	}
	return out
}

// ceiling refuses what the organisation lets nobody open, the command line neither.
func (d *daemon) ceiling(net []string, secrets []journal.Secret) error {
	for _, n := range net {
		if layer := d.organisation.Net(n); layer != "" {
			return api.Errorf(api.ErrDenied, "", "%s is beyond the ceiling of %s", n, layer)
		}
	}
	for _, s := range secrets {
		for _, h := range s.Hosts {
			if layer := d.organisation.Secret(s.Name, h); layer != "" {
				return api.Errorf(api.ErrDenied, "", "the secret %s for %s is beyond the ceiling of %s", s.Name, h, layer)
			}
		}
	}
	return nil
}

// mayUse refuses models of a chain that a ceiling forbids.
func (d *daemon) mayUse(chain string) error {
	for name := range strings.SplitSeq(chain, ",") {
		if layer := d.layers.Model(strings.TrimSpace(name)); layer != "" && chain != "" {
			return api.Errorf(api.ErrDenied, "choose another with --model", "the model %s is beyond the ceiling of %s", strings.TrimSpace(name), layer)
		}
	}
	return nil
}

// rights implements api.Authority.
type rights struct{ d *daemon }

// ReviewGoal implements api.Authority.
func (x rights) ReviewGoal(_ context.Context, r api.GoalReview) (api.GoalReviewed, error) {
	g, err := goals.ParseWith(r.File.Name, []byte(r.File.Text), r.File.Import)
	if err != nil {
		return api.GoalReviewed{}, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	items, err := x.d.judge(g, r.Granted)
	if err != nil {
		return api.GoalReviewed{}, err
	}
	out := api.GoalReviewed{Goal: g.Name, Hash: g.Hash}
	for _, it := range items {
		out.Requests = append(out.Requests, api.GoalWanted{Request: it.String(), State: string(it.State), Layer: it.Layer})
	}
	kept, err := x.d.goalGrants.List()
	if err != nil {
		return out, err
	}
	if p, ok := authority.Previous(kept, g.File, g.Name, g.Hash); ok {
		v := grantView(p)
		v.Source = p.Source
		out.Previous = &v
	}
	return out, nil
}

func grantView(g authority.Grant) api.Grant {
	return api.Grant{Goal: g.Goal, Hash: g.Hash, Requests: g.Requests, File: g.File, By: g.By, At: g.At}
}

// GrantGoal implements api.Authority.
func (x rights) GrantGoal(_ context.Context, a api.GrantAdd) (api.Grant, error) {
	g, err := goals.ParseWith(a.File.Name, []byte(a.File.Text), a.File.Import)
	if err != nil {
		return api.Grant{}, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	for _, it := range x.d.layers.Judge(g, nil) {
		if it.State == authority.Beyond && slices.Contains(a.Requests, it.String()) {
			return api.Grant{}, api.Errorf(api.ErrDenied, "", "%q is beyond the ceiling of %s, and no grant reaches it", it.Wish, it.Layer)
		}
	}
	wishes := g.Requests()
	for _, want := range a.Requests {
		if !slices.ContainsFunc(wishes, func(w goals.Wish) bool { return w.String() == want }) {
			return api.Grant{}, api.Errorf(api.ErrInvalid, "grant what a review of this text names", "the goal does not ask for %.200q", want)
		}
	}
	one := authority.Grant{Goal: g.Name, Hash: g.Hash, Requests: a.Requests, File: g.File, Source: a.File.Text, By: a.By, At: time.Now()}
	if err := x.d.goalGrants.Add(one); err != nil {
		return api.Grant{}, err
	}
	return grantView(one), nil
}

// Grants implements api.Authority.
func (x rights) Grants(context.Context) ([]api.Grant, error) {
	kept, err := x.d.goalGrants.List()
	out := make([]api.Grant, len(kept))
	for i, g := range kept {
		out[i] = grantView(g)
	}
	return out, err
}

// Revoke implements api.Authority.
func (x rights) Revoke(_ context.Context, which string) (int, error) {
	n, err := x.d.goalGrants.Remove(which)
	if err == nil && n == 0 {
		err = api.Errorf(journal.ErrNotFound, "agentctl goal grants shows them", "nothing was granted to %.80q", which)
	}
	return n, err
}

// Limits implements api.Authority.
func (x rights) Limits(b goals.Budget) error {
	full := b.Or(goals.Budget{USD: 1e-9, Tokens: 1, Steps: 1, Wall: 1}) // what is not changed is within
	if n := x.d.organisation.Budget(full); n != full {
		return api.Errorf(api.ErrDenied, "", "these limits are beyond the ceiling of %s", x.d.organisation.Layers[0].Name)
	}
	return nil
}
