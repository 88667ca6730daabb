package authority_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentd/authority"
	"agentd/goals"
)

func parse(t *testing.T, name, text string) authority.Layer {
	t.Helper()
	l, err := authority.Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func goal(t *testing.T, front string) goals.Goal {
	t.Helper()
	g, err := goals.Parse("x.goal.md", []byte("---\n"+front+"\n---\nDo it well.\n"))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestJudge(t *testing.T) {
	org := parse(t, "org", "ceiling: {net: ['*.example.com:*', '10.0.0.0/8:5432'], secrets: ['GH_*@*.example.com'], rules: false, memory: propose, budget: {usd: 10}}\ndefault: {net: [docs.example.com]}")
	user := parse(t, "user", "ceiling: {mcp: [gopls]}\ndefault: {secrets: [GH_TOKEN], budget: {steps: 500}, mcp: ['*']}")
	a := authority.Authority{Layers: []authority.Layer{org, user}, Base: goals.DefaultBudget}
	for _, c := range []struct {
		front   string
		granted []string
		want    string
	}{
		{"sandbox: {net: [docs.example.com]}", nil, "default"},
		{"sandbox: {net: ['docs.example.com:8443']}", nil, "needed"},
		{"sandbox: {net: ['docs.example.com:8443']}", []string{"net docs.example.com:8443"}, "granted"},
		{"sandbox: {net: ['docs.example.com:8443']}", []string{"net docs.example.com:443"}, "needed"},
		{"sandbox: {net: [evil.example.org]}", []string{"net evil.example.org:443"}, "beyond"},
		{"sandbox: {net: ['*.a.example.com']}", nil, "needed"},
		{"sandbox: {net: ['10.1.0.0/16:5432']}", nil, "needed"},
		{"sandbox: {net: ['0.0.0.0/0:5432']}", nil, "beyond"},
		{"sandbox: {net: [public]}", []string{"net public"}, "beyond"},
		{"sandbox: {net: [api.example.com]}\nsecrets: [{name: GH_TOKEN, hosts: [api.example.com]}]", nil, "needed default"},
		{"sandbox: {net: [api.example.com]}\nsecrets: [{name: AWS, hosts: [api.example.com]}]", nil, "needed beyond"},
		{"secrets: [{name: GH_TOKEN, hosts: [evil.example.org]}]", nil, "beyond beyond"},
		{"tools: {mcp: [{name: gopls, cmd: gopls}]}", nil, "default"},
		{"tools: {mcp: [{name: other, cmd: gopls}]}", nil, "beyond"},
		{"policy: [{when: 'true', do: allow}]", []string{"allow true"}, "beyond"},
		{"policy: [{when: 'true', do: deny}]", nil, ""},
		{"memory: {write: auto}", []string{"memory auto"}, "beyond"},
		{"budget: {usd: 2, steps: 100}", nil, "default default"},
		{"budget: {usd: 3, steps: 400}", nil, "needed default"},
		{"budget: {usd: 11}", []string{"budget usd 11"}, "beyond"},
		{"budget: {usd: none}", []string{"budget usd none"}, "beyond"},
		{"budget: {tokens: none, unpriced: allow}", []string{"budget tokens none"}, "needed granted"},
	} {
		var got []string
		for _, it := range a.Judge(goal(t, c.front), c.granted) {
			got = append(got, string(it.State))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s granted %q: got %q, want %q", c.front, c.granted, s, c.want)
		}
	}
	b := a.Budget(goals.Budget{USD: -1, Steps: 5})
	if b.USD != 10 || b.Steps != 5 {
		t.Errorf("budget %+v", b)
	}
	if got := a.Memory("auto"); got != "propose" {
		t.Errorf("memory %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"ceilling: {net: []}":                 "a.yaml:1:1",
		"ceiling: {nett: []}":                 "a.yaml:1:11",
		"ceiling: {memory: some}":             "memory",
		"default: {models: [local]}":          "of the ceiling",
		"default: {budget: {usd: -1}}":        "negative",
		"approve_if: ['tool = 1']":            "approve_if[0]",
		"ceiling: {mcp: ['[']}":               "malformed",
		strings.Repeat("#", 300<<10) + "\na:": "bytes",
	} {
		if _, err := authority.Parse("a.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

// No composition of layers and grants gives what one layer's ceiling denies, and nothing that is neither in a default nor granted; a layer more never
// gives more beyond what its own default says; and a goal file whose text changes keeps none of its grants.
func TestNothingWidens(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 9))
	hosts := []string{"a.example.com", "*.example.com", "b.example.com:8080", "public", "10.0.0.0/8:22", "10.1.2.3:22", "[::1]:80"}
	some := func(list []string) []string {
		if r.IntN(3) == 0 {
			return nil
		}
		out := []string{}
		for _, s := range list {
			if r.IntN(2) == 0 {
				out = append(out, s)
			}
		}
		return out
	}
	flag := func() *bool {
		if b := r.IntN(3); b < 2 {
			v := b == 1
			return &v
		}
		return nil
	}
	bounds := func() authority.Bounds {
		return authority.Bounds{
			Net: some(append(hosts, "*", "*.example.com:*")), Secrets: some([]string{"A", "B@a.example.com", "*"}), MCP: some([]string{"x", "y*"}), Rules: flag(), Unpriced: flag(),
			Memory: []string{"", "off", "read", "propose", "auto"}[r.IntN(5)], Budget: authority.Budget{USD: float64(r.IntN(4)), Steps: r.IntN(300), Wall: time.Duration(r.IntN(3)) * time.Hour},
		}
	}
	random := func() goals.Goal {
		g := goals.Goal{Sandbox: goals.Sandbox{Net: some(hosts)}, Memory: goals.Memory{Write: []string{"", "auto"}[r.IntN(2)]}}
		for _, n := range some([]string{"A", "B"}) {
			g.Secrets = append(g.Secrets, goals.Secret{Name: n, Hosts: []string{hosts[r.IntN(3)]}})
		}
		for _, n := range some([]string{"x", "yy"}) {
			g.Tools.MCP = append(g.Tools.MCP, goals.MCPServer{Name: n, Cmd: "prog"})
		}
		if r.IntN(2) == 0 {
			g.Policy = []goals.Rule{{When: "true", Do: "allow"}}
		}
		g.Budget = goals.Budget{USD: float64(r.IntN(5) - 1), Steps: r.IntN(400) - 1, Wall: time.Duration(r.IntN(4)-1) * time.Hour, Unpriced: []string{"", "allow"}[r.IntN(2)]}
		return g
	}
	// only is an authority with one layer's ceiling that grants everything: what it refuses, that ceiling denies.
	states := func(a authority.Authority, g goals.Goal, granted []string) map[string]authority.State {
		m := map[string]authority.State{}
		for _, it := range a.Judge(g, granted) {
			m[it.String()] = it.State
		}
		return m
	}
	checked := 0
	for range 1500 {
		g := random()
		var all []string
		for _, w := range g.Requests() {
			all = append(all, w.String())
		}
		granted := some(all)
		layers := []authority.Layer{{Name: "org", Ceiling: bounds(), Default: bounds()}, {Name: "user", Ceiling: bounds(), Default: bounds()}}
		got := states(authority.Authority{Layers: layers, Base: goals.DefaultBudget}, g, granted)
		swapped := states(authority.Authority{Layers: []authority.Layer{layers[1], layers[0]}, Base: goals.DefaultBudget}, g, granted)
		for _, l := range layers {
			alone := states(authority.Authority{Layers: []authority.Layer{{Name: l.Name, Ceiling: l.Ceiling}}}, g, all)
			for req, s := range alone {
				if checked++; s == authority.Beyond && got[req] != authority.Beyond {
					t.Fatalf("%s: the ceiling of %s denies it, together it is %s", req, l.Name, got[req])
				}
			}
		}
		unasked := states(authority.Authority{Layers: layers, Base: goals.DefaultBudget}, g, nil)
		for req, s := range got {
			if s == authority.Granted && !slices.Contains(granted, req) {
				t.Fatalf("%s counts as granted", req)
			}
			if s == authority.Default && unasked[req] != authority.Default {
				t.Fatalf("%s: a grant made it a default", req)
			}
			if swapped[req] != s {
				t.Fatalf("%s is %s or %s, depending on the order of layers", req, s, swapped[req])
			}
		}
	}
	if checked < 3000 {
		t.Fatalf("only %d requests were judged", checked)
	}
}

func TestGrantsAreForOneText(t *testing.T) {
	s := authority.Open(filepath.Join(t.TempDir(), "grants.json"))
	a := goal(t, "name: x\nsandbox: {net: [a.example.com]}")
	b := goal(t, "name: x\nsandbox: {net: [a.example.com]} # edited")
	if a.Hash == b.Hash {
		t.Fatal("an edit leaves the hash")
	}
	if err := s.Add(authority.Grant{Goal: "x", Hash: a.Hash, Requests: []string{"net a.example.com:443"}, Source: "old", File: a.File}); err != nil {
		t.Fatal(err)
	}
	kept, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	au := authority.Authority{Base: goals.DefaultBudget}
	if got := au.Judge(a, authority.Of(kept, a.Hash))[0].State; got != authority.Granted {
		t.Errorf("the granted text: %s", got)
	}
	if got := au.Judge(b, authority.Of(kept, b.Hash))[0].State; got != authority.Needed {
		t.Errorf("an edited text: %s", got)
	}
	if p, ok := authority.Previous(kept, b.File, b.Name, b.Hash); !ok || p.Source != "old" {
		t.Errorf("previous %+v %v", p, ok)
	}
	if n, err := s.Remove(a.Hash[:12]); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if err := s.Add(authority.Grant{Goal: "x", Hash: "no"}); err == nil {
		t.Error("a grant without a hash was kept")
	}
}

func TestGrantFile(t *testing.T) {
	want := []authority.Grant{{Goal: "x", Hash: fmt.Sprintf("%064x", 7), Requests: []string{"net a:443", "allow tool == \"shell\"", "mcp g: [\"gopls\" \"mcp\"]"}}}
	data, err := authority.PrintGrants(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := authority.ParseGrants("g.yaml", data)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	for _, bad := range []string{"- {goal: x, hash: 1, grants: []}", "- {goal: x, hsah: a}", "a: 1"} {
		if _, err := authority.ParseGrants("g.yaml", []byte(bad)); err == nil || !strings.Contains(err.Error(), "g.yaml") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
