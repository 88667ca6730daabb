package policy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"agentd/tools/args"
)

// GrantsFile is the name of the file in which rules stand that a person added by an answer, beside policy.yaml.
const GrantsFile = "granted.yaml"

// ParseGrants reads a rules file whose rules a person granted: where the layers before it would ask, a rule of it that allows is that answer. It never
// turns a denial, nor the ask of a layer that narrows.
func ParseGrants(name string, data []byte) (*Rules, error) {
	r, err := Parse(name, data)
	if err == nil {
		r.layers[0].grants = true
	}
	return r, err
}

// ReadGrants reads a file of granted rules; nil and no error when there is none.
func ReadGrants(path string) (*Rules, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return ParseGrants(path, data)
}

// AddGrant puts a rule that allows at the end of a granted file's text, unless one with the same condition stands in it.
func AddGrant(name string, data []byte, when, why string) ([]byte, error) {
	old, err := ParseGrants(name, data)
	if err != nil {
		return nil, err
	}
	for _, r := range old.layers[0].rules {
		if r.when == when && r.do == Allow {
			return data, nil
		}
	}
	text := string(data)
	if strings.TrimSpace(text) == "" {
		text = "# Rules that were added by answering \"always\". They answer what would be asked, and never turn a denial. Edit or delete them as you like.\n"
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if over := len(why) - maxWhy; over > 0 {
		why = strings.ToValidUTF8(why[:maxWhy], "")
	}
	out := []byte(text + fmt.Sprintf("\n- when: %s\n  do: allow\n  why: %s\n", quoted(when), quoted(why)))
	now, err := ParseGrants(name, out)
	if err != nil {
		return nil, err
	}
	if rules := now.layers[0].rules; len(rules) != len(old.layers[0].rules)+1 || rules[len(rules)-1].when != when {
		return nil, &Error{File: name, Msg: "the rule can't be added to the list as it is written there"}
	}
	return out, nil
}

// Covers reports whether a granted condition answers the ask of a call, and why not. Content that nobody vouches for is looked at as in every rule.
func Covers(when string, c Call) error {
	r, err := Compile("the rule", []Rule{{When: when, Do: Allow}})
	if err != nil {
		return err
	}
	switch v := r.Decide(c); {
	case v.Do == Allow:
		return nil
	case v.Rule == RuleTaint:
		return errors.New(v.Why + ": a rule for it must say what it makes of tainted or origins")
	case v.Rule == RuleError:
		return errors.New(v.Why)
	}
	return errors.New("the rule does not hold of this call")
}

// Proposals are conditions that hold of a call, the narrowest first, for a person who wants to be asked no more. They hold of nothing that was read from
// elsewhere than the call's own origins, and with here only in its workspace.
func Proposals(c Call, here bool) []string {
	e, err := environment(c, true)
	if err != nil {
		return nil
	}
	is := func(name, value string) string { return name + " == " + quoted(value) }
	tool := is("tool", e.Tool)
	var own [][]string
	switch a := c.Args.(type) {
	case args.Shell:
		own = append(own, []string{is("shell.command", a.Command)})
		if names := static(e.Cmds); names != nil {
			own = append(own, []string{"all(cmds, not .dynamic && .name in [" + strings.Join(names, ", ") + "])"})
		}
	case args.Code:
		own = append(own, []string{is("code.language", a.Language), is("code.source", a.Source)}, []string{is("code.language", a.Language)})
	case args.ReadFile, args.WriteFile, args.EditFile, args.ListFiles:
		own = append(own, []string{is("path", e.Path)})
	case args.Network:
		own = append(own, []string{is("network.host", a.Host)})
	case args.HTTP:
		method := is("http.method", a.Method)
		own = append(own, []string{method, is("http.url", a.URL)})
		if h, err := host(a.URL); err == nil {
			own = append(own, []string{method, is("host(http.url)", h)})
		}
	case args.Browser:
		act := []string{is("browser.action", a.Action)}
		switch h, err := host(a.URL); {
		case a.Action == "open" && err == nil:
			act = append(act, is("host(browser.url)", h))
		case a.Action == "evaluate", a.Action == "upload":
			act = append(act, is("browser.text", a.Text))
		}
		own = append(own, act)
	case args.MCP:
		own = append(own, []string{is("mcp.args", a.Args)}, nil)
	case args.MCPResource:
		own = append(own, []string{is("mcp_resource.server", a.Server), is("mcp_resource.uri", a.URI)})
	case args.MCPPrompt:
		own = append(own, []string{is("mcp_prompt.server", a.Server), is("mcp_prompt.name", a.Name)})
	default:
		own = append(own, nil)
	}
	bounds := []string{"not tainted"}
	if n := len(c.Origins); n > 0 {
		from := make([]string, 0, n)
		for _, o := range c.Origins {
			if q := quoted(o); !slices.Contains(from, q) {
				from = append(from, q)
			}
		}
		slices.Sort(from)
		bounds[0] = "all(origins, # in [" + strings.Join(from, ", ") + "])"
	} else if c.Tainted {
		bounds[0] = "tainted"
	}
	if here && c.Workspace != "" {
		bounds = append(bounds, is("workspace", c.Workspace))
	}
	var out []string
	for _, o := range own {
		when := strings.Join(slices.Concat([]string{tool}, o, bounds), " && ")
		if Covers(when, c) == nil && !slices.Contains(out, when) { // one that is too long for a rule is left out
			out = append(out, when)
		}
	}
	return out
}

// static are the quoted names of commands, nil where what runs can't be known, or there are none.
func static(cmds []Command) []string {
	var names []string
	for _, c := range cmds {
		if c.Dynamic || c.Name == "" {
			return nil
		}
		names = append(names, quoted(c.Name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// quoted is a text as a condition and YAML both read it: in double quotes, with escapes that the two have in common.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case strconv.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += cmp.Or(n, 1)
	}
	return b.String() + `"`
}
