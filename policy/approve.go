package policy

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/vm"
)

// approval is a condition under which an ask that nobody can answer is answered by yes.
type approval struct {
	when  string
	aware bool // it looks at tainted or origins
	prog  *vm.Program
}

// Approve returns the rules with conditions under which asks are approved where nobody can answer: the user's, and the organisation's. An ask of the
// organisation's own rules needs one of its own conditions. No layer below has any: a goal file can't answer what it is asked.
func (r *Rules) Approve(user, organisation []string) (*Rules, error) {
	out := &Rules{layers: r.layers, commands: r.commands}
	for _, set := range []struct {
		from []string
		into *[]approval
		who  string
	}{{user, &out.user, "the user's"}, {organisation, &out.organisation, "the organisation's"}} {
		for i, when := range set.from {
			prog, seen, err := compile(when, env{}, asBool, names, fieldsOf, helpers...)
			if err != nil {
				return nil, fmt.Errorf("%s approve_if[%d]: %w", set.who, i, err)
			}
			out.commands = out.commands || seen.idents["cmds"]
			*set.into = append(*set.into, approval{when, seen.idents["tainted"] || seen.idents["origins"], prog})
		}
	}
	return out, nil
}

// Approved reports whether a call that Decide asks about is approved where nobody can answer, and by which condition. It never is where a rule denies, a
// condition can't be evaluated, or the call leaves the sandbox after untrusted content and no condition looks at that.
func (r *Rules) Approved(c Call) (by string, ok bool) {
	if len(r.user)+len(r.organisation) == 0 {
		return "", false
	}
	e, err := environment(c, r.commands)
	if err != nil {
		return "", false
	}
	firm := false // the organisation's rules ask themselves
	i := -1
	v, _, _ := r.decide(e, func(l LayerVerdict) {
		i++
		firm = firm || i > 0 && !r.layers[i].grants && l.Do == Ask
	})
	if v.Do != Ask {
		return "", false
	}
	conds := r.organisation
	if !firm {
		conds = slices.Concat(r.user, r.organisation)
	}
	for _, a := range conds {
		if e.Tainted && e.leaves() && !a.aware {
			continue
		}
		holds, err := a.holds(e)
		if err != nil {
			return "", false
		}
		if holds {
			return a.when, true
		}
	}
	return "", false
}

// holds evaluates an approval. A panic of the expression machine is an error.
func (a approval) holds(e *env) (ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			ok, err = false, fmt.Errorf("%v", p)
		}
	}()
	return run(a.prog, e)
}
