package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRefused is wrapped by the error for a folder that no run may work in.
var ErrRefused = errors.New("folder refused as a workspace")

// Resolve returns the folder that dir names, absolute and without symlinks. It refuses a folder that doesn't exist or can't be written;
// the root folder; the home folder; and, of the home folder and of each folder in avoid (the daemon's own: data, configuration, socket),
// what holds it and, of avoid, what is in it.
func Resolve(dir string, avoid ...string) (string, error) {
	if dir == "" || strings.ContainsRune(dir, 0) {
		return "", fmt.Errorf("%w: %q is no folder name: give one with -C DIR", ErrRefused, dir)
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find workspace %s: %w", dir, err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%w: %s does not exist: create it, or give another with -C DIR", ErrRefused, dir)
		}
		return "", fmt.Errorf("find workspace %s: %w", dir, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find workspace %s: %w", dir, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%w: %s is a file: give the folder that holds it with -C DIR", ErrRefused, path)
	}
	if err := refuse(path, avoid); err != nil {
		return "", err
	}
	if err := unix.Access(path, unix.W_OK|unix.X_OK|unix.R_OK); err != nil {
		return "", fmt.Errorf("%w: %s can't be read and written by this user (%v): choose a folder of your own with -C DIR", ErrRefused, path, err)
	}
	return path, nil
}

func refuse(path string, avoid []string) error {
	const next = "make a folder for the work and give it with -C DIR"
	if path == "/" {
		return fmt.Errorf("%w: / is the whole machine: %s", ErrRefused, next)
	}
	if home, err := os.UserHomeDir(); err == nil {
		home = real(home)
		switch {
		case samePlace(path, home):
			return fmt.Errorf("%w: %s is the home folder: %s", ErrRefused, path, next)
		case below(home, path):
			return fmt.Errorf("%w: %s holds the home folder %s: %s", ErrRefused, path, home, next)
		}
	}
	for _, a := range avoid {
		if a == "" {
			continue
		}
		a = real(a)
		switch {
		case samePlace(path, a) || below(path, a):
			return fmt.Errorf("%w: %s is in agentd's own folder %s: %s", ErrRefused, path, a, next)
		case below(a, path):
			return fmt.Errorf("%w: %s holds agentd's own folder %s: choose a folder without it, or move that with AGENTD_HOME", ErrRefused, path, a)
		}
	}
	return nil
}

// real is path without symlinks, as far as it exists.
func real(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	rest := ""
	for p := path; ; p = filepath.Dir(p) {
		if r, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(r, rest)
		}
		if p == filepath.Dir(p) {
			return path
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}
