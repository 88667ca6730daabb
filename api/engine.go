// Package api serves the daemon's runs over HTTP on a unix socket, and is the Go client of that service.
package api

import (
	"context"
	"io/fs"
	"time"

	"agentd/goals"
	"agentd/journal"
)

// Engine is what the server needs of the daemon beyond its journal. Methods are safe for concurrent use; an error that
// carries Code() string or Hint() string is shown to the client with them (see Error).
type Engine interface {
	// Start validates the goal, the workspace and the model and makes the run durable. With a key that a run was
	// started with before, it returns that run and fresh is false.
	Start(ctx context.Context, r StartRequest, key string) (run journal.RunID, fresh bool, err error)
	// Wake says that a client appended to the run, so that its driver looks at once. It never blocks.
	Wake(run journal.RunID)
	// Context returns what was sent to the model at a step (from 1).
	Context(ctx context.Context, run journal.RunID, step int) (Context, error)
	// Diff compares the workspace with the run's snapshot.
	Diff(ctx context.Context, run journal.RunID) (Diff, error)
	// Undo puts the workspace back as it was before the run, or with a step (from 1) before that step; a file that a person
	// edited since is kept.
	Undo(ctx context.Context, run journal.RunID, by string, step int) (journal.Undone, error)
	// Apply brings what an ended run did in its copy to its workspace; what changed there meanwhile is kept.
	Apply(ctx context.Context, run journal.RunID, by string) (journal.Applied, error)
	// Purge removes an ended run with its blobs and snapshot; ErrLive while it has not ended.
	Purge(ctx context.Context, run journal.RunID) error
	// Models lists the models that this daemon can use or fetch.
	Models(ctx context.Context) ([]ModelInfo, error)
	// Pull fetches a local model and calls progress from one goroutine, often.
	Pull(ctx context.Context, name string, progress func(PullProgress)) error
	// RemoveModel deletes a local model's files.
	RemoveModel(ctx context.Context, name string) error
	// Info describes the daemon. It is asked for at every start of a client: it must be cheap.
	Info(ctx context.Context) (Info, error)
	// Proposals are the conditions of rules that would answer an ask of a run in a state.
	Proposals(st *journal.State, ask journal.ToolAsked) (AskRules, error)
	// Covers reports why a person's rule would not answer an ask, nil where it would.
	Covers(st *journal.State, ask journal.ToolAsked, scope journal.Scope, when string) error
	// Keep adds a rule that allows to those that hold in every run, unless it is there.
	Keep(when, why string) error
	// Deltas follows the tokens that a run's model is writing: for display only, dropped when the reader is slow. cancel
	// must be called; the channel is closed after it, or when the run ends.
	Deltas(run journal.RunID) (deltas <-chan Delta, cancel func())
}

// StartRequest asks for a run. Exactly one of Goal and File is set.
type StartRequest struct {
	Goal      string            `json:"goal,omitempty"`     // in plain words
	File      *GoalFile         `json:"file,omitempty"`     // a goal file; the fields below add to it, and win over it
	Checks    []string          `json:"checks,omitempty"`   // commands that must end with 0
	Protect   []string          `json:"protect,omitempty"`  // globs that nothing in the run may write
	Net       []string          `json:"net,omitempty"`      // HOST:PORT or CIDR:PORT opened by the user
	Secrets   []journal.Secret  `json:"secrets,omitempty"`  // added by the sandbox's proxy to requests for their hosts
	Grant     bool              `json:"grant,omitempty"`    // the user has seen all that the goal file asks for, and grants it for this run
	Granted   []string          `json:"granted,omitempty"`  // what the user grants the goal file for this run, as a review names it
	Model     string            `json:"model,omitempty"`    // provider/model or a chain a,b,c; "" is the daemon's default
	Budget    goals.Budget      `json:"budget"`             // zero fields: the goal file's, else the default
	Workspace string            `json:"workspace"`          // absolute path
	Yes       bool              `json:"yes,omitempty"`      // approve asks
	Attended  bool              `json:"attended,omitempty"` // a person watches: an ask waits instead of parking the run
	Parallel  int               `json:"parallel,omitempty"` // most tasks at once; 0 is the default
	Params    map[string]string `json:"params,omitempty"`   // of the goal file; of a param of type file its content
	Memory    string            `json:"memory,omitempty"`   // off, read, propose or auto; "" is the daemon's default
	Mode      string            `json:"mode,omitempty"`     // where it works: direct (the default), copy or worktree
	Apply     bool              `json:"apply,omitempty"`    // in another mode than direct: apply its work when it is accepted
	MCP       []string          `json:"mcp,omitempty"`      // names of configured MCP servers that alone are offered, and absolute paths of files that name more; none: all
	Browser   string            `json:"browser,omitempty"`  // on or off; "" is on where the goal names an address or the network is open
}

// GoalFile is a goal file's name and content, as the client read it.
type GoalFile struct {
	Name    string            `json:"name"`
	Text    string            `json:"text"`
	Imports map[string]string `json:"imports,omitempty"` // what it imports, and what that does, by name: the daemon reads none of them itself
}

// Import is the text of an imported file.
func (f *GoalFile) Import(name string) ([]byte, error) {
	if text, ok := f.Imports[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

// Started is the answer to a StartRequest: the run is durable.
type Started struct {
	Run   journal.RunID `json:"run"`
	Fresh bool          `json:"fresh"` // false: the Idempotency-Key had started it before
}

// Context is what was sent to the model at one step.
type Context struct {
	Step     int    `json:"step"`
	Model    string `json:"model"`
	Bytes    []byte `json:"bytes"`    // exactly as sent
	Tokens   int    `json:"tokens"`   // of the prompt: the provider's count where it gave one, else an estimate
	Hash     string `json:"hash"`     // sha256 of Bytes, hex, as the journal recorded it before they were sent
	Verified bool   `json:"verified"` // Bytes have that hash
}

// Diff is what changed in a workspace since a run's snapshot.
type Diff struct {
	Files []FileDiff `json:"files"`
}

// FileDiff is the change of one file.
type FileDiff struct {
	Path   string `json:"path"`
	Change string `json:"change"`           // created, changed, deleted, or renamed from PATH
	Patch  string `json:"patch,omitempty"`  // unified diff; "" for a binary or a very large file
	Binary bool   `json:"binary,omitempty"` // or too large to compare
	Mode   string `json:"mode,omitempty"`   // new mode bits, if they changed: "0755"
}

// ModelInfo describes one model.
type ModelInfo struct {
	Name      string  `json:"name"` // as --model takes it
	Provider  string  `json:"provider"`
	Default   bool    `json:"default,omitempty"`
	Ready     bool    `json:"ready"`           // usable now: its key is set, its files are here
	Local     bool    `json:"local,omitempty"` // its files can be pulled and removed
	Size      int64   `json:"size,omitempty"`  // bytes on disk or to fetch
	Path      string  `json:"path,omitempty"`
	Window    int     `json:"window,omitempty"` // context, tokens
	USDIn     float64 `json:"usd_in,omitempty"` // per million tokens; 0 with Priced is free
	USDOut    float64 `json:"usd_out,omitempty"`
	Priced    bool    `json:"priced,omitempty"`
	Note      string  `json:"note,omitempty"` // why it isn't ready and what to do
	Embedding bool    `json:"embedding,omitempty"`
}

// PullProgress is one report of a fetch.
type PullProgress struct {
	File  string `json:"file,omitempty"`
	State string `json:"state"` // fetching, resuming, verifying, unpacking, done
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Info describes the daemon.
type Info struct {
	Version  string       `json:"version"`
	API      int          `json:"api"` // Version of the HTTP interface; set by the server
	PID      int          `json:"pid"`
	Started  time.Time    `json:"started"`
	Home     string       `json:"home"` // data folder
	Socket   string       `json:"socket,omitempty"`
	Log      string       `json:"log,omitempty"`
	Config   string       `json:"config,omitempty"`
	Model    string       `json:"model"`    // default
	Env      []string     `json:"env"`      // names of the provider variables that are set, never values
	Embedder string       `json:"embedder"` // "" is none: recall by words alone
	Sandbox  SandboxInfo  `json:"sandbox"`
	Budget   goals.Budget `json:"budget"` // default limits
	Live     int          `json:"live"`   // runs that have not ended
}

// SandboxInfo says what a box can hold on this machine.
type SandboxInfo struct {
	Level      string      `json:"level"` // none, wasm, landlock, namespaces, gvisor
	Required   string      `json:"required"`
	Backend    string      `json:"backend"`
	Kernel     string      `json:"kernel"`
	Guarantees []Guarantee `json:"guarantees,omitempty"`
	Fix        string      `json:"fix,omitempty"`
}

// Guarantee is one thing that a sandbox may enforce.
type Guarantee struct {
	Name   string `json:"name"`
	State  string `json:"state"` // enforced, partial, absent
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Delta is a piece of a reply that is being written, or the news that its try was dropped.
type Delta struct {
	Call  string `json:"call"` // ModelAsked.Call
	Task  string `json:"task,omitempty"`
	Text  string `json:"text,omitempty"`
	Tool  string `json:"tool,omitempty"` // a tool call is being written
	Reset bool   `json:"reset,omitempty"`
	Chars int    `json:"chars,omitempty"` // characters of the reply so far, tool arguments included
}

// RunView is the answer to GET /v1/runs/{id}: the summary, and the state that folding the journal gives.
type RunView struct {
	journal.Summary
	State *journal.State `json:"state,omitempty"` // absent from a brief answer
}
