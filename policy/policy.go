// Package policy decides by rules whether a call may run: allow, ask a person, or deny. Its typed expressions are also the
// conditions of goals and acceptance.
package policy

import "agentd/tools/args"

// Decision is what a rule set says of a call.
type Decision string

// The decisions.
const (
	Allow Decision = "allow"
	Ask   Decision = "ask"
	Deny  Decision = "deny"
)

// Call is what a rule can see of a tool call.
type Call struct {
	Args      args.Args
	Effect    string   // read, idempotent, once
	Egress    bool     // its box has a way out
	Sandboxed bool     // it runs in a box, or touches only the workspace
	Tainted   bool     // Origins is not empty, or the caller knows no more
	Origins   []string // of the untrusted content that the task has read: web:HOST, net:HOST, mcp:SERVER, memory:ID, file:PATH, …
	Workspace string
	Goal      string
}

// Verdict is the decision and where it came from.
type Verdict struct {
	Do   Decision
	Rule string // the rule's when, or a name such as "default"
	Why  string
}
