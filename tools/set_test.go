package tools_test

import (
	"slices"
	"testing"

	"agentd/tools"
)

func TestSet(t *testing.T) {
	set := tools.Builtin()
	if got, want := set.Names(), []string{"shell", "code", "read", "write", "edit", "list", "search", "finish"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if set.Lookup("nope") != nil {
		t.Error("found a tool that isn't there")
	}
	some, err := set.Only("finish", "read")
	if err != nil || !slices.Equal(some.Names(), []string{"read", "finish"}) {
		t.Errorf("got %v, %v", some.Names(), err)
	}
	if _, err := set.Only("nope"); err == nil {
		t.Error("Only took a name that isn't there")
	}
	if _, err := some.With(set.Lookup("read")); err == nil {
		t.Error("a name was taken twice")
	}
	more, err := some.With(set.Lookup("shell"))
	if err != nil || !slices.Equal(more.Names(), []string{"read", "finish", "shell"}) || len(some.Names()) != 2 {
		t.Errorf("got %v, %v; the first set has %v", more.Names(), err, some.Names())
	}
	for name, spec := range map[string]tools.Spec{"bad name": {Name: "a b", Schema: []byte("{}")}, "bad schema": {Name: "a", Schema: []byte("{")}} {
		if _, err := tools.NewSet(named{set.Lookup("read"), spec}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// named is a tool with another spec.
type named struct {
	tools.Tool
	spec tools.Spec
}

func (n named) Spec() tools.Spec { return n.spec }
