package workspace

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of Guides.
const (
	guideBytes = 2200 // of one guide
	maxSkills  = 20
	skillBytes = 300 // of one skill's description
)

// guides are files that a repository holds for agents, in order; of those that say the same the first one is read.
var guides = []string{"AGENTS.md", "CLAUDE.md"}

// skillFolders hold a folder for each skill, with its SKILL.md.
var skillFolders = []string{"skills", ".agents/skills", ".claude/skills"}

// Guides is what a repository tells agents of itself, for a prompt: its AGENTS.md, else its CLAUDE.md, from the beginning, and of each skill the name, the
// description and where to read the rest. It is data of strangers: it widens nothing that the run may do. Nothing outside of root is read.
func Guides(root string) string {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return ""
	}
	defer dir.Close()
	var b strings.Builder
	for _, name := range guides {
		text, more := head(dir, name, guideBytes)
		if text == "" {
			continue
		}
		fmt.Fprintf(&b, "\n\n%s says:\n%s", name, text)
		if more {
			fmt.Fprintf(&b, "\n… (the rest is in %s)", name)
		}
		break
	}
	if s := skills(dir); s != "" {
		b.WriteString("\n\nSkills; read a skill's file before you do what it is about:\n" + s)
	}
	return b.String()
}

// head is the beginning of a small text file, in whole lines, and whether there is more.
func head(dir *os.Root, name string, size int) (text string, more bool) {
	f, err := dir.Open(name)
	if err != nil {
		return "", false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(size)+1))
	if err != nil {
		return "", false
	}
	if more = len(data) > size; more {
		if i := strings.LastIndexByte(string(data[:size]), '\n'); i > 0 {
			data = data[:i]
		} else {
			data = data[:size]
		}
	}
	text = strings.ToValidUTF8(string(data), "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	return strings.TrimSpace(text), more
}

// skills lists the skills by name and description.
func skills(dir *os.Root) string {
	var b strings.Builder
	n := 0
	add := func(file string) {
		if n == maxSkills {
			return
		}
		text, _ := head(dir, file, 4<<10)
		name, about := frontMatter(text)
		if name == "" && about == "" {
			return
		}
		n++
		fmt.Fprintf(&b, "- %s (%s): %s\n", oneLine(name, 60), show(file), oneLine(about, skillBytes))
	}
	add("SKILL.md")
	for _, folder := range skillFolders {
		entries, err := fs.ReadDir(dir.FS(), folder)
		if err != nil {
			continue
		}
		for _, e := range entries[:min(len(entries), 200)] {
			if e.IsDir() {
				add(path.Join(folder, e.Name(), "SKILL.md"))
			}
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// frontMatter reads name and description of a skill's front matter.
func frontMatter(text string) (name, about string) {
	rest, ok := strings.CutPrefix(text, "---\n")
	if !ok {
		return "", ""
	}
	front, _, _ := strings.Cut(rest, "\n---")
	for l := range strings.SplitSeq(front, "\n") {
		key, value, _ := strings.Cut(l, ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch key {
		case "name":
			name = value
		case "description":
			about = value
		}
	}
	return name, about
}

func oneLine(s string, size int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size] + "…"
}
