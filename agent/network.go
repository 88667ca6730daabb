package agent

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"agentd/journal"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/args"
)

// leaves reports whether a call can reach something outside: by itself, or by a command in a box that has a way out.
func leaves(s *journal.State, m move) bool {
	if o, ok := m.tool.(tools.Outward); ok {
		return o.Outward(m.args)
	}
	return m.effect == tools.Once && len(s.Net) > 0
}

// opened reports whether a call asks for a host that is open already.
func opened(s *journal.State, m move) bool {
	rule := asksFor(m)
	return rule != "" && slices.Contains(s.Net, rule)
}

// asksFor is the host that a call wants opened, "" for every other call.
func asksFor(m move) string {
	a, ok := m.args.(args.Network)
	if !ok {
		return ""
	}
	rule, err := tools.NetworkRule(a.Host)
	if err != nil {
		return "" // the tool has refused such arguments
	}
	return rule
}

// openNet sets where the run's boxes may connect from now on.
func (d *driver) openNet(rules []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.net = slices.Clone(rules)
}

// openHost lets the run's boxes connect to one more host.
func (d *driver) openHost(rule string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.net, rule) {
		d.net = append(slices.Clip(d.net), rule)
	}
}

// reach is where a box of the run may connect now.
func (d *driver) reach() sandbox.Net {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := sandbox.Net{Allow: slices.Clone(d.net)}
	for _, s := range d.start.Secrets {
		n.Secrets = append(n.Secrets, sandbox.Secret(s))
	}
	return n
}

// connections are a box's decisions as the journal keeps them.
func connections(list []sandbox.Decision) []journal.Egress {
	const most = 100
	var out []journal.Egress
	for _, d := range list[:min(most, len(list))] {
		out = append(out, journal.Egress{
			Host: d.Host, Port: int(d.Port), Allowed: d.Allowed, Rule: d.Rule, Reason: d.Reason, Count: d.Count, Sent: d.Sent, Received: d.Received,
		})
	}
	return out
}

// refusals tell a model which connections it didn't get, and what it can do about that.
func refusals(list []journal.Egress, canAsk bool) string {
	const most = 5
	var b strings.Builder
	n := 0
	for _, e := range list {
		if e.Allowed {
			continue
		}
		if n++; n > most {
			continue
		}
		target := e.Host
		if e.Port != 0 {
			target = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
		}
		fmt.Fprintf(&b, "[no connection to %s: %s]\n", clip(oneLine(target), 300), clip(oneLine(e.Reason), 300))
	}
	switch {
	case n == 0:
		return ""
	case n > most:
		fmt.Fprintf(&b, "[and %d more]\n", n-most)
	}
	if canAsk {
		b.WriteString("[If the task needs it, call network with host HOST:PORT and why: a person decides. Otherwise go on without it.]\n")
	} else {
		b.WriteString("[Go on without it, or finish and say what you need.]\n")
	}
	return b.String()
}
