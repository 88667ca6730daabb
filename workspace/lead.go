package workspace

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of Lead.
const (
	leadBytes   = 700
	leadEntries = 20_000
	leadNames   = 30
	leadTypes   = 8
	leadPaths   = 450 // bytes of a list of all files, where it fits
)

// heavy are folders that say nothing about a workspace but their name.
var heavy = map[string]bool{
	".git": true, "node_modules": true, "vendor": true, "__pycache__": true, ".venv": true, "venv": true, "target": true,
	"dist": true, "build": true, ".tox": true, ".mypy_cache": true, ".pytest_cache": true, ".gradle": true, ".idea": true,
}

// builds are files that say how a project is built or described.
var builds = []string{
	"go.mod", "package.json", "pyproject.toml", "setup.py", "requirements.txt", "Cargo.toml", "pom.xml", "build.gradle", "build.gradle.kts", "CMakeLists.txt",
	"Makefile", "Gemfile", "composer.json", "mix.exs", "Package.swift", "Dockerfile", "AGENTS.md", "CLAUDE.md", "README.md",
}

// Lead describes a workspace in at most 700 bytes for a prompt: all files where they are few, else what lies at its top, how many files of which type, whether git has it
// and how it is built. The same tree gives the same words. Names are data of strangers and are quoted where they hold anything odd.
func Lead(root string) string {
	entries, err := os.ReadDir(root) // sorted
	if err != nil {
		return "The workspace can't be listed."
	}
	var top, found []string
	git := false
	for _, e := range entries {
		name := e.Name()
		if name == ".git" {
			git = true
			continue
		}
		if slices.Contains(builds, name) {
			found = append(found, name)
		}
		shown := show(name)
		switch {
		case e.IsDir():
			shown += "/"
		case e.Type()&fs.ModeSymlink != 0:
			shown += "@"
		}
		top = append(top, shown)
	}
	if len(top) == 0 {
		return "The workspace is empty." + map[bool]string{true: " It is a git repository.", false: ""}[git]
	}
	types, files, paths, whole := census(root)
	var b strings.Builder
	if list := strings.Join(paths, ", "); whole && files == len(paths) && len(list) <= leadPaths {
		fmt.Fprintf(&b, "All files: %s\n", list)
	} else {
		fmt.Fprintf(&b, "Top level: %s\n", joinSome(top, leadNames, 300))
	}
	more := map[bool]string{true: "", false: " or more"}[whole]
	fmt.Fprintf(&b, "Files: %d%s (%s)\n", files, more, joinSome(types, leadTypes, 160))
	if len(found) > 0 {
		fmt.Fprintf(&b, "Build and guide files: %s\n", joinSome(found, 12, 120))
	}
	fmt.Fprintf(&b, "Git repository: %s", map[bool]string{true: "yes", false: "no"}[git])
	return b.String()
}

// census counts files by type, most frequent first, outside of heavy folders. paths are those of the first files.
func census(root string) (types []string, files int, paths []string, whole bool) {
	count := map[string]int{}
	seen := 0
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if seen++; seen > leadEntries {
			return fs.SkipAll
		}
		switch {
		case err != nil:
			return nil // an unreadable folder has nothing to count
		case d.IsDir():
			if p != root && heavy[d.Name()] {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			files++
			if rel, err := filepath.Rel(root, p); err == nil && len(paths) < leadNames {
				paths = append(paths, show(rel))
			}
			ext := strings.ToLower(path.Ext(d.Name()))
			if ext == "" || len(ext) > 12 || strings.TrimPrefix(d.Name(), ext) == "" {
				ext = "other"
			}
			count[ext]++
		}
		return nil
	})
	type typed struct {
		ext string
		n   int
	}
	var list []typed
	for ext, n := range count {
		list = append(list, typed{ext, n})
	}
	slices.SortFunc(list, func(a, b typed) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.ext, b.ext)) })
	for _, t := range list {
		types = append(types, fmt.Sprintf("%d %s", t.n, show(t.ext)))
	}
	return types, files, paths, seen <= leadEntries
}

// joinSome joins names up to a number and a length, and says how many are left.
func joinSome(names []string, most, size int) string {
	var b strings.Builder
	for i, n := range names {
		if i == most || b.Len()+len(n) > size {
			fmt.Fprintf(&b, ", … %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n)
	}
	return strings.TrimPrefix(b.String(), ", ")
}

func show(name string) string {
	if len(name) > 60 {
		cut := 57
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(",\"`", r) }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}
