// Package authority says what a goal file may have: the organisation and the user hold a ceiling and a default; what lies between is granted once by a
// person, for one goal's very text.
package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/goccy/go-yaml"

	"agentd/goals"
	"agentd/policy"
)

// FileName is the name of a layer's file: in /etc/agentd of the organisation, beside config.yaml of the user.
const FileName = "authority.yaml"

// maxFile bounds a layer's file, in bytes.
const maxFile = 256 << 10

// Layer is what one authority says. The zero Layer bounds nothing and grants nothing.
type Layer struct {
	Name      string   `yaml:"-"`          // its file
	Ceiling   Bounds   `yaml:"ceiling"`    // never beyond, whoever grants it; a key that is left out bounds nothing
	Default   Bounds   `yaml:"default"`    // granted to every goal file unasked; a key that is left out grants nothing
	ApproveIf []string `yaml:"approve_if"` // conditions over calls that ask while nobody can answer: one that holds is the answer
}

// Bounds are things that goal files ask for.
type Bounds struct {
	Net      []string `yaml:"net"`      // host, host:port, *.suffix:port, CIDR:port, public; * is everything, and a port * is any
	Secrets  []string `yaml:"secrets"`  // NAME or NAME@HOST, as globs
	MCP      []string `yaml:"mcp"`      // names of servers, as globs
	Models   []string `yaml:"models"`   // provider/model, as globs; of the ceiling only
	Rules    *bool    `yaml:"rules"`    // whether the goal's own rules may allow
	Memory   string   `yaml:"memory"`   // off, read, propose or auto: the most
	Unpriced *bool    `yaml:"unpriced"` // whether models without a price may be asked
	Sandbox  string   `yaml:"sandbox"`  // least isolation; of the ceiling only
	Budget   Budget   `yaml:"budget"`
}

// Budget bounds what a run may use. Zero bounds nothing in a ceiling, and grants nothing in a default.
type Budget struct {
	USD    float64       `yaml:"usd"`
	Tokens int64         `yaml:"tokens"`
	Steps  int           `yaml:"steps"`
	Wall   time.Duration `yaml:"wall"`
}

// memoryOrder are the ways to use memory, the narrowest first.
var memoryOrder = []string{"off", "read", "propose", "auto"}

// sandboxOrder are the levels of isolation, the weakest first.
var sandboxOrder = []string{"landlock", "namespaces", "gvisor"}

// Read reads a layer's file. One that is not there is the zero Layer.
func Read(file string) (Layer, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Layer{Name: file}, nil
	}
	if err != nil {
		return Layer{}, fmt.Errorf("authority: %w", err)
	}
	return Parse(file, data)
}

// Parse parses a layer's file. An unknown key is an error: it would be a bound that doesn't hold.
func Parse(file string, data []byte) (Layer, error) {
	l := Layer{}
	if len(data) > maxFile {
		return l, fmt.Errorf("%s: has %d bytes, more than %d", file, len(data), maxFile)
	}
	if err := yaml.UnmarshalWithOptions(data, &l, yaml.Strict()); err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			return l, fmt.Errorf("%s:%d:%d: %s", file, p.Line, p.Column, ye.GetMessage())
		}
		return l, fmt.Errorf("%s: %w", file, err)
	}
	l.Name = file
	if err := l.check(); err != nil {
		return l, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

func (l Layer) check() error {
	for _, b := range []struct {
		key string
		Bounds
	}{{"ceiling", l.Ceiling}, {"default", l.Default}} {
		if b.Memory != "" && !slices.Contains(memoryOrder, b.Memory) {
			return fmt.Errorf("%s.memory: %q is none of %s", b.key, b.Memory, strings.Join(memoryOrder, ", "))
		}
		if b.Sandbox != "" && !slices.Contains(sandboxOrder, b.Sandbox) {
			return fmt.Errorf("%s.sandbox: %q is none of %s", b.key, b.Sandbox, strings.Join(sandboxOrder, ", "))
		}
		if b.Budget.USD < 0 || b.Budget.Tokens < 0 || b.Budget.Steps < 0 || b.Budget.Wall < 0 || math.IsNaN(b.Budget.USD) {
			return fmt.Errorf("%s.budget: a bound must not be negative", b.key)
		}
		for key, list := range map[string][]string{"secrets": b.Secrets, "mcp": b.MCP, "models": b.Models} {
			for _, g := range list {
				if !doublestar.ValidatePattern(g) {
					return fmt.Errorf("%s.%s: the glob %q is malformed", b.key, key, g)
				}
			}
		}
	}
	if l.Default.Models != nil || l.Default.Sandbox != "" {
		return errors.New("default: models and sandbox are of the ceiling: a goal file needs no grant for them")
	}
	for i, c := range l.ApproveIf {
		if err := policy.CheckRule(c); err != nil {
			return fmt.Errorf("approve_if[%d]: %w", i, err)
		}
	}
	return nil
}

// State is what becomes of a request.
type State string

// The states of requests.
const (
	Default State = "default" // granted unasked
	Granted State = "granted" // by a person
	Needed  State = "needed"  // a person must grant it
	Beyond  State = "beyond"  // no grant reaches it
)

// Item is a request and what becomes of it.
type Item struct {
	goals.Wish
	State State
	Layer string // whose default grants it, or whose ceiling it is beyond
}

// Authority is the layers over goal files, the most authoritative first, and what every run has.
type Authority struct {
	Layers []Layer
	Base   goals.Budget // what a run may use that nobody bounded
}

// Judge says what becomes of each request of a goal; granted are the requests that a person granted it, as Wish.String writes them. A ceiling beats a
// grant, and a grant is needed wherever no default reaches.
func (a Authority) Judge(g goals.Goal, granted []string) []Item {
	var out []Item
	for _, r := range g.Requests() {
		it := Item{Wish: r, State: Needed}
		if within(r, budgetOf(a.Base)) {
			it.State = Default
		}
		for _, l := range a.Layers {
			if it.State == Needed && l.Default.grants(r) {
				it.State, it.Layer = Default, l.Name
			}
		}
		if it.State == Needed && slices.Contains(granted, r.String()) {
			it.State = Granted
		}
		if layer := a.beyond(r); layer != "" {
			it.State, it.Layer = Beyond, layer
		}
		out = append(out, it)
	}
	return out
}

func budgetOf(b goals.Budget) Budget {
	return Budget{USD: b.USD, Tokens: b.Tokens, Steps: b.Steps, Wall: b.Wall}
}

// beyond names the layer whose ceiling a request is beyond, "" for none.
func (a Authority) beyond(r goals.Wish) string {
	for _, l := range a.Layers {
		if !l.Ceiling.admits(r) {
			return l.Name
		}
	}
	return ""
}

// Net names the layer whose ceiling a host is beyond, "" for none. It bounds what the command line and answers open, too.
func (a Authority) Net(rule string) string {
	return a.beyond(goals.Wish{Kind: "net", What: goals.WithPort(rule)})
}

// Secret is the same of a secret for a host.
func (a Authority) Secret(name, host string) string {
	return a.beyond(goals.Wish{Kind: "secret", What: name + "@" + host})
}

// Model is the same of a model.
func (a Authority) Model(name string) string {
	for _, l := range a.Layers {
		if l.Ceiling.Models != nil && !matches(l.Ceiling.Models, name) {
			return l.Name
		}
	}
	return ""
}

// Memory is a way to use memory, narrowed to what every ceiling allows.
func (a Authority) Memory(mode string) string {
	for _, l := range a.Layers {
		if most := l.Ceiling.Memory; most != "" && slices.Index(memoryOrder, mode) > slices.Index(memoryOrder, most) {
			mode = most
		}
	}
	return mode
}

// Sandbox is the least isolation that a ceiling asks for, "" for none.
func (a Authority) Sandbox() string {
	least := ""
	for _, l := range a.Layers {
		if slices.Index(sandboxOrder, l.Ceiling.Sandbox) > slices.Index(sandboxOrder, least) {
			least = l.Ceiling.Sandbox
		}
	}
	return least
}

// Budget is a run's budget, narrowed to every ceiling. A bound that the budget doesn't have becomes the ceiling's.
func (a Authority) Budget(b goals.Budget) goals.Budget {
	for _, l := range a.Layers {
		c := l.Ceiling.Budget
		narrow(&b.USD, c.USD)
		narrow(&b.Tokens, c.Tokens)
		narrow(&b.Steps, c.Steps)
		narrow(&b.Wall, c.Wall)
	}
	return b
}

func narrow[T int | int64 | float64 | time.Duration](v *T, most T) {
	if most > 0 && (*v <= 0 || *v > most) {
		*v = most
	}
}

// admits reports whether a ceiling allows a request.
func (b Bounds) admits(r goals.Wish) bool {
	switch r.Kind {
	case "net":
		return b.Net == nil || covers(b.Net, r.What)
	case "secret":
		return b.Secrets == nil || secret(b.Secrets, r.What)
	case "mcp":
		return b.MCP == nil || matches(b.MCP, r.What)
	case "allow":
		return b.Rules == nil || *b.Rules
	case "unpriced":
		return b.Unpriced == nil || *b.Unpriced
	case "memory":
		return b.Memory == "" || slices.Index(memoryOrder, r.What) <= slices.Index(memoryOrder, b.Memory)
	case "budget":
		return r.Amount <= orInf(b.Budget.of(r.What))
	}
	return false // a kind that this version doesn't know
}

// grants reports whether a default gives a request.
func (b Bounds) grants(r goals.Wish) bool {
	switch r.Kind {
	case "net":
		return covers(b.Net, r.What)
	case "secret":
		return secret(b.Secrets, r.What)
	case "mcp":
		return matches(b.MCP, r.What)
	case "allow":
		return b.Rules != nil && *b.Rules
	case "unpriced":
		return b.Unpriced != nil && *b.Unpriced
	case "memory":
		return b.Memory != "" && slices.Index(memoryOrder, r.What) <= slices.Index(memoryOrder, b.Memory)
	case "budget":
		return within(r, b.Budget)
	}
	return false
}

// within reports whether a request of budget fits a bound that is given.
func within(r goals.Wish, b Budget) bool {
	most := b.of(r.What)
	return r.Kind == "budget" && most > 0 && r.Amount <= most
}

func (b Budget) of(key string) float64 {
	switch key {
	case "usd":
		return b.USD
	case "tokens":
		return float64(b.Tokens)
	case "steps":
		return float64(b.Steps)
	case "wall":
		return b.Wall.Seconds()
	}
	return 0
}

func orInf(f float64) float64 {
	if f <= 0 {
		return math.Inf(1)
	}
	return f
}

// matches reports whether a name matches one of the globs.
func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := doublestar.Match(g, name)
		return err == nil && ok
	})
}

// secret reports whether NAME@HOST is one of the secrets: NAME, or NAME@HOST, as globs.
func secret(list []string, what string) bool {
	name, host, _ := strings.Cut(what, "@")
	for _, s := range list {
		n, h, has := strings.Cut(s, "@")
		if matches([]string{n}, name) && (!has || matches([]string{h}, host)) {
			return true
		}
	}
	return false
}
