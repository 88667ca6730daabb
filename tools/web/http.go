// Package web holds the tools that reach the web by themselves: http. Every request goes through the run's egress rules.
package web

import (
	"bytes"
	"context"
	_ "embed" // the description that a model reads
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"agentd/sandbox"
	"agentd/sandbox/egress"
	"agentd/tools"
	"agentd/tools/args"
)

//go:embed http.md
var httpPrompt string

// Bounds of one request.
const (
	maxBody    = 8 << 20 // bytes of an answer that are read
	maxSend    = 1 << 20
	maxURL     = 8 << 10
	maxHeaders = 50
	timeout    = 60 * time.Second
)

// HTTP makes one request.
type HTTP struct {
	proxy func(sandbox.Net) (*egress.Proxy, error)
}

// NewHTTP returns the tool; proxy makes the way out for the rules of a run.
func NewHTTP(proxy func(sandbox.Net) (*egress.Proxy, error)) *HTTP { return &HTTP{proxy} }

// Spec describes the tool.
func (t *HTTP) Spec() tools.Spec {
	text := strings.TrimSpace(httpPrompt)
	summary, _, _ := strings.Cut(text, "\n")
	return tools.Spec{Name: args.HTTP{}.Tool(), Summary: summary, Prompt: text, Schema: args.Schema[args.HTTP]()}
}

// Decode reads and checks arguments.
func (t *HTTP) Decode(raw json.RawMessage) (args.Args, error) {
	a, err := args.Decode[args.HTTP](raw)
	if err == nil {
		err = check(a)
	}
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	return a, nil
}

func check(a args.HTTP) error {
	u, err := url.Parse(a.URL)
	switch {
	case len(a.URL) > maxURL:
		return fmt.Errorf(`argument "url" has %d bytes, more than %d`, len(a.URL), maxURL)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New(`argument "url": give a whole address with http:// or https://`)
	case u.User != nil:
		return errors.New(`argument "url" holds a user name: leave it out`)
	case len(a.Body) > maxSend:
		return fmt.Errorf(`argument "body" has %d bytes, more than %d`, len(a.Body), maxSend)
	case a.Body != "" && reads(a.Method):
		return fmt.Errorf(`a request %s has no body: leave "body" out or set the method`, method(a))
	}
	if a.Query != "" {
		if _, err := compile(a.Query); err != nil {
			return err
		}
	}
	_, err = headersOf(a.Headers)
	return err
}

func method(a args.HTTP) string {
	if a.Method == "" {
		return http.MethodGet
	}
	return a.Method
}

func reads(m string) bool { return m == "" || m == "GET" || m == "HEAD" || m == "OPTIONS" }

// headersOf reads one Name: value a line.
func headersOf(s string) (http.Header, error) {
	h := http.Header{}
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf(`argument "headers": %q is not Name: value`, clip(line, 60))
		case slices.Contains([]string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Te", "Trailer"}, name):
			return nil, fmt.Errorf(`argument "headers": %s can't be set`, name)
		case len(h) == maxHeaders:
			return nil, fmt.Errorf(`argument "headers" has more than %d`, maxHeaders)
		}
		h.Add(name, value)
	}
	return h, nil
}

// Effect is read for GET, HEAD and OPTIONS, once for others.
func (t *HTTP) Effect(a args.Args) tools.Effect {
	if v, ok := a.(args.HTTP); ok && reads(v.Method) {
		return tools.Read
	}
	return tools.Once
}

// Outward is true: an address says something to its host, also when it is only read.
func (t *HTTP) Outward(args.Args) bool { return true }

// Run makes the request.
func (t *HTTP) Run(ctx context.Context, env tools.Env, a args.Args) (tools.Result, error) {
	v, ok := a.(args.HTTP)
	if !ok {
		return tools.Result{}, fmt.Errorf("http: got the arguments %T of another tool", a)
	}
	p, err := t.proxy(env.Policy.Net)
	if err != nil {
		return tools.Result{}, fmt.Errorf("http: %w", err)
	}
	text, origins, ok, err := fetch(ctx, env, p.Client(), v)
	if ctx.Err() != nil {
		return tools.Result{}, context.Cause(ctx)
	}
	res := tools.Result{OK: ok, Origins: origins, Egress: p.Decisions(), Output: tools.NewOutput(16 << 10)}
	if err != nil {
		text = "no answer: " + clip(err.Error(), 1500) + "\n"
		res.OK = false
	}
	if !res.OK {
		res.Exit = 1
	}
	_, _ = io.WriteString(res.Output, text) // an Output never fails
	return res, nil
}

// fetch makes the request and writes its answer as text. Each hop of a redirect is judged by the transport before it is looked
// up; none may change what a request does: one that isn't a read stops there.
func fetch(ctx context.Context, env tools.Env, c *http.Client, a args.HTTP) (text string, origins []string, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method(a), a.URL, strings.NewReader(a.Body))
	if err != nil {
		return "", nil, false, err
	}
	if req.Header, err = headersOf(a.Headers); err != nil {
		return "", nil, false, err
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "agentd")
	}
	if a.Body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", guess(a.Body))
	}
	hosts := []string{req.URL.Hostname()}
	follow := c.CheckRedirect
	c.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if !reads(a.Method) {
			return http.ErrUseLastResponse
		}
		hosts = append(hosts, next.URL.Hostname())
		return follow(next, via)
	}
	res, err := c.Do(req)
	for _, h := range hosts {
		if o := "web:" + strings.ToLower(h); !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	if err != nil {
		return "", origins, false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	cut := len(body) > maxBody
	if cut {
		body = body[:maxBody]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", res.Proto, clip(res.Status, 100))
	if at := res.Request.URL.String(); at != a.URL {
		fmt.Fprintf(&b, "address: %s\n", clip(at, 500))
	}
	for _, h := range []string{"Content-Type", "Location", "Last-Modified", "Retry-After", "Www-Authenticate"} {
		if val := res.Header.Get(h); val != "" {
			fmt.Fprintf(&b, "%s: %s\n", strings.ToLower(h), clip(visible(val), 300))
		}
	}
	if err != nil {
		fmt.Fprintf(&b, "(the answer broke off: %s)\n", clip(err.Error(), 200))
	}
	if cut {
		fmt.Fprintf(&b, "(more than %d MB: the rest is not read)\n", maxBody>>20)
	}
	b.WriteString(readable(ctx, env, body, res.Header.Get("Content-Type"), res.Request.URL, a))
	return b.String(), origins, res.StatusCode < 400 && err == nil, nil
}

func guess(body string) string {
	if json.Valid([]byte(body)) {
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// readable is a body as a model reads it, every line marked as quoted, one page of it.
func readable(ctx context.Context, env tools.Env, body []byte, contentType string, at *url.URL, a args.HTTP) string {
	kind, params, _ := mime.ParseMediaType(contentType)
	if kind == "" {
		kind, params, _ = mime.ParseMediaType(http.DetectContentType(body))
	}
	if kind == "application/pdf" && !a.Raw {
		text, err := pdf(ctx, env, body)
		if err != nil {
			return fmt.Sprintf("[%d bytes of PDF: %s]\n", len(body), clip(visible(err.Error()), 300))
		}
		return quoted(visible(text), a.Page)
	}
	body = toUTF8(body, params["charset"], contentType)
	if bytes.IndexByte(body, 0) >= 0 || !utf8.Valid(body) && !strings.HasPrefix(kind, "text/") {
		return fmt.Sprintf("[%d bytes of %s, which is no text]\n", len(body), clip(visible(kind), 80))
	}
	text := string(body)
	switch {
	case a.Query != "":
		out, err := query(ctx, a.Query, body)
		if err != nil {
			return fmt.Sprintf("the query gave nothing: %s\n", clip(visible(err.Error()), 300))
		}
		text = out
	case a.Raw:
	case kind == "text/html" || kind == "application/xhtml+xml":
		if md, err := markdown(ctx, text, at); err == nil {
			text = md
		}
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		var out bytes.Buffer
		if json.Indent(&out, body, "", " ") == nil {
			text = out.String()
		}
	}
	return quoted(visible(text), a.Page)
}

const pageBytes = 12 << 10

// quoted is one page of a text, each line marked so that none can pass for anything else.
func quoted(text string, page int) string {
	text = strings.TrimRight(text, "\n ")
	if text == "" {
		return "(empty)\n"
	}
	var pages []string
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		for {
			piece := line
			if len(piece) > pageBytes/2 {
				piece = strings.ToValidUTF8(piece[:pageBytes/2], "")
			}
			if b.Len()+len(piece)+3 > pageBytes {
				pages = append(pages, b.String())
				b.Reset()
			}
			b.WriteString("> " + piece + "\n")
			if line = line[len(piece):]; line == "" || piece == "" {
				break
			}
		}
	}
	pages = append(pages, b.String())
	page = min(max(page, 1), len(pages))
	out := pages[page-1]
	if len(pages) > 1 {
		out += fmt.Sprintf("-- page %d of %d --\n", page, len(pages))
	}
	return out
}
