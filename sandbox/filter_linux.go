package sandbox

import (
	"sync"

	"agentd/sandbox/boxinit"
)

var (
	netnsFilter = sync.OnceValue(func() []byte { return seccompFilter(filterNetns) })
	noNetFilter = sync.OnceValue(func() []byte { return seccompFilter(filterNoNet) })
)

// ops are the sockets that a box's init opens for the daemon to accept on.
func (p netPlan) ops() []boxinit.Op {
	var ops []boxinit.Op
	if !p.proxied {
		return nil
	}
	ops = append(ops, boxinit.Op{Kind: boxinit.OpListen, Src: "127.0.0.1", Num: proxyPort, FD: -1})
	seen := map[string]bool{}
	for _, f := range p.forwards {
		addr := f.Addr().String()
		if !f.Addr().IsLoopback() && !seen[addr] {
			seen[addr] = true
			ops = append(ops, boxinit.Op{Kind: boxinit.OpAddress, Src: addr, FD: -1})
		}
		ops = append(ops, boxinit.Op{Kind: boxinit.OpListen, Src: addr, Num: uint64(f.Port()), FD: -1})
	}
	return ops
}
