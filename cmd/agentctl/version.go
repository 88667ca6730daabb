package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"agentd/api"
)

func (a *app) versionCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of agentctl and of the running daemon",
		Args:  exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			v := struct {
				Agentctl string `json:"agentctl"`
				API      int    `json:"api"`
				Agentd   string `json:"agentd,omitempty"`
			}{Agentctl: build(), API: api.Version}
			if c, err := a.dial(); err == nil {
				defer c.Close()
				info, err := c.Info(ctx)
				if err != nil {
					a.complain(err)
				}
				v.Agentd = info.Version
			}
			if asJSON {
				return a.printJSON(v)
			}
			fmt.Fprintf(a.stdout, "agentctl %s\nagentd   %s\n", v.Agentctl, clean(or(v.Agentd, "not running")))
			return nil
		}),
	}
	jsonFlag(c, &asJSON)
	return c
}
