package goals

import (
	"path/filepath"
	"slices"
)

// List returns the goal files of a workspace's goals folder, sorted by path. No folder means none.
func List(workspace string) ([]string, error) {
	files, err := list(filepath.Join(workspace, Dir))
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(files))
	for _, path := range files {
		out = append(out, path)
	}
	slices.Sort(out)
	return out, nil
}
