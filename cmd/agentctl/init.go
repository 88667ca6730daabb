package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"charm.land/huh/v2"
	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/goals"
)

// setup is what agentctl init is told, by flags or by a form.
type setup struct {
	model   string // "" leaves the daemon's default
	keyFile string // of the model's provider
	example bool
	service bool
	check   bool
	yes     bool
}

func (a *app) initCmd() *cobra.Command {
	s := setup{check: true}
	var dir string
	c := &cobra.Command{
		Use:   "init",
		Short: "Set this machine up: model, example goal, start by the system, a check",
		Long: "Set this machine up. On a terminal it asks, in a form (as plain questions with ACCESSIBLE=1 or TERM=dumb); with --yes, or without a terminal, the flags say all.\n\n" +
			"It writes config.yaml unless there is one, a goal file into goals/ of the folder, and runs agentctl doctor. Nothing that exists is overwritten.",
		Example: `agentctl init
agentctl init --yes --model anthropic/claude-sonnet-4-5 --key-file ~/.keys/anthropic --example`,
		Args: exactly(0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			ws, err := workspace(dir)
			if err != nil {
				return err
			}
			if !s.yes && terminal(a.stdin) && terminal(a.stdout) {
				if err := a.askSetup(ctx, &s, ws); err != nil {
					return err
				}
			}
			return a.setUp(ctx, s, ws)
		}),
	}
	f := c.Flags()
	f.StringVarP(&s.model, "model", "m", "", "default model as provider/model, local, or a chain a,b,c")
	f.StringVar(&s.keyFile, "key-file", "", "file with the provider's key, mode 0600")
	f.BoolVar(&s.example, "example", false, "write an example goal into goals/")
	f.BoolVar(&s.service, "service", false, "let systemd or launchd start the daemon: agentctl daemon install")
	f.BoolVar(&s.check, "check", true, "run agentctl doctor at the end")
	f.BoolVarP(&s.yes, "yes", "y", false, "ask nothing")
	f.StringVarP(&dir, "dir", "C", "", "folder for the example, the current one if not given")
	return c
}

// askSetup fills s in by a form. What flags said is what it begins with.
func (a *app) askSetup(ctx context.Context, s *setup, ws string) error {
	const other = "other"
	choices := []huh.Option[string]{huh.NewOption("the local model (no key, nothing leaves this machine; fetched once)", "local")}
	if name := a.providerHere(); name != "" {
		choices = append([]huh.Option[string]{huh.NewOption("by the keys that are set: "+name, "")}, choices...)
	}
	choices = append(choices, huh.NewOption("another, by its name", other))
	choice := s.model
	if s.model != "" {
		choices = append([]huh.Option[string]{huh.NewOption(s.model, s.model)}, choices...)
	}
	named := ""
	form := huh.NewForm(
		huh.NewGroup(huh.NewSelect[string]().Title("Which model works by default?").Options(choices...).Value(&choice)),
		huh.NewGroup(
			huh.NewInput().Title("Model").Description("as provider/model, for example anthropic/claude-sonnet-4-5 or openai/gpt-5").Value(&named).Validate(func(v string) error {
				if !strings.Contains(v, "/") {
					return errors.New("write provider/model")
				}
				return nil
			}),
			huh.NewInput().Title("File with its key").Description("mode 0600; empty: the key is in the daemon's environment").Value(&s.keyFile),
		).WithHideFunc(func() bool { return choice != other }),
		huh.NewGroup(
			huh.NewConfirm().Title("Write an example goal?").Description(filepath.Join(ws, goals.Dir, exampleName)).Value(&s.example),
			huh.NewConfirm().Title("Let the system start the daemon?").Description("a systemd user unit with a socket, or a launchd agent").Value(&s.service),
			huh.NewConfirm().Title("Check this machine now?").Description("sandbox, model, Chromium, disk: agentctl doctor").Value(&s.check),
		),
	).WithInput(a.stdin).WithOutput(a.stdout).WithAccessible(a.accessible())
	if err := form.RunWithContext(ctx); err != nil {
		if errors.Is(err, huh.ErrUserAborted) {
			return context.Canceled
		}
		return fmt.Errorf("ask: %w", err)
	}
	if s.model = choice; choice == other {
		s.model = strings.TrimSpace(named)
	}
	return nil
}

// accessible reports whether forms are plain questions, which a screen reader can follow.
func (a *app) accessible() bool { return a.getenv("ACCESSIBLE") != "" || a.getenv("TERM") == "dumb" }

// providerHere is the first provider variable that is set here.
func (a *app) providerHere() string {
	for _, name := range providerEnv {
		if a.getenv(name) != "" {
			return name
		}
	}
	return ""
}

// setUp does what s says.
func (a *app) setUp(ctx context.Context, s setup, ws string) error {
	if err := a.writeConfig(s); err != nil {
		return err
	}
	if s.example {
		if err := a.writeNew(filepath.Join(ws, goals.Dir, exampleName), exampleGoal, 0o644); err != nil {
			return err
		}
	}
	if s.service {
		c := a.daemonInstallCmd()
		c.SetArgs(nil)
		c.SetContext(ctx)
		if err := c.RunE(c, nil); err != nil || a.code != 0 {
			return err
		}
	}
	if s.check {
		if err := a.doctor(ctx, nil); err != nil {
			return err
		}
	}
	next := `agentctl run "what you want"`
	if s.example {
		next = "agentctl run " + strings.TrimSuffix(exampleName, ".goal.md")
	}
	a.note("next: %s, or agentctl for the interface", next)
	return nil
}

// writeConfig writes the configuration where something was chosen.
func (a *app) writeConfig(s setup) error {
	if s.model == "" {
		if s.keyFile != "" {
			return invalid("say whose key it is: --model provider/model", "--key-file without --model")
		}
		return nil
	}
	if strings.ContainsAny(s.model, "\n\r\"'\\#: ") || s.model != "local" && !strings.Contains(s.model, "/") {
		return invalid("write provider/model, or local", "--model %.80q is no model's name", s.model)
	}
	text := "# What agentd does unless a run says otherwise: docs/using.md. The daemon reads it when it starts.\nmodel: " + s.model + "\n"
	if s.keyFile != "" {
		path, err := keyFile(s.keyFile, a.getenv("HOME"))
		if err != nil {
			return err
		}
		provider, _, _ := strings.Cut(s.model, "/")
		text += "providers:\n  " + provider + ":\n    key_file: " + path + "\n"
	}
	conf := a.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(conf) {
		conf = filepath.Join(a.getenv("HOME"), ".config")
	}
	return a.writeNew(filepath.Join(conf, "agentd", "config.yaml"), text, 0o600)
}

// keyFile checks the file of a key without reading it.
func keyFile(path, home string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, rest)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("the key's file: %w", err)
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return "", invalid("write the key into it, and nothing else", "the key's file: %v", err)
	case !fi.Mode().IsRegular() || fi.Mode().Perm()&0o077 != 0:
		return "", invalid("chmod 600 "+path, "the key's file %s can be read by others", path)
	case strings.ContainsAny(path, "\n\r\"'\\#: "):
		return "", invalid("use a plainer path", "the path %q can't stand in config.yaml", path)
	}
	return path, nil
}

// writeNew writes a file that is not there yet; one that is stays as it is.
func (a *app) writeNew(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return api.Errorf(api.ErrInvalid, "", "make the folder of %s: %v", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, os.ErrExist) {
		a.note("%s is there already and stays as it is", path)
		return nil
	}
	if err != nil {
		return api.Errorf(api.ErrInvalid, "", "write %s: %v", path, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fmt.Fprintln(a.stdout, "wrote "+clean(path))
	return nil
}

const exampleName = "largest-files.goal.md"

// exampleGoal is a goal file that works in any folder.
const exampleGoal = `---
apiVersion: agentd/v1
name: largest-files
description: A table of the largest files of this folder
params:
  most: {type: int, default: 5, min: 1, max: 50, description: how many files}
scope:
  write: ['report.md']
budget: {steps: 20, wall: 10m}
accept:
  probes:
    report: {cmd: test -s report.md}
  require: ['report.exit == 0']
---
Find the {{ params.most }} largest files below this folder, without .git, and write a Markdown table of their paths and sizes to
report.md, the largest first.
`
