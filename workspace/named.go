package workspace

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Bounds of Named.
const (
	maxNamed      = 4    // files
	maxNamedBytes = 1200 // of one file
	maxNamedData  = 300  // of one whose lines are alike
)

// Named shows the start of each text file of the folder root that a text names by its path, for a prompt: who is asked to mend a file
// should not have to look for it. It is "" when there is none.
func Named(root, text string) string {
	r, err := os.OpenRoot(root)
	if err != nil {
		return ""
	}
	defer r.Close()
	var b strings.Builder
	seen := make(map[string]bool)
	for word := range strings.FieldsSeq(text) {
		p := strings.Trim(word, "\"'`()[]{}<>,;:!?")
		p = strings.TrimSuffix(strings.TrimPrefix(p, "./"), ".")
		if len(seen) == maxNamed || p == "" || len(p) > 200 || seen[p] || !strings.Contains(path.Base(p), ".") {
			continue
		}
		head, size := start(r, p)
		if head == "" {
			continue
		}
		seen[p] = true
		fmt.Fprintf(&b, "\n--- %s", p)
		if size > int64(len(head)) {
			fmt.Fprintf(&b, " (first %d of %d bytes)", len(head), size)
		}
		b.WriteString("\n" + strings.TrimRight(head, "\n"))
	}
	return b.String()
}

// start reads the first whole lines of a text file, "" for anything else.
func start(r *os.Root, p string) (head string, size int64) {
	f, err := r.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not hold us up
	if err != nil {
		return "", 0
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() == 0 {
		return "", 0
	}
	most := int64(maxNamedBytes)
	switch path.Ext(p) {
	case ".csv", ".tsv", ".log", ".jsonl", ".txt":
		most = maxNamedData
	}
	buf := make([]byte, min(fi.Size(), most))
	n, err := io.ReadFull(f, buf)
	if err != nil {
		return "", 0
	}
	head = string(buf[:n])
	if fi.Size() > int64(n) {
		i := strings.LastIndexByte(head, '\n')
		if i < 0 {
			return "", 0 // one long line shows nothing
		}
		head = head[:i+1]
	}
	if !utf8.ValidString(head) || strings.ContainsRune(head, 0) {
		return "", 0
	}
	return head, fi.Size()
}
