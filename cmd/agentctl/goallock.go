package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
)

// lock is what a goal was when somebody looked at it: a goal whose lock differs is invalid.
type lock struct {
	Goal    string            `json:"goal"`              // hash of the file and what it imports
	Imports map[string]string `json:"imports,omitempty"` // sha256 of each, by its name relative to the goal file
	MCP     map[string]string `json:"mcp,omitempty"`     // sha256 of each MCP server's definition and, of a local one, its program
	Agentd  string            `json:"agentd"`            // version, which has its prompts and its price table
}

func lockName(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(file, ".md"), ".yaml"), ".yml") + ".lock"
}

func (a *app) goalLockCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lock FILE...",
		Short: "Pin what goal files depend on, by hash",
		Long: "Pin what goal files depend on, by hash: imports, MCP servers and the version of agentd, which has its prompts and prices. It writes x.goal.lock beside x.goal.md; " +
			"from then on goal check and run refuse the goal when something differs.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.end(a.goalLock(args))
			return nil
		},
	}
}

func (a *app) goalLock(files []string) error {
	for _, file := range files {
		g, sent, err := a.loadGoal(file)
		if err != nil {
			return err
		}
		l, err := lockOf(file, g, sent)
		if err != nil {
			return err
		}
		data, err := json.MarshalIndent(l, "", "  ")
		if err != nil {
			return err
		}
		if err := replaceFile(lockName(file), append(data, '\n')); err != nil {
			return err
		}
		a.note("wrote %s", lockName(file))
	}
	return nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func lockOf(file string, g goals.Goal, sent *api.GoalFile) (lock, error) {
	l := lock{Goal: g.Hash, Agentd: build()}
	for name, text := range sent.Imports {
		if l.Imports == nil {
			l.Imports = map[string]string{}
		}
		rel, err := filepath.Rel(filepath.Dir(sent.Name), name)
		if err != nil {
			return l, err
		}
		l.Imports[filepath.ToSlash(rel)] = sum([]byte(text))
	}
	for _, s := range g.Tools.MCP {
		if l.MCP == nil {
			l.MCP = map[string]string{}
		}
		def, err := json.Marshal(s)
		if err != nil {
			return l, err
		}
		if s.Cmd != "" {
			program, err := programSum(s.Cmd)
			if err != nil {
				return l, fmt.Errorf("%s: the MCP server %s: %w", file, s.Name, err)
			}
			def = append(def, program...)
		}
		l.MCP[s.Name] = sum(def)
	}
	return l, nil
}

// programSum is the sha256 of a program as it would be started.
func programSum(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// checkLock compares a goal with its lock, if it has one.
func checkLock(file string, g goals.Goal, sent *api.GoalFile) error {
	data, err := os.ReadFile(lockName(file))
	if errors.Is(err, fs.ErrNotExist) || file == "-" {
		return nil
	}
	if err != nil {
		return err
	}
	var want lock
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		return fmt.Errorf("this is no lock: %w", err)
	}
	got, err := lockOf(file, g, sent)
	if err != nil {
		return err
	}
	var diffs []string
	if got.Goal != want.Goal {
		diffs = append(diffs, "the goal")
	}
	diffs = append(diffs, differing("import", want.Imports, got.Imports)...)
	diffs = append(diffs, differing("MCP server", want.MCP, got.MCP)...)
	if got.Agentd != want.Agentd {
		diffs = append(diffs, fmt.Sprintf("agentd, which was %s and is %s", want.Agentd, got.Agentd))
	}
	if len(diffs) > 0 {
		return fmt.Errorf("changed since it was locked: %s; look at it, then: agentctl goal lock %s", strings.Join(diffs, ", "), file)
	}
	return nil
}

func differing(what string, want, got map[string]string) []string {
	var out []string
	names := slices.Sorted(maps.Keys(want))
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if want[name] != got[name] {
			out = append(out, what+" "+name)
		}
	}
	return out
}
