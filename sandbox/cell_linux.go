package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"agentd/sandbox/boxinit"
)

// launcher starts the init of a box: natively, inside bubblewrap, or without namespaces.
type launcher interface {
	level() Level
	// launch starts an init, which builds what it is told with the further steps.
	launch(pl *plan, steps uint32) (*launched, error)
	close()
}

// launched is a started init and what belongs to its box.
type launched struct {
	init    *initProc
	spec    *boxinit.Spec
	dir     string            // the workspace's path in the box
	env     map[string]string // of the program
	release func()            // removes what the launcher made for this box; may be nil
	net     func(again bool)  // gives the box's network namespace back; may be nil
	soft    bool              // the process is not the box's init itself: that has to be asked to end
	tell    bool              // the init waits for its spec
}

// cell is a box that is built and waits for its program.
type cell struct {
	key       string
	plan      *plan
	level     Level
	dir       string            // the workspace's path in the box
	env       map[string]string // of the program
	soft      bool              // the init's process is only its parent: it is asked to end
	tree      bool              // no pid namespace: the box is its init and all that descends from it
	init      *initProc
	ctl       *channel
	procFS    *os.File // the box's /proc, for the supervisor
	scratch   *os.File
	listeners []*os.File
	group     *cgroup // nil where none can be had
	ooms      int64   // kills of the group before this box
	release   func()  // gives mount points in the workspace back
	net       func(again bool)
	once      sync.Once
}

// setupTimeout bounds how long a box may take to be built. It is generous: a loaded machine is slow.
const setupTimeout = 30 * time.Second

// build makes a box for pl.
func (b *Box) build(ctx context.Context, pl *plan, key string) (*cell, error) {
	release := func() {}
	if len(pl.policy.Hide) > 0 && b.launcher.level() < LevelNamespaces {
		return nil, badField("hide", "paths of the workspace can be hidden by the level namespaces alone, this machine has %s", b.launcher.level())
	}
	if len(pl.prot.readOnly) > 0 {
		root, err := os.OpenRoot(pl.ws)
		if err != nil {
			return nil, badField("workspace", "%v", err)
		}
		release, err = b.holders.make(pl.ws, root, pl.prot)
		root.Close()
		if err != nil {
			return nil, err
		}
	}
	var steps uint32
	if b.opts.FailSetup {
		steps = boxinit.StepFailAtEnd
	}
	l, err := b.launcher.launch(pl, steps)
	if err != nil {
		release()
		return nil, err
	}
	c := &cell{key: key, plan: pl, level: b.launcher.level(), init: l.init, dir: l.dir, env: l.env, soft: l.soft, net: l.net}
	c.release = func() {
		if l.release != nil {
			l.release()
		}
		release()
	}
	if c.ctl, err = openChannel(l.init.ctl); err != nil {
		c.end()
		return nil, err
	}
	if b.groups != nil {
		err := error(nil)
		if c.group, err = b.groups.get(pl.limits); err == nil {
			c.ooms = c.group.ooms
			err = c.group.add(c.init.pid)
		}
		if err != nil {
			c.end()
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { c.kill() })
	defer stop()
	c.ctl.SetDeadline(time.Now().Add(setupTimeout))
	if err := c.setup(l.spec, l.tell); err != nil {
		c.end()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	c.ctl.SetDeadline(time.Time{})
	return c, nil
}

// kill ends the box. Without a pid namespace the init has to do it: it ends when all that descends from it has.
func (c *cell) kill() {
	if !c.tree && !c.soft || c.ctl == nil {
		c.init.kill()
		return
	}
	c.ctl.CloseWrite()
	time.AfterFunc(treeGrace, c.init.kill)
}

// treeGrace is how long an init may take to end its descendants where no namespace does it.
const treeGrace = 3 * time.Second

// setup waits until the init has built the box. An init that was executed is told first what to build.
func (c *cell) setup(spec *boxinit.Spec, tell bool) error {
	if tell {
		if err := c.ctl.send(boxinit.FrameSpec, spec.Encode()); err != nil {
			return c.setupError(err)
		}
	}
	kind, body, files, err := c.ctl.receive()
	if err != nil {
		return c.setupError(err)
	}
	if kind == boxinit.FrameError {
		closeAll(files)
		return fmt.Errorf("set the box up: %s", boxinit.FailureText(body, spec))
	}
	if kind != boxinit.FrameReady {
		closeAll(files)
		return fmt.Errorf("set the box up: unexpected message %q", kind)
	}
	if spec.Steps&boxinit.StepTemplate == 0 && spec.Steps&(boxinit.StepNamespaces|boxinit.StepHandOut) != 0 {
		if len(files) < 2 {
			closeAll(files)
			return errors.New("set the box up: descriptors are missing")
		}
		c.procFS, c.scratch, c.listeners = files[0], files[1], files[2:]
	} else if spec.Steps&boxinit.StepSubreaper != 0 {
		closeAll(files)
		c.tree = true
		if c.procFS, err = os.Open("/proc"); err != nil {
			return fmt.Errorf("set the box up: %w", err)
		}
	}
	return nil
}

// setupError adds what the init wrote before it died.
func (c *cell) setupError(err error) error {
	c.init.kill()
	c.init.wait()
	var buf [2048]byte
	n, _ := c.init.log.ReadAt(buf[:], 0)
	if text := bytes.TrimSpace(buf[:n]); len(text) > 0 {
		return fmt.Errorf("set the box up: the init ended: %s", text)
	}
	return fmt.Errorf("set the box up: %w", err)
}

// end kills the box and gives back what it held. It waits until the kernel has ended every process of it.
func (c *cell) end() {
	c.once.Do(func() {
		c.kill()
		if c.ctl != nil {
			c.ctl.Close()
		}
		c.init.wait()
		c.close()
		c.init.close()
	})
}

// leave gives back what a box held that has ended by itself. Its init is still leaving: group waits for that. Quiet says
// that nothing is left in its network namespace.
func (c *cell) leave(group *sync.WaitGroup, quiet bool) {
	c.once.Do(func() {
		if c.net != nil {
			c.net(quiet)
		}
		c.ctl.Close()
		c.close()
		group.Go(func() { c.init.wait(); c.init.close() })
	})
}

func (c *cell) close() {
	if c.net != nil {
		c.net(false)
	}
	for _, f := range append([]*os.File{c.procFS, c.scratch}, c.listeners...) {
		if f != nil {
			f.Close()
		}
	}
	if c.group != nil {
		c.group.ooms = c.group.oom()
		c.group.owner.put(c.group)
	}
	c.release()
}
