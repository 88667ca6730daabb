package sandbox

import (
	"context"
	"path/filepath"
)

// spare is a box that is being prepared, or is ready.
type spare struct {
	done      chan struct{} // closed when cell and err are set
	workspace string
	cell      *cell
	err       error
}

// maxSpares bounds the prepared boxes that wait: each is a small process.
const maxSpares = 4

// Prepare builds a box for the next command of p while nobody waits for it. It returns at once. A later Start with a
// policy that means the same takes it; each box serves one command only. A failure shows at that Start.
func (b *Box) Prepare(p Policy) {
	select {
	case <-b.picked:
	default:
		return // too early: the next command builds its box itself
	}
	if b.pickErr != nil || b.launcher.level() < p.Require.minimum() {
		return
	}
	pl, err := b.plan(p)
	if err != nil {
		return
	}
	key := pl.key()
	s := &spare{done: make(chan struct{}), workspace: p.Workspace}
	b.mu.Lock()
	if b.closed || b.spares[key] != nil {
		b.mu.Unlock()
		return
	}
	var old *spare
	if len(b.spares) >= maxSpares {
		for k, v := range b.spares {
			old = v
			delete(b.spares, k)
			break
		}
	}
	b.spares[key] = s
	b.group.Go(func() {
		if old != nil {
			old.drop()
		}
		s.cell, s.err = b.build(b.ctx, pl, key)
		close(s.done)
	})
	b.mu.Unlock()
}

// Discard ends prepared boxes of the workspace: a run has ended, or is about to be measured.
func (b *Box) Discard(workspace string) {
	b.mu.Lock()
	var gone []*spare
	for k, s := range b.spares {
		if s.workspace == workspace || workspace == "" {
			gone = append(gone, s)
			delete(b.spares, k)
		}
	}
	b.mu.Unlock()
	for _, s := range gone {
		s.drop()
	}
	if workspace != "" {
		if real, err := filepath.EvalSymlinks(workspace); err == nil {
			workspace = real
		}
	}
	b.holders.settle(workspace)
	if n, ok := b.launcher.(*native); ok {
		n.nets.drop(workspace)
	}
}

func (s *spare) drop() {
	<-s.done
	if s.cell != nil {
		s.cell.end()
	}
}

func (b *Box) dropSpares() { b.Discard("") }

// take returns a box for pl: a prepared one, or a new one.
func (b *Box) take(ctx context.Context, pl *plan, key string) (*cell, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ErrClosed
	}
	s := b.spares[key]
	delete(b.spares, key)
	b.mu.Unlock()
	if s != nil {
		select {
		case <-s.done:
			if s.err == nil && s.cell.init.alive() {
				return s.cell, nil
			}
			s.drop()
		case <-ctx.Done():
			b.group.Go(s.drop)
			return nil, context.Cause(ctx)
		}
	}
	return b.build(ctx, pl, key)
}
