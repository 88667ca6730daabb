package egress_test

import (
	"net/netip"
	"testing"

	"agentd/sandbox/egress"
)

// Every range that isn't of the open internet is tried at its first and last address, in all ways of writing it.
func TestPublic(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0", "127.255.255.255", "169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255",
		"192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255",
		"203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255", "168.63.129.16", "100.100.100.200",
		"::", "::1", "::2", "64:ff9b::1", "64:ff9b:1::1", "64:ff9b::5db8:d822", "100::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002::1", "2002:5db8:d822::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1",
		"ff02::1", "fd00:ec2::254", "fd20:ce::254", "4000::1", "8000::1", "::5db8:d822", "::ffff:0:5db8:d822", "2001:4860::5efe:a00:1", "2001:4860::200:5efe:7f00:1",
	} {
		a := netip.MustParseAddr(s)
		if egress.IsPublic(a) || egress.IsPublic(a.WithZone("eth0")) {
			t.Errorf("%s is public", s)
		}
		if a.Is4() && egress.IsPublic(netip.AddrFrom16(a.As16())) {
			t.Errorf("::ffff:%s is public", s)
		}
	}
	for _, s := range []string{"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
		"192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "::ffff:1.1.1.1"} {
		if a := netip.MustParseAddr(s); !egress.IsPublic(a) || egress.IsMetadata(a) {
			t.Errorf("%s is not public", s)
		}
	}
	for s, want := range map[string]bool{"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "2002:a9fe:a9fe::": true, "::a9fe:a9fe": true, "fe80::1": true, "0.0.0.0": true, "224.0.0.1": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false} {
		if got := egress.IsMetadata(netip.MustParseAddr(s)); got != want {
			t.Errorf("IsMetadata(%s) = %v", s, got)
		}
	}
}
