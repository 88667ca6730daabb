package mcptest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Guarded is a server behind OAuth, with the authorization server that it names, at one address.
type Guarded struct {
	URL    string        // where it is served, set by who serves it
	Life   time.Duration // of an access token
	Scopes string        // that a call needs beside those of the connection, "" for none

	mu      sync.Mutex // guards the fields below
	clients map[string]string
	codes   map[string]grant
	tokens  map[string]grant
	renew   map[string]grant
	Logins  int
	Renewed int
}

type grant struct {
	client, challenge, redirect, scope string
	until                              time.Time
}

// Handler serves both.
func (g *Guarded) Handler(server *sdk.Server) http.Handler {
	g.clients, g.codes, g.tokens, g.renew = map[string]string{}, map[string]grant{}, map[string]grant{}, map[string]grant{}
	mcp := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.mu.Lock()
		t, ok := g.tokens[token]
		scopes := g.Scopes
		g.mu.Unlock()
		switch {
		case !ok || time.Now().After(t.until):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer resource_metadata="%s/.well-known/oauth-protected-resource/mcp", scope="base"`, g.URL))
			w.WriteHeader(http.StatusUnauthorized)
		case scopes != "" && !strings.Contains(t.scope, scopes):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, scopes))
			w.WriteHeader(http.StatusForbidden)
		default:
			mcp.ServeHTTP(w, r)
		}
	})
	say := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{"resource": g.URL + "/mcp", "authorization_servers": []string{g.URL}})
	})
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{
			"issuer": g.URL, "authorization_endpoint": g.URL + "/authorize", "token_endpoint": g.URL + "/token", "registration_endpoint": g.URL + "/register",
			"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"none"},
			"grant_types_supported": []string{"authorization_code", "refresh_token"},
		})
	})
	mux.HandleFunc("/register", func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Redirects []string `json:"redirect_uris"`
		}
		if json.NewDecoder(r.Body).Decode(&m) != nil || len(m.Redirects) != 1 {
			http.Error(w, "bad registration", http.StatusBadRequest)
			return
		}
		id := rand.Text()
		g.mu.Lock()
		g.clients[id] = m.Redirects[0]
		g.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		say(w, map[string]any{"client_id": id, "redirect_uris": m.Redirects, "token_endpoint_auth_method": "none"})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.clients[q.Get("client_id")] != q.Get("redirect_uri") || q.Get("code_challenge_method") != "S256" || q.Get("resource") != g.URL+"/mcp" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		code := rand.Text()
		g.codes[code] = grant{client: q.Get("client_id"), challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), scope: q.Get("scope")}
		http.Redirect(w, r, q.Get("redirect_uri")+"?code="+code+"&state="+q.Get("state"), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		var t grant
		var ok bool
		switch r.FormValue("grant_type") {
		case "authorization_code":
			t, ok = g.codes[r.FormValue("code")]
			delete(g.codes, r.FormValue("code"))
			sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
			ok = ok && t.challenge == base64.RawURLEncoding.EncodeToString(sum[:]) && t.redirect == r.FormValue("redirect_uri")
			g.Logins++
		case "refresh_token":
			t, ok = g.renew[r.FormValue("refresh_token")]
			delete(g.renew, r.FormValue("refresh_token")) // each is good once
			g.Renewed++
		}
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return
		}
		access, refresh := rand.Text(), rand.Text()
		t.until = time.Now().Add(g.Life)
		g.tokens[access], g.renew[refresh] = t, t
		say(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(g.Life.Seconds()), "refresh_token": refresh, "scope": t.scope})
	})
	return mux
}

// Counts says how many logins and renewals there were.
func (g *Guarded) Counts() (logins, renewed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Logins, g.Renewed
}

// Want makes calls need a scope from now on.
func (g *Guarded) Want(scope string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Scopes = scope
}

// Forget makes all tokens worthless.
func (g *Guarded) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.tokens)
	clear(g.renew)
}
