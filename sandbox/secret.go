package sandbox

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"

	"agentd/sandbox/egress"
)

// Secret is a named secret that the proxy of a box adds to requests for its hosts, over TLS only. Its value is the daemon's: no policy
// and no box holds it.
type Secret struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"`           // HOST or HOST:PORT; the port is 443 if none is given
	As    string   `json:"as,omitempty"`    // bearer (also ""), basic (the value is USER:PASSWORD), or header: the value alone
	Field string   `json:"field,omitempty"` // the header; Authorization if not given
}

// Fill is the secret as a proxy adds it.
func (s Secret) Fill(value string) (egress.Secret, error) {
	e := egress.Secret{Name: s.Name, Header: cmp.Or(s.Field, "Authorization"), Hosts: s.Hosts}
	switch s.As {
	case "", "bearer":
		e.Value = "Bearer " + value
	case "header":
		e.Value = value
	case "basic":
		if !strings.Contains(value, ":") {
			return e, fmt.Errorf("secret %s: as basic, its value must be USER:PASSWORD", s.Name)
		}
		e.Value = "Basic " + base64.StdEncoding.EncodeToString([]byte(value))
	default:
		return e, fmt.Errorf("secret %s: as %.40q is not supported: use bearer, basic or header", s.Name, s.As)
	}
	return e, nil
}

// checkSecrets reports what is wrong with the rules and the secrets, whatever their values are.
func (n Net) checkSecrets() error {
	p := n.Policy()
	for _, s := range n.Secrets {
		e, err := s.Fill("user:password")
		if err != nil {
			return badField("net.secrets", "%v", err)
		}
		p.Secrets = append(p.Secrets, e)
	}
	if err := p.Check(); err != nil {
		return badField("net", "%v", err)
	}
	return nil
}

// rootsInBox is where a box that has secrets finds the roots to trust.
const rootsInBox = "/opt/agentd/roots.pem"
