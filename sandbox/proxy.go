package sandbox

import (
	"net"
	"strconv"

	"agentd/sandbox/egress"
)

const (
	maxConns   = 1024 // of one box at a time
	maxDenials = 20   // kept for the result
)

// Decision is what was decided about a box's connections to one host and port.
type Decision = egress.Decision

// Denial is a connection that a box wanted and didn't get.
type Denial struct {
	Target string `json:"target"` // HOST:PORT
	Reason string `json:"reason"`
}

// newProxy is the Egress of a box for which Options names no other.
func newProxy(n Net) (Egress, error) { return egress.New(n.Policy(), egress.Options{}) }

// denials are the first refusals among decisions.
func denials(list []egress.Decision) []Denial {
	var out []Denial
	for _, d := range list {
		if d.Allowed || len(out) == maxDenials {
			continue
		}
		target := d.Host
		if d.Port != 0 {
			target = net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
		}
		out = append(out, Denial{Target: target, Reason: d.Reason})
	}
	return out
}
