package planner

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"agentd/goals"
	"agentd/llm"
)

// A small model can't write a script that checks a goal: asked for one, it solves the goal instead. What it can do is to say which of a few
// forms a goal has: a test that passes, a key that is set, a word that is replaced, files that move, a file that holds a program's output. The
// daemon makes the check, and works out from the workspace as it is what must be there afterwards. A form counts only when every name and
// number in it stands in the goal, so that nothing is made up.

//go:embed prompts/forms.md
var formsPrompt string

// formsGrammar is the GBNF of a reply.
const formsGrammar = `root ::= line (line (line (line line?)?)?)? "end"
line ::= ("tests: " rest | "set: " word " " key " = " rest | "replace: " word " -> " word " in " word | "move: " word " -> " word | "output: " rest " -> " word | "lines: " word " " [0-9]{1,6} | "ranks: " word " " [0-9]{1,3} " " ("largest" | "smallest") " " word | "other: " other) "\n"
word ::= [^ \n]{1,80}
key ::= [^ =\n]{1,60}
rest ::= [^\n]{1,100}
other ::= [^\n]{1,120}
`

// Bounds of what a form may look at.
const (
	maxFormFiles = 2000
	maxFormBytes = 1 << 20 // of one file
	maxFormList  = 200     // files in one check
)

// FormsPrompt asks which forms a goal has.
func FormsPrompt(in Input) *llm.Request {
	shots := strings.Split(formsPrompt, "\n---\n")
	req := &llm.Request{MaxTokens: 160, Grammar: formsGrammar}
	for i, text := range shots {
		role := llm.User
		switch {
		case i == 0:
			role = llm.System
		case i%2 == 0:
			role = llm.Assistant
		}
		req.Messages = append(req.Messages, llm.Message{Role: role, Text: strings.TrimSpace(text)})
	}
	req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: "Goal: " + strings.TrimSpace(in.Goal)})
	return req
}

// ParseForms makes checks of a reply, for the workspace as it is now. It returns none when the forms don't cover every file that the goal
// names and that is not there yet.
func ParseForms(reply, goal string, ws fs.FS) []goals.Probe {
	f := former{goal: goal, ws: ws, sets: map[string]map[string]any{}, about: map[string]bool{}}
	for line := range strings.Lines(reply) {
		kind, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		switch kind {
		case "tests":
			f.tests(rest)
		case "set":
			f.set(rest)
		case "replace":
			f.replace(rest)
		case "move":
			f.move(rest)
		case "output":
			f.output(rest)
		case "lines":
			f.lines(rest)
		case "ranks":
			f.ranks(rest)
		}
	}
	f.settle()
	if !f.covers() {
		return nil
	}
	f.rest()
	return f.probes
}

type former struct {
	goal   string
	ws     fs.FS
	probes []goals.Probe
	named  []string // files that a form is about
	sets   map[string]map[string]any
	order  []string        // of sets
	about  map[string]bool // files that set, replace and move are about
	wide   bool            // a form that may change other files
}

func (f *former) add(cmd string, files ...string) {
	f.named = append(f.named, files...)
	if len(f.probes) < maxChecks && !slices.ContainsFunc(f.probes, func(p goals.Probe) bool { return p.Cmd == cmd }) {
		f.probes = append(f.probes, goals.Probe{Name: fmt.Sprintf("self%d", len(f.probes)+1), Cmd: cmd})
	}
}

// says reports whether every text stands in the goal as a whole word.
func (f *former) says(texts ...string) bool {
	for _, t := range texts {
		ok, err := regexp.MatchString(`(?:^|[^\w])`+regexp.QuoteMeta(t)+`(?:$|[^\w])`, f.goal)
		if t == "" || err != nil || !ok {
			return false
		}
	}
	return true
}

// runners begin commands that may test or run a program.
var runners = []string{"python3", "python", "pytest", "go", "npm", "node", "cargo", "make", "bash", "sh", "ruby", "deno", "npx"}

func runnable(cmd string) bool {
	word, _, _ := strings.Cut(cmd, " ")
	return slices.Contains(runners, word) && !strings.ContainsAny(cmd, ">|;&`$#\n")
}

// suites are commands that run all tests, which a goal needn't name.
var suites = []string{"pytest", "python3 -m pytest", "python3 -m pytest -q", "python3 -m unittest", "python3 -m unittest discover", "go test ./...", "npm test", "cargo test", "make test", "make check"}

// tests: a command passes, and the tests that it names are what they were.
func (f *former) tests(cmd string) {
	if !runnable(cmd) {
		return
	}
	named := slices.Contains(suites, cmd)
	var sums []string
	for word := range strings.FieldsSeq(cmd) {
		p := word
		if f.says(p + ".py") {
			p += ".py" // a module
		}
		if !f.says(p) || !strings.Contains(p, ".") {
			continue
		}
		named = true
		if data, err := f.read(p); err == nil && strings.Contains(strings.ToLower(path.Base(p)), "test") {
			sums = append(sums, sum(data, p))
		}
	}
	if named {
		f.wide = true
		f.add(cmd + check(sums))
	}
}

var setForm = regexp.MustCompile(`^(\S+) ([^ =]+) = (.+)$`)

// set: a key of a JSON file has a value, and the rest is what it was.
func (f *former) set(text string) {
	m := setForm.FindStringSubmatch(text)
	if m == nil || !f.says(m[1]) {
		return
	}
	file, key, raw := clean(m[1]), m[2], strings.TrimSpace(m[3])
	keys := strings.Split(key, ".")
	if !f.says(keys[len(keys)-1]) || !f.says(strings.Trim(raw, `"`)) {
		return
	}
	var value any
	if decode([]byte(raw), &value) != nil {
		value = strings.Trim(raw, `"'`)
	}
	if f.sets[file] == nil {
		data, err := f.read(file)
		var doc map[string]any
		if err != nil || decode(data, &doc) != nil {
			return
		}
		f.sets[file], f.about[file] = doc, true
		f.order = append(f.order, file)
	}
	doc := f.sets[file]
	for _, k := range keys[:len(keys)-1] {
		next, ok := doc[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			doc[k] = next
		}
		doc = next
	}
	doc[keys[len(keys)-1]] = value
	f.named = append(f.named, key) // a key with a dot looks like a file
}

// settle makes the checks of JSON files.
func (f *former) settle() {
	for _, file := range f.order {
		want, err := json.Marshal(f.sets[file])
		if err != nil || len(want) > 16<<10 {
			continue
		}
		text, err := json.Marshal(string(want)) // a literal of Python too
		if err != nil {
			continue
		}
		name, err := json.Marshal(file)
		if err != nil {
			continue
		}
		f.add(fmt.Sprintf("# %s holds what was asked for and the rest as it was\npython3 - <<'END'\nimport json\nwant = json.loads(%s)\ngot = json.load(open(%s))\nassert got == want, 'it holds ' + json.dumps(got)[:300]\nEND", file, text, name), file)
	}
}

var replaceForm = regexp.MustCompile(`^(\S+) -> (\S+) in (\S+)$`)

// replace: a word is another one in all files of a kind, and nothing else has changed in them.
func (f *former) replace(text string) {
	m := replaceForm.FindStringSubmatch(text)
	if m == nil || m[1] == m[2] || !f.says(m[1], m[2]) {
		return
	}
	word, err := regexp.Compile(`\b` + regexp.QuoteMeta(m[1]) + `\b`)
	if err != nil {
		return
	}
	var sums []string
	whole := f.walk(m[3], func(p string) bool {
		data, err := f.read(p)
		if err != nil || bytes.IndexByte(data, 0) >= 0 || !word.Match(data) {
			return err == nil
		}
		sums = append(sums, sum(word.ReplaceAllLiteral(data, []byte(m[2])), p))
		f.about[p] = true
		return len(sums) <= maxFormList
	})
	if whole && len(sums) > 0 {
		f.add(fmt.Sprintf("# %s is %s in %d files\n", m[1], m[2], len(sums)) + strings.TrimPrefix(check(sums), " && "))
	}
}

var arrowForm = regexp.MustCompile(`^(.+) -> (\S+)$`)

// move: files of a kind lie in a folder and nowhere else.
func (f *former) move(text string) {
	m := arrowForm.FindStringSubmatch(text)
	if m == nil {
		return
	}
	kind, dir := m[1], clean(m[2])
	if !fs.ValidPath(dir) || dir == "." || !f.says(dir) || !f.says(strings.TrimLeft(kind, "*")) && !f.says(kind) {
		return
	}
	var sums, gone []string
	seen := map[string]bool{}
	whole := f.walk(kind, func(p string) bool {
		to := path.Join(dir, path.Base(p))
		data, err := f.read(p)
		if err != nil || seen[to] {
			return false
		}
		seen[to], f.about[p] = true, true
		sums = append(sums, sum(data, to))
		if to != p {
			gone = append(gone, quote("./"+p))
		}
		return len(sums) <= maxFormList
	})
	if whole && len(gone) > 0 {
		f.add(fmt.Sprintf("# %d files are in %s and nowhere else\nfor f in %s; do test ! -e \"$f\" || { echo \"$f is still there\"; exit 1; }; done%s", len(sums), dir, strings.Join(gone, " "), check(sums)))
	}
}

// output: a file holds what a program prints.
func (f *former) output(text string) {
	m := arrowForm.FindStringSubmatch(text)
	if m == nil || !f.says(m[2]) {
		return
	}
	cmd, file := strings.TrimSpace(m[1]), clean(m[2])
	words := strings.Fields(cmd)
	if len(words) < 2 || !runnable(cmd) || !f.says(words[len(words)-1]) || !fs.ValidPath(file) {
		return
	}
	f.wide = true
	f.add("set -o pipefail; test -s "+quote(file)+" && "+cmd+" | diff - "+quote(file), file, words[len(words)-1])
}

// lines: a file has a number of lines.
func (f *former) lines(text string) {
	file, n, ok := strings.Cut(text, " ")
	count, err := strconv.Atoi(n)
	if !ok || err != nil || count < 1 || !f.says(file) || !f.says(n) && !f.says(numeral(count)) || !fs.ValidPath(clean(file)) {
		return
	}
	f.wide = true
	f.add(fmt.Sprintf(`test "$(grep -c '' %s)" -eq %d`, quote(clean(file)), count), clean(file))
}

// rest lets the first check see too that all other files are as they were, where the goal speaks of nothing but files to change or to move.
func (f *former) rest() {
	if f.wide {
		return
	}
	var sums []string
	whole := f.walk("*", func(p string) bool {
		if data, err := f.read(p); err == nil && !f.about[p] {
			sums = append(sums, sum(data, p))
		}
		return len(sums) <= maxFormList
	})
	if whole && len(sums) > 0 {
		title, cmd, ok := strings.Cut(f.probes[0].Cmd, "\n")
		if !ok || !strings.HasPrefix(title, "# ") {
			title, cmd = "# all else is as it was", f.probes[0].Cmd
		}
		f.probes[0].Cmd = title + "\n" + strings.TrimPrefix(check(sums), " && ") + "\n[ $? = 0 ] || exit 1\n" + cmd
	}
}

// NamedFiles returns the relative paths of files that a goal names, in order.
func NamedFiles(goal string) []string {
	var out []string
	for _, p := range fileWord.FindAllString(goal, 20) {
		if p = clean(p); fs.ValidPath(p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

var fileWord = regexp.MustCompile(`[\w./-]*\w\.[A-Za-z]\w{0,7}\b`)

// covers reports whether there is a check for every file that the goal names and that is not there yet.
func (f *former) covers() bool {
	for _, p := range NamedFiles(f.goal) {
		if _, err := fs.Stat(f.ws, p); err != nil && !slices.Contains(f.named, p) {
			return false
		}
	}
	return len(f.probes) > 0
}

// walk calls do for each regular file whose name, or path where the pattern has one, matches. It returns false when do does, or
// when there are too many files.
func (f *former) walk(pattern string, do func(p string) bool) bool {
	pattern = strings.TrimPrefix(clean(pattern), "**/")
	if _, err := path.Match(pattern, ""); err != nil {
		return false
	}
	n := 0
	err := fs.WalkDir(f.ws, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		if n++; n > maxFormFiles {
			return fs.SkipAll
		}
		if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '\\' }) {
			return fs.ErrInvalid // such a name could end the list of sums and begin a script
		}
		name := p
		if !strings.Contains(pattern, "/") {
			name = path.Base(p)
		}
		if ok, _ := path.Match(pattern, name); ok && !do(p) {
			return fs.ErrInvalid
		}
		return nil
	})
	return err == nil && n <= maxFormFiles
}

func (f *former) read(p string) ([]byte, error) {
	p = clean(p)
	info, err := fs.Stat(f.ws, p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFormBytes {
		return nil, fs.ErrInvalid
	}
	return fs.ReadFile(f.ws, p)
}

func clean(p string) string { return strings.TrimPrefix(strings.Trim(p, "`'\""), "./") }

// decode keeps numbers as they are written.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// sum is a line for sha256sum.
func sum(data []byte, p string) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:]) + "  ./" + clean(p)
}

// check is a command that verifies sums, to go on behind another.
func check(sums []string) string {
	if len(sums) == 0 {
		return ""
	}
	return " && sha256sum --check --quiet <<'END'\n" + strings.Join(sums, "\n") + "\nEND"
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
