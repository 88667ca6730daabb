package egress_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"agentd/sandbox/egress"
)

// The last check compares what the kernel is asked for with what was judged.
func TestLastCheck(t *testing.T) {
	want := netip.MustParseAddrPort("93.184.216.34:443")
	for _, c := range []struct {
		address string
		ok      bool
	}{{"93.184.216.34:443", true}, {"[::ffff:93.184.216.34]:443", true}, {"93.184.216.35:443", false}, {"93.184.216.34:444", false}, {"127.0.0.1:443", false}, {"169.254.169.254:443", false}, {"name:443", false}} {
		if err := egress.SameAddress(c.address, want); (err == nil) != c.ok || err != nil && !errors.Is(err, egress.ErrRefused) {
			t.Errorf("%s: %v, want ok %v", c.address, err, c.ok)
		}
	}
	if err := egress.SameAddress("169.254.169.254:80", netip.MustParseAddrPort("169.254.169.254:80")); err == nil {
		t.Error("metadata passes the last check")
	}
}

func TestSystemDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := egress.SystemDial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	// Refused before a packet is sent.
	if _, err := egress.SystemDial(t.Context(), netip.MustParseAddrPort("169.254.169.254:80")); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("metadata: %v, want ErrRefused", err)
	}
}

// A value is masked wherever reads are cut, and nothing else is changed.
func TestRedact(t *testing.T) {
	s := egress.Secret{Value: "Bearer aaaabaaaab"}
	text := "x aaaabaaaaaaabaaaab Bearer aaaabaaaab aaaabaaaa Bearer aaaabaaa\naaaabaaaab"
	mask := func(s string) string { return strings.Repeat("*", len(s)) }
	want := strings.ReplaceAll(text, "Bearer aaaabaaaab", mask("Bearer aaaabaaaab"))
	want = strings.ReplaceAll(want, "aaaabaaaab", mask("aaaabaaaab"))
	for name, src := range map[string]io.Reader{
		"whole": strings.NewReader(text), "bytewise": iotest.OneByteReader(strings.NewReader(text)), "half": iotest.HalfReader(strings.NewReader(text)), "with error": iotest.DataErrReader(strings.NewReader(text)),
	} {
		got, err := io.ReadAll(egress.Redact(src, s))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	plain := bytes.Repeat([]byte("aaaabaaaa."), 10_000)
	if got, err := io.ReadAll(iotest.OneByteReader(egress.Redact(bytes.NewReader(plain), s))); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("text without the value was changed, %v", err)
	}
}
