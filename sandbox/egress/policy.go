package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Mode is how a Policy treats hosts that it doesn't name.
type Mode string

// The modes. The empty one is ModeNone without entries in Allow, else ModeAllow.
const (
	ModeNone   Mode = "none"   // nowhere
	ModeAllow  Mode = "allow"  // what Allow names
	ModePublic Mode = "public" // every public address on the default ports, and what Allow names
)

// Policy is where a box may connect. It is plain data; the zero value is nowhere.
type Policy struct {
	Mode    Mode     `json:"mode,omitempty"`
	Allow   []string `json:"allow,omitempty"` // as ParseRule reads them
	Ports   []uint16 `json:"ports,omitempty"` // of rules without a port, and of ModePublic; default 80 and 443
	Limits  Limits   `json:"limits"`
	Secrets []Secret `json:"secrets,omitempty"`
}

// Limits bound what goes through a Proxy. A zero field has a default, a negative one is refused.
type Limits struct {
	Bytes int64         `json:"bytes,omitempty"` // both ways, of all connections; default 16 GiB
	Conns int           `json:"conns,omitempty"` // at a time; default 1024
	Idle  time.Duration `json:"idle,omitempty"`  // a connection without a byte either way; default 5 minutes
	Total time.Duration `json:"total,omitempty"` // of one connection; default 6 hours
}

// Secret is a header that the proxy adds to requests for its hosts, over TLS only. The box never holds the value.
type Secret struct {
	Name   string   `json:"name"`   // how records call it
	Header string   `json:"header"` // as in Authorization
	Value  string   `json:"-"`      // the whole value, as in "Bearer abc"; never encoded
	Hosts  []string `json:"hosts"`  // HOST or HOST:PORT, exactly; the port is 443 if none is given
}

// String names the secret without its value.
func (s Secret) String() string { return "secret " + s.Name }

// GoString names the secret without its value.
func (s Secret) GoString() string { return s.String() }

// LogValue names the secret without its value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// PolicyError says which field of a Policy is wrong.
type PolicyError struct {
	Field  string // as in JSON: mode, allow[0], limits.bytes, …
	Reason string
}

func (e *PolicyError) Error() string { return fmt.Sprintf("egress policy: %s: %s", e.Field, e.Reason) }

func badField(field, format string, args ...any) error {
	return &PolicyError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

const maxPolicy = 1 << 20

// DecodePolicy reads a policy from JSON and checks it. An unknown field is an error. Values of secrets are not part of
// it: a policy that names secrets is checked once they are filled in.
func DecodePolicy(data []byte) (Policy, error) {
	if len(data) > maxPolicy {
		return Policy{}, badField("policy", "has %d bytes, at most %d are read", len(data), maxPolicy)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var p Policy
	if err := d.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("egress policy: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Policy{}, badField("policy", "something follows its end")
	}
	filled := p
	filled.Secrets = slices.Clone(p.Secrets)
	for i := range filled.Secrets {
		filled.Secrets[i].Value = "x"
	}
	if err := filled.Check(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// Check reports the first field that is wrong, as a *PolicyError.
func (p Policy) Check() error {
	_, err := compile(p)
	return err
}

// rules is a checked policy.
type rules struct {
	public  bool
	allow   []Rule
	ports   []uint16
	limits  Limits
	secrets map[Target][]Secret
}

func compile(p Policy) (*rules, error) {
	c := &rules{ports: slices.Clone(p.Ports), secrets: map[Target][]Secret{}}
	switch p.Mode {
	case "", ModeAllow:
	case ModeNone:
		if len(p.Allow) > 0 {
			return nil, badField("mode", "is none, but allow names hosts")
		}
	case ModePublic:
		c.public = true
	default:
		return nil, badField("mode", "%q: want none, allow or public", p.Mode)
	}
	if len(p.Allow) > 1000 {
		return nil, badField("allow", "%d entries are more than 1000", len(p.Allow))
	}
	for i, s := range p.Allow {
		r, err := ParseRule(s)
		if err != nil {
			return nil, badField(fmt.Sprintf("allow[%d]", i), "%q: %v", s, err)
		}
		c.allow = append(c.allow, r)
	}
	if slices.Contains(c.ports, 0) || len(c.ports) > 100 {
		return nil, badField("ports", "want at most 100 numbers from 1 to 65535")
	}
	if len(c.ports) == 0 {
		c.ports = []uint16{80, 443}
	}
	var err error
	if c.limits, err = p.Limits.filled(); err != nil {
		return nil, err
	}
	if len(p.Secrets) > 64 {
		return nil, badField("secrets", "%d are more than 64", len(p.Secrets))
	}
	for i, s := range p.Secrets {
		if err := c.addSecret(fmt.Sprintf("secrets[%d]", i), s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (l Limits) filled() (Limits, error) {
	for _, f := range []struct {
		name string
		v    *int64
		def  int64
	}{
		{"limits.bytes", &l.Bytes, 16 << 30},
		{"limits.idle", (*int64)(&l.Idle), int64(5 * time.Minute)}, {"limits.total", (*int64)(&l.Total), int64(6 * time.Hour)},
	} {
		if *f.v < 0 {
			return l, badField(f.name, "%d is negative", *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if l.Conns < 0 {
		return l, badField("limits.conns", "%d is negative", l.Conns)
	}
	if l.Conns == 0 {
		l.Conns = 1024
	}
	return l, nil
}

func (c *rules) addSecret(field string, s Secret) error {
	switch {
	case s.Name == "" || len(s.Name) > 128:
		return badField(field+".name", "want 1 to 128 bytes")
	case !isToken(s.Header) || slices.Contains(ours, strings.ToLower(s.Header)):
		return badField(field+".header", "%q is not a header that can be added", s.Header)
	case s.Value == "" || len(s.Value) > 16<<10 || strings.IndexFunc(s.Value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
		return badField(field+".value", "want 1 to 16384 printable ASCII characters")
	case len(s.Hosts) == 0:
		return badField(field+".hosts", "is empty")
	}
	for i, h := range s.Hosts {
		at := fmt.Sprintf("%s.hosts[%d]", field, i)
		t, err := ParseTarget(h, 443)
		if err == nil && t.Name == "" {
			err = errors.New("want a name, which a certificate can be for")
		}
		if err != nil {
			return badField(at, "%q: %v", h, err)
		}
		if _, refused := c.judge(t); refused != nil {
			return badField(at, "%s is not allowed by this policy: add it to allow", t)
		}
		c.secrets[t] = append(c.secrets[t], s)
	}
	return nil
}

// judge decides by name and port alone, without a look-up. An address is decided here too.
func (c *rules) judge(t Target) (string, *RefusedError) {
	if t.Name == "" {
		return c.judgeAddr(t)
	}
	if slices.Contains(metadataNames, t.Name) {
		return "", refuseNever(t, t.Name)
	}
	known := false
	for _, r := range c.allow {
		if r.Host == "" || r.Below && !strings.HasSuffix(t.Name, "."+r.Host) || !r.Below && t.Name != r.Host {
			continue
		}
		if c.portOf(r, t.Port) {
			return r.String(), nil
		}
		known = true
	}
	if c.public && strings.Contains(t.Name, ".") && !strings.HasSuffix(t.Name, ".localhost") {
		if slices.Contains(c.ports, t.Port) {
			return string(ModePublic), nil
		}
		known = true
	}
	if known {
		return "", refusePort(t)
	}
	return "", c.refuseHost(t)
}

func (c *rules) judgeAddr(t Target) (string, *RefusedError) {
	if IsMetadata(t.Addr) {
		return "", refuseNever(t, t.Addr.String())
	}
	if r, ok := c.named(t.Addr, t.Port); ok {
		return r.String(), nil
	}
	if !c.public {
		return "", c.refuseHost(t)
	}
	if !IsPublic(t.Addr) {
		return "", refusePrivate(t, t.Addr)
	}
	if !slices.Contains(c.ports, t.Port) {
		return "", refusePort(t)
	}
	return string(ModePublic), nil
}

func (c *rules) portOf(r Rule, port uint16) bool {
	return r.Port == port || r.Port == 0 && slices.Contains(c.ports, port)
}

// named returns the rule that names an address itself: by its range, or as localhost.
func (c *rules) named(a netip.Addr, port uint16) (Rule, bool) {
	for _, r := range c.allow {
		if r.Host == "" && r.Port == port && r.Prefix.Contains(a) ||
			r.Host == "localhost" && !r.Below && a.IsLoopback() && c.portOf(r, port) {
			return r, true
		}
	}
	return Rule{}, false
}
