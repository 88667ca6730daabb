package langchain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"agentd/llm"
)

// Defaults of Config. A hosted model that reasons may be silent for minutes before its first word.
const (
	DefaultHeaderTimeout = 5 * time.Minute
	DefaultIdleTimeout   = 3 * time.Minute
	localTimeout         = 15 * time.Minute // a small machine reads a long prompt at 30 tokens a second
	defaultWindow        = 128_000
)

// Config describes one model at one endpoint. It is copied by New.
type Config struct {
	Provider string // a name of llm.Providers
	Model    string // the provider's own name of the model
	BaseURL  string // empty: the provider's
	Key      string // empty: no key is sent
	KeyEnv   string // the variable that holds the key, for advice; empty: the provider's

	Window  int // tokens; 0 is 128,000
	MaxOut  int // most tokens of a reply; 0 is unknown
	Price   *llm.Price
	Style   llm.Style // empty: native tool calls
	Schema  bool      // the endpoint holds a reply to a JSON schema
	Grammar bool      // the endpoint takes a GBNF grammar
	Local   bool      // runs on this machine

	HTTPClient    *http.Client                                                      // nil: one of its own, that keeps connections alive
	DialContext   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP; ignored where HTTPClient is set
	HeaderTimeout time.Duration                                                     // until the reply begins; 0 is DefaultHeaderTimeout
	IdleTimeout   time.Duration                                                     // between two events of a reply; 0 is DefaultIdleTimeout

	// Extra are members added to every body as they are, such as cache_prompt. They must not be ones that New's model writes.
	Extra map[string]json.RawMessage
}

// New returns the model that c describes. It does no I/O.
func New(c Config) (llm.Model, error) {
	p, ok := llm.FindProvider(c.Provider)
	if !ok {
		return nil, fmt.Errorf("model provider %q is unknown: use one of %s", c.Provider, strings.Join(llm.ProviderNames(), ", "))
	}
	if c.Model == "" {
		return nil, fmt.Errorf("model of provider %s has no name", c.Provider)
	}
	c.KeyEnv = cmp.Or(c.KeyEnv, p.KeyEnv)
	base, err := checkBase(cmp.Or(c.BaseURL, p.BaseURL))
	if err != nil {
		return nil, fmt.Errorf("base URL of provider %s: %w", c.Provider, err)
	}
	c.BaseURL = base
	c.Window = cmp.Or(c.Window, defaultWindow)
	c.Style = cmp.Or(c.Style, llm.StyleTools)
	header, idle := DefaultHeaderTimeout, DefaultIdleTimeout
	if c.Local {
		header, idle = localTimeout, localTimeout
	}
	c.HeaderTimeout, c.IdleTimeout = cmp.Or(c.HeaderTimeout, header), cmp.Or(c.IdleTimeout, idle)
	if c.HTTPClient == nil {
		c.HTTPClient = newHTTPClient(c.DialContext)
	}
	for k, v := range c.Extra {
		if !json.Valid(v) {
			return nil, fmt.Errorf("extra member %q is no JSON value", k)
		}
	}
	m := &model{cfg: c, name: c.Provider + "/" + c.Model}
	if c.Provider == "anthropic" {
		m.wire = &anthropicWire{cfg: &m.cfg}
	} else {
		m.wire = &openaiWire{cfg: &m.cfg, quirks: quirksOf(c, p)}
	}
	return m, nil
}

// Unix returns a dialer for a socket: whatever address is asked for, it dials path.
func Unix(path string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// NewUnix returns a model served on a unix socket in OpenAI's wire form, as the embedded one is: it holds replies to grammars
// and schemas and is asked in the fenced form, unless c says otherwise.
func NewUnix(socket string, c Config) (llm.Model, error) {
	if socket == "" {
		return nil, fmt.Errorf("model %s has no socket", c.Model)
	}
	c.Provider = cmp.Or(c.Provider, "local")
	c.BaseURL = cmp.Or(c.BaseURL, "http://agentmodel/v1")
	c.Style = cmp.Or(c.Style, llm.StyleFenced)
	c.Local, c.Grammar, c.Schema = true, true, true
	if c.Price == nil {
		c.Price = &llm.Price{}
	}
	c.DialContext = Unix(socket)
	return New(c)
}

func newHTTPClient(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Client {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        32,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true, // a compressed stream arrives in lumps
	}
	if dial != nil {
		t.DialContext, t.Proxy = dial, nil
	} else {
		t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return &http.Client{Transport: t, CheckRedirect: noRedirect}
}

// noRedirect keeps a key from following a redirect: Go would drop Authorization at another host, but not x-api-key.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func checkBase(base string) (string, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return "", fmt.Errorf("not a URL") // the parser's words would repeat a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("want http://host/v1 or https://host/v1")
	case u.User != nil:
		return "", fmt.Errorf("must hold no user name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("must end with its path")
	}
	return strings.TrimRight(base, "/"), nil
}
