package sandbox

import (
	"fmt"
	"os"
	"sync"
)

// nets keeps network namespaces without a way out for the boxes of a workspace, one box after the other: making one
// costs more than the rest of a box. Nobody in a box has a right over one, and it is used again only where the box
// before ended by itself and left no connection behind.
type nets struct {
	mu     sync.Mutex // guards the fields below
	free   map[string][]*os.File
	count  int
	epoch  int // changes when a workspace is given up: what its boxes still hold isn't kept then
	closed bool
}

const maxFreeNets = 4

// get returns a namespace, and what has to be called when its box has ended: with true where it may be used again.
func (s *nets) get(n *nursery, ws string) (*os.File, func(bool), error) {
	s.mu.Lock()
	var f *os.File
	if list := s.free[ws]; len(list) > 0 {
		f = list[len(list)-1]
		s.free[ws] = list[:len(list)-1]
		s.count--
	}
	epoch := s.epoch
	s.mu.Unlock()
	if f == nil {
		var err error
		if f, err = n.network(); err != nil {
			return nil, nil, fmt.Errorf("make the box's network: %w", err)
		}
	}
	var once sync.Once
	return f, func(again bool) { once.Do(func() { s.put(ws, f, epoch, again) }) }, nil
}

func (s *nets) put(ws string, f *os.File, epoch int, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !again || s.closed || s.epoch != epoch || s.count >= maxFreeNets {
		f.Close()
		return
	}
	if s.free == nil {
		s.free = map[string][]*os.File{}
	}
	s.free[ws] = append(s.free[ws], f)
	s.count++
}

// drop gives up what the boxes of a workspace used.
func (s *nets) drop(ws string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.count -= len(s.free[ws])
	closeAll(s.free[ws])
	delete(s.free, ws)
}

func (s *nets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, list := range s.free {
		closeAll(list)
	}
	s.free, s.count = nil, 0
}
