package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout   = 15 * time.Second // a look-up and all dials
	oneDial       = 5 * time.Second
	maxDials      = 6 // addresses tried; all are judged
	ownAddressAge = 10 * time.Second
)

// open makes a connection that the policy allows, and counts it. The caller closes it.
func (p *Proxy) open(ctx context.Context, t Target) (*upstream, error) {
	rule, refused := p.rules.judge(t)
	if refused != nil {
		p.record.refuse(t.Host(), t.Port, refused)
		return nil, refused
	}
	if p.used.Load() >= p.rules.limits.Bytes {
		p.record.refuse(t.Host(), t.Port, &RefusedError{Reason: "the limit of bytes was reached"})
		return nil, fmt.Errorf("%s: %w: this command has moved %d bytes", t, ErrLimit, p.used.Load())
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.connect(ctx, t)
	if e, ok := errors.AsType[*RefusedError](err); ok {
		p.record.refuse(t.Host(), t.Port, e)
	}
	if err != nil {
		return nil, err
	}
	up := &upstream{Conn: conn, proxy: p, entry: p.record.allow(t.Host(), t.Port, rule)}
	conn.SetDeadline(time.Now().Add(p.rules.limits.Idle))
	return up, nil
}

// connect looks a name up, judges every address it has and dials one of exactly those.
func (p *Proxy) connect(ctx context.Context, t Target) (net.Conn, error) {
	addrs := []netip.Addr{t.Addr}
	if t.Name != "" {
		var err error
		if addrs, err = p.lookUp(ctx, t.Name); err != nil {
			return nil, fmt.Errorf("look %s up: %w", t.Name, err)
		}
	}
	for _, a := range addrs {
		if refused := p.judgeAddr(t, a); refused != nil {
			return nil, refused
		}
	}
	err := fmt.Errorf("look %s up: no address", t.Host())
	for _, a := range addrs[:min(len(addrs), maxDials)] {
		one, cancel := context.WithTimeout(ctx, oneDial)
		var conn net.Conn
		conn, err = p.opts.Dial(one, netip.AddrPortFrom(a, t.Port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// lookUp resolves a name in the daemon. localhost is what it says, whatever a resolver claims.
func (p *Proxy) lookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	if name == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	list, err := p.opts.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		addrs = append(addrs, a.Unmap())
	}
	return addrs, nil
}

// judgeAddr has the last word about an address that t stands for.
func (p *Proxy) judgeAddr(t Target, a netip.Addr) *RefusedError {
	if a.Zone() != "" || IsMetadata(a) || p.never(a, t.Port) {
		return refuseNever(t, a.String())
	}
	if _, ok := p.rules.named(a, t.Port); ok {
		return nil
	}
	if !IsPublic(a) || p.own.has(a) {
		return refusePrivate(t, a)
	}
	return nil
}

// never says whether the daemon listens there.
func (p *Proxy) never(a netip.Addr, port uint16) bool {
	for _, n := range p.opts.Never {
		if n.Port() != port {
			continue
		}
		at := n.Addr().Unmap()
		if at == a || inner(a) == at || at.IsUnspecified() && (a.IsLoopback() || inner(a).IsLoopback() || p.own.has(a)) {
			return true
		}
	}
	return false
}

// ownAddresses are those of the machine's interfaces, read again every few seconds.
type ownAddresses struct {
	read func() ([]net.Addr, error)

	mu   sync.Mutex // guards the fields below
	at   time.Time
	list []netip.Addr
}

// has fails closed: where the addresses can't be read, the last ones known count.
func (o *ownAddresses) has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || time.Since(o.at) > ownAddressAge {
		o.at = time.Now()
		if addrs, err := o.read(); err == nil {
			o.list = o.list[:0]
			for _, n := range addrs {
				if ip, ok := n.(*net.IPNet); ok {
					if own, ok := netip.AddrFromSlice(ip.IP); ok {
						o.list = append(o.list, own.Unmap())
					}
				}
			}
		}
	}
	return slices.Contains(o.list, a) || slices.Contains(o.list, inner(a))
}

// systemResolve looks a name up as the machine does, but never with a search list.
func systemResolve(ctx context.Context, name string) ([]netip.Addr, error) {
	for i := range len(name) {
		if name[i] == '.' {
			name += "."
			break
		}
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// systemDial connects to exactly one address: what the kernel is asked for is compared once more.
func systemDial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return sameAddress(address, to)
	}}
	return d.DialContext(ctx, "tcp", to.String())
}

func sameAddress(address string, want netip.AddrPort) error {
	got, err := netip.ParseAddrPort(address)
	if err != nil || netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != want || IsMetadata(got.Addr()) {
		return fmt.Errorf("%w: about to dial %s, which is not the address that was judged, %s", ErrRefused, address, want)
	}
	return nil
}
