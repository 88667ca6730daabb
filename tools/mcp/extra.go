package mcp

import (
	"context"
	_ "embed" // the descriptions that a model reads
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/tools"
	"agentd/tools/args"
)

//go:embed resource.md
var resourcePrompt string

//go:embed prompt.md
var promptPrompt string

// extra is a tool of the client's own that reads something of the servers.
type extra[T args.Args] struct {
	run     *Run
	spec    tools.Spec
	servers []string
	server  func(T) string
	do      func(ctx context.Context, env tools.Env, c *client, a T, w io.Writer) error
}

func newExtra[T args.Args](r *Run, servers []string, text string) *extra[T] {
	var zero T
	text = strings.TrimSpace(text) + "\nServers: " + strings.Join(servers, ", ") + "."
	summary, _, _ := strings.Cut(text, "\n")
	return &extra[T]{run: r, servers: servers, spec: tools.Spec{Name: zero.Tool(), Summary: summary, Prompt: text, Schema: args.Schema[T]()}}
}

// Spec describes the tool.
func (t *extra[T]) Spec() tools.Spec { return t.spec }

// Decode reads arguments.
func (t *extra[T]) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[T](raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.spec.Name, err)
	}
	return a, nil
}

// Effect is read.
func (t *extra[T]) Effect(args.Args) tools.Effect { return tools.Read }

// Outward reports whether a server that is asked is outside.
func (t *extra[T]) Outward(a args.Args) bool {
	if v, ok := a.(T); ok && t.server(v) != "" {
		return t.run.outward(t.server(v))
	}
	return slices.ContainsFunc(t.servers, t.run.outward)
}

// Run asks one server, or all.
func (t *extra[T]) Run(ctx context.Context, env tools.Env, a args.Args) (tools.Result, error) {
	v, ok := a.(T)
	if !ok {
		return tools.Result{}, fmt.Errorf("%s: got the arguments %T of another tool", t.spec.Name, a)
	}
	which := t.servers
	if s := t.server(v); s != "" {
		which = nil
		for _, have := range t.servers {
			if have == s {
				which = []string{s}
			}
		}
		if which == nil {
			return tools.Result{Exit: 1, Output: tools.Text(fmt.Sprintf("there is no such server: they are %s", strings.Join(t.servers, ", ")))}, nil
		}
	}
	res := tools.Result{OK: true, Output: tools.NewOutput(tools.DefaultKeep)}
	for _, name := range which {
		res.Origins = append(res.Origins, origin(name))
		c := t.run.clients[name]
		if c == nil {
			continue
		}
		if err := t.do(ctx, env, c, v, res.Output); err != nil {
			bad, err := trouble(ctx, name, err)
			if err != nil {
				return tools.Result{}, err
			}
			_, _ = io.WriteString(res.Output, bad.Output.Head()+"\n")
			res.OK = len(which) > 1
		}
	}
	return res, nil
}

const maxEntries = 200

func resourceTool(r *Run, servers []string) tools.Tool {
	t := newExtra[args.MCPResource](r, servers, resourcePrompt)
	t.server = func(a args.MCPResource) string { return a.Server }
	t.do = func(ctx context.Context, env tools.Env, c *client, a args.MCPResource, w io.Writer) error {
		if a.URI != "" {
			return c.call(ctx, env, func(ctx context.Context, s *sdk.ClientSession, token string) error {
				p := &sdk.ReadResourceParams{URI: a.URI}
				p.SetProgressToken(token)
				res, err := s.ReadResource(ctx, p)
				if err != nil {
					return err
				}
				for _, x := range res.Contents {
					if x != nil {
						writeResource(w, x)
					}
				}
				return nil
			})
		}
		return c.call(ctx, env, func(ctx context.Context, s *sdk.ClientSession, _ string) error {
			n := 0
			for x, err := range s.Resources(ctx, nil) {
				if err != nil {
					return err
				}
				if n++; n > maxEntries {
					fmt.Fprintf(w, "- %s: there are more\n", c.s.Name)
					break
				}
				fmt.Fprintf(w, "- %s: %s %q %s\n", c.s.Name, clip(visible(x.URI), 500), clip(word(x.Name), 100), clip(word(x.Description), 200))
			}
			for x, err := range s.ResourceTemplates(ctx, nil) {
				if err != nil {
					break // a server may have none of them
				}
				if n++; n > maxEntries {
					break
				}
				fmt.Fprintf(w, "- %s: %s (fill in what stands in braces) %s\n", c.s.Name, clip(visible(x.URITemplate), 500), clip(word(x.Description), 200))
			}
			return nil
		})
	}
	return t
}

func promptTool(r *Run, servers []string) tools.Tool {
	t := newExtra[args.MCPPrompt](r, servers, promptPrompt)
	t.server = func(a args.MCPPrompt) string { return a.Server }
	t.do = func(ctx context.Context, env tools.Env, c *client, a args.MCPPrompt, w io.Writer) error {
		if a.Name != "" {
			var values map[string]string
			if a.Args != "" {
				if err := json.Unmarshal([]byte(a.Args), &values); err != nil {
					return fmt.Errorf("the argument args is not a JSON object of texts: %w", err)
				}
			}
			return c.call(ctx, env, func(ctx context.Context, s *sdk.ClientSession, _ string) error {
				res, err := s.GetPrompt(ctx, &sdk.GetPromptParams{Name: a.Name, Arguments: values})
				if err != nil {
					return err
				}
				for _, m := range res.Messages {
					if m != nil && m.Content != nil {
						fmt.Fprintf(w, "%s: ", word(string(m.Role)))
						writeContent(w, m.Content)
					}
				}
				return nil
			})
		}
		return c.call(ctx, env, func(ctx context.Context, s *sdk.ClientSession, _ string) error {
			n := 0
			for x, err := range s.Prompts(ctx, nil) {
				if err != nil {
					return err
				}
				if n++; n > maxEntries {
					break
				}
				var names []string
				for _, arg := range x.Arguments {
					if arg != nil {
						names = append(names, word(arg.Name))
					}
				}
				fmt.Fprintf(w, "- %s: %s(%s) %s\n", c.s.Name, clip(word(x.Name), 100), clip(strings.Join(names, ", "), 200), clip(word(x.Description), 200))
			}
			return nil
		})
	}
	return t
}
