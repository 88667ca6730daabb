package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"agentd/internal/secretfile"
	"agentd/journal"
)

func (a *app) secretCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "secret",
		Short: "Keep secrets that the sandbox's proxy adds to requests",
		Long: "Keep secrets that the sandbox's proxy adds to requests for their hosts: agentctl run --secret NAME@HOST. No command of a run ever holds one.\n" +
			"They are kept in a file beside the configuration that only you can read. A name that is not in it is looked up in the daemon's environment.",
	}
	c.AddCommand(
		&cobra.Command{
			Use: "set NAME", Short: "Keep a secret; its value is read from standard input", Args: exactly(1),
			Example: "agentctl secret set GH_TOKEN < token.txt",
			RunE:    func(_ *cobra.Command, args []string) error { return a.setSecret(args[0]) },
		},
		&cobra.Command{
			Use: "ls", Short: "List the names of the secrets", Args: exactly(0),
			RunE: func(*cobra.Command, []string) error {
				all, err := secretfile.Read(a.secretPath())
				for _, k := range slices.Sorted(maps.Keys(all)) {
					fmt.Fprintln(a.stdout, k)
				}
				return err
			},
		},
		&cobra.Command{
			Use: "rm NAME", Short: "Forget a secret", Args: exactly(1),
			RunE: func(_ *cobra.Command, args []string) error { return secretfile.Remove(a.secretPath(), args[0]) },
		},
	)
	return c
}

// secretPath is the file of secrets.
func (a *app) secretPath() string {
	dir := a.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(a.getenv("HOME"), ".config")
	}
	return secretfile.Path(filepath.Join(dir, "agentd", "config.yaml"))
}

func (a *app) setSecret(name string) error {
	if err := secretfile.CheckName(name); err != nil {
		return invalid("agentctl secret set NAME", "%v", err)
	}
	var value string
	if f, ok := a.stdin.(*os.File); ok && terminal(a.stdin) {
		fmt.Fprintf(a.stderr, "value of %s (not shown): ", name)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		if err != nil {
			return fmt.Errorf("read the value: %w", err)
		}
		value = string(b)
	} else {
		b, err := io.ReadAll(io.LimitReader(bufio.NewReader(a.stdin), 64<<10))
		if err != nil {
			return fmt.Errorf("read the value: %w", err)
		}
		value = string(b)
	}
	value = strings.TrimRight(value, "\r\n")
	if err := secretfile.CheckSecret(value); err != nil {
		return invalid("give it on standard input", "%v", err)
	}
	return secretfile.Set(a.secretPath(), name, value)
}

// parseSecret reads NAME@HOST[,HOST…][=HEADER].
func parseSecret(s string) (journal.Secret, error) {
	const usage = "write --secret NAME@HOST, or NAME@HOST=HEADER for a header other than Authorization: Bearer"
	name, rest, ok := strings.Cut(s, "@")
	hosts, header, named := strings.Cut(rest, "=")
	if !ok || hosts == "" || named && header == "" {
		return journal.Secret{}, invalid(usage, "--secret %.80q has no name, no host or no header", s)
	}
	if err := secretfile.CheckName(name); err != nil {
		return journal.Secret{}, invalid(usage, "--secret: %v", err)
	}
	out := journal.Secret{Name: name, Hosts: strings.Split(hosts, ",")}
	switch strings.ToLower(header) {
	case "", "bearer":
	case "basic":
		out.As = "basic"
	default:
		out.As, out.Field = "header", header
	}
	return out, nil
}

// parseSecrets reads all flags.
func parseSecrets(list []string) ([]journal.Secret, error) {
	var out []journal.Secret
	var errs []error
	for _, s := range list {
		one, err := parseSecret(s)
		errs = append(errs, err)
		out = append(out, one)
	}
	return out, errors.Join(errs...)
}
