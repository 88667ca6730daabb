package tools

import (
	"errors"
	"os"
)

// nameless makes an empty file that no path leads to, in the temporary folder.
func nameless(label string) (*os.File, error) {
	f, err := os.CreateTemp("", ".agentd-"+label+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
