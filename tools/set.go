package tools

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// FencedDecoder is a tool that turns the two parts of a fenced call into arguments itself, where copying them into
// Fenced.Inline and Fenced.Body is not enough.
type FencedDecoder interface {
	// DecodeFenced makes JSON arguments for Decode; its error is shown to the model.
	DecodeFenced(inline, body string) (json.RawMessage, error)
}

// Set is the tools that a run offers, in a fixed order. It doesn't change after NewSet.
type Set struct {
	order []Tool
	names []string
	specs []Spec
	by    map[string]Tool
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// NewSet makes a set of tools in the order given. A name that is used twice, or that a provider would refuse, is an error.
func NewSet(tools ...Tool) (*Set, error) {
	s := &Set{by: make(map[string]Tool, len(tools))}
	for _, t := range tools {
		spec := t.Spec()
		switch {
		case !toolName.MatchString(spec.Name):
			return nil, fmt.Errorf("tool name %q: use 1 to 64 letters, digits, _ or -", spec.Name)
		case s.by[spec.Name] != nil:
			return nil, fmt.Errorf("two tools are named %q", spec.Name)
		case !json.Valid(spec.Schema):
			return nil, fmt.Errorf("tool %q: its schema is not valid JSON", spec.Name)
		}
		s.by[spec.Name] = t
		s.order = append(s.order, t)
		s.names = append(s.names, spec.Name)
		s.specs = append(s.specs, spec)
	}
	return s, nil
}

// Builtin returns the light tools that need nothing but a box and a workspace.
func Builtin() *Set {
	s, err := NewSet(shell, code, read, write, edit, list, search, finish)
	if err != nil {
		panic(err) // the names are constants, and a test makes this set
	}
	return s
}

// Lookup returns the tool of that name, or nil.
func (s *Set) Lookup(name string) Tool { return s.by[name] }

// Names returns the names in the set's order.
func (s *Set) Names() []string { return append([]string(nil), s.names...) }

// Specs returns what models are told of the tools, in the set's order.
func (s *Set) Specs() []Spec { return append([]Spec(nil), s.specs...) }

// With returns a set of these tools and more, behind them.
func (s *Set) With(more ...Tool) (*Set, error) {
	return NewSet(append(append([]Tool(nil), s.order...), more...)...)
}

// Only returns the set of the named tools, in this set's order. A name that isn't in it is an error.
func (s *Set) Only(names ...string) (*Set, error) {
	keep := make(map[string]bool, len(names))
	for _, n := range names {
		if s.by[n] == nil {
			return nil, fmt.Errorf("there is no tool %q", n)
		}
		keep[n] = true
	}
	var some []Tool
	for i, t := range s.order {
		if keep[s.names[i]] {
			some = append(some, t)
		}
	}
	return NewSet(some...)
}
