//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"net"
	"runtime"
)

// Box runs commands in confinement. On this system there is none for programs.
type Box struct{ rep Report }

// Proc is a command that runs in a box of its own.
type Proc struct{}

// Open reports what can be had. Programs are refused at Start, with AllowNone too.
func Open(o Options) (*Box, error) { return &Box{rep: Probe()}, nil }

// Probe says what this system can enforce.
func Probe() Report {
	fix := "run agentd on Linux, or in a Linux virtual machine"
	r := Report{Level: LevelNone, Backend: "none", Kernel: runtime.GOOS, Fix: fix}
	for _, name := range guaranteeNames {
		r.Guarantees = append(r.Guarantees, Guarantee{Name: name, State: "absent", Reason: "there is no sandbox for programs on " + runtime.GOOS + " yet"})
	}
	return r
}

// Report says what this Box enforces.
func (b *Box) Report() Report { return b.rep }

// Close ends the Box.
func (b *Box) Close() error { return nil }

// Prepare does nothing here.
func (b *Box) Prepare(p Policy) {}

// Discard does nothing here.
func (b *Box) Discard(workspace string) {}

// Run refuses.
func (b *Box) Run(ctx context.Context, p Policy, c Command) (Result, error) {
	_, err := b.Start(ctx, p, c)
	return Result{}, err
}

// Start refuses.
func (b *Box) Start(ctx context.Context, p Policy, c Command) (*Proc, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return nil, &UnavailableError{Want: p.Require.minimum(), Have: LevelNone, Fix: b.rep.Fix}
}

// Wait returns how the command ended.
func (p *Proc) Wait() (Result, error) { return Result{}, errors.ErrUnsupported }

// Kill ends the command.
func (p *Proc) Kill() {}

// Dial connects to a port in the box.
func (p *Proc) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
