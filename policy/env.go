package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/expr-lang/expr"

	"agentd/tools/args"
)

// env is every name that a rule may use. The arguments of the tool that is called are under the tool's name; those of all other
// tools have their zero values, so a rule about one tool begins with tool == "…".
type env struct {
	Tool      string   `expr:"tool"`      // the tool's name
	Effect    string   `expr:"effect"`    // read, idempotent or once: what running it twice would do
	Egress    bool     `expr:"egress"`    // it can reach something outside
	Sandboxed bool     `expr:"sandboxed"` // it runs in a box, or touches only the workspace
	Tainted   bool     `expr:"tainted"`   // the task has read content that nobody vouches for
	Origins   []string `expr:"origins"`   // where that content came from
	Workspace string   `expr:"workspace"` // the workspace's path on the host
	Goal      string   `expr:"goal"`      // the goal's name

	Shell  args.Shell     `expr:"shell"`
	Code   args.Code      `expr:"code"`
	Read   args.ReadFile  `expr:"read"`
	Write  args.WriteFile `expr:"write"`
	Edit   args.EditFile  `expr:"edit"`
	List   args.ListFiles `expr:"list"`
	Search args.Search    `expr:"search"`
	Finish args.Finish    `expr:"finish"`

	Recall   args.Recall   `expr:"recall"`
	Remember args.Remember `expr:"remember"`

	Browser args.Browser `expr:"browser"`
	Network args.Network `expr:"network"`

	MCP      args.MCP         `expr:"mcp"` // a tool of an MCP server, whose name is tool too
	Resource args.MCPResource `expr:"mcp_resource"`
	Prompt   args.MCPPrompt   `expr:"mcp_prompt"`
	HTTP     args.HTTP        `expr:"http"`
	Web      args.WebSearch   `expr:"web_search"`

	Path string    `expr:"path"` // of a file tool: relative to the workspace where it is below it
	Cmds []Command `expr:"cmds"` // the commands of a shell call or of bash code; other code is one that is dynamic
}

var names = append(exprFields(reflect.TypeFor[env]()), "host", "under", "glob", "arg")

// helpers are the functions beside the builtins. Each is pure; a fault of its arguments is an error, which denies.
var helpers = []expr.Option{
	expr.Function("host", func(p ...any) (any, error) { return host(p[0].(string)) }, host),
	expr.Function("under", func(p ...any) (any, error) { return under(p[0].(string), p[1].(string)) }, under),
	expr.Function("arg", func(p ...any) (any, error) { return arg(p[0].(string), p[1].(string)) }, arg),
	expr.Function("glob", func(p ...any) (any, error) { return glob(p[0].(string), p[1].(string)) }, glob),
}

// arg is the text of one argument of an MCP tool, which is a JSON object; what is no text is given as JSON. One that is missing
// is an error.
func arg(object, name string) (string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		return "", fmt.Errorf("arg: the arguments are no JSON object: %w", err)
	}
	raw, ok := m[name]
	if !ok {
		return "", fmt.Errorf("arg: the call has no argument %q", name)
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	return string(raw), nil
}

// host is the host of a URL in lower case, without its port.
func host(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return "", fmt.Errorf("host: %w", err)
	}
	h := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if h == "" {
		return "", fmt.Errorf("host: %q has no host", s)
	}
	return h, nil
}

// under reports whether a path is root or lies below it, by their names alone. Both are relative to the workspace, or absolute.
func under(p, root string) (bool, error) {
	if strings.ContainsRune(p+root, 0) {
		return false, errors.New("under: a path holds a NUL byte")
	}
	p, root = relative(p, ""), relative(root, "")
	if root == "." {
		return !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../"), nil
	}
	return p == root || strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/"), nil
}

// glob reports whether a path matches a pattern such as src/**/*.go.
func glob(p, pattern string) (bool, error) {
	ok, err := doublestar.Match(pattern, relative(p, ""))
	if err != nil {
		return false, fmt.Errorf("glob: %q: %w", pattern, err)
	}
	return ok, nil
}

// relative cleans a path and makes it relative to the workspace if it lies below it, as the host or a box names it.
func relative(p, workspace string) string {
	if p == "" {
		return "."
	}
	p = path.Clean(p)
	for _, root := range []string{"/workspace", workspace} {
		if root == "" || root == "/" {
			continue
		}
		if p == root {
			return "."
		}
		if rel, ok := strings.CutPrefix(p, root+"/"); ok {
			return rel
		}
	}
	return p
}

// environment is what the rules see of a call; commands are read only if a rule needs them.
func environment(c Call, commands bool) (*env, error) {
	e := &env{Effect: c.Effect, Egress: c.Egress, Sandboxed: c.Sandboxed, Tainted: c.Tainted || len(c.Origins) > 0, Origins: c.Origins, Workspace: c.Workspace, Goal: c.Goal}
	if c.Args == nil {
		return nil, errors.New("the call has no arguments")
	}
	e.Tool = c.Args.Tool()
	file := func(p *string) {
		*p = relative(*p, c.Workspace)
		e.Path = *p
	}
	switch a := c.Args.(type) {
	case args.Shell:
		e.Shell = a
		if commands {
			e.Cmds = Commands(a.Command)
		}
	case args.Code:
		e.Code = a
		switch {
		case !commands:
		case a.Language == "bash":
			e.Cmds = Commands(a.Source)
		default:
			e.Cmds = []Command{{Name: a.Language, Words: []string{a.Language}, Dynamic: true}}
		}
	case args.ReadFile:
		e.Read = a
		file(&e.Read.Path)
	case args.WriteFile:
		e.Write = a
		file(&e.Write.Path)
	case args.EditFile:
		e.Edit = a
		file(&e.Edit.Path)
	case args.ListFiles:
		e.List = a
		file(&e.List.Path)
	case args.Browser:
		e.Browser = a
	case args.Network:
		e.Network = a
	case args.MCP:
		e.MCP = a
	case args.MCPResource:
		e.Resource = a
	case args.MCPPrompt:
		e.Prompt = a
	case args.HTTP:
		e.HTTP = a
	case args.WebSearch:
		e.Web = a
	case args.ToolSearch:
	case args.Search:
		e.Search = a
	case args.Finish:
		e.Finish = a
	case args.Recall:
		e.Recall = a
	case args.Remember:
		e.Remember = a
	default:
		return nil, fmt.Errorf("rules know nothing of %T", c.Args)
	}
	return e, nil
}
