package tools

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"agentd/sandbox"
	"agentd/tools/args"
)

// WithNetwork returns a set of these tools and network.
func (s *Set) WithNetwork() *Set {
	out, err := s.With(outward{network})
	if err != nil {
		panic(err) // the name is a constant
	}
	return out
}

// maxReason bounds why a model wants a host, in bytes.
const maxReason = 500

// network asks for a host. The call itself does nothing: by the time it runs, a policy or a person has allowed it, and who drives the
// run opens the host (NetworkRule) to its boxes.
var network = define(builtin[args.Network]{
	spec: Spec{Fenced: Fenced{Inline: "host", Body: "why"}},
	check: func(a args.Network) error {
		if len(a.Why) > maxReason {
			return fmt.Errorf(`argument "why" has %d bytes, more than %d`, len(a.Why), maxReason)
		}
		_, err := NetworkRule(a.Host)
		return err
	},
	effect: always[args.Network](Idempotent),
	run: func(_ context.Context, _ Env, a args.Network) (Result, error) {
		rule, err := NetworkRule(a.Host)
		if err != nil {
			return Result{}, err
		}
		return good("commands may connect to " + rule + " now"), nil
	},
})

// NetworkRule is what a run opens when a call of network for this host is allowed: HOST:PORT, *.SUFFIX:PORT or CIDR:PORT. It takes a URL
// and a host without a port too. It never is more than one rule names.
func NetworkRule(host string) (string, error) {
	host = strings.TrimSpace(host)
	if strings.Contains(host, "://") {
		u, err := url.Parse(host)
		if err != nil || u.Hostname() == "" {
			return "", fmt.Errorf(`argument "host": %.80q is no URL with a host: give HOST:PORT`, host)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "ws": "80"}[u.Scheme]
		}
		if port == "" {
			port = "443"
		}
		host = u.Hostname() + ":" + port
		if strings.Contains(u.Hostname(), ":") {
			host = "[" + u.Hostname() + "]:" + port
		}
	}
	switch {
	case host == "":
		return "", errors.New(`argument "host" is empty: give HOST:PORT`)
	case host == sandbox.Public:
		return "", errors.New(`argument "host": ask for one host at a time, as HOST:PORT`)
	}
	err := sandbox.Net{Allow: []string{host}}.Check()
	if err != nil && !strings.Contains(strings.TrimPrefix(host, "["), ":") {
		host += ":443"
		err = sandbox.Net{Allow: []string{host}}.Check()
	}
	if err != nil {
		return "", fmt.Errorf(`argument "host": %w`, err)
	}
	return strings.ToLower(host), nil
}

// outward is a tool each call of which opens or uses a way out.
type outward struct{ *builtin[args.Network] }

// Outward is true.
func (outward) Outward(args.Args) bool { return true }
