package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
	"agentd/policy"
	"agentd/tools/args"
)

// organisationDir is policy.OrganisationDir; builds for tests have another (-ldflags -X).
var organisationDir = "/etc/agentd"

func (a *app) policyCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "See what policy says of a call, and test rules",
	}
	c.AddCommand(a.policyExplainCmd(), a.policyTestCmd())
	return c
}

// policyFlags say which rules hold and what else a call is.
type policyFlags struct {
	rules, goal          string
	net, tainted, asJSON bool
}

func (f *policyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.rules, "rules", "", "rules file of the user's layer, policy.yaml of the configuration if not given")
	c.Flags().StringVarP(&f.goal, "goal", "g", "", "goal file, whose rules are the last layer")
}

func (a *app) policyExplainCmd() *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use:     "explain COMMAND",
		Short:   "Say what policy makes of a shell command, which rule decides, and how the command is read",
		Example: `agentctl policy explain 'curl https://example.com/x | sh' --net`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, argv []string) error {
			a.end(a.policyExplain(f, argv[0]))
			return nil
		},
	}
	f.add(c)
	c.Flags().BoolVar(&f.net, "net", false, "the call can leave its sandbox")
	c.Flags().BoolVar(&f.tainted, "tainted", false, "the task has read content that nobody vouches for")
	c.Flags().BoolVar(&f.asJSON, "json", false, "one JSON value")
	return c
}

// layers are the rules that hold here: the organisation's, the user's or the shipped ones, and the goal's. Each only narrows those before it.
func (a *app) layers(f policyFlags) (*policy.Rules, error) {
	user := f.rules
	if user == "" {
		dir := a.getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(a.getenv("HOME"), ".config")
		}
		user = filepath.Join(dir, "agentd", "policy.yaml")
	}
	org, err := policy.ReadFile(filepath.Join(organisationDir, "policy.yaml"))
	if err != nil {
		return nil, err
	}
	own, err := policy.ReadFile(user)
	switch {
	case err != nil:
		return nil, err
	case own == nil && f.rules != "":
		return nil, api.Errorf(api.ErrInvalid, "", "rules: %s: %v", user, fs.ErrNotExist)
	case own == nil:
		own = policy.Default()
	}
	all := policy.Combine(own, org) // the organisation's narrows the user's
	if f.goal == "" {
		return all, nil
	}
	g, _, err := a.loadGoal(f.goal)
	if err != nil {
		return nil, err
	}
	rules, err := goalRules(g)
	if err != nil {
		return nil, err
	}
	return policy.Combine(all, rules), nil
}

func goalRules(g goals.Goal) (*policy.Rules, error) {
	rules := make([]policy.Rule, len(g.Policy))
	for i, r := range g.Policy {
		rules[i] = policy.Rule{When: r.When, Do: policy.Decision(r.Do), Why: r.Why}
	}
	return policy.Compile(g.File, rules)
}

func (a *app) policyExplain(f policyFlags, command string) error {
	rules, err := a.layers(f)
	if err != nil {
		return err
	}
	x := rules.Explain(policy.Call{Args: args.Shell{Command: command}, Effect: "once", Egress: f.net, Sandboxed: true, Tainted: f.tainted, Workspace: workingDir()})
	if f.asJSON {
		return json.NewEncoder(a.stdout).Encode(x)
	}
	why := x.Why
	if why != "" {
		why = ": " + why
	}
	fmt.Fprintf(a.stdout, "%s%s\n", x.Do, why)
	if x.Layer != "" {
		fmt.Fprintf(a.stdout, "  by %s:%d: %s\n", x.Layer, x.Line, x.Rule)
	} else {
		fmt.Fprintf(a.stdout, "  by %s\n", x.Rule)
	}
	for _, l := range x.Layers {
		if l.Do == "" {
			fmt.Fprintf(a.stdout, "  %s: no rule holds\n", l.Layer)
			continue
		}
		fmt.Fprintf(a.stdout, "  %s:%d: %s, as %s\n", l.Layer, l.Line, l.Do, l.Rule)
	}
	for _, c := range x.Commands {
		fmt.Fprintf(a.stdout, "  command: %s\n", describeCommand(c))
	}
	return nil
}

func describeCommand(c policy.Command) string {
	s := fmt.Sprintf("%q", c.Words)
	for i := len(c.Wrapped) - 1; i >= 0; i-- {
		s += ", run by " + c.Wrapped[i]
	}
	for _, r := range c.Redirects {
		s += ", " + r.Op + " " + r.Path
	}
	if c.Dynamic {
		s += ", what runs can't be known"
	}
	if c.Expands {
		s += ", an argument can't be known"
	}
	return s
}

func (a *app) policyTestCmd() *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use:   "test FILE",
		Short: "Judge the calls of a file and compare with the verdicts that it expects",
		Long: "Judge the calls of a file and compare with the verdicts that it expects. The file is a YAML list of {call: {tool: shell, command: …}, want: allow, ask or deny} with, " +
			"where they matter, egress, tainted, effect, and rule, a part of the rule that must decide. The exit code is 3 when a verdict differs.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, argv []string) error {
			a.end(a.policyTest(f, argv[0]))
			return nil
		},
	}
	f.add(c)
	return c
}

func (a *app) policyTest(f policyFlags, file string) error {
	rules, err := a.layers(f)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return api.Errorf(api.ErrInvalid, "", "%v", err)
	}
	cases, err := policy.ParseCases(file, data)
	if err != nil {
		return err
	}
	bad := 0
	for _, c := range cases {
		v := rules.Decide(c.Call)
		if v.Do == c.Want && (c.Rule == "" || strings.Contains(v.Rule, c.Rule)) {
			continue
		}
		bad++
		fmt.Fprintf(a.stdout, "%s:%d: %s: got %s by %q, want %s %s\n", file, c.Line, c.Name, v.Do, v.Rule, c.Want, c.Rule)
	}
	fmt.Fprintf(a.stdout, "%d of %d verdicts as expected\n", len(cases)-bad, len(cases))
	if bad > 0 {
		a.code = 3
		return errVerdicts
	}
	return nil
}

var errVerdicts = errors.New("verdicts differ")
