package sandbox

import (
	"context"
	"net"
	"sync"
)

// serveNet accepts on the sockets that the box's init opened inside the box.
func (p *Proc) serveNet(ctx context.Context) error {
	pl := p.cell.plan.net
	if !pl.proxied {
		return nil
	}
	newEgress := p.box.opts.NewEgress
	if newEgress == nil {
		newEgress = newProxy
	}
	out, err := newEgress(p.cell.plan.policy.Net)
	if err != nil {
		return err
	}
	p.egress = out
	slots := make(chan struct{}, maxConns)
	for i, f := range p.cell.listeners {
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		serve := out.Serve
		if i > 0 && i <= len(pl.forwards) {
			to := pl.forwards[i-1]
			serve = func(ctx context.Context, conn net.Conn) { out.ServeTo(ctx, conn, to) }
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
