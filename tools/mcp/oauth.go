package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"agentd/sandbox"
)

// OAuth is what the configuration says of a client that is registered with a server's authorization server already.
type OAuth struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	Metadata     string `json:"client_metadata,omitempty"` // URL of a client ID metadata document
	Port         int    `json:"port,omitempty"`            // of the redirect address, where one is registered
}

// login is what a person's login left: a file that only its owner reads. It is never told to a box, a model or a log.
type login struct {
	Server       string           `json:"server"`
	ClientID     string           `json:"client_id"`
	ClientSecret string           `json:"client_secret,omitempty"`
	TokenURL     string           `json:"token_url"`
	AuthStyle    oauth2.AuthStyle `json:"auth_style,omitempty"`
	Scopes       []string         `json:"scopes,omitempty"`
	Wanted       []string         `json:"wanted,omitempty"` // scopes that the server asked for since
	Token        *oauth2.Token    `json:"token"`
	At           time.Time        `json:"at"`
}

const (
	maxLogin  = 256 << 10
	loginWait = 10 * time.Minute // for a person
)

func (o *Options) loginFile(s Server) string { return filepath.Join(o.Dir, "tokens", s.Key()+".json") }

// readLogin returns a server's login, nil if there is none.
func (o *Options) readLogin(s Server) (*login, error) {
	if o.Dir == "" {
		return nil, nil
	}
	path := o.loginFile(s)
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("login of %s: %w", s.Name, err)
	}
	if fi.Mode().Perm()&0o077 != 0 || fi.Size() > maxLogin {
		return nil, fmt.Errorf("login of %s: %s can be read by others or is no login: remove it and log in anew", s.Name, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("login of %s: %w", s.Name, err)
	}
	var l login
	if err := json.Unmarshal(data, &l); err != nil || l.Token == nil {
		return nil, fmt.Errorf("login of %s: %s is no login: remove it and log in anew", s.Name, path)
	}
	return &l, nil
}

func (o *Options) writeLogin(s Server, l *login) error {
	data, err := json.Marshal(l)
	if err == nil {
		err = writeFile(o.loginFile(s), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep the login of %s: %w", s.Name, err)
	}
	return nil
}

// Logout forgets a server's login. It reports whether there was one.
func (o *Options) Logout(s Server) (bool, error) {
	err := os.Remove(o.loginFile(s))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// LoggedIn says since when a person's login for a server is kept; zero: there is none.
func (o *Options) LoggedIn(s Server) (time.Time, error) {
	l, err := o.readLogin(s)
	if l == nil {
		return time.Time{}, err
	}
	return l.At, nil
}

// errLogin says that a server wants a person to log in.
type errLogin struct{ server, why string }

func (e *errLogin) Error() string {
	return e.why + ": log in with agentctl mcp login " + e.server
}

// keptLogin authorizes a run's requests with what a login left. It never begins one: nobody may be there.
type keptLogin struct {
	o *Options
	s Server

	mu     sync.Mutex // guards source
	source oauth2.TokenSource
}

// oauth returns what authorizes requests to a server, and the rule that opens the host where its tokens are renewed.
func (o *Options) oauth(s Server) (*keptLogin, []string, error) {
	k := &keptLogin{o: o, s: s}
	l, err := o.readLogin(s)
	if err != nil || l == nil {
		return k, nil, err
	}
	allow, err := hostRule(l.TokenURL)
	if err != nil {
		return nil, nil, fmt.Errorf("login of %s: %w", s.Name, err)
	}
	return k, []string{allow}, nil
}

// use sets the client by which tokens are renewed.
func (k *keptLogin) use(client *http.Client) error {
	l, err := k.o.readLogin(k.s)
	if err != nil || l == nil {
		return err
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	cfg := &oauth2.Config{ClientID: l.ClientID, ClientSecret: l.ClientSecret, Scopes: l.Scopes, Endpoint: oauth2.Endpoint{TokenURL: l.TokenURL, AuthStyle: l.AuthStyle}}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.source = &savedSource{o: k.o, s: k.s, login: *l, next: cfg.TokenSource(ctx, l.Token)}
	return nil
}

// TokenSource is that of the login, nil without one.
func (k *keptLogin) TokenSource(context.Context) (oauth2.TokenSource, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.source == nil {
		return nil, nil
	}
	return k.source, nil
}

// Authorize says that a person must log in, and notes which scopes they are to ask for.
func (k *keptLogin) Authorize(_ context.Context, _ *http.Request, res *http.Response) error {
	defer res.Body.Close()
	l, err := k.o.readLogin(k.s)
	if err != nil {
		return err
	}
	switch {
	case l == nil:
		return &errLogin{k.s.Name, "the server wants a login"}
	case res.StatusCode == http.StatusForbidden:
		challenges, err := oauthex.ParseWWWAuthenticate(res.Header.Values("WWW-Authenticate"))
		if err != nil {
			return nil // no challenge: the refusal stands as it is
		}
		for _, c := range challenges {
			if c.Params["error"] != "insufficient_scope" {
				continue
			}
			l.Wanted = append(slices.Clone(l.Scopes), strings.Fields(clip(c.Params["scope"], 2000))...)
			slices.Sort(l.Wanted)
			l.Wanted = slices.Compact(l.Wanted)
			if err := k.o.writeLogin(k.s, l); err != nil {
				return err
			}
			return &errLogin{k.s.Name, fmt.Sprintf("the server wants a login with the scopes %s", clip(visible(strings.Join(l.Wanted, " ")), 300))}
		}
		return nil
	}
	return &errLogin{k.s.Name, "the server does not take the kept login any more"}
}

// savedSource keeps each token that differs from the one before.
type savedSource struct {
	o     *Options
	s     Server
	mu    sync.Mutex // guards login
	login login
	next  oauth2.TokenSource
}

func (x *savedSource) Token() (*oauth2.Token, error) {
	t, err := x.next.Token()
	if err != nil {
		return nil, errors.Join(&errLogin{x.s.Name, "the kept login has ended"}, fmt.Errorf("%s", clip(visible(err.Error()), 300)))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.login.Token == nil || t.AccessToken != x.login.Token.AccessToken {
		x.login.Token = t
		if err := x.o.writeLogin(x.s, &x.login); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// ErrNoLogin is returned by Login when the server wants none.
var ErrNoLogin = errors.New("the server wants no login")

// Login lets a person log in to a server: open is told the address that they have to visit, and the answer comes back to an
// address on loopback. It goes to the server's host, to hosts that its configuration opens, and to public ones.
func (o *Options) Login(ctx context.Context, s Server, open func(ctx context.Context, url string) error) error {
	if s.URL == "" || s.SSE {
		return fmt.Errorf("%s has no url for streamable HTTP: there is nothing to log in to", s.Name)
	}
	if s.OAuth.Metadata != "" && s.OAuth.Port == 0 {
		return fmt.Errorf("%s: oauth.client_metadata needs oauth.port, as the document names the redirect address", s.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, loginWait)
	defer cancel()
	own, err := hostRule(s.URL)
	if err != nil {
		return err
	}
	client, err := o.client(sandbox.Net{Allow: append([]string{own, "public"}, s.Net...)}, s)
	if err != nil {
		return err
	}
	before, err := o.readLogin(s)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.OAuth.Port))
	if err != nil {
		return fmt.Errorf("listen for the answer of the login: %w", err)
	}
	back := &callback{got: make(chan answered, 1)}
	srv := &http.Server{Handler: back, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ln) }) // ends when it is closed
	defer serving.Wait()
	defer srv.Close()
	redirect := fmt.Sprintf("http://%s/callback", ln.Addr())

	kept := false
	cfg := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: redirect, Client: client, RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(ctx context.Context, a *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			if err := open(ctx, a.URL); err != nil {
				return nil, err
			}
			return back.wait(ctx)
		},
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "agentd", RedirectURIs: []string{redirect}, GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		}},
		ScopeFilter: func(found []string) []string {
			if before != nil {
				found = append(slices.Clone(found), before.Wanted...)
				slices.Sort(found)
				found = slices.Compact(found)
			}
			return found
		},
		NewTokenSource: func(ctx context.Context, c *oauth2.Config, t *oauth2.Token) (oauth2.TokenSource, error) {
			l := &login{
				Server: s.Name, ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenURL: c.Endpoint.TokenURL, AuthStyle: c.Endpoint.AuthStyle,
				Scopes: c.Scopes, Token: t, At: time.Now(),
			}
			kept = true
			return c.TokenSource(ctx, t), o.writeLogin(s, l)
		},
	}
	if s.OAuth.Metadata != "" {
		cfg.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: s.OAuth.Metadata}
	}
	if s.OAuth.ClientID != "" {
		cfg.PreregisteredClient = &oauthex.ClientCredentials{ClientID: s.OAuth.ClientID}
		if s.OAuth.ClientSecret != "" {
			cfg.PreregisteredClient.ClientSecretAuth = &oauthex.ClientSecretAuth{ClientSecret: s.OAuth.ClientSecret}
		}
	}
	handler, err := auth.NewAuthorizationCodeHandler(cfg)
	if err != nil {
		return fmt.Errorf("log in to %s: %w", s.Name, err)
	}
	c := &loginClient{handler: handler, http: client}
	if err := c.try(ctx, o, s); err != nil {
		return fmt.Errorf("log in to %s: %w", s.Name, err)
	}
	if !kept {
		return fmt.Errorf("%s: %w", s.Name, ErrNoLogin)
	}
	return nil
}

// loginClient is a connection that may begin a login.
type loginClient struct {
	handler auth.OAuthHandler
	http    *http.Client
}

// try connects and asks for the tools, which is when a server says that it wants a login.
func (c *loginClient) try(ctx context.Context, o *Options, s Server) error {
	t := &sdk.StreamableClientTransport{Endpoint: s.URL, HTTPClient: c.http, MaxEventSize: maxMessage, MaxRetries: -1, OAuthHandler: c.handler, DisableStandaloneSSE: true}
	session, err := sdk.NewClient(&sdk.Implementation{Name: "agentd", Version: o.Version}, nil).Connect(ctx, t, nil)
	if err != nil {
		return err
	}
	defer closeSoon(session)
	_, err = session.ListTools(ctx, nil)
	return err
}

// answered is what the authorization server sent back.
type answered struct {
	res *auth.AuthorizationResult
	err error
}

// callback takes the redirect of an authorization server.
type callback struct{ got chan answered }

func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/callback" {
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	a := answered{res: &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}}
	text := "You are logged in. You can close this page."
	switch {
	case q.Get("error") != "":
		a.err = fmt.Errorf("the authorization server refused: %s", clip(visible(strings.TrimSpace(q.Get("error")+" "+q.Get("error_description"))), 300))
		text = "The login was refused."
	case a.res.Code == "":
		http.Error(w, "no code", http.StatusBadRequest)
		return
	}
	select {
	case c.got <- a:
	default: // one answer counts, and the SDK checks that it is to our question
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n")
}

func (c *callback) wait(ctx context.Context) (*auth.AuthorizationResult, error) {
	select {
	case a := <-c.got:
		return a.res, a.err
	case <-ctx.Done():
		return nil, errors.New("nobody logged in in time")
	}
}
