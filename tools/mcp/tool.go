package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/tools"
	"agentd/tools/args"
)

// tool is one tool of a server, as the run was told of it.
type tool struct {
	run    *Run
	server string
	told   Tool
	reads  bool // on the user's word

	check func() *jsonschema.Resolved // nil: the schema is not one that can be checked here
}

// Tools makes the tools of what the servers offer, and those that reach their resources and prompts. It starts nothing: the
// same listings give the same tools.
func (r *Run) Tools(list []Listing) []tools.Tool {
	var out []tools.Tool
	var resources, prompts []string
	for _, l := range list {
		var reads []string
		if c := r.clients[l.Server]; c != nil {
			reads = c.s.Read
		}
		for _, t := range l.Tools {
			out = append(out, &tool{run: r, server: l.Server, told: t, reads: matches(reads, t.Name), check: sync.OnceValue(t.resolve)})
		}
		if l.Resources {
			resources = append(resources, l.Server)
		}
		if l.Prompts {
			prompts = append(prompts, l.Server)
		}
	}
	if len(resources) > 0 {
		out = append(out, resourceTool(r, resources))
	}
	if len(prompts) > 0 {
		out = append(out, promptTool(r, prompts))
	}
	return out
}

func matches(globs []string, name string) bool {
	for _, g := range globs {
		if ok, err := path.Match(g, name); ok && err == nil {
			return true
		}
	}
	return false
}

// resolve compiles the schema; nil where it is of a draft that can't be checked here. The server checks in any case.
func (t Tool) resolve() *jsonschema.Resolved {
	var s jsonschema.Schema
	if json.Unmarshal(t.Schema, &s) != nil {
		return nil
	}
	res, err := s.Resolve(nil)
	if err != nil {
		return nil
	}
	return res
}

// Spec describes the tool in the server's words.
func (t *tool) Spec() tools.Spec {
	text := t.told.Description
	if text == "" {
		text = t.told.Name
	}
	first, _, _ := strings.Cut(text, "\n")
	return tools.Spec{Name: tools.Join(t.server, t.told.Name), Summary: clip(first, 160), Prompt: text, Schema: t.told.Schema}
}

// Decode reads arguments and checks them against the schema.
func (t *tool) Decode(raw json.RawMessage) (args.Args, error) {
	name := tools.Join(t.server, t.told.Name)
	a, err := args.DecodeMCP(t.server, t.told.Name, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.ReadOnly, a.Destructive = t.told.ReadOnly, t.told.Destructive
	if res := t.check(); res != nil {
		var v any
		if err := json.Unmarshal([]byte(a.Args), &v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := res.Validate(v); err != nil {
			return nil, fmt.Errorf("%s: the arguments don't fit: %s", name, clip(err.Error(), 500))
		}
	}
	return a, nil
}

// Effect is once, whatever the server says of it, unless the user's configuration says that the tool only reads.
func (t *tool) Effect(args.Args) tools.Effect {
	if t.reads {
		return tools.Read
	}
	return tools.Once
}

// Outward reports whether a call can send something out: the server is at a URL, or its box has a way out of its own.
func (t *tool) Outward(args.Args) bool { return t.run.outward(t.server) }

func (r *Run) outward(server string) bool {
	c := r.clients[server]
	return c == nil || c.s.URL != "" || len(c.s.Net) > 0
}

// Doubt says why a person must be asked although the rules allow the call: the server says something else of the tool than
// it did when the run was told.
func (t *tool) Doubt(args.Args) string {
	diff, now := t.run.doubt(t.server, t.told)
	if diff == "" || now == nil {
		return ""
	}
	t.run.ask(tools.Join(t.server, t.told.Name), diff)
	return fmt.Sprintf("the server %s now says something else of this tool than when it was first used (to accept it for all runs, remove its file in mcp/pins of the data folder)\n%s", t.server, clip(diff, 3000))
}

// Run calls the tool.
func (t *tool) Run(ctx context.Context, env tools.Env, a args.Args) (tools.Result, error) {
	v, ok := a.(args.MCP)
	if !ok {
		return tools.Result{}, fmt.Errorf("%s: got the arguments %T of another tool", t.server, a)
	}
	c := t.run.clients[t.server]
	if c == nil {
		return failed(t.server, "the MCP server %s is not configured any more", t.server), nil
	}
	if _, err := c.connect(ctx, env.Policy); err != nil {
		return trouble(ctx, t.server, err)
	}
	diff, now := t.run.doubt(t.server, t.told)
	switch {
	case now == nil:
		return failed(t.server, "the server %s does not offer %s any more", t.server, t.told.Name), nil
	case diff != "" && !t.run.accepted(t.server, *now, diff):
		return failed(t.server, "not called: the server %s says something else of %s than when it was first used. Call it again if you need it: a person will be asked.", t.server, t.told.Name), nil
	}
	var res *sdk.CallToolResult
	err := c.call(ctx, env, func(ctx context.Context, s *sdk.ClientSession, token string) error {
		p := &sdk.CallToolParams{Name: t.told.Name, Arguments: json.RawMessage(v.Args)}
		p.SetProgressToken(token)
		var err error
		res, err = s.CallTool(ctx, p)
		return err
	})
	if err != nil {
		return trouble(ctx, t.server, err)
	}
	return result(t.server, res), nil
}

// trouble is a failure of a server as a result: the run goes on without it. Only the end of the call itself is an error.
func trouble(ctx context.Context, server string, err error) (tools.Result, error) {
	if ctx.Err() != nil {
		return tools.Result{}, context.Cause(ctx)
	}
	var gone *errGone
	if errors.As(err, &gone) {
		return failed(server, "%v", gone), nil
	}
	if errors.Is(err, errTimeout) {
		r := failed(server, "the MCP server %s: %v", server, err)
		r.Killed = "no answer in time"
		return r, nil
	}
	return failed(server, "the MCP server %s refused: %s", server, clip(visible(err.Error()), 1500)), nil
}

// failed is a result that says what went wrong. It may quote the server.
func failed(server, format string, a ...any) tools.Result {
	return tools.Result{Exit: 1, Output: tools.Text(fmt.Sprintf(format, a...)), Origins: []string{origin(server)}}
}

// origin labels what a server said.
func origin(server string) string { return "mcp:" + server }
