package main

import (
	"testing"

	"agentd/authority"
	"agentd/goals"
)

// The money's default refuses no model without a price: only a limit that somebody set does.
func TestBudgetKeepsWhoSetTheMoney(t *testing.T) {
	ceiling := func(usd float64) authority.Authority {
		return authority.Authority{Layers: []authority.Layer{{Ceiling: authority.Bounds{Budget: authority.Budget{USD: usd}}}}}
	}
	for _, c := range []struct {
		name         string
		flags, asked float64
		organisation authority.Authority
		want         float64
	}{
		{"nobody", 0, 0, authority.Authority{}, 0},
		{"the goal", 0, 2, authority.Authority{}, 2},
		{"the command line", 1, 2, authority.Authority{}, 1},
		{"a ceiling over nothing", 0, 0, ceiling(5), 2},
		{"a ceiling that is the default", 0, 0, ceiling(2), 2},
		{"a ceiling under the command line", 9, 0, ceiling(5), 5},
	} {
		e := &engine{d: &daemon{}}
		e.d.organisation, e.d.layers = c.organisation, c.organisation
		got := e.budget(goals.Budget{USD: c.flags}, goals.Budget{USD: c.asked})
		if got.USD != c.want || got.Steps != goals.DefaultBudget.Steps {
			t.Errorf("%s: %+v, want $%v", c.name, got, c.want)
		}
	}
}
