//go:build linux

package sandbox_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/egress"
)

const secretValue = "canary-5f1dc0ffee-token"

// internet is what a box's proxy takes for the world: two sites at public addresses that are really on loopback. The
// certificate that httptest has is for example.com.
type internet struct {
	ca    *egress.CA
	roots *x509.CertPool
	sites map[netip.AddrPort]string
	seen  chan string // what arrived at https://example.com
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	ca, err := egress.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &internet{ca: ca, roots: x509.NewCertPool(), sites: map[netip.AddrPort]string{}, seen: make(chan string, 100)}
	answer := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.seen <- r.Host + " " + r.Header.Get("Authorization")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s %q auth=%s\n", r.Method, r.URL.Path, body, r.Header.Get("Authorization"))
	})
	secure, plain := httptest.NewTLSServer(answer), httptest.NewServer(answer)
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	w.roots.AddCert(secure.Certificate())
	w.sites[netip.MustParseAddrPort("93.184.216.34:443")] = secure.Listener.Addr().String()
	w.sites[netip.MustParseAddrPort("93.184.216.34:80")] = plain.Listener.Addr().String()
	return w
}

// egress makes the proxy of a box, with a secret for example.com if the policy allows it.
func (w *internet) egress(n sandbox.Net) (sandbox.Egress, error) {
	p := n.Policy()
	for _, s := range n.Secrets {
		e, err := s.Fill(secretValue)
		if err != nil {
			return nil, err
		}
		p.Secrets = append(p.Secrets, e)
	}
	return egress.New(p, egress.Options{CA: w.ca, Roots: w.roots,
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			switch name {
			case "example.com", "plain.example":
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			case "inside.example":
				return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
			}
			return nil, errors.New("no such host")
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			at, ok := w.sites[to]
			if !ok {
				return nil, fmt.Errorf("nobody is at %s", to)
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", at)
		},
	})
}

// TestEgress runs real programs in a real box: their requests arrive with the secret, and nothing that they can read
// holds it.
func TestEgress(t *testing.T) {
	open(t)
	w := newInternet(t)
	o := options(t)
	o.NewEgress = w.egress
	bundle, err := w.ca.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, bundle, 0o644); err != nil {
		t.Fatal(err)
	}
	o.Roots = file
	b, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := sandbox.Policy{Workspace: t.TempDir(), Net: sandbox.Net{
		Allow:   []string{"example.com:443", "plain.example:80", "inside.example:443"},
		Secrets: []sandbox.Secret{{Name: "api", Hosts: []string{"example.com"}}},
	}}
	python := `python3 - <<'END'
import urllib.request
print(urllib.request.urlopen("https://example.com/py", timeout=10).read().decode(), end="")
END`
	masked := strings.Repeat("*", len("Bearer "+secretValue))
	for _, tc := range []struct{ name, script, out, arrived string }{
		{"curl", "curl -sS --max-time 10 https://example.com/a", `GET /a "" auth=` + masked + "\n", "example.com Bearer " + secretValue},
		{"curl with a token of its own", "curl -sS --max-time 10 -H 'Authorization: mine' -d data https://example.com/b", `POST /b "data" auth=` + masked + "\n", "example.com Bearer " + secretValue},
		{"curl by SOCKS", "curl -sS --max-time 10 -x socks5h://127.0.0.1:3128 https://example.com/c", `GET /c "" auth=` + masked + "\n", "example.com Bearer " + secretValue},
		{"python", python, `GET /py "" auth=` + masked + "\n", "example.com Bearer " + secretValue},
		{"plain HTTP has no secret", "curl -sS --max-time 10 http://plain.example/d", `GET /d "" auth=` + "\n", "plain.example "},
		{"another server name", "curl -sS --max-time 10 --connect-to example.com:443:plain.example:80 https://example.com/ 2>/dev/null || echo refused", "refused\n", ""},
		{"a denied host", "curl -sS --max-time 10 http://evil.example/ | grep -o -- '--net evil.example:80'", "--net evil.example:80\n", ""},
		{"a name for metadata", "curl -sS --max-time 10 https://inside.example/ 2>&1 | grep -o 403", "403\n", ""},
		{"nothing else knows names", "getent hosts example.com || echo none", "none\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, res := run(t, b, p, tc.script)
			if out != tc.out {
				t.Errorf("got %q %+v, want %q", out, res, tc.out)
			}
			select {
			case got := <-w.seen:
				if got != tc.arrived {
					t.Errorf("%q arrived, want %q", got, tc.arrived)
				}
			default:
				if tc.arrived != "" {
					t.Error("nothing arrived")
				}
			}
			if len(res.Egress) == 0 && !strings.Contains(tc.script, "getent") {
				t.Error("the result says nothing of its connections")
			}
			for _, d := range res.Egress {
				if d.Allowed && (d.Rule != d.Host+":"+fmt.Sprint(d.Port) || d.Count != 1) {
					t.Errorf("decision %+v", d)
				}
			}
		})
	}
	t.Run("a search for the secret", func(t *testing.T) {
		// The payload asks with the secret first, and then looks at all that it can read.
		out, res := run(t, b, p, "curl -sS --max-time 10 -v https://example.com/ >answer 2>&1\n"+
			`needle=$(printf %s%s canary-5f1dc0 ffee-token)
env >env.txt; set >set.txt
for f in /proc/[0-9]*; do cat $f/cmdline $f/environ $f/maps 2>/dev/null; done >proc.txt
printf '%s\n' "$needle" >/tmp/needle
grep -aqf /tmp/needle /tmp/needle || echo the search itself does not work
rm /tmp/needle
grep -arlF -- "$needle" answer env.txt proc.txt /etc /home /tmp /run /var /dev/shm `+file+" 2>/dev/null\ngrep -c 'auth=[*]' answer")
		if out != "1\n" || res.Exit != 0 {
			t.Errorf("files that hold the secret, and the answer's count: %q %+v", out, res)
		}
		if got := <-w.seen; got != "example.com Bearer "+secretValue {
			t.Errorf("%q arrived", got)
		}
	})
	t.Run("public mode", func(t *testing.T) {
		p := p
		p.Net = sandbox.Net{Allow: []string{sandbox.Public}}
		out, _ := run(t, b, p, "curl -sS --max-time 10 http://plain.example/ | grep -c GET; curl -sS -o /dev/null -w '%{http_code} ' http://inside.example/; curl -sS -o /dev/null -w '%{http_code}' --noproxy '' http://127.0.0.1:22/")
		if out != "1\n403 403" {
			t.Errorf("got %q", out)
		}
	})
}

// TestNoProxyWithoutSandbox checks that a program which nothing confines isn't sent to a proxy that isn't there.
func TestNoProxyWithoutSandbox(t *testing.T) {
	open(t)
	o := options(t)
	o.Backend, o.AllowNone = "none", true
	b, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := sandbox.Policy{Workspace: t.TempDir(), Net: sandbox.Net{Allow: []string{"ok.example:443"}}, Require: sandbox.LevelNone}
	if out, res := run(t, b, p, "env | grep -ci _proxy="); out != "0\n" {
		t.Errorf("got %q %+v", out, res)
	}
}
