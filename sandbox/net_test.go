package sandbox

import (
	"net/netip"
	"testing"
)

func TestParseRule(t *testing.T) {
	for in, want := range map[string]string{
		"Example.ORG.:443": "example.org:443", "10.1.2.3:5432": "10.1.2.3/32:5432", "10.0.0.0/8:80": "10.0.0.0/8:80",
		"[2001:db8::1]:80": "[2001:db8::1/128]:80", "2001:db8::/32:80": "[2001:db8::/32]:80", "localhost:8080": "localhost:8080",
		"[::ffff:10.0.0.1]:1": "10.0.0.1/32:1",
	} {
		r, err := parseRule(in)
		if err != nil || r.String() != want {
			t.Errorf("%s: got %s, %v, want %s", in, r, err, want)
		}
	}
	for _, in := range []string{"", "x", "x:", "x:0", "x:65536", "x:-1", ":80", "*:80", "*.x:80", "x..y:80", "-x:80", "bücher.de:80", "u@x:80", "x/y:80", "10.0.0.0/33:80",
		"0x7f.1:80", "127.1:80", "2130706433:80", "169.254.0.0/16:80", "169.254.169.254/32:80", "[fe80::1%eth0]:80", "[fd00:ec2::254]:80", "0.0.0.0:80", "[::]:80", "x%00:80"} {
		if r, err := parseRule(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, r)
		}
	}
}

func TestMetadata(t *testing.T) {
	for in, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "2002:a9fe:a9fe::": true, "::a9fe:a9fe": true,
		"fd00:ec2::254": true, "fe80::1": true, "100.100.100.200": true, "0.0.0.0": true, "224.0.0.1": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "8.8.8.8": false, "2001:4860:4860::8888": false,
	} {
		if got := IsMetadata(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: got %v", in, got)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("example.org:443")
	f.Add("10.0.0.0/8:80")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRule(s)
		if err != nil {
			return
		}
		again, err := parseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q: %v became %v, %v", s, r, again, err)
		}
		if r.host == "" && r.prefix.IsSingleIP() && IsMetadata(r.prefix.Addr()) {
			t.Errorf("%q opens %v", s, r.prefix)
		}
	})
}
