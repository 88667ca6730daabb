package acceptance

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"agentd/goals"
	"agentd/policy"
	"agentd/sandbox"
	"agentd/workspace"
)

// Damage is one way to break a workspace, to see whether criteria notice.
type Damage struct {
	Way  string `json:"way"` // delete a file, empty a file, flip a number, break the build
	Path string `json:"path"`
}

// The ways.
const (
	wayDelete = "delete a file"
	wayEmpty  = "empty a file"
	wayFlip   = "flip a number"
	wayBuild  = "break the build"
)

// Bounds of what is looked at to choose what to break.
const (
	damagedFiles = 3
	maxDamaged   = 1 << 20 // bytes of one file
	maxLooked    = 20_000
)

// sources are the types of files whose syntax a build or a test run notices.
var sources = map[string]bool{".go": true, ".py": true, ".js": true, ".ts": true, ".c": true, ".rs": true, ".java": true, ".sh": true, ".rb": true}

// Damages chooses what to break in a folder: of the files that the goal may write those that its probes name first, then the largest.
func Damages(dir string, g goals.Goal) ([]Damage, error) {
	type file struct {
		path   string
		points int
		size   int64
		digits bool
	}
	var words strings.Builder
	for _, p := range g.Probes {
		words.WriteString(Command(p) + " " + p.Path + "\n")
	}
	var files []file
	n := 0
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if n++; err != nil || n > maxLooked {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if d.Name() == ".git" || rel == goals.Dir {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxDamaged || !writable(g, rel) {
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil || !utf8.Valid(data) {
			return nil
		}
		f := file{path: rel, size: info.Size(), digits: strings.ContainsAny(string(data), "0123456789")}
		if strings.Contains(words.String(), path.Base(rel)) {
			f.points += 2
		}
		if sources[path.Ext(rel)] {
			f.points++
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("choose what to break: %w", err)
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(b.points, a.points), cmp.Compare(b.size, a.size), cmp.Compare(a.path, b.path))
	})
	var out []Damage
	for _, f := range files[:min(len(files), damagedFiles)] {
		out = append(out, Damage{wayDelete, f.path}, Damage{wayEmpty, f.path})
		if f.digits {
			out = append(out, Damage{wayFlip, f.path})
		}
		if sources[path.Ext(f.path)] {
			out = append(out, Damage{wayBuild, f.path})
		}
	}
	return out, nil
}

// writable reports whether a goal lets a run write a path: what it can't change it can't break.
func writable(g goals.Goal, rel string) bool {
	match := func(globs []string) bool {
		return slices.ContainsFunc(globs, func(glob string) bool { ok, err := doublestar.Match(glob, rel); return ok && err == nil })
	}
	return !match(g.Protect) && (len(g.Writable) == 0 || match(g.Writable))
}

// apply breaks a copy.
func (d Damage) apply(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.FromSlash(d.Path)
	if d.Way == wayDelete {
		return root.Remove(name)
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return err
	}
	switch d.Way {
	case wayEmpty:
		data = nil
	case wayFlip:
		i := strings.IndexAny(string(data), "0123456789")
		if i < 0 {
			return fmt.Errorf("%s holds no number", d.Path)
		}
		data[i] = '0' + (data[i]-'0'+1)%10
	case wayBuild:
		data = append(data, "\n)]}> this line is no program <{[(\n"...)
	default:
		return fmt.Errorf("unknown way to break a workspace: %q", d.Way)
	}
	return root.WriteFile(name, data, 0o644)
}

// Trial is what one condition says of a workspace and of its broken copies.
type Trial struct {
	Condition string   `json:"condition"`
	Holds     bool     `json:"holds"`             // on the workspace as it is
	Why       string   `json:"why,omitempty"`     // it could not be evaluated there
	Notices   []Damage `json:"notices,omitempty"` // it fails on these copies
	Misses    []Damage `json:"misses,omitempty"`  // it still holds on these
}

// Blind reports whether the condition holds whatever is broken, so that it shows nothing.
func (t Trial) Blind() bool { return t.Holds && len(t.Misses) > 0 && len(t.Notices) == 0 }

// Try measures a goal's conditions on a copy of a workspace, and on copies of it that are broken in several ways. A condition that does not hold on the
// workspace as it is can't be tried.
func (m *Measurer) Try(ctx context.Context, base sandbox.Policy, g goals.Goal) ([]Trial, error) {
	damages, err := Damages(base.Workspace, g)
	if err != nil {
		return nil, err
	}
	first, results, err := m.verdict(ctx, base, g, nil)
	if err != nil {
		return nil, err
	}
	trials := make([]Trial, len(g.Require))
	for i, cond := range g.Require {
		trials[i] = Trial{Condition: cond, Holds: first.Require[cond], Why: first.Reasons[cond]}
	}
	for _, d := range damages {
		v, err := m.broken(ctx, base, g, d, results)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", d.Way, d.Path, err)
		}
		for i := range trials {
			t := &trials[i]
			switch {
			case !t.Holds:
			case v.Require[t.Condition]:
				t.Misses = append(t.Misses, d)
			default:
				t.Notices = append(t.Notices, d)
			}
		}
	}
	return trials, nil
}

// broken measures a copy that is broken in one way.
func (m *Measurer) broken(ctx context.Context, base sandbox.Policy, g goals.Goal, d Damage, before []Result) (v Verdict, err error) {
	if m.Scratch != "" {
		if err := os.MkdirAll(m.Scratch, 0o700); err != nil {
			return v, err
		}
	}
	dir, err := os.MkdirTemp(m.Scratch, "probe-") // Sweep knows the name
	if err != nil {
		return v, err
	}
	defer func() {
		if derr := workspace.Discard(dir); err == nil && derr != nil {
			err = derr
		}
	}()
	opts := m.Copy
	if opts == (workspace.Options{}) {
		opts = defaultCopy
	}
	copied := filepath.Join(dir, "broken")
	if err := workspace.Clone(ctx, base.Workspace, copied, opts); err != nil {
		return v, err
	}
	if err := d.apply(copied); err != nil {
		return v, err
	}
	base.Workspace = copied
	v, _, err = m.verdict(ctx, base, g, before)
	return v, err
}

// verdict measures the probes and decides the conditions. before are the results that base.NAME means; nil: the ones measured now.
func (m *Measurer) verdict(ctx context.Context, base sandbox.Policy, g goals.Goal, before []Result) (Verdict, []Result, error) {
	results, err := m.Measure(ctx, base, g.Probes)
	if err != nil {
		return Verdict{}, nil, err
	}
	if before == nil {
		before = results
	}
	v, err := Decide(g, g.Require, results, policy.Facts{Base: Facts(before), Diff: &policy.Diff{}})
	return v, results, err
}
