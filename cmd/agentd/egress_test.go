package main

import (
	"errors"
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/egress"
)

// A run that was allowed all of loopback still doesn't reach the daemon's API.
func TestEgressNeverReachesTheDaemon(t *testing.T) {
	n := sandbox.Net{Allow: []string{"127.0.0.0/8:7777", "[::1]:7777", "localhost:7777"}}
	for _, listen := range []string{"127.0.0.1:7777", "0.0.0.0:7777", ":7777", "localhost:7777", "[::]:7777"} {
		d := &daemon{}
		d.cfg.Listen = listen
		e, err := d.newEgress(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"127.0.0.1:7777", "localhost:7777"} {
			if _, err := e.(*egress.Proxy).Dial(t.Context(), "tcp", to); !errors.Is(err, egress.ErrRefused) {
				t.Errorf("listening at %s, %s: %v, want it refused", listen, to, err)
			}
		}
	}
	if got := ownListener(""); got != nil {
		t.Errorf("without an address: %v", got)
	}
}
