package goals

import (
	"fmt"
	"slices"
	"strings"
)

// unwired are the keys of the format that this version reads and checks but can't honour yet. A run of a goal that uses one is refused by the key's
// name; it is never ignored. Who makes a key work removes its line.
var unwired = []struct {
	key  string
	used func(Goal) bool
}{
	{"imports", func(g Goal) bool { return len(g.Imports) > 0 && g.Merged == nil }}, // nobody read them
	{"params", func(g Goal) bool { return len(g.Params) > 0 && g.Values == nil }},   // nobody filled them in
	{"models", func(g Goal) bool {
		return len(g.Models.Planner)+len(g.Models.Worker)+len(g.Models.Judge)+len(g.Models.Embed) > 0
	}},
	{"memory", func(g Goal) bool { return g.Memory != Memory{} }},
	{"scope.read", func(g Goal) bool { return len(g.Readable) > 0 }},
	{"scope.write", func(g Goal) bool { return len(g.Writable) > 0 }},
	{"tools.allow", func(g Goal) bool { return len(g.Tools.Allow) > 0 }},
	{"policy.do: allow", func(g Goal) bool { // nothing grants it yet; rules that ask or deny hold
		return slices.ContainsFunc(g.Policy, func(r Rule) bool { return r.Do == "allow" })
	}},
	{"accept.judge", func(g Goal) bool { return g.Judge != Judge{} }},
	{"stop_when", func(g Goal) bool { return len(g.StopWhen) > 0 }},
	{"result.schema", func(g Goal) bool { return g.Result.Schema != nil }},
}

// Unwired are the keys that the goal uses and this version can't honour yet.
func (g Goal) Unwired() []string {
	var keys []string
	for _, u := range unwired {
		if u.used(g) {
			keys = append(keys, u.key)
		}
	}
	return keys
}

// Supported reports the keys that the goal uses and this version can't honour yet. The error wraps ErrInvalid.
func (g Goal) Supported() error {
	if len(g.Params) > 0 && g.Values == nil {
		return fmt.Errorf("%w: the params %s are not filled in", ErrInvalid, strings.Join(g.paramNames(), ", "))
	}
	if keys := g.Unwired(); len(keys) > 0 {
		return fmt.Errorf("%w: this version can't honour %s yet, and would ignore it: remove it to run the goal", ErrInvalid, strings.Join(keys, ", "))
	}
	return nil
}
