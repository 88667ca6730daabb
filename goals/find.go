package goals

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is the folder of a workspace that holds its goal files.
const Dir = "goals"

// maxFiles bounds how many goal files of one folder are looked at.
const maxFiles = 500

// ErrNotFound is wrapped by the error for a word that names no goal file.
var ErrNotFound = errors.New("no such goal")

// IsWord reports whether text is a single word, which names a goal file and is never a goal by itself.
func IsWord(text string) bool {
	return len(strings.Fields(text)) == 1
}

// ReadFile reads and parses one goal file.
func ReadFile(path string) (Goal, error) {
	f, err := os.Open(path)
	if err != nil {
		return Goal{}, fmt.Errorf("read goal: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return Goal{}, fmt.Errorf("read goal: %w", err)
	} else if !info.Mode().IsRegular() {
		return Goal{}, fmt.Errorf("%w: %s is not a file: give a file that ends with %s or %s", ErrInvalid, path, extMarkdown, extYAML)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Goal{}, fmt.Errorf("read goal: %w", err)
	}
	return Parse(path, data)
}

// Find returns the goal file that a single word names in a workspace: by file name in its goals folder, else by the name inside the
// file, else, where the word itself ends like a goal file, that file of the current folder or of the workspace. The error for a word that names none wraps ErrNotFound and
// says which goal was nearest.
func Find(workspace, word string) (string, error) {
	word = strings.TrimSpace(word)
	files, err := list(filepath.Join(workspace, Dir))
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(files))
	for name, path := range files {
		if name == word {
			return path, nil
		}
		names = append(names, name)
	}
	if isGoalFile(word) {
		tried := []string{word}
		if !filepath.IsAbs(word) {
			tried = append(tried, filepath.Join(workspace, word))
		}
		for _, path := range tried {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
		return "", fmt.Errorf("%w: there is no file %s", ErrNotFound, strings.Join(tried, " or "))
	}
	slices.Sort(names)
	for _, name := range names {
		g, err := ReadFile(files[name])
		if err != nil {
			continue // its faults are told when it is asked for by its file's name
		}
		if g.Name == word {
			return files[name], nil
		}
		if !slices.Contains(names, g.Name) {
			names = append(names, g.Name)
		}
	}
	hint := didYouMean(word, names)
	if len(names) == 0 {
		hint = fmt.Sprintf(": %s has no *%s", filepath.Join(workspace, Dir), extMarkdown)
	}
	return "", fmt.Errorf("%w: the single word %q names no goal file%s; for a goal in words, use more than one", ErrNotFound, word[:min(len(word), 80)], hint)
}

func isGoalFile(name string) bool {
	return strings.HasSuffix(name, extMarkdown) || strings.HasSuffix(name, extYAML)
}

// list returns the goal files of a folder by name. No folder means no files.
func list(dir string) (map[string]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for goal files: %w", err)
	}
	defer d.Close()
	entries, err := d.ReadDir(20 * maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("look for goal files: %w", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	files := map[string]string{}
	for _, e := range entries {
		if !isGoalFile(e.Name()) || len(files) == maxFiles {
			continue
		}
		name := strings.TrimSuffix(strings.TrimSuffix(e.Name(), extMarkdown), extYAML)
		if _, taken := files[name]; !taken { // x.goal.md sorts before x.goal.yaml
			files[name] = filepath.Join(dir, e.Name())
		}
	}
	return files, nil
}
