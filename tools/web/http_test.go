package web_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"agentd/sandbox"
	"agentd/sandbox/egress"
	"agentd/tools"
	"agentd/tools/args"
	"agentd/tools/web"
)

// site serves pages on loopback and counts what it is asked.
func site(t *testing.T) (*httptest.Server, *[]string) {
	var seen []string
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		fmt.Fprint(w, "<title>T</title><nav>menu</nav><article><h1>Caf\xe9</h1><p>", strings.Repeat("Words of the article. ", 30), "</p><script>evil()</script></article>")
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"method":%q,"type":%q,"x":%q}`, r.Method, r.Header.Get("Content-Type"), r.Header.Get("X-Mine"))
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		for range 10 << 10 {
			fmt.Fprint(w, strings.Repeat("0123456789abcde\n", 64))
		}
	})
	mux.HandleFunc("/binary", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte{0, 1, 2, 3}) })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "gone", http.StatusGone) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	})
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/json", http.StatusTemporaryRedirect)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s, &seen
}

func proxies(looked *[]string) func(sandbox.Net) (*egress.Proxy, error) {
	return func(n sandbox.Net) (*egress.Proxy, error) {
		return egress.New(n.Policy(), egress.Options{Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			*looked = append(*looked, name)
			return nil, errors.New("no such name")
		}})
	}
}

func TestHTTP(t *testing.T) {
	s, seen := site(t)
	var looked []string
	tool := web.NewHTTP(proxies(&looked))
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	env := tools.Env{Policy: sandbox.Policy{Net: sandbox.Net{Allow: []string{"127.0.0.1/32:" + port, "open.example:443"}}}}
	for _, tc := range []struct {
		raw  string
		ok   bool
		want []string
		not  string
	}{
		{`{"url":"%s/page"}`, true, []string{"200 OK", "Café", "> Words of the article."}, "evil()"},
		{`{"url":"%s/page","raw":true}`, true, []string{"evil()"}, ""},
		{`{"url":"%s/json","headers":"X-Mine: 7"}`, true, []string{`"method": "GET"`, `"x": "7"`}, ""},
		{`{"url":"%s/json","method":"POST","body":"{}"}`, true, []string{`"method": "POST"`, `"type": "application/json"`}, ""},
		{`{"url":"%s/json","query":".method, (.|keys|length)"}`, true, []string{"> GET\n> 3\n"}, "{"},
		{`{"url":"%s/json","query":".nothing.at[0]"}`, true, []string{"> null"}, ""},
		{`{"url":"%s/json","query":".method.x"}`, true, []string{"the query gave nothing", "string"}, ""},
		{`{"url":"%s/json","query":"env|length"}`, true, []string{"> 0"}, ""},
		{`{"url":"%s/json","query":"def f: f; f"}`, true, []string{"the query gave nothing"}, ""},
		{`{"url":"%s/page","query":"."}`, true, []string{"is no JSON"}, ""},
		{`{"url":"%s/big"}`, true, []string{"more than 8 MB", "-- page 1 of"}, ""},
		{`{"url":"%s/big","page":3}`, true, []string{"-- page 3 of"}, ""},
		{`{"url":"%s/binary"}`, true, []string{"[4 bytes of", "which is no text"}, ""},
		{`{"url":"%s/gone"}`, false, []string{"410 Gone", "> gone"}, ""},
		{`{"url":"%s/loop"}`, false, []string{"no answer", "10 redirects"}, ""},
		{`{"url":"%s/away"}`, false, []string{"no answer", "never opened"}, ""},
		{`{"url":"%s/there"}`, true, []string{"address: ", `"method": "GET"`}, ""},
		{`{"url":"%s/there","method":"POST","body":"x"}`, true, []string{"307", "location: /json"}, `"method"`},
		{`{"url":"http://127.0.0.1:1/"}`, false, []string{"no answer"}, ""},
		{`{"url":"https://closed.example/"}`, false, []string{"not on the list"}, ""},
		{`{"url":"http://169.254.169.254/"}`, false, []string{"never opened"}, ""},
	} {
		raw := tc.raw
		if strings.Contains(raw, "%s") {
			raw = fmt.Sprintf(raw, s.URL)
		}
		a, err := tool.Decode([]byte(raw))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		res, err := tool.Run(t.Context(), env, a)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		got := res.Output.Head() + res.Output.Tail()
		if res.OK != tc.ok || len(res.Origins) == 0 || !strings.HasPrefix(res.Origins[0], "web:") {
			t.Errorf("%s: ok %t, origins %q: %.300s", raw, res.OK, res.Origins, got)
		}
		for _, w := range tc.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is missing in %.600s", raw, w, got)
			}
		}
		if tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%s: %q is in %.600s", raw, tc.not, got)
		}
		res.Output.Close()
	}
	if len(looked) != 0 {
		t.Errorf("names that are not allowed were looked up: %q", looked)
	}
	if n := strings.Count(strings.Join(*seen, "\n"), "POST"); n != 2 {
		t.Errorf("%d requests POST reached the site: %q", n, *seen)
	}
}

func TestHTTPArguments(t *testing.T) {
	tool := web.NewHTTP(nil)
	for raw, want := range map[string]string{
		`{"url":"ftp://x/"}`: "http:// or https://", `{"url":"/path"}`: "http:// or https://", `{"url":"http://me:pw@x/"}`: "user name",
		`{"url":"http://x/","body":"y"}`: "has no body", `{"url":"http://x/","headers":"nonsense"}`: "is not Name: value",
		`{"url":"http://x/","headers":"Host: y"}`: "can't be set", `{"url":"http://x/","method":"BREW"}`: "one of GET",
	} {
		if _, err := tool.Decode([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
	if e := tool.Effect(args.HTTP{URL: "http://x/"}); e != tools.Read {
		t.Errorf("GET is %s", e)
	}
	if e := tool.Effect(args.HTTP{URL: "http://x/", Method: "DELETE"}); e != tools.Once || !tool.Outward(args.HTTP{}) {
		t.Errorf("DELETE is %s", e)
	}
}
