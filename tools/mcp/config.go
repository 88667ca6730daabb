// Package mcp is the client of MCP servers: it starts them in the sandbox or connects to them, and offers what they have as
// tools. What a server says of itself is pinned at first use and never trusted to allow anything.
package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"agentd/sandbox"
)

// Server says how one MCP server is reached: a command for the sandbox, or a URL. It is plain data.
type Server struct {
	Name    string            `json:"name"`
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Cwd     string            `json:"cwd,omitempty"` // below the workspace

	URL     string            `json:"url,omitempty"`
	SSE     bool              `json:"sse,omitempty"` // the transport of before 2025-03
	Headers map[string]string `json:"headers,omitempty"`
	OAuth   OAuth             `json:"oauth,omitzero"`

	Net      []string      `json:"net,omitempty"`       // where its box may connect, beyond what the run may
	ReadOnly []string      `json:"read_only,omitempty"` // host folders that its box sees
	Only     []string      `json:"only,omitempty"`      // names of the only tools that are offered; none: all
	Read     []string      `json:"read,omitempty"`      // globs of tools that only read, on the user's word
	Timeout  time.Duration `json:"timeout,omitempty"`   // of a call that shows no progress; 0 is DefaultTimeout
	Disabled bool          `json:"disabled,omitempty"`
	Strict   bool          `json:"strict,omitempty"` // a URL is reached only if the run's network opens its host
	From     string        `json:"from,omitempty"`   // the file that names it
}

// DefaultTimeout is how long a call may show no progress.
const DefaultTimeout = 2 * time.Minute

// Bounds of a configuration.
const (
	maxConfig  = 1 << 20
	maxServers = 100
)

var serverName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// entry is one server as the files of other programs have it. Keys that are theirs alone are ignored: none of them, such as
// a list of calls to approve, counts here.
type entry struct {
	Type      string            `json:"type"`
	Transport string            `json:"transport"`
	Command   string            `json:"command"`
	Args      []string          `json:"args"`
	Env       map[string]any    `json:"env"`
	Cwd       string            `json:"cwd"`
	URL       string            `json:"url"`
	ServerURL string            `json:"serverUrl"`
	Headers   map[string]string `json:"headers"`
	Disabled  bool              `json:"disabled"`
	Enabled   *bool             `json:"enabled"`

	Net      []string `json:"net"`
	ReadOnly []string `json:"read_only"`
	Read     []string `json:"read"`
	Timeout  string   `json:"call_timeout"`
	OAuth    OAuth    `json:"oauth"`
}

// Parse reads a file with mcpServers, as Claude, Cursor, Cline and others write it, or with servers, as VS Code does. ${NAME}
// and ${NAME:-default} in its values stand for what getenv says; a nil getenv leaves them as they are. The servers are sorted
// by name.
func Parse(file string, data []byte, getenv func(string) string) ([]Server, error) {
	bad := func(format string, a ...any) ([]Server, error) {
		return nil, fmt.Errorf("%s: %w", file, fmt.Errorf(format, a...))
	}
	if len(data) > maxConfig {
		return bad("has %d bytes, more than %d", len(data), maxConfig)
	}
	data = stripComments(data)
	var doc struct {
		MCPServers map[string]json.RawMessage `json:"mcpServers"`
		Servers    map[string]json.RawMessage `json:"servers"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return bad("%s", placed(data, err))
	}
	all := doc.MCPServers
	if all == nil {
		all = doc.Servers
	}
	if len(all) > maxServers {
		return bad("names %d servers, more than %d", len(all), maxServers)
	}
	out := make([]Server, 0, len(all))
	for name, raw := range all {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return bad("mcpServers.%s: %v", name, err)
		}
		s, err := e.server(name, getenv)
		if err != nil {
			return bad("mcpServers.%s: %w", name, err)
		}
		s.From = file
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return bad("two servers come to the name %q: rename one", out[i].Name)
		}
	}
	return out, nil
}

func (e entry) server(name string, getenv func(string) string) (Server, error) {
	var fault error
	fill := func(s string) string {
		out, err := expand(s, getenv)
		fault = errors.Join(fault, err)
		return out
	}
	s := Server{
		Name: plainName(name), Command: fill(e.Command), Cwd: fill(e.Cwd), URL: fill(e.URL), Net: e.Net, ReadOnly: e.ReadOnly, Read: e.Read,
		Disabled: e.Disabled || e.Enabled != nil && !*e.Enabled,
	}
	if s.URL == "" {
		s.URL = fill(e.ServerURL)
	}
	for _, a := range e.Args {
		s.Args = append(s.Args, fill(a))
	}
	for k, v := range e.Env {
		if s.Env == nil {
			s.Env = map[string]string{}
		}
		switch v := v.(type) {
		case string:
			s.Env[k] = fill(v)
		case float64, bool:
			s.Env[k] = fmt.Sprint(v)
		default:
			return s, fmt.Errorf("env.%s: want text", k)
		}
	}
	for k, v := range e.Headers {
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		s.Headers[k] = fill(v)
	}
	s.OAuth = e.OAuth
	s.OAuth.ClientID, s.OAuth.ClientSecret = fill(e.OAuth.ClientID), fill(e.OAuth.ClientSecret)
	if e.Timeout != "" {
		d, err := time.ParseDuration(e.Timeout)
		if err != nil {
			return s, fmt.Errorf("call_timeout: %q is no time such as 90s", e.Timeout)
		}
		s.Timeout = d
	}
	switch t := strings.ToLower(e.Type + e.Transport); t {
	case "", "stdio", "http", "streamable-http", "streamablehttp", "streamable_http":
	case "sse":
		s.SSE = true
	default:
		return s, fmt.Errorf("type: %q: want stdio, http or sse", t)
	}
	if fault != nil {
		return s, fault
	}
	return s, s.Check()
}

// Check reports the first field that is wrong.
func (s Server) Check() error {
	switch {
	case !serverName.MatchString(s.Name):
		return fmt.Errorf("name %q: want up to 32 letters, digits, _ or -", s.Name)
	case s.Command == "" && s.URL == "":
		return errors.New("it has neither a command nor a url")
	case s.Command != "" && s.URL != "":
		return errors.New("it has both a command and a url: keep one")
	case s.OAuth.Port < 0 || s.OAuth.Port > 65535:
		return fmt.Errorf("oauth.port: %d is no port", s.OAuth.Port)
	case s.Timeout < 0:
		return fmt.Errorf("call_timeout: %s is negative", s.Timeout)
	case s.Cwd != "" && !filepath.IsLocal(s.Cwd):
		return fmt.Errorf("cwd: %q is not below the workspace, which is all that its box has", s.Cwd)
	}
	for _, r := range s.ReadOnly {
		if !filepath.IsAbs(r) || filepath.Clean(r) == "/" {
			return fmt.Errorf("read_only: %q: want an absolute folder", r)
		}
	}
	for _, g := range s.Read {
		if _, err := filepath.Match(g, "x"); err != nil {
			return fmt.Errorf("read: %q: %w", g, err)
		}
	}
	if err := (sandbox.Net{Allow: s.Net}).Check(); err != nil {
		return err
	}
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return fmt.Errorf("url: %q: want http:// or https:// and a host, without a user", s.URL)
	}
	return nil
}

// Key identifies what a server is: its pins hold for exactly this command or address.
func (s Server) Key() string {
	h := sha256.New()
	for _, part := range append([]string{s.Name, s.Command, s.URL}, s.Args...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return s.Name + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}

// Where says in a line what is started or connected to, without values of the environment.
func (s Server) Where() string {
	if s.URL != "" {
		return s.URL
	}
	return strings.Join(append([]string{s.Command}, s.Args...), " ")
}

// plainName makes of a name as people write it one that can stand in a tool's name.
func plainName(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-_")
}

var variable = regexp.MustCompile(`\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}`)

// expand puts variables in. One that is not set and has no default is an error, as a server would get a wrong value.
func expand(s string, getenv func(string) string) (string, error) {
	if getenv == nil || !strings.Contains(s, "${") {
		return s, nil
	}
	var fault error
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		part := variable.FindStringSubmatch(m)
		if v := getenv(part[1]); v != "" {
			return v
		}
		if part[2] == "" && !strings.Contains(m, ":-") {
			fault = fmt.Errorf("${%s} is not set in the daemon's environment", part[1])
		}
		return part[2]
	})
	return out, fault
}

// stripComments blanks // and /* */ comments and commas before a closing bracket, which editors allow in such files.
func stripComments(data []byte) []byte {
	out := bytes.Clone(data)
	inString, comma := false, -1
	for i := 0; i < len(out); i++ {
		c := out[i]
		switch {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
			continue
		case c == '"':
			inString = true
		case c == '/' && i+1 < len(out) && out[i+1] == '/':
			for ; i < len(out) && out[i] != '\n'; i++ {
				out[i] = ' '
			}
			continue
		case c == '/' && i+1 < len(out) && out[i+1] == '*':
			end := bytes.Index(out[i+2:], []byte("*/"))
			if end < 0 {
				return out
			}
			for j := i; j < i+2+end+2; j++ {
				if out[j] != '\n' {
					out[j] = ' '
				}
			}
			i += 2 + end + 1
			continue
		case (c == '}' || c == ']') && comma >= 0:
			out[comma] = ' '
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		case ',':
			comma = i
		default:
			comma = -1
		}
	}
	return out
}

// placed is a JSON error with its line.
func placed(data []byte, err error) string {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	at := int64(-1)
	switch {
	case errors.As(err, &syn):
		at = syn.Offset
	case errors.As(err, &typ):
		at = typ.Offset
	}
	if at < 0 || at > int64(len(data)) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %v", 1+bytes.Count(data[:at], []byte("\n")), err)
}
