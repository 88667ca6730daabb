//go:build !linux

package bolt_test

import "errors"

// fillDisk needs a mount namespace.
func fillDisk(string) error { return errors.ErrUnsupported }
