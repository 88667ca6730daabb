package egress

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxDecisions bounds how many different ones are kept. What comes later is counted under the host "(others)".
const maxDecisions = 512

// Decision is what was decided about one host and port, and how often.
type Decision struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port,omitempty"`
	Allowed  bool   `json:"allowed"`
	Rule     string `json:"rule,omitempty"`   // the entry of the policy that allowed it, or its mode
	Reason   string `json:"reason,omitempty"` // of a refusal
	Count    int64  `json:"count"`            // connections
	Sent     int64  `json:"sent,omitempty"`   // bytes, to the host
	Received int64  `json:"received,omitempty"`
}

type entry struct {
	Decision
	order          int
	count          atomic.Int64
	sent, received atomic.Int64
}

type recordKey struct {
	host    string
	port    uint16
	allowed bool
	why     string
}

// record counts decisions by host, port and reason.
type record struct {
	mu   sync.Mutex // guards seen
	seen map[recordKey]*entry
}

func (r *record) add(k recordKey) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.seen[k]
	if e == nil && len(r.seen) >= maxDecisions {
		k = recordKey{host: "(others)", allowed: k.allowed}
		e = r.seen[k]
	}
	if e == nil {
		e = &entry{order: len(r.seen), Decision: Decision{Host: k.host, Port: k.port, Allowed: k.allowed}}
		if k.allowed {
			e.Rule = k.why
		} else {
			e.Reason = k.why
		}
		if r.seen == nil {
			r.seen = map[recordKey]*entry{}
		}
		r.seen[k] = e
	}
	e.count.Add(1)
	return e
}

func (r *record) allow(host string, port uint16, rule string) *entry {
	return r.add(recordKey{host, port, true, rule})
}

func (r *record) refuse(host string, port uint16, why *RefusedError) {
	r.add(recordKey{host, port, false, why.Reason})
}

// Decisions returns what was decided so far, in the order of first sight.
func (p *Proxy) Decisions() []Decision {
	r := &p.record
	r.mu.Lock()
	entries := make([]*entry, 0, len(r.seen))
	for _, e := range r.seen {
		entries = append(entries, e)
	}
	r.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	out := make([]Decision, 0, len(entries))
	for _, e := range entries {
		d := e.Decision
		d.Count, d.Sent, d.Received = e.count.Load(), e.sent.Load(), e.received.Load()
		out = append(out, d)
	}
	return out
}

// upstream is a connection to a host, which counts what passes and is closed when nothing does for too long.
type upstream struct {
	net.Conn
	proxy *Proxy
	entry *entry
}

func (u *upstream) Read(b []byte) (int, error) {
	u.Conn.SetReadDeadline(time.Now().Add(u.proxy.rules.limits.Idle))
	n, err := u.Conn.Read(b)
	return n, cmp.Or(u.received(n), err)
}

func (u *upstream) Write(b []byte) (int, error) {
	if err := u.sent(len(b)); err != nil {
		return 0, err
	}
	u.Conn.SetWriteDeadline(time.Now().Add(u.proxy.rules.limits.Idle))
	return u.Conn.Write(b)
}

// CloseWrite ends what goes to the host; its answer still comes.
func (u *upstream) CloseWrite() error {
	closeWrite(u.Conn)
	return nil
}

func (u *upstream) sent(n int) error {
	u.entry.sent.Add(int64(n))
	return u.proxy.use(n)
}

func (u *upstream) received(n int) error {
	u.entry.received.Add(int64(n))
	return u.proxy.use(n)
}

// use counts n bytes against the limit of the Proxy.
func (p *Proxy) use(n int) error {
	if total := p.used.Add(int64(n)); total > p.rules.limits.Bytes {
		return fmt.Errorf("%w: this command has moved %d bytes, more than %d", ErrLimit, total, p.rules.limits.Bytes)
	}
	return nil
}

// refused records a refusal that has no *RefusedError of its own yet.
func (p *Proxy) refused(t Target, reason string) *RefusedError {
	e := &RefusedError{Target: t.String(), Reason: reason}
	p.record.refuse(t.Host(), t.Port, e)
	return e
}

// timedOut says whether an error is a deadline of a connection.
func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
