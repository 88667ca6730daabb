package sandbox

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// serveNet accepts on the sockets that the box's init opened inside the box.
func (p *Proc) serveNet(ctx context.Context) error {
	pl := p.cell.plan.net
	if !pl.proxied {
		return nil
	}
	egress := Egress(newAllowProxy(pl))
	if p.box.opts.NewEgress != nil {
		var err error
		if egress, err = p.box.opts.NewEgress(p.cell.plan.policy.Net); err != nil {
			return err
		}
	}
	p.egress = egress
	slots := make(chan struct{}, maxConns)
	for i, f := range p.cell.listeners {
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		serve := egress.Serve
		if i > 0 && i <= len(pl.forwards) {
			to := pl.forwards[i-1]
			serve = func(ctx context.Context, conn net.Conn) { forward(ctx, conn, to) }
		}
		p.helpers.Go(func() { acceptAll(ctx, l, slots, serve) })
	}
	return nil
}

// acceptAll serves connections until ctx ends, and waits for them.
func acceptAll(ctx context.Context, l net.Listener, slots chan struct{}, serve func(context.Context, net.Conn)) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
			group.Go(func() {
				defer func() { <-slots }()
				serve(ctx, conn)
			})
		default:
			conn.Close() // too many at a time
		}
	}
}

// forward connects a program that asked for an address which the policy names.
func forward(ctx context.Context, conn net.Conn, to netip.AddrPort) {
	defer conn.Close()
	d := net.Dialer{Timeout: dialTimeout}
	out, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // the program sees a reset, as without a listener
		}
		return
	}
	defer out.Close()
	relay(ctx, conn, out)
}
