package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Rule is one entry of Policy.Allow: a name, the names below a suffix, or a range of addresses.
type Rule struct {
	Host   string       // lower case, without a trailing dot; empty for a range
	Below  bool         // the names below Host, not Host itself: written *.HOST
	Prefix netip.Prefix // addresses, if Host is empty
	Port   uint16       // 0: the policy's default ports; never 0 for a range
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	host := r.Host
	switch {
	case host == "" && r.Prefix.IsSingleIP():
		host = r.Prefix.Addr().String()
	case host == "":
		host = r.Prefix.String()
	case r.Below:
		host = "*." + host
	}
	if r.Port == 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(r.Port)))
}

// ParseRule reads HOST[:PORT], *.SUFFIX[:PORT], CIDR:PORT or ADDRESS:PORT. An IPv6 address or range stands in brackets.
func ParseRule(s string) (Rule, error) {
	if len(s) > 512 {
		return Rule{}, errors.New("the pattern is longer than 512 bytes")
	}
	host, port, err := splitRule(s)
	if err != nil {
		return Rule{}, err
	}
	var r Rule
	if port != "" {
		if r.Port, err = parsePort(port); err != nil {
			return Rule{}, err
		}
	}
	if r.Prefix, err = parsePrefix(host); err != nil {
		return Rule{}, err
	}
	if r.Prefix.IsValid() {
		if r.Port == 0 {
			return Rule{}, fmt.Errorf("addresses need a port: write %s", net.JoinHostPort(host, "443"))
		}
		for _, m := range metadata {
			if m.Bits() <= r.Prefix.Bits() && m.Contains(r.Prefix.Addr()) || r.Prefix.IsSingleIP() && IsMetadata(r.Prefix.Addr()) {
				return Rule{}, fmt.Errorf("%s is never opened: it hands out credentials of the machine, or names no single host", host)
			}
		}
		return r, nil
	}
	name := host
	if name, r.Below = strings.CutPrefix(host, "*."); !r.Below && strings.Contains(host, "*") {
		return Rule{}, errors.New("a * stands only in front of a suffix, as in *.example.com; there is no pattern for every host (mode public is)")
	}
	if r.Host, err = ParseName(name); err != nil {
		return Rule{}, err
	}
	if r.Below && !strings.Contains(r.Host, ".") {
		return Rule{}, fmt.Errorf("*.%s names too much: want a suffix of two labels or more, as in *.example.com", r.Host)
	}
	if slices.Contains(metadataNames, r.Host) {
		return Rule{}, fmt.Errorf("%s is never opened: it hands out credentials of the machine", r.Host)
	}
	return r, nil
}

// splitRule separates the port, which a name may lack.
func splitRule(s string) (host, port string, err error) {
	if in, ok := strings.CutPrefix(s, "["); ok {
		host, rest, ok := strings.Cut(in, "]")
		if !ok || rest != "" && rest[0] != ':' || rest == ":" || !strings.Contains(host, ":") {
			return "", "", errors.New("want [IPV6]:PORT or [IPV6/BITS]:PORT")
		}
		return host, strings.TrimPrefix(rest, ":"), nil
	}
	i := strings.LastIndexByte(s, ':')
	switch {
	case i < 0:
		return s, "", nil
	case strings.Contains(s[:i], ":") && !strings.Contains(s[:i], "/"):
		// Colons of an address, or of a scheme.
		return "", "", errors.New("want HOST[:PORT], *.SUFFIX[:PORT] or CIDR:PORT, with IPv6 in brackets")
	case i == len(s)-1:
		return "", "", errors.New("the port is empty")
	}
	return s[:i], s[i+1:], nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("port %q: want a number from 1 to 65535", s)
	}
	return uint16(n), nil
}

// parsePrefix returns an invalid prefix for what isn't an address.
func parsePrefix(host string) (netip.Prefix, error) {
	if !strings.Contains(host, "/") {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return netip.Prefix{}, nil // a name
		}
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q has a zone", host)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(host)
	if err != nil {
		return p, fmt.Errorf("%q is not a CIDR", host)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%q: write IPv4 ranges as IPv4", host)
	}
	return p.Masked(), nil
}

// ParseName normalises a name. It refuses what one program reads as a name and another as an address.
func ParseName(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", errors.New("the host is empty or too long")
	}
	lower := []byte(s)
	for i, c := range lower {
		switch {
		case c >= 'A' && c <= 'Z':
			lower[i] = c + 'a' - 'A'
		case c >= 0x80:
			return "", fmt.Errorf("host %q is not in ASCII: write a name in another script in its xn-- form", s)
		case (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.':
			return "", fmt.Errorf("host %q: want letters, digits, hyphens and dots", s)
		}
	}
	name := string(lower)
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("host %q: a label is empty, too long, or starts or ends with a hyphen", s)
		}
		last = label
	}
	if last[0] >= '0' && last[0] <= '9' {
		return "", fmt.Errorf("host %q looks like an address in an unusual notation: write it as a.b.c.d", s)
	}
	return name, nil
}

// Target is where a connection is wanted: a name or an address, and a port.
type Target struct {
	Name string     // normalised; empty if Addr is set
	Addr netip.Addr // without zone, IPv4 never within IPv6
	Port uint16
}

// ParseTarget reads HOST:PORT, or HOST with defaultPort unless that is 0.
func ParseTarget(s string, defaultPort uint16) (Target, error) {
	if len(s) > 512 {
		return Target{}, errors.New("the host is longer than 512 bytes")
	}
	t := Target{Port: defaultPort}
	host, port := s, ""
	var err error
	bracket := strings.HasPrefix(s, "[")
	if bracket {
		var ok bool
		if host, port, ok = strings.Cut(s[1:], "]"); !ok || port != "" && (port[0] != ':' || port == ":") {
			return Target{}, fmt.Errorf("%q is not HOST:PORT", s)
		}
		port = strings.TrimPrefix(port, ":")
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		if host, port = s[:i], s[i+1:]; port == "" {
			return Target{}, fmt.Errorf("%q is not HOST:PORT", s)
		}
	}
	if port != "" {
		if t.Port, err = parsePort(port); err != nil {
			return Target{}, err
		}
	}
	if t.Port == 0 {
		return Target{}, fmt.Errorf("%q has no port", s)
	}
	return hostTarget(host, bracket, t.Port)
}

// hostTarget reads a host that carries no port: a name, or an address.
func hostTarget(host string, bracket bool, port uint16) (Target, error) {
	t := Target{Port: port}
	a, err := netip.ParseAddr(host)
	if err == nil {
		if a.Zone() != "" || strings.Contains(host, "%") {
			return Target{}, fmt.Errorf("address %q has a zone", host)
		}
		if bracket != a.Is6() {
			return Target{}, fmt.Errorf("address %q: IPv6, and only IPv6, stands in brackets", host)
		}
		t.Addr = a.Unmap()
		return t, nil
	}
	if bracket {
		return Target{}, fmt.Errorf("%q is not an IPv6 address", host)
	}
	t.Name, err = ParseName(host)
	return t, err
}

// Host returns the name, or the address without brackets.
func (t Target) Host() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Addr.String()
}

// String returns HOST:PORT, which ParseTarget reads back.
func (t Target) String() string { return net.JoinHostPort(t.Host(), strconv.Itoa(int(t.Port))) }

// authority is the Host header for the target, without the scheme's own port.
func (t Target) authority(schemePort uint16) string {
	s := t.String()
	if t.Port == schemePort {
		s = s[:strings.LastIndexByte(s, ':')]
	}
	return s
}
