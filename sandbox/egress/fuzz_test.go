package egress_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"agentd/sandbox/egress"
)

var hosts = []string{
	"ok.example:443", "OK.example.:80", "127.1:80", "0x7f.1:80", "2130706433:80", "[::ffff:169.254.169.254]:80", "169.254.169.254:80", "user@ok.example:443", "[fe80::1%25eth0]:80",
	"xn--bcher-kva.example:443", "bücher.example:443", "a\\b:80", "ok.example:443:443", "ok.example%2eevil:80", "[64:ff9b::a9fe:a9fe]:80", "1.1.1.1.:443", "0300.1.1.1:80", "*.ok.example:443", "10.0.0.0/8:80",
}

// FuzzTarget compares what the proxy takes for the host with what it looks up and dials, and with how net/url and
// netip read the same text.
func FuzzTarget(f *testing.F) {
	for _, h := range hosts {
		f.Add(h)
	}
	allowAll := egress.Policy{Mode: egress.ModePublic, Ports: []uint16{80, 443, 8080}}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := egress.ParseTarget(s, 443)
		var queried []string
		var dialled []netip.AddrPort
		answer := netip.MustParseAddr(public)
		x, nerr := egress.New(allowAll, egress.Options{
			Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
				queried = append(queried, name)
				return []netip.Addr{answer}, nil
			},
			Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
				dialled = append(dialled, to)
				return nil, errNobody
			},
		})
		if nerr != nil {
			t.Fatal(nerr)
		}
		egress.SetInterfaces(x)
		_, derr := x.Dial(t.Context(), "tcp", s)
		if err != nil {
			if !errors.Is(derr, egress.ErrRefused) || len(queried)+len(dialled) > 0 {
				t.Fatalf("%q can't be read (%v), but: queries %v, dials %v, %v", s, err, queried, dialled, derr)
			}
			return
		}
		again, err := egress.ParseTarget(target.String(), 0)
		if err != nil || again != target {
			t.Fatalf("%q reads as %s, which reads as %s, %v", s, target, again, err)
		}
		if target.Name != "" {
			if _, err := netip.ParseAddr(target.Name); err == nil {
				t.Fatalf("%q: the name %q is an address", s, target.Name)
			}
			if strings.ToLower(target.Name) != target.Name || strings.ContainsAny(target.Name, "@%/\\:[] \x00") {
				t.Fatalf("%q: the name %q isn't normalised", s, target.Name)
			}
		}
		for _, q := range queried {
			if q != target.Name {
				t.Fatalf("%q: judged %s, looked %s up", s, target, q)
			}
		}
		for _, d := range dialled {
			want := answer
			if target.Name == "" {
				want = target.Addr
			}
			if d != netip.AddrPortFrom(want, target.Port) || !egress.IsPublic(d.Addr()) {
				t.Fatalf("%q: judged %s, dialled %s", s, target, d)
			}
		}
		// Another parser that takes the text as the host of a URL must mean the same.
		if u, err := url.Parse("http://" + s + "/"); err == nil {
			name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
			if a, err := netip.ParseAddr(name); err == nil {
				name = a.Unmap().String()
			}
			if name != target.Host() || u.User != nil {
				t.Fatalf("%q: judged %s, net/url reads %q", s, target, name)
			}
		} else {
			t.Fatalf("%q: judged %s, net/url refuses it: %v", s, target, err)
		}
	})
}

// FuzzRule checks that a pattern means the same when it is printed and read again, and never names metadata.
func FuzzRule(f *testing.F) {
	for _, h := range hosts {
		f.Add(h)
	}
	f.Add("*.")
	f.Add("[fd00::/8]:80")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := egress.ParseRule(s)
		if err != nil {
			return
		}
		again, err := egress.ParseRule(r.String())
		if err != nil || again != r {
			t.Fatalf("%q reads as %q, which reads as %+v, %v", s, r, again, err)
		}
		if r.Host == "" && (r.Port == 0 || egress.IsMetadata(r.Prefix.Addr()) && r.Prefix.IsSingleIP()) {
			t.Fatalf("%q was read as %+v", s, r)
		}
	})
}

// FuzzAddress checks that no way of writing IPv4 within IPv6 makes a private address public.
func FuzzAddress(f *testing.F) {
	for _, a := range []string{"169.254.169.254", "10.0.0.1", "127.0.0.1", "93.184.216.34", "fd00:ec2::254"} {
		f.Add(netip.MustParseAddr(a).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		if egress.IsPublic(a) && egress.IsMetadata(a) {
			t.Fatalf("%s is both", a)
		}
		std := a.Unmap()
		if egress.IsPublic(a) && (std.IsPrivate() || std.IsLoopback() || std.IsLinkLocalUnicast() || std.IsMulticast() || std.IsUnspecified() || !std.IsGlobalUnicast()) {
			t.Fatalf("%s is public", a)
		}
		if !a.Is4() || egress.IsPublic(a) {
			return
		}
		four := a.As4()
		for _, prefix := range []string{"::ffff:0:0", "::", "64:ff9b::", "::ffff:0:0:0"} {
			six := netip.MustParseAddr(prefix).As16()
			copy(six[12:], four[:])
			if w := netip.AddrFrom16(six); egress.IsPublic(w) || egress.IsMetadata(a) && !egress.IsMetadata(w) {
				t.Fatalf("%s within IPv6 as %s is let through", a, w)
			}
		}
		six := [16]byte{0x20, 0x02}
		copy(six[2:], four[:])
		if w := netip.AddrFrom16(six); egress.IsPublic(w) {
			t.Fatalf("%s within IPv6 as %s is let through", a, w)
		}
	})
}

// FuzzPolicy checks that what is decoded can be used, and means the same when it is encoded and decoded again.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"mode":"allow","allow":["ok.example","*.b.example:443","10.0.0.0/8:80"],"ports":[443],"limits":{"bytes":5,"idle":1000}}`))
	f.Add([]byte(`{"mode":"public"}`))
	f.Add([]byte(`{"allow":["ok.example"],"secrets":[{"name":"t","header":"X-Key","hosts":["ok.example"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := egress.DecodePolicy(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := egress.DecodePolicy(text)
		if err != nil {
			t.Fatalf("%s encodes as %s: %v", b, text, err)
		}
		if more, _ := json.Marshal(again); string(more) != string(text) {
			t.Fatalf("%s, then %s", text, more)
		}
		if len(p.Secrets) == 0 {
			if _, err := egress.New(p, egress.Options{}); err != nil {
				t.Fatalf("%s was decoded, but: %v", b, err)
			}
		}
	})
}

// FuzzHead compares the strict parser with that of net/http: what is taken here must be taken there, with the same
// meaning, before and after it is written anew.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET http://ok.example/a?b HTTP/1.1\r\nHost: ok.example\r\n\r\n", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 4\r\n\r\nbody",
		"POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "CONNECT ok.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://ok.example HTTP/1.1\r\nHost: ok.example\r\nConnection: a, b\r\nA: 1\r\n\r\n", "GET http://ok.example/ HTTP/1.1\nHost: a\n\n", "GET http://ok.example/ HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := egress.ReadHead(b)
		if err != nil {
			return
		}
		std, err := egress.StandardRequest(b)
		if err != nil {
			// net/http also parses the URL; only its refusals of the rest would be a difference in framing.
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid method") {
				return
			}
			t.Fatalf("%q is taken, net/http says %v", b, err)
		}
		if h.Method != std.Method || h.Length != std.ContentLength && !(h.Length == 0 && std.ContentLength <= 0) {
			t.Fatalf("%q: %s with %d bytes, net/http reads %s with %d", b, h.Method, h.Length, std.Method, std.ContentLength)
		}
		if h.Chunked != reflect.DeepEqual(std.TransferEncoding, []string{"chunked"}) {
			t.Fatalf("%q: chunked %v, net/http reads %v", b, h.Chunked, std.TransferEncoding)
		}
		if h.Target == nil {
			return
		}
		if u := std.URL; u.User != nil || !sameHost(u.Host, *h.Target) {
			t.Fatalf("%q: judged %s, net/http reads %q", b, h.Target, u.Host)
		}
		out, err := egress.StandardRequest(h.Written)
		if err != nil {
			t.Fatalf("%q is sent on as %q: %v", b, h.Written, err)
		}
		if out.Method != h.Method || !sameHost(out.Host, *h.Target) || out.ContentLength != std.ContentLength && !(out.ContentLength <= 0 && std.ContentLength <= 0) ||
			reflect.DeepEqual(out.TransferEncoding, []string{"chunked"}) != h.Chunked || !out.Close {
			t.Fatalf("%q is sent on as %q", b, h.Written)
		}
		for _, name := range []string{"Proxy-Authorization", "Proxy-Connection", "Te", "Keep-Alive"} {
			if out.Header.Get(name) != "" {
				t.Fatalf("%q is sent on with %s", b, name)
			}
		}
	})
}

func sameHost(s string, t egress.Target) bool {
	got, err := egress.ParseTarget(s, 80)
	return err == nil && got == t
}

// FuzzHello compares the server name with what crypto/tls reads.
func FuzzHello(f *testing.F) {
	for _, name := range []string{"ok.example", "", "x.y.z"} {
		f.Add(egress.HelloOf(name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		name, took, err := egress.ReadHello(b)
		if err != nil {
			return
		}
		if took > len(b) || took < 5 {
			t.Fatalf("took %d bytes of %d", took, len(b))
		}
		std, ok := egress.StandardServerName(b)
		if ok && std != strings.TrimSuffix(name, ".") && std != name {
			t.Fatalf("server name %q, crypto/tls reads %q", name, std)
		}
	})
}

// FuzzSOCKS checks that no request makes the proxy dial what it didn't judge, and that it always ends.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x0aok.example\x01\xbb"))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\xa9\xfe\xa9\xfe\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != 5 {
			return
		}
		x, err := egress.New(egress.Policy{Mode: egress.ModePublic}, egress.Options{
			Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
				if n, err := egress.ParseName(name); err != nil || n != name {
					t.Errorf("looked %q up", name)
				}
				return []netip.Addr{netip.MustParseAddr(public)}, nil
			},
			Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
				if !egress.IsPublic(to.Addr()) || to.Port() != 80 && to.Port() != 443 {
					t.Errorf("dialled %s", to)
				}
				return nil, errNobody
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		egress.SetInterfaces(x)
		x.Serve(t.Context(), egress.NewScript(b))
	})
}
