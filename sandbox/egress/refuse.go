package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrRefused is matched when a policy keeps a connection from being made. Nothing was sent to the host.
var ErrRefused = errors.New("connection refused by policy")

// ErrLimit is matched when a connection was cut because the Proxy's limit of bytes or connections was reached.
var ErrLimit = errors.New("egress limit reached")

// RefusedError says why a connection wasn't made, in words that a model can act on.
type RefusedError struct {
	Target string // HOST:PORT, or what was asked for if it isn't that
	Reason string
	Ask    string // the entry of Policy.Allow that would open it; "" if none can
}

func (e *RefusedError) Error() string {
	s := e.Target + ": " + e.Reason
	if e.Ask != "" {
		s += fmt.Sprintf(". If you need it, ask the user to allow it (--net %s); otherwise go on without it", e.Ask)
	}
	return s
}

// Is makes the error match ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

func refuseNever(t Target, what string) *RefusedError {
	return &RefusedError{Target: t.String(), Reason: what + " belongs to the machine itself (credentials, link-local or its own services) and is never opened, whatever the policy says"}
}

func refusePort(t Target) *RefusedError {
	return &RefusedError{Target: t.String(), Reason: fmt.Sprintf("the host is allowed, its port %d is not", t.Port), Ask: t.String()}
}

func refusePrivate(t Target, a netip.Addr) *RefusedError {
	range1 := netip.PrefixFrom(a, a.BitLen())
	ask := net.JoinHostPort(range1.String(), strconv.Itoa(int(t.Port)))
	if t.Name == "" {
		return &RefusedError{Target: t.String(), Reason: "the address is private, or belongs to this machine", Ask: ask}
	}
	return &RefusedError{Target: t.String(), Reason: fmt.Sprintf("the name has the address %s, which is private or belongs to this machine; such an address is opened only by its range", a), Ask: ask}
}

func refuseSyntax(raw string, err error) *RefusedError {
	if len(raw) > 100 {
		raw = raw[:100] + "…"
	}
	return &RefusedError{Target: strconv.QuoteToASCII(raw), Reason: err.Error()}
}

func (c *rules) refuseHost(t Target) *RefusedError {
	e := &RefusedError{Target: t.String(), Reason: "this command has no network", Ask: t.String()}
	if len(c.allow) > 0 {
		list := make([]string, 0, 6)
		for _, r := range c.allow {
			if len(list) == 5 {
				list = append(list, "…")
				break
			}
			list = append(list, r.String())
		}
		e.Reason = "the host is not on the list of this command, which has " + strings.Join(list, ", ")
	} else if c.public {
		e.Reason = "only full names of public hosts are allowed"
	}
	return e
}
