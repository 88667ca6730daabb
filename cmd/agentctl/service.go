package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
)

// service is what the system's own supervisor needs to run the daemon: files, and the commands that make it read them.
type service struct {
	files  []serviceFile
	start  [][]string
	remove [][]string
}

type serviceFile struct{ path, text string }

const serviceLabel = "agentd"

func (a *app) daemonInstallCmd() *cobra.Command {
	var show, remove, noStart bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Let systemd or launchd start the daemon, at the first client that connects",
		Long: "Let the system start the daemon for this user: a systemd user unit with a socket, or a launchd agent. The daemon starts when the first client connects " +
			"(systemd) or at login (launchd), and is started again when it fails. Keys of providers go into agentd/env in the configuration folder, as NAME=VALUE lines (systemd), or into key_file of config.yaml.",
		Args: exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			exe, err := findDaemon()
			if err != nil {
				return err
			}
			p, err := api.FindPlaces(a.home, a.getenv)
			if err != nil {
				return err
			}
			s, err := serviceOf(runtime.GOOS, exe, a.home, p, a.getenv)
			if err != nil {
				return err
			}
			switch {
			case show:
				for _, f := range s.files {
					fmt.Fprintf(a.stdout, "# %s\n%s\n", f.path, f.text)
				}
				return nil
			case remove:
				return a.uninstall(ctx, s)
			}
			return a.install(ctx, s, noStart)
		}),
	}
	c.Flags().BoolVar(&show, "print", false, "print the files and change nothing")
	c.Flags().BoolVar(&remove, "remove", false, "take it out again; runs and data stay")
	c.Flags().BoolVar(&noStart, "no-start", false, "write the files only")
	return c
}

// serviceOf makes the files for a system.
func serviceOf(system, exe, home string, p api.Places, getenv func(string) string) (service, error) {
	user := getenv("HOME")
	if !filepath.IsAbs(user) {
		return service{}, invalid("set HOME", "there is no home folder to write to")
	}
	for _, path := range []string{exe, p.Socket, p.Home, user} {
		if strings.ContainsAny(path, "\n\r\"") || !filepath.IsAbs(path) {
			return service{}, invalid("use other folders", "the path %.200q can't stand in a unit", path)
		}
	}
	args := []string{exe}
	if home != "" {
		args = append(args, "--home", p.Home)
	}
	switch system {
	case "linux":
		return systemdService(args, home != "" || getenv("AGENTD_HOME") != "", p, user, getenv), nil
	case "darwin":
		return launchdService(args, p, user)
	}
	return service{}, invalid("start agentd by what this system has", "there is no unit for %s", system)
}

func systemdService(args []string, own bool, p api.Places, user string, getenv func(string) string) service {
	conf := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(conf) {
		conf = filepath.Join(user, ".config")
	}
	dir := filepath.Join(conf, "systemd", "user")
	quoted := make([]string, len(args))
	for i, s := range args {
		quoted[i] = `"` + unitText(s) + `"`
	}
	env := ""
	if own {
		env = "Environment=\"AGENTD_HOME=" + unitText(p.Home) + "\"\n"
	}
	unit := `[Unit]
Description=agentd, the runtime of autonomous agents
Documentation=man:agentctl(1)
Requires=` + serviceLabel + `.socket
After=` + serviceLabel + `.socket

[Service]
ExecStart=` + strings.Join(quoted, " ") + `
` + env + `EnvironmentFile=-` + unitText(filepath.Join(conf, "agentd", "env")) + `
KillMode=mixed
TimeoutStopSec=30
Restart=on-failure
RestartSec=2

[Install]
WantedBy=default.target
Also=` + serviceLabel + `.socket
`
	socket := `[Unit]
Description=agentd's socket: the first client that connects starts it

[Socket]
ListenStream=` + unitText(p.Socket) + `
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
`
	return service{
		files:  []serviceFile{{filepath.Join(dir, serviceLabel+".service"), unit}, {filepath.Join(dir, serviceLabel+".socket"), socket}},
		start:  [][]string{{"systemctl", "--user", "daemon-reload"}, {"systemctl", "--user", "enable", "--now", serviceLabel + ".socket"}},
		remove: [][]string{{"systemctl", "--user", "disable", "--now", serviceLabel + ".socket", serviceLabel + ".service"}},
	}
}

// unitText makes text stand for itself in a unit.
func unitText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", "%%", "$", "$$").Replace(s)
}

func launchdService(args []string, p api.Places, user string) (service, error) {
	label := "org." + serviceLabel
	var list bytes.Buffer
	for _, s := range args {
		list.WriteString("    <string>")
		if err := xml.EscapeText(&list, []byte(s)); err != nil {
			return service{}, err
		}
		list.WriteString("</string>\n")
	}
	var log bytes.Buffer
	if err := xml.EscapeText(&log, []byte(p.Log)); err != nil {
		return service{}, err
	}
	plist := `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>` + label + `</string>
  <key>ProgramArguments</key>
  <array>
` + list.String() + `  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>StandardErrorPath</key>
  <string>` + log.String() + `</string>
</dict>
</plist>
`
	path := filepath.Join(user, "Library", "LaunchAgents", label+".plist")
	return service{
		files:  []serviceFile{{path, plist}},
		start:  [][]string{{"launchctl", "load", "-w", path}},
		remove: [][]string{{"launchctl", "unload", "-w", path}},
	}, nil
}

func (a *app) install(ctx context.Context, s service, noStart bool) error {
	for _, f := range s.files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return fmt.Errorf("make the folder of units: %w", err)
		}
		if err := os.WriteFile(f.path, []byte(f.text), 0o644); err != nil {
			return fmt.Errorf("write the unit: %w", err)
		}
		fmt.Fprintln(a.stdout, "wrote "+clean(f.path))
	}
	if noStart {
		return nil
	}
	for _, args := range s.start {
		if err := a.supervisor(ctx, args); err != nil {
			return err
		}
	}
	a.note("a daemon that runs already is used until it stops: agentctl daemon stop")
	return nil
}

func (a *app) uninstall(ctx context.Context, s service) error {
	there := false
	for _, f := range s.files {
		if _, err := os.Stat(f.path); err == nil {
			there = true
		}
	}
	if !there {
		a.note("it is not installed")
		return nil
	}
	var failed error
	for _, args := range s.remove {
		failed = errors.Join(failed, a.supervisor(ctx, args))
	}
	for _, f := range s.files {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(failed, err)
		}
		fmt.Fprintln(a.stdout, "removed "+clean(f.path))
	}
	return failed
}

func (a *app) supervisor(ctx context.Context, args []string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return api.Errorf(api.ErrInvalid, "the files are written; run it yourself where "+args[0]+" works", "%s: %v: %s", strings.Join(args, " "), err, line(string(out), 300))
	}
	return nil
}
