package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/authority"
	"agentd/goals"
)

func (a *app) goalCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "goal",
		Short: "Check, write and convert goal files",
		Long:  "Check, write and convert goal files. None of these commands needs a daemon but test, grant, grants and revoke.",
	}
	c.AddCommand(a.goalCheckCmd(), a.goalTestCmd(), a.goalFmtCmd(), a.goalNewCmd(), a.goalLockCmd(), a.goalSchemaCmd(), a.goalImportCmd(), a.goalGrantCmd(), a.goalGrantsCmd(), a.goalRevokeCmd())
	return c
}

// checked is what goal check says of one file.
type checked struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"`
	Hash     string   `json:"hash,omitempty"`
	Faults   []fault  `json:"faults,omitempty"`
	Unwired  []string `json:"unwired,omitempty"`  // keys that this version can't honour yet
	Requests []string `json:"requests,omitempty"` // what must be granted beyond the default
	Bounds   string   `json:"bounds,omitempty"`   // the most that a run may use
	Warnings []string `json:"warnings,omitempty"`
}

type fault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

func (a *app) goalCheckCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with goal files, what they request and what a run may cost",
		Long: "Say what is wrong with goal files, with file, line and column; what a run of each would request beyond what is granted by default; and the most that it may use. " +
			"The exit code is 2 when a file is invalid or differs from its lock.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.end(a.goalCheck(args, asJSON))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON value a file")
	return c
}

func (a *app) goalCheck(files []string, asJSON bool) error {
	bad := 0
	for _, file := range files {
		r := a.checkGoal(file)
		if !r.OK {
			bad++
		}
		if asJSON {
			if err := json.NewEncoder(a.stdout).Encode(r); err != nil {
				return err
			}
			continue
		}
		for _, f := range r.Faults {
			fmt.Fprintln(a.stdout, faultLine(f))
		}
		if !r.OK {
			continue
		}
		fmt.Fprintf(a.stdout, "%s: ok; at most %s\n", file, r.Bounds)
		for _, w := range r.Warnings {
			fmt.Fprintf(a.stdout, "  warning: %s\n", w)
		}
		if len(r.Requests) > 0 {
			fmt.Fprintf(a.stdout, "  requests: %s\n", strings.Join(r.Requests, "; "))
		}
		if len(r.Unwired) > 0 {
			fmt.Fprintf(a.stdout, "  can't be run by this version yet, because of: %s\n", strings.Join(r.Unwired, ", "))
		}
	}
	if bad > 0 {
		return api.Errorf(api.ErrGoal, "", "%d of %d goal files can't be used", bad, len(files))
	}
	return nil
}

func faultLine(f fault) string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

func (a *app) checkGoal(file string) checked {
	r := checked{File: file}
	g, sent, err := a.loadGoal(file)
	if err != nil {
		r.Faults = faultsOf(file, err)
		return r
	}
	r.OK, r.Hash, r.Unwired, r.Warnings = true, g.Hash, g.Unwired(), g.Warnings()
	for _, it := range (authority.Authority{Base: goals.DefaultBudget}).Judge(g, nil) {
		if it.State == authority.Needed {
			r.Requests = append(r.Requests, it.String())
		}
	}
	r.Bounds = limits(g.Budget.Or(goals.DefaultBudget))
	if err := checkLock(file, g, sent); err != nil {
		r.OK = false
		r.Faults = []fault{{File: lockName(file), Message: err.Error()}}
	}
	return r
}

// faultsOf takes a parser's error apart.
func faultsOf(file string, err error) []fault {
	var out []fault
	var visit func(error)
	visit = func(err error) {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				visit(e)
			}
			return
		}
		if e, ok := errors.AsType[*goals.Error](err); ok {
			name := e.File
			if rel, err := filepath.Rel(workingDir(), name); err == nil && filepath.IsAbs(name) && !strings.HasPrefix(rel, "..") {
				name = rel
			}
			out = append(out, fault{File: name, Line: e.Line, Column: e.Col, Message: e.Msg})
			return
		}
		out = append(out, fault{File: file, Message: err.Error()})
	}
	visit(err)
	return out
}

func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}

func (a *app) goalSchemaCmd() *cobra.Command {
	var ref bool
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the format of goal files as JSON Schema",
		Long: "Print the format of goal files as JSON Schema, for editors that complete and check YAML. Files that goal new writes name it in their first comment: " +
			"save it as " + goals.SchemaFile + " beside them.",
		Example: "agentctl goal schema > goals/" + goals.SchemaFile,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			out := goals.JSONSchema()
			if ref {
				out = goals.Reference()
			}
			_, err := a.stdout.Write(out)
			a.end(err)
			return nil
		},
	}
	c.Flags().BoolVar(&ref, "reference", false, "print the page of every key instead, in Markdown")
	return c
}

func (a *app) goalFmtCmd() *cobra.Command {
	var write, list bool
	c := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Write goal files in the one form",
		Long:  "Write goal files in the one form: keys in the format's order, a line each. Comments in the front matter can't be kept: a file with some is left alone.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.end(a.goalFmt(args, write, list))
			return nil
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "write the file instead of printing it")
	c.Flags().BoolVarP(&list, "list", "l", false, "only name the files that would change; the exit code is 2 when there are some")
	return c
}

func (a *app) goalFmt(files []string, write, list bool) error {
	changed := 0
	for _, file := range files {
		data, err := readLimited(file)
		if err != nil {
			return err
		}
		g, err := goals.Parse(file, data)
		if err != nil {
			return err
		}
		if goals.HasComments(file, data) {
			return api.Errorf(api.ErrGoal, "move what they say into the text below the front matter", "%s has comments in its front matter, which would be lost", file)
		}
		out := goals.Print(g)
		if strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml") {
			out = goals.PrintYAML(g)
		}
		out = keepSchema(out, data)
		switch same := bytes.Equal(out, data); {
		case list && !same:
			changed++
			fmt.Fprintln(a.stdout, file)
		case list:
		case write && !same:
			if err := replaceFile(file, out); err != nil {
				return err
			}
		case !write:
			if _, err := a.stdout.Write(out); err != nil {
				return err
			}
		}
	}
	if changed > 0 {
		return api.Errorf(api.ErrGoal, "agentctl goal fmt -w", "%d of %d goal files are not in the one form", changed, len(files))
	}
	return nil
}

// schemaComment begins the comment by which editors find the schema of a file.
const schemaComment = "# yaml-language-server:"

// keepSchema puts the comment that names the schema back, where the file had one.
func keepSchema(out, data []byte) []byte {
	i := bytes.Index(data, []byte(schemaComment))
	if i < 0 || i > 0 && data[i-1] != '\n' {
		return out
	}
	comment, _, _ := bytes.Cut(data[i:], []byte("\n"))
	head, rest := []byte(nil), out
	if r, ok := bytes.CutPrefix(out, []byte("---\n")); ok {
		head, rest = []byte("---\n"), r
	}
	return slices.Concat(head, comment, []byte("\n"), rest)
}

func (a *app) goalNewCmd() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "new NAME [WORDS]",
		Short: "Write a new goal file into goals/",
		Long: "Write a new goal file into goals/, to be filled in: what is wanted, what it may write, how it is measured. WORDS are what is wanted. It names the " +
			"schema in its first comment, and the schema is written beside it, so that editors complete and check it.",
		Example: `agentctl goal new raise-coverage "raise the coverage of internal/parse to 80 percent"`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.end(a.goalNew(dir, args[0], strings.Join(args[1:], " ")))
			return nil
		},
	}
	c.Flags().StringVarP(&dir, "dir", "C", "", "workspace, the current folder if not given")
	return c
}

func (a *app) goalNew(dir, name, words string) error {
	ws, err := workspace(dir)
	if err != nil {
		return err
	}
	g := goals.Goal{
		Name: name, Description: words, Text: "Background, pitfalls, links: what the planner should know.", Protect: []string{".github/**"},
		Budget: goals.DefaultBudget, Probes: []goals.Probe{{Name: "check", Cmd: measureOf(ws)}}, Require: []string{"check.exit == 0"}, OnFail: goals.OnFail{},
	}
	if words == "" {
		g.Description = "What is wanted, in one line"
	}
	if err := g.Validate(); err != nil {
		return err
	}
	folder := filepath.Join(ws, goals.Dir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, name+".goal.md")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return api.Errorf(api.ErrGoal, "choose another name", "write the goal file: %v", err)
	}
	comment := schemaComment + " $schema=" + goals.SchemaFile + "\n"
	_, err = f.Write(keepSchema(goals.Print(g), []byte(comment)))
	if err = errors.Join(err, f.Close(), replaceFile(filepath.Join(folder, goals.SchemaFile), goals.JSONSchema())); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, path)
	a.note("fill it in, then: agentctl goal check %s", path)
	return nil
}

// measureOf is the command that most probably tells whether a workspace is in order.
func measureOf(ws string) string {
	for _, m := range []struct{ file, cmd string }{
		{"go.mod", "go test ./..."}, {"Cargo.toml", "cargo test"}, {"pyproject.toml", "python3 -m pytest -q"}, {"package.json", "npm test"}, {"Makefile", "make test"},
	} {
		if _, err := os.Stat(filepath.Join(ws, m.file)); err == nil {
			return m.cmd
		}
	}
	return "test -s report.md"
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	mode := os.FileMode(0o644)
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".goal-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (a *app) goalImportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Convert a goose recipe, AutoGPT's ai_settings.yaml, an opencode agent or a GitHub agentic workflow",
		Long: "Convert a goose recipe, AutoGPT's ai_settings.yaml, an opencode agent or a GitHub agentic workflow to a goal file on standard output. What has no counterpart is " +
			"listed on standard error: nothing is left out silently.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.end(a.goalImport(args[0]))
			return nil
		},
	}
}

func (a *app) goalImport(file string) error {
	data, err := readLimited(file)
	if err != nil {
		return err
	}
	got, err := goals.Import(file, data)
	if err != nil {
		return err
	}
	a.note("%s, read as %s", file, got.Format)
	for _, l := range got.Left {
		a.note("not converted: %s", l)
	}
	_, err = a.stdout.Write(goals.Print(got.Goal))
	return err
}
