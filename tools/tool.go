// Package tools holds the contract of a tool, the set of tools a run offers, and the light built-in ones.
package tools

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"agentd/sandbox"
	"agentd/tools/args"
)

// Effect says what repeating a call would do.
type Effect string

// The effects. Only read and idempotent calls are ever run again after a crash.
const (
	Read       Effect = "read"
	Idempotent Effect = "idempotent"
	Once       Effect = "once"
)

// Fenced says how a call is written by a model that can't write JSON well: "Action: name inline" and a fenced body.
type Fenced struct {
	Inline string // the argument that stands behind the name, or ""
	Body   string // the argument that the fence holds, or "" when there is no fence
	Sample string // a real call, shown to the model
	Rule   string // GBNF of all that stands behind the name, where Inline and Body are not enough; it may use inline, line and fence
}

// Spec offers a tool to a model.
type Spec struct {
	Name    string
	Summary string          // one line
	Prompt  string          // the description a model reads; from a reviewed .md file beside the tool
	Schema  json.RawMessage // JSON Schema of the arguments, from the struct in tools/args
	Fenced  Fenced
}

// Env is where a call runs.
type Env struct {
	Box     Runner
	Policy  sandbox.Policy                      // of this call; tools only narrow it
	Root    *os.Root                            // the workspace, for file tools
	Protect func(path string) bool              // whether a slash-separated workspace path is protected
	Unseen  func(path string, folder bool) bool // whether a workspace path must not be shown; nil: all may be
	Out     io.Writer                           // live output for display; nil for none
	Call    string                              // the call's id
	Memory  Memory                              // for recall and remember; nil: the run has none
	Step    int                                 // of the run
	Tainted bool                                // the run has read what nobody vouches for
	Tabs    Tabs                                // for browser; nil: the run has none
	Room    int                                 // bytes of a result that the model is shown at once; 0: not known
	Ask     AskPerson                           // nil: nobody can be asked
}

// Runner runs one command in a box. *sandbox.Box is one.
type Runner interface {
	Run(ctx context.Context, p sandbox.Policy, c sandbox.Command) (sandbox.Result, error)
}

// Result is what a call gave. A failure of the thing called (a non-zero exit, a missing file) is a Result; an error of Run
// means that the tool itself could not work.
type Result struct {
	OK      bool
	Exit    int
	Killed  string   // limit, in words
	Output  *Output  // never nil
	Level   string   // isolation that held, "" for tools without a box
	Changed []string // workspace paths the tool itself wrote

	// Origins are where text of the output came from that nobody vouches for: web:HOST, mcp:SERVER, search:NAME, download:HOST. Such
	// text is shown to the model as quoted data, and what the model does after it is judged more strictly. A tool need not name the
	// hosts in Egress or the workspace's files: those are added.
	Origins []string
	// Egress is what was decided about connections of this call.
	Egress []sandbox.Decision
	// Pictures are PNG or JPEG, for models that see.
	Pictures [][]byte
}

// Outward is a tool that reaches out of the sandbox by itself, not by way of a command in the call's box.
type Outward interface {
	// Outward reports whether a call can send something out: what a rule sees as egress.
	Outward(a args.Args) bool
}

// Tool is one tool. Implementations are safe for concurrent use and hold no state of a run.
type Tool interface {
	Spec() Spec
	// Decode parses and checks arguments as a model wrote them; its error is shown to the model.
	Decode(raw json.RawMessage) (args.Args, error)
	// Effect says what repeating this very call would do, were it cut off.
	Effect(a args.Args) Effect
	// Run does it. ctx ends it at once.
	Run(ctx context.Context, env Env, a args.Args) (Result, error)
}
