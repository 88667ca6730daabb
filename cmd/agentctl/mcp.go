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
	return c
}

// outStream is standard output, which the end of a session doesn't close.
type outStream struct{ io.Writer }

func (outStream) Close() error { return nil }
