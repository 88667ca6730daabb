package egress_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"agentd/sandbox/egress"

	"github.com/google/go-cmp/cmp"
)

func TestBadPolicies(t *testing.T) {
	ok := func(change func(*egress.Secret)) egress.Policy {
		s := egress.Secret{Name: "token", Header: "Authorization", Value: "Bearer abc", Hosts: []string{"ok.example"}}
		change(&s)
		return egress.Policy{Allow: []string{"ok.example"}, Secrets: []egress.Secret{s}}
	}
	if err := ok(func(*egress.Secret) {}).Check(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		field string
		p     egress.Policy
	}{
		{"mode", egress.Policy{Mode: "open"}},
		{"mode", egress.Policy{Mode: egress.ModeNone, Allow: []string{"ok.example"}}},
		{"ports", egress.Policy{Mode: egress.ModePublic, Ports: []uint16{0}}},
		{"limits.bytes", egress.Policy{Limits: egress.Limits{Bytes: -1}}},
		{"limits.conns", egress.Policy{Limits: egress.Limits{Conns: -1}}},
		{"limits.idle", egress.Policy{Limits: egress.Limits{Idle: -1}}},
		{"limits.total", egress.Policy{Limits: egress.Limits{Total: -1}}},
		{"secrets[0].name", ok(func(s *egress.Secret) { s.Name = "" })},
		{"secrets[0].header", ok(func(s *egress.Secret) { s.Header = "A B" })},
		{"secrets[0].header", ok(func(s *egress.Secret) { s.Header = "Host" })},
		{"secrets[0].header", ok(func(s *egress.Secret) { s.Header = "Content-Length" })},
		{"secrets[0].value", ok(func(s *egress.Secret) { s.Value = "" })},
		{"secrets[0].value", ok(func(s *egress.Secret) { s.Value = "a\r\nX: y" })},
		{"secrets[0].hosts", ok(func(s *egress.Secret) { s.Hosts = nil })},
		{"secrets[0].hosts[1]", ok(func(s *egress.Secret) { s.Hosts = append(s.Hosts, "other.example") })},
		{"secrets[0].hosts[0]", ok(func(s *egress.Secret) { s.Hosts = []string{"*.ok.example"} })},
		{"secrets[0].hosts[0]", ok(func(s *egress.Secret) { s.Hosts = []string{"93.184.216.34"} })},
	}
	for _, pattern := range []string{
		"", "*", "*.", "*.*", "*:443", "*.:443", "*.com", "a.*.example", "*ok.example", "ok.*", "**.ok.example", "bücher.example", "*.bücher.example", "ok.example:0", "ok.example:", "ok.example:99999",
		"ok.example:x", "ok.example:-1", "ok.example:080", "https://ok.example", "ok.example/path", "user@ok.example", "ok..example", ".", "..", "-ok.example", "o k.example", "ok.example:80:80",
		"10.0.0.0/33:80", "10.0.0.0/-1:80", "10.0.0.0/8", "10.0.0.0/8:0", "10.0.0.1", "10.0.0/8:80", "[::1]", "::1", "::1:80", "[::1", "[]:80", "[fe80::1%eth0]:80", "[::ffff:10.0.0.0/104]:80", "2130706433:80", "0x7f.1:80", "127.1:80",
		"169.254.169.254:80", "169.254.0.0/16:80", "[fe80::/10]:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "metadata.google.internal:80", "Metadata.Google.Internal.", "0.0.0.0:80", "[::]:80", "224.0.0.1:80",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example",
	} {
		cases = append(cases, struct {
			field string
			p     egress.Policy
		}{"allow[1]", egress.Policy{Allow: []string{"ok.example", pattern}}})
	}
	for _, c := range cases {
		_, err := egress.New(c.p, egress.Options{})
		bad, ok := errors.AsType[*egress.PolicyError](err)
		if !ok || bad.Field != c.field || bad.Reason == "" {
			t.Errorf("%q: %v, want an error about %s", fmt.Sprint(c.p.Allow), err, c.field)
		}
	}
	if _, err := egress.New(ok(func(*egress.Secret) {}), egress.Options{}); err == nil {
		t.Error("secrets without a CA: no error")
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"OK.example.", "ok.example"}, {"ok.example:8443", "ok.example:8443"}, {"*.OK.example", "*.ok.example"}, {"*.ok.example.:443", "*.ok.example:443"},
		{"10.1.2.3/8:80", "10.0.0.0/8:80"}, {"10.1.2.3:80", "10.1.2.3:80"}, {"10.1.2.3/32:80", "10.1.2.3:80"}, {"[fd00::1]:80", "[fd00::1]:80"},
		{"[fd00::1/8]:80", "[fd00::/8]:80"}, {"fd00::/8:80", "[fd00::/8]:80"}, {"[::ffff:10.0.0.1]:80", "10.0.0.1:80"}, {"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"ollama:11434", "ollama:11434"}, {"127.0.0.1:11434", "127.0.0.1:11434"}, {"_dmarc.ok.example", "_dmarc.ok.example"},
	} {
		r, err := egress.ParseRule(c.in)
		if err != nil || r.String() != c.want {
			t.Errorf("ParseRule(%q) = %q, %v, want %q", c.in, r, err, c.want)
		}
	}
}

// A suffix names what is below it, not itself and not what merely ends alike.
func TestMatching(t *testing.T) {
	allow := []string{"a.example", "*.b.example", "*.c.example:8443", "a.example:22"}
	for _, c := range []struct {
		host string
		ok   bool
	}{
		{"a.example:443", true}, {"a.example:80", true}, {"a.example:22", true}, {"a.example:8080", false}, {"x.a.example:443", false},
		{"x.b.example:443", true}, {"x.y.b.example:443", true}, {"b.example:443", false}, {"xb.example:443", false}, {"b.example.evil.example:443", false},
		{"x.c.example:8443", true}, {"x.c.example:443", false},
	} {
		w := newWorld()
		name, _, _ := strings.Cut(c.host, ":")
		w.name(name, public)
		x, _ := w.proxy(t, egress.Policy{Allow: allow}, egress.Options{})
		_, err := x.Dial(t.Context(), "tcp", c.host)
		if refused := errors.Is(err, egress.ErrRefused); refused == c.ok || w.asked() != map[bool]int{true: 1}[c.ok] {
			t.Errorf("%s: %v after %d queries, want allowed %v", c.host, err, w.asked(), c.ok)
		}
	}
	x, err := egress.New(egress.Policy{}, egress.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Dial(t.Context(), "tcp", "a.example:443"); !errors.Is(err, egress.ErrRefused) || !strings.Contains(err.Error(), "no network") {
		t.Errorf("the zero policy: %v", err)
	}
	if _, err := x.Dial(t.Context(), "udp", "a.example:443"); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("udp: %v", err)
	}
}

func TestDecodePolicy(t *testing.T) {
	want := egress.Policy{Mode: egress.ModeAllow, Allow: []string{"ok.example"}, Ports: []uint16{443}, Limits: egress.Limits{Bytes: 5},
		Secrets: []egress.Secret{{Name: "t", Header: "X-Key", Hosts: []string{"ok.example"}}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := egress.DecodePolicy(text)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("decoded %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "[]", `{"mode":"allow"} {}`, `{"modes":"allow"}`, `{"allow":["*"]}`, `{"secrets":[{"name":"t","value":"x"}]}`, `{"ports":[70000]}`, `{"allow":"` + strings.Repeat("a", 1<<20) + `"}`} {
		if _, err := egress.DecodePolicy([]byte(bad)); err == nil {
			t.Errorf("%.60s: no error", bad)
		}
	}
}

// Neither printing nor encoding a policy shows the value of a secret.
func TestSecretIsNotPrinted(t *testing.T) {
	p := egress.Policy{Allow: []string{"ok.example"}, Secrets: []egress.Secret{{Name: "t", Header: "X-Key", Value: "canary-5f1d", Hosts: []string{"ok.example"}}}}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(text), fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s", p, p, p, p.Secrets[0]), p.Secrets[0].LogValue().String()} {
		if strings.Contains(s, "canary") {
			t.Errorf("%s", s)
		}
	}
}

func TestManyDecisionsAreBounded(t *testing.T) {
	w := newWorld()
	x, _ := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	for i := range 2000 {
		x.Dial(t.Context(), "tcp", fmt.Sprintf("h%d.example:443", i))
	}
	d := x.Decisions()
	var count int64
	for _, one := range d {
		count += one.Count
	}
	if len(d) > 513 || count != 2000 || d[0].Host != "h0.example" {
		t.Errorf("%d decisions, %d counted, first %+v", len(d), count, d[0])
	}
}
