package planner

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var rankForm = regexp.MustCompile(`^(\S+) ([0-9]{1,3}) (largest|smallest) (\S+)$`)

// plainFiles is a goal that speaks of files of any kind.
var plainFiles = regexp.MustCompile(`(?i)\b(?:largest|biggest|smallest) files\b`)

// maxRanked bounds the places of a list of files.
const maxRanked = 50

// ranks: a file lists the largest or smallest files of a kind, in that order and no others. A report that the work makes is not among them,
// so what must stand in it is known beforehand.
func (f *former) ranks(text string) {
	m := rankForm.FindStringSubmatch(text)
	if m == nil {
		return
	}
	file, kind := clean(m[1]), m[4]
	n, err := strconv.Atoi(m[2])
	if err != nil || n < 1 || n > maxRanked || !fs.ValidPath(file) || !f.says(m[1]) || !f.says(m[2]) && !f.says(numeral(n)) {
		return
	}
	if plainFiles.MatchString(f.goal) {
		kind = "*" // whatever the model took from the name of the report
	} else if kind != "*" && !f.says(strings.TrimLeft(kind, "*")) && !f.says(kind) {
		return
	}
	type ranked struct {
		path string
		size int64
	}
	var all []ranked
	if !f.walk(kind, func(p string) bool {
		info, err := fs.Stat(f.ws, p)
		if err == nil && p != file {
			all = append(all, ranked{p, info.Size()})
		}
		return err == nil
	}) {
		return
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		if m[3] == "largest" {
			a, b = b, a
		}
		switch {
		case a.size < b.size:
			return -1
		case a.size > b.size:
			return 1
		}
		return 0
	})
	if len(all) <= n || all[n-1].size == all[n].size {
		return // nothing that must not be listed, or a tie for the last place
	}
	if f.hides(kind, func(size int64) bool { return size == all[n-1].size || size > all[n-1].size == (m[3] == "largest") }) {
		return
	}
	names := map[string]int{}
	for _, r := range all {
		names[path.Base(r.path)]++
	}
	type entry struct {
		Names []string `json:"names"` // any of them stands for the file
		Size  int64    `json:"size"`
	}
	var want, others []entry
	for i, r := range all {
		e := entry{Names: []string{r.path}, Size: r.size}
		if base := path.Base(r.path); base != r.path && names[base] == 1 {
			e.Names = append(e.Names, base)
		}
		switch {
		case i < n:
			want = append(want, e)
		case i < n+maxFormList:
			others = append(others, e)
		}
	}
	lists, err := json.Marshal([]any{file, want, others})
	if err != nil || len(lists) > 24<<10 {
		return
	}
	literal, err := json.Marshal(string(lists)) // of Python too
	if err != nil {
		return
	}
	f.wide = true
	f.add(fmt.Sprintf("# %s lists the %d %s files and no others\npython3 - <<'END'\n"+rankScript+"\nEND", file, n, m[3], literal), file)
}

// rankScript finds each file's first mention.
const rankScript = `import json, re
report, want, others = json.loads(%s)
text = open(report, encoding="utf-8", errors="replace").read()
def at(entry):
    found = [re.search(r"(?<![\w-])(?<!\w\.)" + re.escape(n) + r"(?![\w-]|\.\w)", text) for n in entry["names"]]
    return min((m.start() for m in found if m), default=-1)
last, size = -1, None
for entry in want:
    here = at(entry)
    assert here >= 0, entry["names"][0] + " is not in " + report
    assert entry["size"] == size or here > last, entry["names"][0] + " is not in its place"
    last, size = max(last, here), entry["size"]
for entry in others:
    assert at(entry) < 0, entry["names"][0] + " does not belong in " + report`

// hides reports whether a folder that walk leaves out holds a file that might stand in the list: a goal doesn't say whether it should.
func (f *former) hides(kind string, ranks func(size int64) bool) bool {
	n := 0
	err := fs.WalkDir(f.ws, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains("/"+p, "/.") || path.Dir(p) == "." {
			return err
		}
		if n++; n > 10*maxFormFiles {
			return fs.ErrInvalid
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if ok, _ := path.Match(kind, path.Base(p)); ok && ranks(info.Size()) {
			return fs.ErrInvalid
		}
		return nil
	})
	return err != nil
}

// numeral is a small number as a word, "" for others.
func numeral(n int) string {
	words := strings.Fields("one two three four five six seven eight nine ten eleven twelve")
	if n < 1 || n > len(words) {
		return ""
	}
	return words[n-1]
}
