package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"agentd/sandbox/boxinit"
)

// maxTemplates bounds the processes that keep a template. Runs with the same toolchains share one.
const maxTemplates = 3

// templates keep the part of a view that boxes share: the system, toolchains and module caches, all read-only. Each
// is built once by a process in namespaces of its own, which hands out copies; copying forty mounts in the kernel is
// far cheaper than making them one by one.
type templates struct {
	native *native

	mu     sync.Mutex // guards the fields below; held while a copy is asked for, which takes microseconds
	kept   map[string]*template
	uses   int
	closed bool
}

// template is a process that holds a view.
type template struct {
	init *initProc
	ctl  *channel
	used int
}

// get returns a copy of the template for pl.
func (t *templates) get(pl *plan) (*os.File, error) {
	key := pl.templateKey()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	t.uses++
	if tm := t.kept[key]; tm != nil {
		if f, err := tm.copy(); err == nil {
			tm.used = t.uses
			return f, nil
		}
		t.drop(key) // it was killed, for want of memory say
	}
	tm, err := t.build(pl)
	if err != nil {
		return nil, err
	}
	for len(t.kept) >= maxTemplates {
		oldest := ""
		for k, v := range t.kept {
			if oldest == "" || v.used < t.kept[oldest].used {
				oldest = k
			}
		}
		t.drop(oldest)
	}
	tm.used, t.kept[key] = t.uses, tm
	return tm.copy()
}

func (t *templates) build(pl *plan) (*template, error) {
	n := t.native
	spec := &boxinit.Spec{Steps: boxinit.StepNamespaces | boxinit.StepTemplate}
	mounts, err := n.addSources(spec, nil, pl.base, pl.baseSources)
	if err != nil {
		return nil, err
	}
	defer closeAll(mounts)
	ip, err := n.nursery.start(n.birth(spec, 0), mounts...)
	if err != nil {
		return nil, err
	}
	tm := &template{init: ip}
	if tm.ctl, err = openChannel(ip.ctl); err != nil {
		ip.end()
		return nil, err
	}
	c := &cell{init: ip, ctl: tm.ctl}
	tm.ctl.SetDeadline(time.Now().Add(setupTimeout))
	if err := c.setup(spec, false); err != nil {
		tm.end()
		return nil, err
	}
	return tm, nil
}

func (tm *template) copy() (*os.File, error) {
	tm.ctl.SetDeadline(time.Now().Add(setupTimeout))
	if err := tm.ctl.send(boxinit.FrameTree, nil); err != nil {
		return nil, fmt.Errorf("copy the template: %w", err)
	}
	kind, body, files, err := tm.ctl.receive()
	if err != nil {
		return nil, fmt.Errorf("copy the template: %w", err)
	}
	if kind != boxinit.FrameTree || len(files) != 1 {
		closeAll(files)
		return nil, errors.New("copy the template: " + string(body))
	}
	return files[0], nil
}

func (tm *template) end() {
	tm.ctl.Close()
	tm.init.end()
}

func (t *templates) drop(key string) {
	t.kept[key].end()
	delete(t.kept, key)
}

// trim ends the processes that keep templates. The next box makes what it needs.
func (t *templates) trim() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.kept {
		t.drop(k)
	}
}

func (t *templates) close() {
	t.mu.Lock()
	t.closed = true
	for k := range t.kept {
		t.drop(k)
	}
	t.mu.Unlock()
}
