package egress_test

import (
	"context"
	"fmt"

	"agentd/sandbox/egress"
)

// A refusal says what would have to be allowed. Nothing was looked up, and nothing was sent.
func ExampleProxy_Dial() {
	proxy, err := egress.New(egress.Policy{Allow: []string{"code.example.org:443", "*.files.example.org:443"}}, egress.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = proxy.Dial(context.Background(), "tcp", "example.com:443")
	fmt.Println(err)
	for _, d := range proxy.Decisions() {
		fmt.Println(d.Host, d.Port, d.Allowed, d.Count)
	}
	// Output:
	// example.com:443: the host is not on the list of this command, which has code.example.org:443, *.files.example.org:443. If you need it, ask the user to allow it (--net example.com:443); otherwise go on without it
	// example.com 443 false 1
}
