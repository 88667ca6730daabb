package egress

import (
	"net/netip"
	"strings"
)

func prefixes(list string) []netip.Prefix {
	var out []netip.Prefix
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

var (
	// metadata are addresses that hand out credentials of the machine, and link-local ones, where they live.
	metadata = prefixes("169.254.0.0/16 fe80::/10 fd00:ec2::/32 fd20:ce::254/128 100.100.100.200/32 192.0.0.192/32 168.63.129.16/32")

	// special are the ranges that are not of the open internet: private, shared, reserved, documentation, multicast,
	// and those that carry another address within.
	special = prefixes(`0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
		192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
		::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2002::/16
		3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8`)

	// global is what of IPv6 is given out for the open internet.
	global = netip.MustParsePrefix("2000::/3")

	// metadataNames are refused before a look-up: what they resolve to depends on where one asks.
	metadataNames = []string{"metadata.google.internal", "metadata.goog", "metadata.azure.internal", "instance-data", "instance-data.ec2.internal", "metadata"}
)

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// inner strips what makes one address look like another: a zone, and IPv4 within IPv6 in any of its notations.
func inner(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	b := a.As16()
	low := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}: // NAT64
		return low
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
		return netip.AddrFrom4([4]byte(b[2:6]))
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}: // Teredo: the client's address, inverted
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	case [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}: // IPv4-translated
		return low
	case [4]byte(b[8:12]) == [4]byte{0, 0, 0x5e, 0xfe}, [4]byte(b[8:12]) == [4]byte{2, 0, 0x5e, 0xfe}: // ISATAP
		return low
	case [12]byte(b[:12]) == [12]byte{} && !a.IsLoopback() && !a.IsUnspecified(): // IPv4-compatible
		return low
	}
	return a
}

// IsMetadata says whether an address is one that no policy opens: it hands out credentials of the machine, or names no
// single machine at all.
func IsMetadata(a netip.Addr) bool {
	if !a.IsValid() {
		return true
	}
	for _, a := range []netip.Addr{a.Unmap().WithZone(""), inner(a)} {
		if within(a, metadata) || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return true
		}
	}
	return false
}

// IsPublic says whether an address is one of the open internet.
func IsPublic(a netip.Addr) bool {
	if !a.IsValid() || IsMetadata(a) || within(a.Unmap().WithZone(""), special) || within(inner(a), special) {
		return false
	}
	return a.Unmap().Is4() || global.Contains(a.WithZone(""))
}
