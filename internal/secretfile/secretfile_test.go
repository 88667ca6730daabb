package secretfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/internal/secretfile"
)

func TestFile(t *testing.T) {
	path := secretfile.Path(filepath.Join(t.TempDir(), "conf", "config.yaml"))
	if all, err := secretfile.Read(path); err != nil || len(all) != 0 {
		t.Fatalf("no file: %v, %v", all, err)
	}
	for _, kv := range [][2]string{{"GH_TOKEN", "a=b c d e"}, {"api", "x-y-z-00"}, {"GH_TOKEN", "new-value"}} {
		if err := secretfile.Set(path, kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if err := secretfile.Remove(path, "api"); err != nil {
		t.Fatal(err)
	}
	if err := secretfile.Remove(path, "api"); err == nil {
		t.Error("removed one that isn't there")
	}
	if all, err := secretfile.Read(path); err != nil || len(all) != 1 || all["GH_TOKEN"] != "new-value" {
		t.Errorf("got %v, %v", all, err)
	}
	for key, value := range map[string]string{"": "long-enough", "1a": "long-enough", "a b": "long-enough", "a": "", "e": "7-bytes", "f": "abababababab", "b": "two\nlines", "c": "ü", "d": strings.Repeat("x", 17<<10)} {
		if err := secretfile.Set(path, key, value); err == nil {
			t.Errorf("%q=%.20q was taken", key, value)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := secretfile.Read(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
}

func TestPublicValue(t *testing.T) {
	if err := secretfile.CheckSecret("some-model-7b", "other", "some-model-7b"); err == nil || strings.Contains(err.Error(), "some-model") {
		t.Errorf("got %v", err)
	}
	if err := secretfile.CheckSecret("some-model-7b", "other"); err != nil {
		t.Error(err)
	}
}

func TestMalformed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	for text, want := range map[string]string{"# fine\n\nNAME\n": ":3: want NAME=VALUE", "a b=c\n": ":1: secret name", "A=\n": ":1: the value is empty"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secretfile.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
