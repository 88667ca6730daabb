package goals

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Bounds of a goal's parts.
const (
	maxLine     = 1 << 10 // bytes of a name, description, intent or label
	maxList     = 100     // labels, globs, probes or conditions
	maxCmd      = 8 << 10
	maxDuration = 30 * 24 * time.Hour
)

// Validate reports everything that keeps the goal from being used. The error wraps ErrInvalid.
func (g Goal) Validate() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if strings.TrimSpace(g.Text) == "" {
		add(errors.New("the goal is empty: say in plain words what is wanted"))
	}
	add(checkWords("the goal", g.Text, MaxText))
	for _, f := range []struct{ what, s string }{{"name", g.Name}, {"description", g.Description}, {"intent", g.Intent}} {
		add(checkWords(f.what, f.s, maxLine))
	}
	if g.Name != "" {
		add(checkName(g.Name))
	}
	add(checkList("labels", g.Labels, func(s string) error { return checkWords("label", s, maxLine) }))
	add(checkList("scope.protect", g.Protect, checkGlob))
	add(g.Budget.check())
	errs = append(errs, checkProbes(g.Probes)...)
	if len(errs) == 0 {
		errs = append(errs, checkRequire(g.Require, g.Probes)...)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
}

func (b Budget) check() error {
	switch {
	case math.IsNaN(b.USD) || math.IsInf(b.USD, 0) || b.USD > 1e6:
		return fmt.Errorf("budget.usd: %v is no sum of money that a run may spend (most: 1000000)", b.USD)
	case b.Tokens > 1e12:
		return fmt.Errorf("budget.tokens: %d is more than 1000000000000", b.Tokens)
	case b.Steps > 1e6:
		return fmt.Errorf("budget.steps: %d is more than 1000000", b.Steps)
	case b.Wall > maxDuration:
		return fmt.Errorf("budget.wall: %v is more than %v", b.Wall, maxDuration)
	}
	return nil
}

var goalName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

func checkName(s string) error {
	if !goalName.MatchString(s) {
		return fmt.Errorf("name: %q must be letters, digits, dots, hyphens and underscores, at most 100", s)
	}
	return nil
}

func checkList(what string, list []string, check func(string) error) error {
	if len(list) > maxList {
		return fmt.Errorf("%s has %d entries, more than %d", what, len(list), maxList)
	}
	for i, s := range list {
		if err := check(s); err != nil {
			return fmt.Errorf("%s[%d]: %w", what, i, err)
		}
	}
	return nil
}

// checkGlob accepts a glob of workspace paths: relative, slash-separated, inside.
func checkGlob(glob string) error {
	if err := checkWords("glob", glob, maxLine); err != nil {
		return err
	}
	switch {
	case glob == "" || strings.Contains(glob, "\n"):
		return fmt.Errorf("%q is no glob: give one such as '**/*_test.go'", glob)
	case path.IsAbs(glob) || slices.Contains(strings.Split(glob, "/"), ".."):
		return fmt.Errorf("glob %q must be relative to the workspace and stay in it", glob)
	case !doublestar.ValidatePattern(glob):
		return fmt.Errorf("glob %q is malformed: close every [ and {", glob)
	}
	return nil
}

var probeName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,39}$`)

// reserved are the names that conditions know already or will know.
var reserved = []string{
	"accepted", "all", "and", "any", "args", "base", "cmds", "contains", "cost", "count", "diff", "effect", "egress", "else", "endsWith",
	"false", "filter", "if", "in", "keys", "len", "let", "lower", "map", "matches", "nil", "none", "not", "one", "or", "params", "plan", "scope",
	"stall", "startsWith", "steps", "sum", "tainted", "task", "tasks", "tokens", "tool", "trim", "true", "upper", "values", "within",
}

func checkProbe(p Probe) error {
	switch {
	case !probeName.MatchString(p.Name):
		return fmt.Errorf("probe name %q must be a letter followed by letters, digits and underscores, at most 40", p.Name)
	case slices.Contains(reserved, p.Name):
		return fmt.Errorf("probe name %q has a meaning in conditions: choose another", p.Name)
	case strings.TrimSpace(p.Cmd) == "":
		return fmt.Errorf("accept.probes.%s.cmd is missing: give the command that measures it", p.Name)
	case p.Timeout < 0 || p.Timeout > 24*time.Hour || p.Timeout > 0 && p.Timeout < time.Second:
		return fmt.Errorf("accept.probes.%s.timeout: %v must be between 1s and 24h", p.Name, p.Timeout)
	}
	if p.Parse != "" && !slices.Contains(Parsers(), p.Parse) {
		return fmt.Errorf("accept.probes.%s.parse: unknown parser %q: known are %s", p.Name, p.Parse, parserNames())
	}
	return checkWords("accept.probes."+p.Name+".cmd", p.Cmd, maxCmd)
}

func checkProbes(probes []Probe) []error {
	if len(probes) > maxList {
		return []error{fmt.Errorf("accept.probes has %d probes, more than %d", len(probes), maxList)}
	}
	var errs []error
	seen := map[string]bool{}
	for _, p := range probes {
		if err := checkProbe(p); err != nil {
			errs = append(errs, err)
		} else if seen[p.Name] {
			errs = append(errs, fmt.Errorf("two probes are named %q", p.Name))
		}
		seen[p.Name] = true
	}
	return errs
}

func checkRequire(require []string, probes []Probe) []error {
	if len(require) > maxList {
		return []error{fmt.Errorf("accept.require has %d conditions, more than %d", len(require), maxList)}
	}
	var errs []error
	used := map[string]bool{}
	for i, cond := range require {
		names, err := checkCondition(cond, probes)
		if err != nil {
			errs = append(errs, fmt.Errorf("accept.require[%d]: %w", i, err))
		}
		for _, n := range names {
			used[n] = true
		}
	}
	for _, p := range probes {
		if !used[p.Name] && len(errs) == 0 {
			errs = append(errs, unusedProbe(p.Name))
		}
	}
	return errs
}

func unusedProbe(name string) error {
	return fmt.Errorf("no condition uses the probe %q: add '%s.exit == 0' to accept.require, or remove it", name, name)
}

func sortProbes(probes []Probe) {
	slices.SortFunc(probes, func(a, b Probe) int { return cmp.Compare(a.Name, b.Name) })
}
