package web

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // the description that a model reads
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentd/sandbox"
	"agentd/sandbox/egress"
	"agentd/tools"
	"agentd/tools/args"
)

//go:embed search.md
var searchPrompt string

// Bounds of one search.
const (
	searchTimeout = 20 * time.Second
	maxFound      = 20
	maxQuery      = 400 // characters; what the services take
	maxAnswer     = 2 << 20
)

// Found is one result.
type Found struct{ Title, URL, Text string }

// Engine asks one search service.
type Engine interface {
	// Name is the service's name.
	Name() string
	// Request makes the request for at most n results.
	Request(ctx context.Context, query string, n int) (*http.Request, error)
	// Results reads an answer of status 200.
	Results(body []byte) ([]Found, error)
}

// Endpoints of the services where the configuration names none.
const (
	braveURL  = "https://api.search.brave.com/res/v1/web/search"
	tavilyURL = "https://api.tavily.com/search"
)

// NewEngine returns the engine of a name: searxng needs an address, brave and tavily a key.
func NewEngine(name, address, key string) (Engine, error) {
	need := func(what string, ok bool) error {
		if ok {
			return nil
		}
		return fmt.Errorf("search: %s needs %s", name, what)
	}
	var e Engine
	var err error
	switch name {
	case "searxng":
		e, err = searxng{strings.TrimSuffix(address, "/")}, need("url", address != "")
	case "brave":
		address = cmp.Or(address, braveURL)
		e, err = brave{address, key}, need("a key", key != "")
	case "tavily":
		address = cmp.Or(address, tavilyURL)
		e, err = tavily{address, key}, need("a key", key != "")
	default:
		return nil, fmt.Errorf("search: %.40q is none of searxng, brave and tavily", name)
	}
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, fmt.Errorf("search: url %.200q: want http:// or https:// and a host, without a user", address)
	}
	return e, nil
}

// searxng is a SearXNG instance, whose settings allow the format json.
type searxng struct{ base string }

func (searxng) Name() string { return "searxng" }

func (s searxng) Request(ctx context.Context, query string, _ int) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/search?"+url.Values{"q": {query}, "format": {"json"}}.Encode(), nil)
}

func (searxng) Results(body []byte) ([]Found, error) {
	var a struct {
		Results []struct{ Title, URL, Content string }
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("its answer is no JSON (does it allow the format json?): %w", err)
	}
	var out []Found
	for _, r := range a.Results {
		out = append(out, Found{r.Title, r.URL, r.Content})
	}
	return out, nil
}

// brave is the Brave Search API.
type brave struct{ url, key string }

func (brave) Name() string { return "brave" }

func (b brave) Request(ctx context.Context, query string, n int) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"?"+url.Values{"q": {query}, "count": {strconv.Itoa(n)}, "text_decorations": {"false"}}.Encode(), nil)
	if err == nil {
		req.Header.Set("X-Subscription-Token", b.key)
	}
	return req, err
}

func (brave) Results(body []byte) ([]Found, error) {
	var a struct {
		Web struct {
			Results []struct{ Title, URL, Description string }
		}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var out []Found
	for _, r := range a.Web.Results {
		out = append(out, Found{r.Title, r.URL, r.Description})
	}
	return out, nil
}

// tavily is the Tavily search API.
type tavily struct{ url, key string }

func (tavily) Name() string { return "tavily" }

func (t tavily) Request(ctx context.Context, query string, n int) (*http.Request, error) {
	body, err := json.Marshal(map[string]any{"query": query, "max_results": n})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+t.key)
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

func (tavily) Results(body []byte) ([]Found, error) {
	var a struct {
		Results []struct{ Title, URL, Content string }
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var out []Found
	for _, r := range a.Results {
		out = append(out, Found{r.Title, r.URL, r.Content})
	}
	return out, nil
}

// Search is the tool web_search.
type Search struct {
	engine Engine
	proxy  func(sandbox.Net) (*egress.Proxy, error)
}

// NewSearch returns the tool; proxy makes the way out, which is to the engine's host alone.
func NewSearch(e Engine, proxy func(sandbox.Net) (*egress.Proxy, error)) *Search {
	return &Search{e, proxy}
}

// Spec describes the tool.
func (t *Search) Spec() tools.Spec {
	text := strings.TrimSpace(searchPrompt)
	summary, _, _ := strings.Cut(text, "\n")
	return tools.Spec{Name: args.WebSearch{}.Tool(), Summary: summary, Prompt: text, Schema: args.Schema[args.WebSearch]()}
}

// Decode reads and checks arguments.
func (t *Search) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[args.WebSearch](raw)
	if err == nil {
		a.Query = strings.Join(strings.Fields(visible(a.Query)), " ")
		switch {
		case a.Query == "":
			err = errors.New(`argument "query" is empty`)
		case len([]rune(a.Query)) > maxQuery:
			err = fmt.Errorf(`argument "query" has more than %d characters`, maxQuery)
		case a.Limit < 0 || a.Limit > maxFound:
			err = fmt.Errorf(`argument "limit": want 1 to %d`, maxFound)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("web_search: %w", err)
	}
	return a, nil
}

// Effect is read.
func (t *Search) Effect(args.Args) tools.Effect { return tools.Read }

// Outward is true: the query is told to the service.
func (t *Search) Outward(args.Args) bool { return true }

// Run searches.
func (t *Search) Run(ctx context.Context, _ tools.Env, a args.Args) (tools.Result, error) {
	v, ok := a.(args.WebSearch)
	if !ok {
		return tools.Result{}, fmt.Errorf("web_search: got the arguments %T of another tool", a)
	}
	asking, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	n := cmp.Or(v.Limit, 8)
	req, err := t.engine.Request(asking, v.Query, n)
	if err != nil {
		return tools.Result{}, fmt.Errorf("web_search: %w", err)
	}
	p, err := t.proxy(sandbox.Net{Allow: []string{rule(req.URL)}})
	if err != nil {
		return tools.Result{}, fmt.Errorf("web_search: %w", err)
	}
	found, err := t.ask(p.Client(), req)
	if ctx.Err() != nil {
		return tools.Result{}, context.Cause(ctx)
	}
	res := tools.Result{OK: err == nil, Egress: p.Decisions(), Origins: []string{"web:" + strings.ToLower(req.URL.Hostname())}, Output: tools.NewOutput(16 << 10)}
	if err != nil {
		res.Exit = 1
		_, _ = fmt.Fprintf(res.Output, "%s gave no results: %s\n", t.engine.Name(), clip(visible(err.Error()), 500)) // an Output never fails
		return res, nil
	}
	shown := 0
	for _, f := range found {
		u, err := url.Parse(f.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		if shown++; shown > n {
			break
		}
		if o := "web:" + strings.ToLower(u.Hostname()); !slices.Contains(res.Origins, o) {
			res.Origins = append(res.Origins, o)
		}
		_, _ = io.WriteString(res.Output, fmt.Sprintf("> %d. %s\n>    %s\n>    %s\n", shown, oneLine(f.Title, 200), oneLine(u.String(), 500), oneLine(f.Text, 400)))
	}
	if shown == 0 {
		_, _ = io.WriteString(res.Output, "nothing was found\n")
	}
	return res, nil
}

// ask sends the request. A redirect to another host is refused by the rules of the way out, so a key goes nowhere else.
func (t *Search) ask(c *http.Client, req *http.Request) ([]Found, error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "agentd")
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	case res.StatusCode == http.StatusTooManyRequests:
		return nil, errors.New("it was asked too often: " + res.Status)
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, errors.New("it does not take the key, or not this format: " + res.Status)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s", res.Status, clip(string(body), 200))
	}
	return t.engine.Results(body)
}

// rule opens exactly a URL's host and port.
func rule(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.To4() != nil {
		return host + "/32:" + port
	} else if ip != nil {
		return "[" + host + "]/128:" + port
	}
	return net.JoinHostPort(host, port)
}

func oneLine(s string, n int) string { return clip(strings.Join(strings.Fields(visible(s)), " "), n) }
