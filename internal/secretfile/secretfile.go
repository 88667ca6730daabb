// Package secretfile keeps named secrets in one file that only its owner can read: lines of NAME=VALUE.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Bounds of the file.
const (
	maxFile  = 1 << 20
	maxValue = 16 << 10
)

// Path is where secrets are kept, beside a configuration file.
func Path(config string) string { return filepath.Join(filepath.Dir(config), "secrets") }

var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

// CheckName reports whether a secret can have that name.
func CheckName(s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("secret name %.80q: use a letter or _, then letters, digits, _, . or -, at most 64", s)
	}
	return nil
}

// CheckValue reports whether a secret can have that value, without showing it.
func CheckValue(v string) error {
	switch {
	case v == "":
		return errors.New("the value is empty")
	case len(v) > maxValue:
		return fmt.Errorf("the value has %d bytes, more than %d", len(v), maxValue)
	case strings.IndexFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
		return errors.New("the value holds more than one line of printable ASCII, which no header can carry")
	}
	return nil
}

// minValue is the shortest value that can be kept secret: a shorter one, masked wherever it stands, would mask ordinary text.
const minValue = 8

// CheckSecret reports whether a value can be kept secret, without showing it: public are texts that everybody may see,
// such as the names of models.
func CheckSecret(v string, public ...string) error {
	if err := CheckValue(v); err != nil {
		return err
	}
	kinds := map[rune]bool{}
	for _, r := range v {
		kinds[r] = true
	}
	switch {
	case len(v) < minValue:
		return fmt.Errorf("the value has %d characters; one of fewer than %d can't be masked without masking ordinary text", len(v), minValue)
	case len(kinds) < 4:
		return errors.New("the value has fewer than 4 different characters: masking it would mask ordinary text")
	case slices.Contains(public, v):
		return errors.New("the value is a name that everybody may see, such as a model's: masking it would mask that")
	}
	return nil
}

// Read returns the secrets of a file; one that isn't there has none. A file that others can read is refused.
func Read(path string) (map[string]string, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	switch {
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("secrets: %s is no file", path)
	case fi.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("secrets: %s has mode %04o: others can read it; chmod 600 it", path, fi.Mode().Perm())
	case fi.Size() > maxFile:
		return nil, fmt.Errorf("secrets: %s has %d bytes, more than %d", path, fi.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	out := map[string]string{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("secrets: %s:%d: want NAME=VALUE", path, n)
		}
		if err := errors.Join(CheckName(key), CheckValue(value)); err != nil {
			return nil, fmt.Errorf("secrets: %s:%d: %w", path, n, err)
		}
		out[key] = value
	}
	return out, nil
}

// Set keeps a secret. Remove forgets one.
func Set(path, key, value string) error {
	if err := errors.Join(CheckName(key), CheckSecret(value)); err != nil {
		return err
	}
	return change(path, func(m map[string]string) error { m[key] = value; return nil })
}

// Remove forgets a secret. One that isn't there is an error.
func Remove(path, key string) error {
	return change(path, func(m map[string]string) error {
		if _, ok := m[key]; !ok {
			return fmt.Errorf("there is no secret %.80q in %s", key, path)
		}
		delete(m, key)
		return nil
	})
}

// change rewrites the file by a rename, so that a reader sees the old one or the new one.
func change(path string, f func(map[string]string) error) error {
	all, err := Read(path)
	if err != nil {
		return err
	}
	if all == nil {
		all = map[string]string{}
	}
	if err := f(all); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("# Secrets of agentd. agentctl secret set NAME writes here.\n")
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s=%s\n", k, all[k])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".secrets-*") // mode 0600
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	defer os.Remove(tmp.Name()) // after the rename there is nothing of that name
	_, err = tmp.Write(b.Bytes())
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}
