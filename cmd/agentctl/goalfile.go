package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"agentd/api"
	"agentd/goals"
)

// loadGoal reads a goal file and what it imports. - is standard input, whose imports are relative to the current folder.
func (a *app) loadGoal(file string) (goals.Goal, *api.GoalFile, error) {
	name, data, err := a.readGoal(file)
	if err != nil {
		return goals.Goal{}, nil, api.Errorf(api.ErrGoal, "", "read the goal file: %v", err)
	}
	out := &api.GoalFile{Name: name, Text: string(data)}
	g, err := goals.ParseWith(name, data, func(name string) ([]byte, error) {
		data, err := readLimited(filepath.FromSlash(name))
		if err == nil {
			if out.Imports == nil {
				out.Imports = map[string]string{}
			}
			out.Imports[name] = string(data)
		}
		return data, err
	})
	return g, out, err
}

// readLimited reads a regular file of the size that a goal file may have.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no file", path))
	}
	return io.ReadAll(io.LimitReader(f, goals.MaxFile+1))
}

// params are the values of a goal's params: from -p NAME=VALUE, else from AGENTD_PARAM_NAME, else, for one that is missing and where somebody sits at the
// terminal, from there. A file's value is its path here and its content for the daemon.
func (a *app) params(g goals.Goal, given []string, ask bool) (map[string]string, error) {
	values := map[string]string{}
	for _, p := range g.Params {
		if v := a.getenv("AGENTD_" + goals.EnvParam(p.Name)); v != "" {
			values[p.Name] = v
		}
	}
	for _, p := range given {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, invalid("write -p NAME=VALUE", "-p %.60q has no name or no value", p)
		}
		values[name] = value
	}
	if ask {
		if err := a.askParams(g, values); err != nil {
			return nil, err
		}
	}
	for _, p := range g.Params {
		if path, ok := values[p.Name]; ok && p.Type == goals.ParamFile {
			data, err := readLimited(path)
			if err != nil {
				return nil, invalid("give the path of a file", "the param %s: %v", p.Name, err)
			}
			values[p.Name] = string(data)
		}
	}
	if _, err := g.Fill(values); err != nil {
		return nil, api.Errorf(api.ErrGoal, "", "%v", err)
	}
	return values, nil
}

// askParams asks for the params that are missing.
func (a *app) askParams(g goals.Goal, values map[string]string) error {
	missing := g.Missing(values)
	if len(missing) == 0 {
		return nil
	}
	in := bufio.NewReader(a.stdin)
	for _, p := range missing {
		for {
			fmt.Fprint(a.stderr, paramQuestion(p))
			line, err := in.ReadString('\n')
			if v := strings.TrimSpace(line); v != "" {
				if p.Type == goals.ParamFile {
					_, err = os.Stat(v)
				} else {
					_, err = p.Check(v)
				}
				if err == nil {
					values[p.Name] = v
					break
				}
				fmt.Fprintf(a.stderr, "%v\n", err)
				continue
			}
			if err != nil {
				return nil // the end of the input: what is missing is told as such
			}
		}
	}
	return nil
}

func paramQuestion(p goals.Param) string {
	s := p.Name
	if p.Description != "" {
		s += " (" + p.Description + ")"
	}
	switch p.Type {
	case goals.ParamChoice:
		s += " [" + strings.Join(p.Options, ", ") + "]"
	case goals.ParamFile:
		s += " [path of a file]"
	case goals.ParamBool:
		s += " [true, false]"
	}
	return s + ": "
}
