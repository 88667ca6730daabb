package goals

import (
	"fmt"
	"strings"
)

// unwired are the keys of the format that this version reads and checks but can't honour yet. A run of a goal that uses one is refused by the key's
// name; it is never ignored. Who makes a key work removes its line.
var unwired = []struct {
	key  string
	used func(Goal) bool
}{
	{"models.embed", func(g Goal) bool { return len(g.Models.Embed) > 0 }}, // one memory holds the vectors of one model
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
	if len(g.Imports) > 0 && g.Merged == nil {
		return fmt.Errorf("%w: the imports %s were not read", ErrInvalid, strings.Join(g.Imports, ", "))
	}
	return nil
}
