package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"agentd/tools/args"
)

// OrganisationDir holds what the organisation says on a machine: policy.yaml, whose rules narrow every other layer's, and authority.yaml.
const OrganisationDir = "/etc/agentd"

// Rule is one rule of a goal file.
type Rule struct {
	When string
	Do   Decision
	Why  string
}

// Compile makes a layer of the rules of a goal that a person has granted: it narrows as every layer does, and where the layers above would ask, a rule of it that
// allows is that answer. It never turns a denial.
func Compile(name string, rules []Rule) (*Rules, error) {
	l := layer{name: name, grants: true}
	out := &Rules{}
	for i, r := range rules {
		switch r.Do {
		case Allow, Ask, Deny:
		default:
			return nil, fmt.Errorf("%s: policy[%d].do is %q", name, i, r.Do)
		}
		prog, seen, err := compile(r.When, env{}, asBool, names, fieldsOf, helpers...)
		if err != nil {
			return nil, fmt.Errorf("%s: policy[%d].when: %w", name, i, err)
		}
		out.commands = out.commands || seen.idents["cmds"]
		l.rules = append(l.rules, rule{
			when: r.When, do: r.Do, why: r.Why, line: i + 1, prog: prog, aware: seen.idents["tainted"] || seen.idents["origins"],
		})
	}
	out.layers = []layer{l}
	return out, nil
}

// ReadFile reads a rules file; nil and no error when there is none.
func ReadFile(path string) (*Rules, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return Parse(path, data)
}

// Case is a call and the verdict that somebody expects.
type Case struct {
	Name string
	Line int
	Call Call
	Want Decision
	Rule string // part of the rule that must decide, or ""
}

// ParseCases reads a file of cases: a YAML list of {call: {tool: shell, command: …}, want: …}, each with egress, tainted, effect, outside, rule and name where they matter.
func ParseCases(file string, data []byte) ([]Case, error) {
	n, err := root(file, data)
	if err != nil {
		return nil, err
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, fault(file, n, "the file must be a list of cases, as in:\n- {call: {tool: shell, command: 'rm -rf /'}, want: deny}")
	}
	var out []Case
	for _, item := range seq.Values {
		var raw struct {
			Name    string         `yaml:"name"`
			Call    map[string]any `yaml:"call"`
			Want    Decision       `yaml:"want"`
			Rule    string         `yaml:"rule"`
			Effect  string         `yaml:"effect"`
			Egress  bool           `yaml:"egress"`
			Tainted bool           `yaml:"tainted"`
			Outside bool           `yaml:"outside"`
		}
		if err := yaml.NodeToValue(item, &raw, yaml.Strict()); err != nil {
			var ye yaml.Error
			if errors.As(err, &ye) {
				e := &Error{File: file, Msg: ye.GetMessage()}
				e.Line, e.Col = at(ye.GetToken())
				return nil, e
			}
			return nil, fault(file, item, "%v", err)
		}
		switch raw.Want {
		case Allow, Ask, Deny:
		default:
			return nil, fault(file, item, "want is %q%s", raw.Want, nearest(string(raw.Want), []string{"allow", "ask", "deny"}))
		}
		a, err := argsOf(raw.Call)
		if err != nil {
			return nil, fault(file, item, "call: %v", err)
		}
		c := Case{Name: raw.Name, Want: raw.Want, Rule: raw.Rule, Call: Call{Args: a, Effect: raw.Effect, Egress: raw.Egress, Tainted: raw.Tainted, Sandboxed: !raw.Outside}}
		if c.Name == "" {
			c.Name = fmt.Sprintf("%+v", a)
		}
		if c.Call.Effect == "" {
			c.Call.Effect = effectOf(a)
		}
		c.Line, _ = at(item.GetToken())
		if m, ok := item.(*ast.MappingNode); ok && len(m.Values) > 0 {
			c.Line, _ = at(m.Values[0].Key.GetToken())
		}
		out = append(out, c)
	}
	return out, nil
}

// effectOf is the effect that the tools say of themselves.
func effectOf(a args.Args) string {
	switch a.Tool() {
	case "read", "list", "search", "recall":
		return "read"
	case "write", "edit":
		return "idempotent"
	}
	return "once"
}

// argsOf makes a call's arguments of a mapping that names the tool.
func argsOf(call map[string]any) (args.Args, error) {
	tool, _ := call["tool"].(string)
	rest := map[string]any{}
	for k, v := range call {
		if k != "tool" {
			rest[k] = v
		}
	}
	raw, err := json.Marshal(rest)
	if err != nil {
		return nil, err
	}
	switch tool {
	case "shell":
		return args.Decode[args.Shell](raw)
	case "code":
		return args.Decode[args.Code](raw)
	case "read":
		return args.Decode[args.ReadFile](raw)
	case "write":
		return args.Decode[args.WriteFile](raw)
	case "edit":
		return args.Decode[args.EditFile](raw)
	case "list":
		return args.Decode[args.ListFiles](raw)
	case "search":
		return args.Decode[args.Search](raw)
	case "browser":
		return args.Decode[args.Browser](raw)
	case "recall":
		return args.Decode[args.Recall](raw)
	case "remember":
		return args.Decode[args.Remember](raw)
	case "finish":
		return args.Decode[args.Finish](raw)
	}
	return nil, fmt.Errorf("unknown tool %q%s", tool, nearest(tool, []string{"shell", "code", "read", "write", "edit", "list", "search", "browser", "recall", "remember", "finish"}))
}
