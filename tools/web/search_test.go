package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"agentd/tools"
	"agentd/tools/web"
)

// service speaks a service's wire format, or answers with a status.
func service(t *testing.T, kind string, seen *string) *httptest.Server {
	t.Helper()
	const hits = `[{"title":"One\u200b <b>x</b>","url":"https://one.example/a","%[1]s":"text\nof one"},{"title":"Bad","url":"javascript:alert(1)","%[1]s":"x"},{"title":"Two","url":"https://two.example/","%[1]s":"text of two"}]`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = r.Method + " " + r.URL.RequestURI()
		switch kind {
		case "searxng":
			if r.URL.Path != "/search" || r.URL.Query().Get("format") != "json" {
				http.Error(w, "no such format", http.StatusForbidden)
				return
			}
			fmt.Fprintf(w, `{"query":"q","results":`+hits+`}`, "content")
		case "brave":
			if r.Header.Get("X-Subscription-Token") != "k" {
				http.Error(w, "key", http.StatusUnauthorized)
				return
			}
			fmt.Fprintf(w, `{"type":"search","web":{"type":"search","results":`+hits+`}}`, "description")
		case "tavily":
			var q struct {
				Query string
				Max   int `json:"max_results"`
			}
			if json.NewDecoder(r.Body).Decode(&q) != nil || r.Header.Get("Authorization") != "Bearer k" || q.Max == 0 {
				http.Error(w, "key", http.StatusUnauthorized)
				return
			}
			*seen += " " + q.Query
			fmt.Fprintf(w, `{"query":"q","results":`+hits+`}`, "content")
		case "busy":
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case "html":
			fmt.Fprint(w, "<html>")
		case "huge":
			fmt.Fprint(w, `{"results":"`, strings.Repeat("x", 3<<20), `"}`)
		case "away":
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestSearch(t *testing.T) {
	var looked []string
	for _, tt := range []struct {
		kind, engine, key, seen string
		ok                      bool
		want                    string
	}{
		{"searxng", "searxng", "", "q=two+words", true, ""},
		{"brave", "brave", "k", "q=two+words", true, ""},
		{"tavily", "tavily", "k", "two words", true, ""},
		{"brave", "brave", "wrong", "q=", false, "does not take the key"},
		{"tavily", "tavily", "wrong", "POST", false, "does not take the key"},
		{"busy", "searxng", "", "", false, "asked too often"},
		{"html", "searxng", "", "", false, "is no JSON"},
		{"huge", "brave", "k", "", false, "more than"},
		{"away", "brave", "k", "", false, "169.254.169.254"},
	} {
		t.Run(tt.kind+tt.key, func(t *testing.T) {
			var seen string
			srv := service(t, tt.kind, &seen)
			e, err := web.NewEngine(tt.engine, srv.URL, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			tool := web.NewSearch(e, proxies(&looked))
			a, err := tool.Decode([]byte(`{"query":"two\n words","limit":2}`))
			if err != nil {
				t.Fatal(err)
			}
			res, err := tool.Run(t.Context(), tools.Env{}, a)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Output.Close()
			got := res.Output.Head()
			if !strings.Contains(seen, tt.seen) {
				t.Errorf("it was asked %q, want %q", seen, tt.seen)
			}
			if !tt.ok {
				if res.OK || !strings.Contains(got, tt.want) {
					t.Errorf("got %v %q, want %q", res.OK, got, tt.want)
				}
				return
			}
			want := "> 1. One <b>x</b>\n>    https://one.example/a\n>    text of one\n> 2. Two\n>    https://two.example/\n>    text of two\n"
			if !res.OK || got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if o := strings.Join(res.Origins, " "); o != "web:127.0.0.1 web:one.example web:two.example" {
				t.Errorf("got the origins %s", o)
			}
		})
	}
	if len(looked) > 0 {
		t.Errorf("names were looked up: %q", looked)
	}
}

func TestSearchArguments(t *testing.T) {
	for _, tt := range [][3]string{{"google", "", "k"}, {"searxng", "", ""}, {"brave", "", ""}, {"tavily", "", ""}, {"searxng", "ftp://x", ""}, {"searxng", "http://u:p@x", ""}} {
		if e, err := web.NewEngine(tt[0], tt[1], tt[2]); err == nil {
			t.Errorf("%q gave %v", tt, e)
		}
	}
	e, err := web.NewEngine("brave", "", "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{`{}`, `{"query":" "}`, `{"query":"x","limit":99}`, `{"query":"` + strings.Repeat("x", 500) + `"}`} {
		if _, err := web.NewSearch(e, nil).Decode([]byte(raw)); err == nil {
			t.Errorf("%.60s was taken", raw)
		}
	}
}
