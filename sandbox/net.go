package sandbox

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"agentd/sandbox/egress"
)

// Egress decides where a box may connect and makes the connection. It runs in the daemon; a box has no route. A
// *egress.Proxy is one.
type Egress interface {
	// Serve answers one connection that a program in the box made to its proxy, and closes it.
	Serve(ctx context.Context, conn net.Conn)
	// ServeTo answers one connection that a program made to an address by itself, and closes it.
	ServeTo(ctx context.Context, conn net.Conn, to netip.AddrPort)
	// Decisions is what was decided so far.
	Decisions() []egress.Decision
}

// proxyPort is where a box finds its proxy, on its own loopback.
const proxyPort = 3128

// netPlan is what a policy's Net asks of a box.
type netPlan struct {
	rules    []egress.Rule
	public   bool
	forwards []netip.AddrPort // addresses that the box itself answers on: loopback and single addresses of the policy
	proxied  bool
}

// Public is the entry of Net.Allow that opens every public address on the ports 80 and 443.
const Public = "public"

// Policy is what n asks of a proxy: where it leads, with the proxy's own limits and without secrets, whose values n doesn't hold.
func (n Net) Policy() egress.Policy {
	var p egress.Policy
	for _, s := range n.Allow {
		if s == Public {
			p.Mode = egress.ModePublic
		} else {
			p.Allow = append(p.Allow, s)
		}
	}
	return p
}

// planNet parses a policy's Net.
func planNet(n Net) (netPlan, error) {
	p := netPlan{proxied: len(n.Allow) > 0}
	for _, s := range n.Allow {
		if s == Public {
			p.public = true
			continue
		}
		r, err := parseRule(s)
		if err != nil {
			return p, badField("net.allow", "%q: %v", s, err)
		}
		p.rules = append(p.rules, r)
		if addr, ok := forwardOf(r); ok && !slices.Contains(p.forwards, addr) {
			p.forwards = append(p.forwards, addr)
		}
	}
	if len(p.forwards) > 64 {
		return p, badField("net.allow", "%d single addresses are more than 64", len(p.forwards))
	}
	return p, n.checkSecrets()
}

// parseRule reads a rule of a box, which always names its port.
func parseRule(s string) (egress.Rule, error) {
	r, err := egress.ParseRule(s)
	if err == nil && r.Port == 0 {
		err = errors.New("want HOST:PORT, *.SUFFIX:PORT, CIDR:PORT or public")
	}
	return r, err
}

// forwardOf is the address that the box itself answers on for a rule: a name can't have one.
func forwardOf(r egress.Rule) (netip.AddrPort, bool) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	at := r.Prefix.Addr()
	switch {
	case r.Port == proxyPort:
		return netip.AddrPort{}, false
	case r.Host == "localhost" && !r.Below:
		return netip.AddrPortFrom(loopback, r.Port), true
	case r.Host != "" || !at.Is4():
		return netip.AddrPort{}, false
	case r.Prefix.IsSingleIP():
		return netip.AddrPortFrom(at, r.Port), true
	case at.IsLoopback():
		return netip.AddrPortFrom(loopback, r.Port), true
	}
	return netip.AddrPort{}, false
}

// proxyVars are the variables that name a proxy.
var proxyVars = []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"}

// env adds the variables by which programs find the proxy. They are a convenience: without them there is no route.
func (p netPlan) env(env map[string]string) {
	if !p.proxied {
		return
	}
	url := "http://127.0.0.1:" + strconv.Itoa(proxyPort)
	for _, k := range proxyVars {
		env[k] = url
	}
	direct := []string{"localhost", "127.0.0.1", "::1"}
	for _, f := range p.forwards {
		if !f.Addr().IsLoopback() {
			direct = append(direct, f.Addr().String())
		}
	}
	env["no_proxy"] = strings.Join(direct, ",")
	env["NO_PROXY"] = env["no_proxy"]
}
