package main

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"agentd/cmd/agentctl/web"
)

func (a *app) webCmd() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use:   "web",
		Short: "Serve runs as web pages on this machine, to read and to answer",
		Long: "Serve runs as web pages on this machine, to read and to answer, until Ctrl-C.\n\n" +
			"It prints a link that lets one browser in; when it was used, it prints another. Pages are served on loopback only. For a phone or another machine, " +
			"forward the port: ssh -L 8080:127.0.0.1:8080 HOST, and open the link there.",
		Example: `agentctl web --listen 127.0.0.1:8080`,
		Args:    exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			c, _, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
			if err != nil {
				return invalid("give another with --listen 127.0.0.1:PORT", "listen: %v", err)
			}
			s, err := web.New(web.Options{Client: c, Version: build(), Announce: func(link string) { fmt.Fprintln(a.stdout, link) }})
			if err != nil {
				return err
			}
			return s.Serve(ctx, ln)
		}),
	}
	c.Flags().StringVar(&addr, "listen", "127.0.0.1:0", "loopback address and port")
	return c
}
