package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentd/sandbox/boxinit"
)

// plain runs commands in the host's namespaces: confined by Landlock, seccomp and resource limits, or by nothing.
type plain struct {
	nursery  *nursery
	landlock bool
	abi      int
}

func newLandlock(n *nursery) (launcher, error) {
	abi := landlockABI()
	if abi == 0 {
		return nil, errors.New("the kernel has no Landlock, or it isn't enabled (boot with lsm=landlock,…)")
	}
	if abi < 3 {
		return nil, fmt.Errorf("the kernel's Landlock has version %d, which doesn't cover truncation: version 3 (Linux 6.2) is needed", abi)
	}
	return &plain{nursery: n, landlock: true, abi: abi}, nil
}

func newNone(n *nursery) (launcher, error) { return &plain{nursery: n}, nil }

func (l *plain) level() Level {
	if l.landlock {
		return LevelLandlock
	}
	return LevelNone
}

func (l *plain) close() { l.nursery.close() }

// launch starts an init without namespaces. Paths are the host's own: the view can't be changed, only what of it may
// be touched.
func (l *plain) launch(pl *plan, steps uint32) (*launched, error) {
	if pl.net.proxied && l.landlock {
		return nil, badField("net.allow", "no allow-list can be offered at the level landlock, where there is no network namespace: leave it empty, or allow user namespaces")
	}
	dir, err := os.MkdirTemp("", "agentd-box")
	if err != nil {
		return nil, fmt.Errorf("make a home for the box: %w", err)
	}
	out := &launched{release: func() { os.RemoveAll(dir) }}
	home, tmp := filepath.Join(dir, "home"), filepath.Join(dir, "tmp")
	s := &boxinit.Spec{Steps: boxinit.StepSubreaper | steps}
	out.spec = s
	if l.landlock {
		s.Steps |= boxinit.StepLandlock | boxinit.StepCaps
		s.Seccomp, s.Rlimits = noNetFilter(), pl.rlimits()
		l.rules(s, pl, dir)
	}
	err = errors.Join(os.MkdirAll(filepath.Join(home, ".config/go"), 0o700), os.Mkdir(tmp, 0o700),
		os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(etcFiles["gitconfig"]), 0o600))
	for _, op := range pl.after {
		if op.Kind == boxinit.OpFile && strings.HasPrefix(op.Dst, boxHome+"/") {
			text := strings.ReplaceAll(op.Src, "/cache/gomod", pl.hostPath("/cache/gomod"))
			err = errors.Join(err, os.WriteFile(filepath.Join(home, strings.TrimPrefix(op.Dst, boxHome)), []byte(text), 0o600))
		}
	}
	for host, in := range pl.policy.Caches {
		if rest, ok := strings.CutPrefix(in, boxHome+"/"); ok {
			at := filepath.Join(home, rest)
			err = errors.Join(err, os.MkdirAll(filepath.Dir(at), 0o700), os.Symlink(host, at))
		}
	}
	if err != nil {
		out.release()
		return nil, fmt.Errorf("make a home for the box: %w", err)
	}
	replace := strings.NewReplacer(boxHome, home, boxWS, pl.ws)
	out.dir, out.env = pl.ws, maps.Clone(pl.env)
	if pl.net.proxied { // nothing is confined: nothing serves a proxy, and nothing needs one
		for _, k := range append([]string{"no_proxy", "NO_PROXY"}, proxyVars...) {
			delete(out.env, k)
		}
	}
	for k, v := range pl.policy.Env {
		if strings.HasPrefix(v, boxHome) || strings.HasPrefix(v, boxWS) {
			out.env[k] = replace.Replace(v)
		}
	}
	out.env["HOME"], out.env["TMPDIR"] = home, tmp
	if out.init, err = l.nursery.start(boxinit.Birth{Spec: s.Encode()}); err != nil {
		out.release()
		return nil, err
	}
	return out, nil
}

// hostPath finds what the view would have shown at a path of the box.
func (pl *plan) hostPath(in string) string {
	for _, s := range slices.Concat(pl.baseSources, pl.sources) {
		if s.in == in {
			return s.host
		}
	}
	return in
}

// rules allow what the view would have shown.
func (l *plain) rules(s *boxinit.Spec, pl *plan, dir string) {
	s.LandlockFS = landlockRights(l.abi)
	if l.abi >= 4 {
		s.LandlockNet = llBindTCP | llConnectTCP
	}
	if l.abi >= 6 {
		s.LandlockScope = llScopeUnix | llScopeKill
	}
	write := s.LandlockFS &^ (llMakeChar | llMakeBlock)
	allow := func(path string, rights uint64) {
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			rights &= llExecute | llWriteFile | llReadFile | llTruncate | llIoctlDev // what a file can have
		}
		s.Ops = append(s.Ops, boxinit.Op{Kind: boxinit.OpAllow, Dst: path, Num: rights & s.LandlockFS, Flags: boxinit.Optional, FD: -1})
	}
	for _, p := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64"} {
		allow(p, llRead)
	}
	for _, p := range []string{"passwd", "group", "hosts", "nsswitch.conf", "gitconfig"} {
		allow("/etc/"+p, llRead)
	}
	allow("/proc", llRead)
	for _, src := range slices.Concat(pl.baseSources, pl.sources) {
		switch {
		case strings.HasPrefix(src.host, "/dev/"):
			allow(src.host, llReadFile|llWriteFile|llIoctlDev)
		case src.owned && src.flags&boxinit.ReadOnly == 0:
			allow(src.host, write)
		default:
			allow(src.host, llRead)
		}
	}
	allow(dir, write)
	allow("/dev/shm", write)
}
