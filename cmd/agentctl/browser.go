package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/spf13/cobra"

	"agentd/cmd/agentctl/web"
	"agentd/journal"
)

func (a *app) browserCmd() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use:   "browser RUN",
		Short: "Look into a run's browser, and take it over",
		Long: "Look into a run's browser, and take it over for a login or a captcha: it prints a link to a page on this machine that shows the browser live.\n\n" +
			"While you have taken it over, the agent waits; the journal says that you did, for how long and on which pages, never what you typed. The link lets one " +
			"browser in; when it was used, another is printed. From another machine: ssh -L 8080:127.0.0.1:8080 HOST with --listen 127.0.0.1:8080. " +
			"It ends with the run, or with Ctrl-C.",
		Example: `agentctl browser 0k3`,
		Args:    exactly(1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			c, _, _, err := a.ensure(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			run, err := c.Resolve(ctx, args[0])
			if err != nil {
				return err
			}
			v, err := c.Recent(ctx, run, 1)
			if err != nil {
				return err
			}
			if v.Status.Ended() {
				return invalid("agentctl ls lists the runs", "run %s has ended: %s", run, v.Status)
			}
			ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
			if err != nil {
				return invalid("give another with --listen 127.0.0.1:PORT", "listen: %v", err)
			}
			s, err := web.New(web.Options{
				Client: c, Version: build(), Enter: "/runs/" + url.PathEscape(string(run)) + "/browser", Announce: func(link string) { fmt.Fprintln(a.stdout, link) },
			})
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			ctx, stop := context.WithCancelCause(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for r, err := range c.Events(ctx, run, v.Last) {
					if err != nil || r.Kind == journal.KindRunFinished {
						break
					}
				}
				stop(errRunOver)
			}()
			err = s.Serve(ctx, ln)
			over := errors.Is(context.Cause(ctx), errRunOver)
			stop(nil)
			<-ended
			if over {
				a.note("run %s has ended", run)
			}
			return err
		}),
	}
	c.Flags().StringVar(&addr, "listen", "127.0.0.1:0", "loopback address and port")
	return c
}

// errRunOver ends the serving of a run's browser.
var errRunOver = errors.New("the run has ended")
