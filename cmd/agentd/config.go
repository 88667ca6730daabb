package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"agentd/agent"
	"agentd/goals"
)

// config is config.yaml. A zero field means the stated default.
type config struct {
	Model     string                    `yaml:"model"`    // provider/model[,…]; default: by the keys that are set, else local
	Parallel  int                       `yaml:"parallel"` // most tasks of one run at once; default 2
	Memory    string                    `yaml:"memory"`   // off, read, propose (default) or auto
	Retention retentionConfig           `yaml:"retention"`
	Listen    string                    `yaml:"listen"` // additional TCP address; needs token_file
	TokenFile string                    `yaml:"token_file"`
	Hooks     string                    `yaml:"hooks"`    // loopback address at which webhooks arrive; default none
	Prices    string                    `yaml:"prices"`   // a file that replaces the price table
	Snapshot  snapshotConfig            `yaml:"snapshot"` // the largest workspace
	Sandbox   sandboxConfig             `yaml:"sandbox"`
	Local     localConfig               `yaml:"local"`
	MCP       mcpConfig                 `yaml:"mcp"`
	Search    searchConfig              `yaml:"search"`    // the service that web_search asks
	Budget    budgetConfig              `yaml:"budget"`    // default bounds of a run
	Providers map[string]providerConfig `yaml:"providers"` // by provider name
}

// retentionConfig is how long things are kept; 0 is for ever.
type retentionConfig struct {
	Runs   time.Duration `yaml:"runs"`   // ended runs: journal, outputs and snapshot
	Memory time.Duration `yaml:"memory"` // what runs wanted remembered; what a person said stays
}

type sandboxConfig struct {
	Require string `yaml:"require"` // landlock (default), namespaces, gvisor
}

type snapshotConfig struct {
	MaxFiles int   `yaml:"max_files"` // default 500,000
	MaxBytes int64 `yaml:"max_bytes"` // default 16 GiB
}

type localConfig struct {
	Model string        `yaml:"model"` // default qwen2.5-coder:1.5b
	Idle  time.Duration `yaml:"idle"`  // unload after; default 10m
}

type budgetConfig struct {
	USD    float64       `yaml:"usd"`
	Tokens int64         `yaml:"tokens"`
	Steps  int           `yaml:"steps"`
	Wall   time.Duration `yaml:"wall"`
}

type providerConfig struct {
	BaseURL string `yaml:"base_url"`
	KeyFile string `yaml:"key_file"` // mode 0600
	Key     string `yaml:"-"`        // read from KeyFile
}

func (b budgetConfig) goal() goals.Budget {
	return goals.Budget{USD: b.USD, Tokens: b.Tokens, Steps: b.Steps, Wall: b.Wall}
}

// configPath is where the configuration is looked for when no flag says so.
func configPath(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(getenv("HOME"), ".config")
	}
	return filepath.Join(dir, "agentd", "config.yaml")
}

// loadConfig reads a configuration file. A missing file is the default configuration unless it was named.
func loadConfig(path string, named bool) (config, error) {
	var c config
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(data, &c, yaml.Strict()); err != nil {
		return c, fmt.Errorf("configuration %s: %s", path, explain(err))
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

var configKeys = []string{"model", "parallel", "memory", "retention", "runs", "listen", "token_file", "hooks", "prices", "snapshot", "max_files", "max_bytes", "sandbox", "require", "local", "idle", "budget", "usd", "tokens", "steps", "wall", "providers", "base_url", "key_file", "mcp", "files"}

// explain is a decoder's error with its place and, for an unknown key, the nearest known one.
func explain(err error) string {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return err.Error()
	}
	msg := ye.GetMessage()
	if tok := ye.GetToken(); tok != nil {
		msg = fmt.Sprintf("line %d, column %d: %s", tok.Position.Line, tok.Position.Column, msg)
		if strings.Contains(msg, "unknown field") {
			if near := nearest(tok.Value, configKeys); near != "" {
				msg += fmt.Sprintf(" (did you mean %q?)", near)
			}
		}
	}
	return msg
}

// nearest is the known word with the smallest edit distance, if it is at most a third of the word.
func nearest(word string, known []string) string {
	best, dist := "", len(word)/3+2
	for _, k := range known {
		if d := distance(word, k); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

func (c *config) validate() error {
	switch {
	case c.Parallel < 0 || c.Parallel > 32:
		return fmt.Errorf("parallel: %d is not within 1 to 32", c.Parallel)
	case c.Budget.USD < 0 || c.Budget.Tokens < 0 || c.Budget.Steps < 0 || c.Budget.Wall < 0:
		return errors.New("budget: a default bound must not be negative")
	case c.Snapshot.MaxFiles < 0 || c.Snapshot.MaxBytes < 0:
		return errors.New("snapshot: a limit must not be negative")
	case c.Retention.Runs < 0 || c.Retention.Memory < 0:
		return errors.New("retention: a time must not be negative")
	case c.Local.Idle < 0:
		return errors.New("local.idle: must not be negative")
	case c.Hooks != "" && loopback(c.Hooks) != nil:
		return loopback(c.Hooks)
	case c.Listen != "" && c.TokenFile == "":
		return errors.New("listen: a TCP address needs token_file")
	}
	if c.Memory != "" && !slices.Contains(agent.MemoryModes, c.Memory) {
		return fmt.Errorf("memory: %q is none of %s", c.Memory, strings.Join(agent.MemoryModes, ", "))
	}
	if r := c.Sandbox.Require; r != "" && !slices.Contains([]string{"landlock", "namespaces", "gvisor"}, r) {
		return fmt.Errorf("sandbox.require: %q is none of landlock, namespaces, gvisor", r)
	}
	for name, p := range c.Providers {
		if p.KeyFile == "" {
			continue
		}
		key, err := readSecret(p.KeyFile)
		if err != nil {
			return fmt.Errorf("providers.%s.key_file: %w", name, err)
		}
		p.Key = key
		c.Providers[name] = p
	}
	return nil
}

// readSecret reads a file that nobody else may read.
func readSecret(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o: others can read it; chmod 600 it", path, fi.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}
