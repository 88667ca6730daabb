package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFindToolchains(t *testing.T) {
	home := t.TempDir()
	program := func(p string) {
		t.Helper()
		p = filepath.Join(home, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program("sdk/go1/bin/go")
	program(".pyenv/shims/python3")
	program(".pyenv/versions/3.12.1/bin/python3")
	program(".pyenv/versions/3.9.0/bin/python3")
	program(".cargo/bin/cargo")
	program(".rustup/toolchains/stable/bin/cargo")
	program("bin/node") // a person's own folder is not an installation
	program("go/pkg/mod/x/y")
	if err := os.WriteFile(filepath.Join(home, ".pyenv/version"), []byte("3.12.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var path string
	for _, d := range []string{"sdk/go1/bin", ".pyenv/shims", ".cargo/bin", "bin"} {
		path += filepath.Join(home, d) + ":"
	}
	got := findToolchains(path+"relative", home, func(string) string { return "" })
	var want []string
	for _, d := range []string{"sdk/go1", ".pyenv/versions/3.12.1", ".rustup/toolchains/stable"} {
		want = append(want, filepath.Join(home, d))
	}
	if !slices.Equal(got.roots, want) {
		t.Errorf("roots: got %v, want %v", got.roots, want)
	}
	for i, d := range want {
		if got.path[i] != filepath.Join(d, "bin") {
			t.Errorf("path: got %v", got.path)
		}
	}
	if len(got.caches) == 0 || got.caches[0].host != filepath.Join(home, "go/pkg/mod") || got.goMod != "/cache/gomod" {
		t.Errorf("caches: got %+v", got.caches)
	}
}
