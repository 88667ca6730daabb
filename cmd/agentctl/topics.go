package main

import (
	"strings"

	"github.com/spf13/cobra"

	"agentd/cmd/agentctl/tui"
)

// topic is a page of help that is no command.
type topic struct{ name, short, text string }

func topics() []topic {
	return []topic{
		{"exit-codes", "what the exit code of run and show says", exitCodes},
		{"environment", "the variables that agentctl and the daemon read", `AGENTD_HOME        data folder and socket of the daemon (also --home)
AGENTD_MODELS      folder of the local models' files
XDG_CONFIG_HOME    config.yaml and policy.yaml are in agentd/ below it (default ~/.config)
XDG_DATA_HOME      data are in agentd/ below it (default ~/.local/share)
XDG_RUNTIME_DIR    the socket is in it
AGENTCTL_NOTIFY    how the interface calls you: bell, osc9, osc777 (comma-separated), none, or run:COMMAND
NO_COLOR           no colours
TERM=dumb          lines only, nothing that moves
ACCESSIBLE         forms as plain questions, for screen readers

Keys of providers (ANTHROPIC_API_KEY, OPENAI_API_KEY, …) are read from the daemon's environment: set them before it is
started, or put key_file into config.yaml.`},
		{"goals", "what a goal is, in words and as a file", `agentctl run "words" gives a goal in words. A single word names a goal file: agentctl run upgrade uses goals/upgrade.goal.md
of the workspace. A goal file is Markdown with YAML in front:

  ---
  apiVersion: agentd/v1
  name: upgrade
  params:
    module: {type: string, required: true}
  accept:
    probes:
      build: {cmd: go build ./...}
    require: ['build.exit == 0']
  ---
  Move all callers to {{ params.module }}.

agentctl init writes an example. Params are given by --param NAME=VALUE, or in a form: f in the interface.`},
		{"asks", "when a run asks, and what answers mean", `A call that policy does not decide asks a person: agentctl answer RUN allow, or deny --reason "why" (the agent reads it).
A call that a restart cut off while it could reach the outside is in doubt: done (it took effect), again (run it anew) or
skip. A run that nobody watches is parked (exit 5) until somebody answers. docs/policy.md says how rules decide.`},
		{"guarantees", "what you can rely on", `Every side effect has an event on disk before it and another after it. What was acknowledged is durable. A model call is
made only when its worst case fits the budget. No call runs without a verdict of policy, and no program runs on the
workspace outside a sandbox. accepted means that the daemon measured your criteria after every box was dead. undo puts the
workspace back. ARCHITECTURE.md names the test that holds each; agentctl doctor says what this machine's sandbox enforces.`},
		{"keys", "the keys of the interface", tui.KeysText()},
	}
}

// addTopics adds the pages of help: agentctl help topics lists them.
func addTopics(root *cobra.Command) {
	list := new(strings.Builder)
	list.WriteString("Pages of help, each shown by agentctl help NAME:\n\n")
	for _, t := range topics() {
		root.AddCommand(&cobra.Command{Use: t.name, Short: t.short, Long: t.text, Hidden: true})
		list.WriteString("  " + t.name + strings.Repeat(" ", max(14-len(t.name), 1)) + t.short + "\n")
	}
	root.AddCommand(&cobra.Command{Use: "topics", Short: "pages of help: exit codes, variables, goals, keys", Long: strings.TrimRight(list.String(), "\n"), Hidden: true})
}
