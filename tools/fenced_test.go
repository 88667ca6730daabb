package tools_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentd/tools"
	"agentd/tools/args"
)

// fenced decodes a fenced call as a run does.
func fenced(name, inline, body string) (args.Args, error) {
	tool := tools.Builtin().Lookup(name)
	raw, err := tool.(tools.FencedDecoder).DecodeFenced(inline, body)
	if err != nil {
		return nil, err
	}
	return tool.Decode(raw)
}

func TestDecodeFenced(t *testing.T) {
	const block = "<<<<<<< old\na\nb\n=======\nc\n>>>>>>> new"
	for _, tc := range []struct {
		tool, inline, body string
		want               args.Args
		wrong              string
	}{
		{"shell", "", "ls\nwc -l *", args.Shell{Command: "ls\nwc -l *"}, ""},
		{"shell", "ls -la", "", args.Shell{Command: "ls -la"}, ""},
		{"shell", "ls", "pwd", nil, "between the two lines of ~~~"},
		{"shell", "", "", nil, `"command" is missing`},
		{"code", "python", "print(1)", args.Code{Language: "python", Source: "print(1)\n"}, ""},
		{"code", "JS", "1", args.Code{Language: "node", Source: "1\n"}, ""},
		{"code", "", "print(1)", nil, "write the language"},
		{"code", "ruby", "puts 1", nil, `not "ruby"`},
		{"read", "a b.txt", "", args.ReadFile{Path: "a b.txt"}, ""},
		{"read", "a.txt 20-40", "", args.ReadFile{Path: "a.txt", From: 20, To: 40}, ""},
		{"read", "a.txt 20-", "", args.ReadFile{Path: "a.txt", From: 20}, ""},
		{"read", "", "a.txt", args.ReadFile{Path: "a.txt"}, ""},
		{"write", "a.txt", "x\ny", args.WriteFile{Path: "a.txt", Content: "x\ny\n"}, ""},
		{"write", "a.txt", "", args.WriteFile{Path: "a.txt"}, ""},
		{"write", "", "x", nil, "path"},
		{"list", "src", "", args.ListFiles{Path: "src"}, ""},
		{"list", "**/*.go", "", args.ListFiles{Glob: "**/*.go"}, ""},
		{"search", "a b", "", args.Search{Pattern: "a b"}, ""},
		{"finish", "", "done\n2 files", args.Finish{Result: "done\n2 files"}, ""},
		{"finish", "all done", "", args.Finish{Result: "all done"}, ""},
		{"finish", "", "FAILED: no such file", args.Finish{Result: "no such file", Failed: true}, ""},
		{"finish", "", "", nil, "empty"},
		{"edit", "f", block, args.EditFile{Path: "f", Old: "a\nb", New: "c"}, ""},
		{"edit", "f", "\n" + block + "\n", args.EditFile{Path: "f", Old: "a\nb", New: "c"}, ""},
		{"edit", "f", "<<<<<<<\na\n=======\n\n>>>>>>>", args.EditFile{Path: "f", Old: "a"}, ""},
		{"edit", "f", "<<<<<<< old\na\n=======\n>>>>>>> new", args.EditFile{Path: "f", Old: "a\n"}, ""},
		{"edit", "f", "<<<<<<<<<< old\nTitle\n=======\n==========\nNew\n=======\n>>>>>>>>>> new", args.EditFile{Path: "f", Old: "Title\n=======", New: "New\n======="}, ""},
		{"edit", "f", "a\n=======\nb", nil, "does not begin with"},
		{"edit", "f", "<<<<<<< old\na\n>>>>>>> new", nil, "======= between"},
		{"edit", "f", "<<<<<<< old\na\n=======\nb", nil, ">>>>>>> new at the end"},
		{"edit", "f", "<<<<<<< old\na\n=======\nb\n=======\nc\n>>>>>>> new", nil, "twice"},
		{"edit", "f", block + "\n" + block, nil, "several edits"},
		{"edit", "f", block + "\nthanks", nil, "text behind"},
		{"edit", "f", "<<<<<<< old\n=======\nb\n>>>>>>> new", nil, "empty"},
		{"edit", "", block, nil, "path"},
		{"edit", "f", "", nil, "does not begin with"},
	} {
		got, err := fenced(tc.tool, tc.inline, tc.body)
		if tc.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%s %q %q: got %v, %v; want an error with %q", tc.tool, tc.inline, tc.body, got, err, tc.wrong)
			}
			continue
		}
		if err != nil || !cmp.Equal(got, tc.want) {
			t.Errorf("%s %q %q: got %+v, %v; want %+v", tc.tool, tc.inline, tc.body, got, err, tc.want)
		}
	}
}

// Every sample is a call that its own tool takes.
func TestSamplesDecode(t *testing.T) {
	for _, s := range tools.Builtin().Specs() {
		line, rest, _ := strings.Cut(s.Fenced.Sample, "\n")
		inline := strings.TrimSpace(strings.TrimPrefix(line, "Action: "+s.Name))
		body := strings.TrimSuffix(strings.TrimPrefix(rest, "~~~\n"), "\n~~~")
		if _, err := fenced(s.Name, inline, body); err != nil {
			t.Errorf("%s: %v\n%s", s.Name, err, s.Fenced.Sample)
		}
		if (body != "") != (s.Fenced.Body != "") || (inline != "") != (s.Fenced.Inline != "") {
			t.Errorf("%s: the sample has other parts than %+v", s.Name, s.Fenced)
		}
	}
}

func TestEditEffect(t *testing.T) {
	edit := tools.Builtin().Lookup("edit")
	for _, tc := range []struct {
		old, new string
		want     tools.Effect
	}{
		{"x = 1", "y = 2", tools.Idempotent},
		{"return a - b", "sum(a, b)", tools.Idempotent},
		{"a", "ab", tools.Once},   // the new text holds the old one
		{"ab", "a", tools.Once},   // abb becomes ab
		{"aab", "ca", tools.Once}, // an end may complete it
		{"b\n", "", tools.Once},   // what was apart meets
		{"x\n", "y\nx\n", tools.Once},
	} {
		if got := edit.Effect(args.EditFile{Path: "f", Old: tc.old, New: tc.new}); got != tc.want {
			t.Errorf("%q to %q: %s, want %s", tc.old, tc.new, got, tc.want)
		}
	}
}

// An edit that claims to be idempotent leaves nothing behind that it would change again.
func FuzzEditEffect(f *testing.F) {
	f.Add("aabb", "ab", "a")
	f.Add("x = 1\n", "x = 1", "x = 2")
	f.Add("xaabx", "aab", "ca")
	edit := tools.Builtin().Lookup("edit")
	f.Fuzz(func(t *testing.T, text, old, new string) {
		if old == "" || old == new || edit.Effect(args.EditFile{Path: "f", Old: old, New: new, All: true}) != tools.Idempotent {
			return
		}
		if once := strings.ReplaceAll(text, old, new); strings.Contains(once, old) {
			t.Errorf("%q: %q to %q leaves %q", text, old, new, once)
		}
	})
}

func FuzzDecodeFenced(f *testing.F) {
	for _, s := range tools.Builtin().Specs() {
		f.Add(s.Name, "a.txt", "<<<<<<< old\na\n=======\nb\n>>>>>>> new")
		f.Add(s.Name, "", "x")
	}
	f.Add("edit", "f", "<<<<<<<\n=======\n>>>>>>>")
	f.Fuzz(func(t *testing.T, name, inline, body string) {
		if tools.Builtin().Lookup(name) == nil {
			return
		}
		a, err := fenced(name, inline, body)
		if err == nil && a.Tool() != name {
			t.Errorf("%s gave the arguments of %s", name, a.Tool())
		}
	})
}
