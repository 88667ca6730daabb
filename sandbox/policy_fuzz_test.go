package sandbox

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPolicy decodes policies as a run's journal and the API give them. What passes names existing absolute folders,
// stays inside the workspace with what it protects, and keeps its meaning when it is written again.
func FuzzPolicy(f *testing.F) {
	ws := f.TempDir()
	for _, s := range []string{
		`{"workspace":"WS","protect":[".git/hooks","goals/**","a/../b"],"net":{"allow":["example.org:443"]},"limits":{"Wall":1,"Memory":-1}}`,
		`{"workspace":"WS","caches":{"WS":"/cache/go","/":"/etc"},"env":{"A=":"b","C":"d"},"require":"namespaces"}`,
		`{"workspace":"WS/..","read_only":["/"],"net":{"allow":["*.","*","10.0.0.0/33:1","example.org:0"]}}`,
		`{"workspace":"relative","require":"9"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p Policy
		if json.Unmarshal([]byte(strings.ReplaceAll(text, "WS", ws)), &p) != nil {
			return
		}
		err := p.check()
		if err == nil {
			err = p.Net.Check()
		}
		var pe *PolicyError
		if err != nil {
			if !errors.As(err, &pe) || pe.Field == "" || pe.Reason == "" {
				t.Fatalf("%v: want the field and the reason", err)
			}
			return
		}
		if !filepath.IsAbs(p.Workspace) || filepath.Clean(p.Workspace) == "/" {
			t.Errorf("workspace %q passed", p.Workspace)
		}
		for _, g := range p.Protect {
			if !filepath.IsLocal(strings.TrimSuffix(g, "/")) {
				t.Errorf("protect %q passed", g)
			}
		}
		for _, in := range p.Caches {
			if !cachePlace(in) || filepath.Clean(in) != in {
				t.Errorf("cache at %q passed", in)
			}
		}
		if l, err := p.Limits.filled(); err != nil || min(l.Memory, l.Disk, l.File, l.Output, int64(l.Wall), int64(l.CPU), int64(l.Procs), int64(l.Files)) <= 0 {
			t.Errorf("limits %+v, %v", l, err)
		}
		out, err := json.Marshal(p)
		var again Policy
		if err != nil || json.Unmarshal(out, &again) != nil || again.check() != nil {
			t.Errorf("%s, %v: doesn't pass again", out, err)
		}
	})
}
