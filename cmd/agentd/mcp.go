package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"agentd/agent"
	"agentd/goals"
	"agentd/journal"
	"agentd/sandbox"
	"agentd/tools"
	"agentd/tools/mcp"
)

// mcpConfig says which files name MCP servers beside mcp.json in the folder of the configuration.
type mcpConfig struct {
	Files []string `yaml:"files"` // as other programs have them, read as they are
}

// mcpOptions are what servers need of this daemon.
func (d *daemon) mcpOptions() mcp.Options {
	return mcp.Options{Box: d.box, Dir: filepath.Join(d.places.Home, "mcp"), Version: version, Egress: d.newProxy, Log: d.log}
}

// globalServers are those of the user's configuration. The first file that names a server wins.
func (d *daemon) globalServers() ([]mcp.Server, error) {
	var out []mcp.Server
	var faults error
	seen := map[string]bool{}
	own := filepath.Join(filepath.Dir(d.configPath), "mcp.json")
	for i, file := range append([]string{own}, d.cfg.MCP.Files...) {
		data, err := os.ReadFile(file)
		if i == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		list, err := mcp.Parse(file, data, os.Getenv)
		if err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		for _, s := range list {
			if !seen[s.Name] {
				seen[s.Name] = true
				out = append(out, s)
			}
		}
	}
	return out, faults
}

// chosenServers are those of the configuration, or where names are given those alone, disabled ones too, and those of the files
// whose paths are given, which win.
func (d *daemon) chosenServers(chosen []string) ([]mcp.Server, error) {
	global, fault := d.globalServers()
	var files, named []mcp.Server
	names := false
	for _, c := range chosen {
		if filepath.IsAbs(c) {
			data, err := os.ReadFile(c)
			if err != nil {
				return nil, err
			}
			list, err := mcp.Parse(c, data, os.Getenv)
			if err != nil {
				return nil, err
			}
			files = append(files, list...)
			continue
		}
		names = true
		if c == noServers {
			continue
		}
		i := slices.IndexFunc(global, func(s mcp.Server) bool { return s.Name == c })
		if i < 0 {
			return nil, errors.Join(fmt.Errorf("no MCP server %.60q is configured", c), fault)
		}
		s := global[i]
		s.Disabled = false
		named = append(named, s)
	}
	if names {
		return append(files, named...), nil
	}
	return append(files, global...), fault
}

// noServers is the name that stands for none of the configured ones.
const noServers = "none"

// goalServers are those that a goal file asks for, which win over the user's of the same name. They reach what the run may and
// nothing beyond: a goal file opens no host.
func goalServers(g goals.Goal, net []string) []mcp.Server {
	var out []mcp.Server
	for _, s := range g.Tools.MCP {
		server := mcp.Server{Name: s.Name, Command: s.Cmd, Args: s.Args, URL: s.URL, Only: s.Allow, From: g.File}
		if s.URL != "" {
			server.Net, server.Strict = net, true
		}
		out = append(out, server)
	}
	return out
}

// servers opens a run's MCP servers; none is started yet.
func (d *daemon) servers(run journal.RunID, s journal.RunStarted) agent.Servers {
	global, err := d.chosenServers(s.MCP)
	if err != nil {
		d.log.Warn("MCP servers not configured", "run", run, "err", err)
	}
	list := append(goalServers(s.Goal, s.Net), global...)
	if len(list) == 0 && err == nil {
		return nil
	}
	return &runServers{run: mcp.Open(d.mcpOptions(), list), fault: err}
}

// runServers are a run's MCP servers in the words of the journal.
type runServers struct {
	run   *mcp.Run
	fault error // of the configuration
}

// List says what each server offers.
func (r *runServers) List(ctx context.Context, p sandbox.Policy) ([]journal.ToolsListed, []string) {
	list, notes := r.run.List(ctx, p)
	if r.fault != nil {
		notes = append(notes, "MCP servers of the configuration are left out: "+r.fault.Error())
	}
	return journaled(list), notes
}

// Update says what must be told anew.
func (r *runServers) Update(told []journal.ToolsListed) []journal.ToolsListed {
	return journaled(r.run.Update(listings(told)))
}

// Tools makes the tools of what was listed.
func (r *runServers) Tools(list []journal.ToolsListed) []tools.Tool {
	return r.run.Tools(listings(list))
}

// Stop ends the servers' processes.
func (r *runServers) Stop() { r.run.Stop() }

// Close ends them for good.
func (r *runServers) Close() error { return r.run.Close() }

func journaled(list []mcp.Listing) []journal.ToolsListed {
	var out []journal.ToolsListed
	for _, l := range list {
		e := journal.ToolsListed{Server: l.Server, Version: l.Version, Resources: l.Resources, Prompts: l.Prompts}
		for _, t := range l.Tools {
			e.Tools = append(e.Tools, journal.ServerTool(t))
		}
		out = append(out, e)
	}
	return out
}

func listings(list []journal.ToolsListed) []mcp.Listing {
	var out []mcp.Listing
	for _, e := range list {
		l := mcp.Listing{Server: e.Server, Version: e.Version, Resources: e.Resources, Prompts: e.Prompts}
		for _, t := range e.Tools {
			l.Tools = append(l.Tools, mcp.Tool(t))
		}
		out = append(out, l)
	}
	return out
}
