package egress_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentd/sandbox/egress"
)

const canary = "canary-c0ffee-5f1d-token"

// authorised is a site that answers with what it was sent, as a careless one would.
func authorised(t *testing.T, seen *http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = r.Header.Clone()
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "https://other.example/", http.StatusFound)
			return
		case "/split":
			for _, part := range []string{"x" + canary[:5], canary[5:11], canary[11:] + "y"} {
				io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
			return
		}
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "auth=%s body=%s", r.Header.Get("Authorization"), body)
	})
}

func secretWorld(t *testing.T) (w *world, x *egress.Proxy, addr string, ca *egress.CA, siteRoots *x509.CertPool, seen, other *http.Header) {
	t.Helper()
	w = newWorld()
	w.name("api.example", public)
	w.name("other.example", public2)
	seen, other = &http.Header{}, &http.Header{}
	siteCA, err := egress.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.secureSiteOf(t, siteCA, public+":443", "api.example", authorised(t, seen))
	w.secureSiteOf(t, siteCA, public2+":443", "other.example", authorised(t, other))
	w.site(t, public+":80", authorised(t, other))
	siteRoots = pool(t, siteCA)
	if ca, err = egress.NewCA(nil); err != nil {
		t.Fatal(err)
	}
	x, addr = w.proxy(t, egress.Policy{Allow: []string{"api.example", "other.example"}, Secrets: []egress.Secret{
		{Name: "api", Header: "Authorization", Value: "Bearer " + canary, Hosts: []string{"api.example"}},
	}}, egress.Options{CA: ca, Roots: siteRoots})
	return w, x, addr, ca, siteRoots, seen, other
}

func TestSecretIsInjected(t *testing.T) {
	_, x, addr, ca, siteRoots, seen, other := secretWorld(t)
	read := func(c *http.Client, method, url string) (string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("data"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "placeholder")
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), res.Header
	}
	for name, c := range map[string]*http.Client{"box": client(addr, pool(t, ca)), "daemon": x.Client()} {
		*seen = nil
		body, header := read(c, "POST", "https://api.example/")
		if got := (*seen)["Authorization"]; len(got) != 1 || got[0] != "Bearer "+canary {
			t.Errorf("%s: the site saw %q, want the secret alone", name, got)
		}
		if strings.Contains(body, canary) || !strings.Contains(body, "body=data") || strings.Contains(header.Get("X-Echo"), canary) {
			t.Errorf("%s: the answer holds the secret: %q %v", name, body, header)
		}
		if body, _ := read(c, "GET", "https://api.example/split"); body != "x"+strings.Repeat("*", len(canary))+"y" {
			t.Errorf("%s: an answer in pieces: %q", name, body)
		}
	}
	for name, c := range map[string]*http.Client{"box": client(addr, siteRoots), "daemon": x.Client()} {
		*other = nil
		read(c, "GET", "https://other.example/")
		if got := other.Get("Authorization"); got != "placeholder" {
			t.Errorf("%s: another host saw %q, want what the program sent", name, got)
		}
		*other = nil
		read(c, "GET", "http://api.example/")
		if got := other.Get("Authorization"); got != "placeholder" {
			t.Errorf("%s: without TLS the host saw %q, want what the program sent", name, got)
		}
	}
	// A redirect takes nothing along.
	*other = nil
	res, err := x.Client().Get("https://api.example/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := other.Get("Authorization"); got != "" {
		t.Errorf("after a redirect another host saw %q", got)
	}
}

// Hosts without a secret keep their own certificate: their TLS is not ended here.
func TestOnlyHostsWithSecretsAreIntercepted(t *testing.T) {
	_, _, addr, ca, siteRoots, _, _ := secretWorld(t)
	if _, err := client(addr, pool(t, ca)).Get("https://other.example/"); err == nil {
		t.Error("other.example has a certificate of the daemon's CA")
	}
	if _, err := client(addr, siteRoots).Get("https://api.example/"); err == nil {
		t.Error("api.example has its own certificate, want one of the daemon's CA")
	}
}

func TestInterceptedRequestsAreJudged(t *testing.T) {
	_, _, addr, ca, _, seen, _ := secretWorld(t)
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", "GET https://other.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "CONNECT other.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: api.example\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		*seen = nil
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "CONNECT api.example:443 HTTP/1.1\r\n\r\n")
		http.ReadResponse(bufio.NewReader(conn), nil)
		secure := tls.Client(conn, &tls.Config{ServerName: "api.example", RootCAs: pool(t, ca)})
		io.WriteString(secure, text)
		answer, _ := io.ReadAll(secure)
		conn.Close()
		if s := status(string(answer)); s != "400" && s != "403" || *seen != nil {
			t.Errorf("%q: status %s, the site saw %v", text, s, *seen)
		}
	}
}

// The proxy itself demands the host's real certificate before it sends the secret.
func TestSecretNeedsTheRightHost(t *testing.T) {
	w := newWorld()
	w.name("api.example", public)
	var seen http.Header
	w.secureSite(t, public+":443", "api.example", authorised(t, &seen)) // by a CA that nobody trusts
	ca, err := egress.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"api.example"}, Secrets: []egress.Secret{
		{Name: "api", Header: "Authorization", Value: "Bearer " + canary, Hosts: []string{"api.example"}},
	}}, egress.Options{CA: ca, Roots: pool(t, ca)})
	res, err := client(addr, pool(t, ca)).Get("https://api.example/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadGateway || seen != nil {
		t.Errorf("%s, the site saw %v", res.Status, seen)
	}
	if _, err := x.Client().Get("https://api.example/"); err == nil || seen != nil {
		t.Errorf("the daemon's client: %v, the site saw %v", err, seen)
	}
}

func TestTransportChecksTheRequest(t *testing.T) {
	w := newWorld()
	w.name("ok.example", public)
	w.site(t, public+":80", hello())
	x, _ := w.proxy(t, egress.Policy{Allow: []string{"ok.example"}}, egress.Options{})
	for _, c := range []struct {
		url, host string
		ok        bool
	}{
		{"http://OK.example./", "", true}, {"http://ok.example:80/", "ok.example", true}, {"http://ok.example/", "evil.example", false}, {"http://u:p@ok.example/", "", false},
		{"ftp://ok.example/", "", false}, {"http://169.254.169.254/", "", false}, {"http://bücher.example/", "", false}, {"http://2130706433/", "", false}, {"http://ok.example:22/", "", false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.host != "" {
			req.Host = c.host
		}
		res, err := x.Client().Do(req)
		if err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if !strings.Contains(string(body), "host=ok.example ") {
				t.Errorf("%s: %s", c.url, body)
			}
		}
		if (err == nil) != c.ok || err != nil && !errors.Is(err, egress.ErrRefused) {
			t.Errorf("%s with Host %q: %v, want ok %v", c.url, c.host, err, c.ok)
		}
	}
}

func TestCA(t *testing.T) {
	now := time.Now()
	ca, err := egress.NewCA(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	leaf := func() *x509.Certificate {
		l, err := egress.Leaf(ca, "api.example")
		if err != nil {
			t.Fatal(err)
		}
		return l.Leaf
	}
	first := leaf()
	if _, err := first.Verify(x509.VerifyOptions{DNSName: "api.example", Roots: pool(t, ca), CurrentTime: now}); err != nil {
		t.Error(err)
	}
	if _, err := first.Verify(x509.VerifyOptions{DNSName: "other.example", Roots: pool(t, ca), CurrentTime: now}); err == nil {
		t.Error("the certificate is good for another host")
	}
	if life := first.NotAfter.Sub(now); life > 25*time.Hour || first.IsCA {
		t.Errorf("the certificate lives %s, CA %v", life, first.IsCA)
	}
	if leaf() != first {
		t.Error("a second certificate while the first is fresh")
	}
	now = now.Add(13 * time.Hour)
	if again := leaf(); again == first || !again.NotAfter.After(first.NotAfter) {
		t.Error("no new certificate after half of its life")
	}
	bundle, err := ca.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rest := bundle; ; n++ {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			t.Errorf("the bundle holds a %s", b.Type)
		}
	}
	if n == 0 || !strings.HasSuffix(string(bundle), string(ca.PEM())) {
		t.Errorf("the bundle holds %d certificates, want the CA's as the last", n)
	}
	if env := egress.TrustEnv("/f"); env["SSL_CERT_FILE"] != "/f" || env["NODE_EXTRA_CA_CERTS"] != "/f" {
		t.Errorf("TrustEnv: %v", env)
	}
}

// A secret is for one port of a host, and for TLS only, also where plain HTTP is spoken at that port.
func TestSecretIsForOnePort(t *testing.T) {
	w := newWorld()
	w.name("api.example", public)
	var plain, secure http.Header
	w.site(t, public+":443", authorised(t, &plain))
	roots := w.secureSite(t, public+":8443", "api.example", authorised(t, &secure))
	ca, err := egress.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	x, addr := w.proxy(t, egress.Policy{Allow: []string{"api.example:443", "api.example:8443"}, Secrets: []egress.Secret{
		{Name: "api", Header: "Authorization", Value: "Bearer " + canary, Hosts: []string{"api.example"}},
	}}, egress.Options{CA: ca, Roots: roots})
	for name, c := range map[string]*http.Client{"box": client(addr, roots), "daemon": x.Client()} {
		for url, seen := range map[string]*http.Header{"http://api.example:443/": &plain, "https://api.example:8443/": &secure} {
			*seen = nil
			res, err := c.Get(url)
			if err != nil {
				t.Errorf("%s, %s: %v", name, url, err)
				continue
			}
			res.Body.Close()
			if *seen == nil || seen.Get("Authorization") != "" {
				t.Errorf("%s, %s: the site saw %v, want a request without the secret", name, url, *seen)
			}
		}
	}
	if got := say(t, addr, "CONNECT api.example:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: api.example:443\r\n\r\n"); strings.Contains(got, canary) || !strings.Contains(got, "auth= ") {
		t.Errorf("plain HTTP in a tunnel: %q", got)
	}
}
