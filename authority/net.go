package authority

import (
	"net/netip"
	"strings"

	"agentd/goals"
)

// covers reports whether all that a rule opens is opened by one of the others. Where that can't be told it is not.
func covers(rules []string, want string) bool {
	for _, r := range rules {
		if r == "*" || coversOne(r, want) {
			return true
		}
	}
	return false
}

func coversOne(rule, want string) bool {
	if rule == "public" || want == "public" {
		return rule == want // a name may lead to an address that is not public
	}
	host, port := split(rule)
	wantHost, wantPort := split(want)
	if port != "*" && port != wantPort {
		return false
	}
	if p, ok := prefix(host); ok {
		w, ok := prefix(wantHost)
		return ok && p.Bits() <= w.Bits() && p.Contains(w.Addr())
	}
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		_, isAddr := prefix(wantHost)
		return !isAddr && (strings.HasSuffix(strings.TrimPrefix(wantHost, "*"), "."+suffix))
	}
	return host == wantHost
}

// split takes a rule apart, in lower case; a port that is missing is 443.
func split(rule string) (host, port string) {
	rule = goals.WithPort(strings.ToLower(rule))
	i := strings.LastIndexByte(rule, ':')
	host = strings.TrimSuffix(strings.TrimPrefix(rule[:i], "["), "]")
	return strings.TrimSuffix(host, "."), rule[i+1:]
}

// prefix reads an address or a network of them.
func prefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	return netip.Prefix{}, false
}
