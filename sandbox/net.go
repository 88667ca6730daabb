package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Egress decides where a box may connect and makes the connection. It runs in the daemon; a box has no route.
type Egress interface {
	// Serve answers one connection that a program in the box made to its proxy, and closes it.
	Serve(ctx context.Context, conn net.Conn)
}

// proxyPort is where a box finds its proxy, on its own loopback.
const proxyPort = 3128

// rule is one entry of Net.Allow.
type rule struct {
	host   string       // a name, lower case without a trailing dot; empty for a prefix
	prefix netip.Prefix // addresses
	port   uint16
}

func (r rule) String() string {
	if r.host != "" {
		return net.JoinHostPort(r.host, strconv.Itoa(int(r.port)))
	}
	return net.JoinHostPort(r.prefix.String(), strconv.Itoa(int(r.port)))
}

// netPlan is what a policy's Net asks of a box.
type netPlan struct {
	rules    []rule
	forwards []netip.AddrPort // addresses that the box itself answers on: loopback and single addresses of the policy
	proxied  bool
}

// metadata are addresses that hand out credentials of the machine. No policy opens them.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
}

// IsMetadata says whether addr is one of the addresses that no policy opens.
func IsMetadata(addr netip.Addr) bool {
	addr = plainAddr(addr)
	for _, p := range metadata {
		if p.Contains(addr) {
			return true
		}
	}
	return addr.IsUnspecified() || addr.IsMulticast() || !addr.IsValid()
}

// plainAddr strips what would make one address look like another: a zone, IPv4 in IPv6, NAT64, 6to4.
func plainAddr(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}:
			return netip.AddrFrom4([4]byte(b[12:]))
		case b[0] == 0x20 && b[1] == 0x02:
			return netip.AddrFrom4([4]byte(b[2:6]))
		case [12]byte(b[:12]) == [12]byte{} && !a.IsLoopback() && !a.IsUnspecified():
			return netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	return a
}

// planNet parses a policy's Net.
func planNet(n Net) (netPlan, error) {
	var p netPlan
	for _, s := range n.Allow {
		r, err := parseRule(s)
		if err != nil {
			return p, badField("net.allow", "%q: %v", s, err)
		}
		p.rules = append(p.rules, r)
		p.proxied = true
		if addr, ok := r.forward(); ok && !slices.Contains(p.forwards, addr) {
			p.forwards = append(p.forwards, addr)
		}
	}
	if len(p.forwards) > 64 {
		return p, badField("net.allow", "%d single addresses are more than 64", len(p.forwards))
	}
	return p, nil
}

func parseRule(s string) (rule, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		// CIDR notation of IPv6 without brackets has colons of its own.
		if i := strings.LastIndexByte(s, ':'); i > 0 && strings.Contains(s[:i], "/") {
			host, port = s[:i], s[i+1:]
		} else {
			return rule{}, errors.New("want HOST:PORT or CIDR:PORT")
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return rule{}, fmt.Errorf("port %q: want a number from 1 to 65535", port)
	}
	r := rule{port: uint16(n)}
	switch {
	case strings.Contains(host, "/"):
		p, err := netip.ParsePrefix(host)
		if err != nil {
			return rule{}, fmt.Errorf("%q is not a CIDR", host)
		}
		if p.Addr().Is4In6() {
			return rule{}, fmt.Errorf("%q: write IPv4 ranges as IPv4", host)
		}
		r.prefix = p.Masked()
	default:
		if a, err := netip.ParseAddr(host); err == nil {
			if a.Zone() != "" {
				return rule{}, fmt.Errorf("%q has a zone", host)
			}
			a = a.Unmap()
			r.prefix = netip.PrefixFrom(a, a.BitLen())
		} else if r.host, err = hostName(host); err != nil {
			return rule{}, err
		}
	}
	if r.host == "" && r.prefix.IsSingleIP() && IsMetadata(r.prefix.Addr()) {
		return rule{}, fmt.Errorf("%s hands out credentials of the machine and is never opened", r.prefix.Addr())
	}
	for _, m := range metadata {
		if r.host == "" && m.Bits() <= r.prefix.Bits() && m.Contains(r.prefix.Addr()) {
			return rule{}, fmt.Errorf("%s hands out credentials of the machine and is never opened", r.prefix)
		}
	}
	return r, nil
}

// hostName normalises a name, and refuses what one resolver reads as a name and another as an address.
func hostName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 {
		return "", errors.New("the host is empty or too long")
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return "", fmt.Errorf("host %q: a label is empty, too long, or starts or ends with a hyphen", s)
		}
		for _, c := range []byte(l) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", fmt.Errorf("host %q: want letters, digits, hyphens and dots (a name in another script is written in its xn-- form)", s)
			}
		}
	}
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		return "", fmt.Errorf("host %q looks like an address in an unusual notation: write it as a.b.c.d", s)
	}
	return s, nil
}

// forward is the address that the box itself answers on for a rule: a name can't have one.
func (r rule) forward() (netip.AddrPort, bool) {
	if r.port == proxyPort {
		return netip.AddrPort{}, false
	}
	if r.host == "localhost" {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), r.port), true
	}
	if r.host != "" {
		return netip.AddrPort{}, false
	}
	if r.prefix.Addr().IsLoopback() && r.prefix.Addr().Is4() {
		a := r.prefix.Addr()
		if !r.prefix.IsSingleIP() {
			a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return netip.AddrPortFrom(a, r.port), true
	}
	if r.prefix.IsSingleIP() && r.prefix.Addr().Is4() {
		return netip.AddrPortFrom(r.prefix.Addr(), r.port), true
	}
	return netip.AddrPort{}, false
}

// env adds the variables by which programs find the proxy. They are a convenience: without them there is no route.
func (p netPlan) env(env map[string]string) {
	if !p.proxied {
		return
	}
	url := "http://127.0.0.1:" + strconv.Itoa(proxyPort)
	for _, k := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"} {
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
