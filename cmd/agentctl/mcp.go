package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/cmd/agentctl/mcp"
)

func (a *app) mcpCmd() *cobra.Command {
	var dir string
	o := mcp.Options{Version: build()}
	c := &cobra.Command{
		Use:   "mcp",
		Short: "Serve runs to other agents over MCP; see and log in to MCP servers that runs use",
		Long: "Without a subcommand this is an MCP server on standard input and output, which other agents start: it offers run_goal, run_status, run_events, answer and memory_search. " +
			"A daemon is started when none runs. What its runs may do is said here and not by the client: --net opens the network for them.",
		Example: `# In the configuration of another agent
{"mcpServers": {"agentd": {"command": "agentctl", "args": ["mcp", "-C", "/home/me/project"]}}}`,
		Args: cobra.NoArgs,
		RunE: a.do(func(ctx context.Context, _ []string) error {
			var err error
			if o.Workspace, err = workspace(dir); err != nil {
				return err
			}
			o.Connect = func(ctx context.Context) (*api.Client, error) {
				c, _, _, err := a.ensure(ctx)
				return c, err
			}
			err = mcp.Serve(ctx, o, io.NopCloser(a.stdin), outStream{a.stdout})
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}),
	}
	c.Flags().StringVarP(&dir, "dir", "C", "", "workspace of runs that name none, the current folder if not given")
	c.Flags().StringVarP(&o.Model, "model", "m", "", "model of runs that name none")
	c.Flags().StringArrayVar(&o.Net, "net", nil, "let boxes of its runs connect to HOST:PORT, *.SUFFIX:PORT, CIDR:PORT or public (repeatable)")
	c.Flags().StringVar(&o.Memory, "memory", "", "what its runs do with memory: off, read, propose or auto")
	for _, sub := range [][2]string{
		{"ls", "List the MCP servers that runs may use"}, {"tools NAME", "List what a server offers"}, {"check [NAME...]", "Start or reach servers and compare what they offer with what was pinned (--accept takes it over)"},
		{"login NAME", "Log in to a server over OAuth"}, {"logout NAME", "Forget a login"},
	} {
		c.AddCommand(a.daemonMCP(sub[0], sub[1]))
	}
	return c
}

// daemonMCP is a subcommand that the daemon's program does, which holds the client.
func (a *app) daemonMCP(use, short string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	asJSON := c.Flags().Bool("json", false, "print JSON")
	var accept *bool
	if c.Name() == "check" {
		accept = c.Flags().Bool("accept", false, "accept what differs for later runs")
	}
	c.RunE = a.do(func(ctx context.Context, args []string) error {
		argv := append([]string{"mcp", c.Name()}, args...)
		if *asJSON {
			argv = append(argv, "--json")
		}
		if accept != nil && *accept {
			argv = append(argv, "--accept")
		}
		if a.home != "" {
			argv = append(argv, "--home", a.home)
		}
		return a.daemonProgram(ctx, argv)
	})
	return c
}

// outStream is standard output, which the end of a session doesn't close.
type outStream struct{ io.Writer }

func (outStream) Close() error { return nil }
