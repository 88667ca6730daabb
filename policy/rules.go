package policy

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// rule is one compiled rule.
type rule struct {
	when  string
	do    Decision
	why   string
	line  int
	aware bool // it looks at tainted or origins
	prog  *vm.Program
}

// layer is one file's rules, in order: the first whose condition holds decides.
type layer struct {
	name   string
	rules  []rule
	grants bool // a person granted it: where the first layer would ask, it may allow
}

// Rules is a compiled rule set. It never changes and is safe for concurrent use. The zero Rules asks about every call.
type Rules struct {
	layers   []layer
	commands bool // a rule reads cmds

	user, organisation []approval
}

// Explanation says how a verdict came about.
type Explanation struct {
	Verdict
	Layer    string // the rules file that decided, "" when no rule did
	Line     int    // of the rule in it
	Layers   []LayerVerdict
	Commands []Command // of a shell command, as the rules see them
}

// LayerVerdict is what one layer says by itself. Do is "" where none of its rules holds.
type LayerVerdict struct {
	Layer string
	Line  int
	Verdict
}

// Names of verdicts that no rule gave.
const (
	RuleNone  = "no rule" // nothing matched, so a person is asked
	RuleError = "error"   // a rule could not be evaluated, so the call is denied
	RuleTaint = "taint"   // a rule allowed it without a look at what the task has read, so a person is asked
)

//go:embed default.yaml
var defaultRules []byte

// Default returns the rules that ship: the workspace and confined commands are allowed, what leaves the sandbox asks.
func Default() *Rules {
	r, err := Parse("default.yaml", defaultRules)
	if err != nil {
		panic(err) // the file is embedded, and a test parses it
	}
	return r
}

var asBool = expr.AsBool()

// CheckRule reports what is wrong with the condition of a rule, as an *Error with its place in it.
func CheckRule(when string) error {
	_, _, err := compile(when, env{}, asBool, names, fieldsOf, helpers...)
	return err
}

// Combine puts layers above one another, the most authoritative first. The first decides as it would alone. Each later one only
// narrows: where a rule of its own holds, the stricter verdict wins, deny over ask over allow; where none holds, it leaves the
// verdict as it is. So the order of the later ones is all the same, but for granted ones (Compile), which stand behind those that bind them. A nil layer says nothing.
func Combine(layers ...*Rules) *Rules {
	out := &Rules{}
	for _, l := range layers {
		if l != nil {
			out.layers = append(out.layers, l.layers...)
			out.commands = out.commands || l.commands
			out.user, out.organisation = append(out.user, l.user...), append(out.organisation, l.organisation...)
		}
	}
	return out
}

// Decide judges a call. Where no rule holds the answer is Ask; a rule that can't be evaluated denies.
func (r *Rules) Decide(c Call) Verdict {
	e, err := environment(c, r.commands)
	if err != nil {
		return failed(err)
	}
	v, _, _ := r.decide(e, nil)
	return v
}

// Explain judges a call as Decide does and tells how the verdict came about.
func (r *Rules) Explain(c Call) Explanation {
	e, err := environment(c, true)
	if err != nil {
		return Explanation{Verdict: failed(err)}
	}
	x := Explanation{Commands: e.Cmds}
	x.Verdict, x.Layer, x.Line = r.decide(e, func(l LayerVerdict) { x.Layers = append(x.Layers, l) })
	return x
}

// leaves reports whether a call could send something out of the sandbox, or do something outside that no undo takes back.
func (e *env) leaves() bool { return e.Egress || !e.Sandboxed && e.Effect != "read" }

// decide goes through the layers. Where the task has read untrusted content, a call that leaves the sandbox is allowed only by a rule
// that looks at that; any other allowance becomes an ask. With see it goes through all of them, without it ends at the first denial.
func (r *Rules) decide(e *env, see func(LayerVerdict)) (v Verdict, layer string, line int) {
	v = Verdict{Do: Ask, Rule: RuleNone, Why: "no rule says that it may run"}
	aware, firm := false, false // firm: a later layer asks too, so no grant answers it
	for i, l := range r.layers {
		got, at, knows := l.decide(e)
		if see != nil {
			see(LayerVerdict{l.name, at, got})
		}
		if got.Do == "" {
			continue
		}
		granted := l.grants && got.Do == Allow && v.Do == Ask && !firm
		if i == 0 || granted || rank(got.Do) > rank(v.Do) {
			v, layer, line, aware = got, l.name, at, knows
		}
		firm = firm || i > 0 && got.Do == Ask
		if v.Do == Deny && see == nil {
			break
		}
	}
	if v.Do == Allow && e.Tainted && e.leaves() && !aware {
		v = Verdict{Do: Ask, Rule: RuleTaint, Why: taintWhy(e)}
	}
	return v, layer, line
}

// taintWhy says what was read before a call that leaves the sandbox.
func taintWhy(e *env) string {
	from := ""
	if n := len(e.Origins); n > 0 {
		from = " from " + strings.Join(e.Origins[:min(n, 3)], ", ")
		if n > 3 {
			from += ", …"
		}
	}
	return "it leaves the sandbox, and the task has read untrusted content" + from
}

// decide finds the layer's first rule that holds. A panic of the expression machine denies, as an error does.
func (l layer) decide(e *env) (v Verdict, line int, aware bool) {
	defer func() {
		if p := recover(); p != nil {
			v = failed(fmt.Errorf("%s: %v", l.name, p))
		}
	}()
	for _, r := range l.rules {
		ok, err := run(r.prog, e)
		if err != nil {
			return failed(fmt.Errorf("%s:%d: %s: %w", l.name, r.line, r.when, err)), r.line, false
		}
		if ok {
			return Verdict{Do: r.do, Rule: r.when, Why: r.why}, r.line, r.aware
		}
	}
	return Verdict{}, 0, false
}

func failed(err error) Verdict { return Verdict{Do: Deny, Rule: RuleError, Why: err.Error()} }

func rank(d Decision) int {
	switch d {
	case Allow:
		return 0
	case Ask:
		return 1
	}
	return 2
}
