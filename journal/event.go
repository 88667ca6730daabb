// Package journal says what happened: the events of a run, their fold into a state, and the contract of a store.
package journal

import (
	"encoding/json"
	"fmt"
	"time"

	"agentd/goals"
	"agentd/llm"
	"agentd/planner"
)

// RunID names a run: 12 lower-case characters, sortable by start time.
type RunID string

// Seq is an event's place in its run; the first is 1, and 0 is before all.
type Seq uint64

// Record is one stored event. Data is the event's JSON; fields are only ever added to it.
type Record struct {
	Run  RunID           `json:"run"`
	Seq  Seq             `json:"seq"`
	Time time.Time       `json:"time"`
	Kind Kind            `json:"kind"`
	V    int             `json:"v"`
	Data json.RawMessage `json:"data"`
}

// Kind names an event's type. Kinds are never renamed or reused.
type Kind string

// Event is what a record carries: one of the structs below.
type Event interface{ Kind() Kind }

// The kinds of event.
const (
	KindRunStarted    Kind = "run_started"
	KindDriverClaimed Kind = "driver_claimed"
	KindSnapshotMade  Kind = "snapshot_made"
	KindRecalled      Kind = "recalled"
	KindPlanMade      Kind = "plan_made"
	KindTaskStarted   Kind = "task_started"
	KindModelAsked    Kind = "model_asked"
	KindModelReplied  Kind = "model_replied"
	KindToolAsked     Kind = "tool_asked"
	KindAskAnswered   Kind = "ask_answered"
	KindToolStarted   Kind = "tool_started"
	KindToolFinished  Kind = "tool_finished"
	KindTaskFinished  Kind = "task_finished"
	KindCheckFinished Kind = "check_finished"
	KindMessageSent   Kind = "message_sent"
	KindLimitChanged  Kind = "limit_changed"
	KindPaused        Kind = "paused"
	KindResumed       Kind = "resumed"
	KindCancelAsked   Kind = "cancel_asked"
	KindNoted         Kind = "noted"
	KindRunFinished   Kind = "run_finished"
	KindUndone        Kind = "undone"
	KindApplied       Kind = "applied"
	KindLearned       Kind = "learned"
	KindTabsChanged   Kind = "tabs_changed"
	KindTakenOver     Kind = "taken_over"
	KindGoalRevised   Kind = "goal_revised"
)

// RunStarted begins a run. What steers the run is copied in, so that nothing outside can change it later.
type RunStarted struct {
	Goal      goals.Goal `json:"goal"`
	Workspace string     `json:"workspace"`         // absolute path
	Model     string     `json:"model"`             // provider/model, or a chain a,b,c
	Planner   string     `json:"planner,omitempty"` // chain of the models that plan; "" is Model
	Judge     string     `json:"judge,omitempty"`   // chain of the models that give an opinion; "" is Planner
	Yes       bool       `json:"yes,omitempty"`
	Attended  bool       `json:"attended,omitempty"`  // a person watched when it started: asks wait
	DenyAsks  bool       `json:"deny_asks,omitempty"` // nobody can ever answer: an ask is a denial
	Net       []string   `json:"net,omitempty"`       // where its boxes may connect, as egress.ParseRule reads it, or public
	Secrets   []Secret   `json:"secrets,omitempty"`   // added by the proxy to requests for their hosts
	Grants    []string   `json:"grants,omitempty"`    // what the goal file asked for beyond what every run has, all of it granted
	Parallel  int        `json:"parallel,omitempty"`  // most tasks at once
	Version   string     `json:"version"`             // of agentd
	Key       string     `json:"key,omitempty"`       // Idempotency-Key
	Lead      string     `json:"lead,omitempty"`      // facts about the workspace, gathered once, rendered as data
	Memory    string     `json:"memory,omitempty"`    // off (also ""), read, propose or auto
	Mode      string     `json:"mode,omitempty"`      // where it works: direct (also ""), copy or worktree
	Apply     bool       `json:"apply,omitempty"`     // in another mode than direct: apply its work when it is accepted
	MCP       []string   `json:"mcp,omitempty"`       // MCP servers of this run: names of configured ones, paths of files; none: all that are configured
	Browser   string     `json:"browser,omitempty"`   // asked (also for small models) or offered; "": the run has none
}

// DriverClaimed says that a driver took the run. Events of a lower epoch's driver after it are impossible.
type DriverClaimed struct {
	Epoch   int    `json:"epoch"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
}

// SnapshotMade says that the workspace was snapshotted, before the first call that could write.
type SnapshotMade struct {
	ID    string `json:"id"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Mode  string `json:"mode"` // reflink or copy
}

// Recall is one remembered fact that entered a prompt.
type Recall struct {
	ID     string  `json:"id"`
	Text   string  `json:"text"`
	Score  float64 `json:"score"`
	Trust  string  `json:"trust,omitempty"`
	Source string  `json:"source,omitempty"`

	WordRank   int     `json:"word_rank,omitempty"`   // place among the finds by words, from 1
	VectorRank int     `json:"vector_rank,omitempty"` // place among the finds by meaning
	Cosine     float64 `json:"cosine,omitempty"`      // similarity to the query
}

// Recalled is the receipt of a recall: what was found for a task ("" is the plan) and will be rendered from now on. With a call it
// is what that tool call found, whose result alone shows it.
type Recalled struct {
	Task  string   `json:"task,omitempty"`
	Call  string   `json:"call,omitempty"`
	Query string   `json:"query"`
	Items []Recall `json:"items"`
	Note  string   `json:"note,omitempty"` // e.g. words only, no embedder
}

// PlanMade sets the plan. Checks are those that the planner proposed; they are frozen by the first PlanMade that has them, and later ones only add.
type PlanMade struct {
	Plan     planner.Plan  `json:"plan"`
	Reason   string        `json:"reason"`             // why there is a (new) plan
	Fallback bool          `json:"fallback,omitempty"` // the model's plans were invalid; this is the one-task plan
	Checks   []goals.Probe `json:"checks,omitempty"`
	Origins  []string      `json:"origins,omitempty"` // of what it was made from, where nobody vouches for it
	Goals    int           `json:"goals,omitempty"`   // how many revisions of the goal it takes in
}

// GoalRevised says in other words what is wanted: a person's. The plan is revised; criteria, limits and bounds stay.
type GoalRevised struct {
	Text string `json:"text"`
	By   string `json:"by"`
}

// TaskStarted begins an attempt (from 1) at a task.
type TaskStarted struct {
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
}

// ModelAsked is written before a model is asked. Until ModelReplied it holds the reservation.
type ModelAsked struct {
	Call     string  `json:"call"` // id, unique in the run
	Task     string  `json:"task,omitempty"`
	Purpose  string  `json:"purpose"` // plan, forms, check, step, or memory (after the end)
	Step     int     `json:"step"`    // the run's step count with this one
	Model    string  `json:"model"`
	BodyHash string  `json:"body_hash"` // sha256 of the exact bytes, hex
	Body     int     `json:"body"`      // their length
	Prompt   int     `json:"prompt"`    // estimated tokens
	MaxOut   int     `json:"max_out"`
	Reserved int64   `json:"reserved"` // tokens
	USD      float64 `json:"usd,omitempty"`
	Try      int     `json:"try"`            // 1 for the first call of this step
	Temp     float64 `json:"temp,omitempty"` // temperature, when it is not the usual
}

// ModelReplied settles a call: with a reply, or with the failure that ended its retries.
type ModelReplied struct {
	Call  string     `json:"call"`
	Reply *llm.Reply `json:"reply,omitempty"`
	Err   string     `json:"err,omitempty"`
	Class llm.Kind   `json:"class,omitempty"` // of the failure
	Lost  bool       `json:"lost,omitempty"`  // in flight at a crash: settled at what was reserved
	Used  int64      `json:"used"`            // tokens charged
	USD   float64    `json:"usd,omitempty"`   // money charged
	Ms    int64      `json:"ms,omitempty"`
}

// Call is one tool call of a task.
type Call struct {
	ID   string          `json:"id"` // unique in the run
	Task string          `json:"task"`
	Tool string          `json:"tool"`
	Args json.RawMessage `json:"args"`
	// Ref is the model's own id of the call, to answer it with.
	Ref string `json:"ref,omitempty"`
	// From is the ModelAsked.Call whose reply asked for it.
	From string `json:"from,omitempty"`
}

// Verdict is what policy said of a call.
type Verdict struct {
	Do   string `json:"do"` // allow, ask, deny
	Rule string `json:"rule,omitempty"`
	Why  string `json:"why,omitempty"`
}

// AskKind says what is asked of a person.
type AskKind string

// The kinds of ask.
const (
	AskTool  AskKind = "tool"     // may this call run?
	AskDoubt AskKind = "in_doubt" // did this call take effect before the crash?
	AskModel AskKind = "question" // the agent asks a person something
	AskTake  AskKind = "takeover" // a person uses the browser: does so now, or is asked to
)

// ToolAsked opens an ask; its id is the call's id.
type ToolAsked struct {
	Call    Call    `json:"call"`
	Ask     AskKind `json:"ask"`
	Verdict Verdict `json:"verdict"`
	Effect  string  `json:"effect"`
	// Origins are where untrusted content came from that the agent had before it when it wanted this call.
	Origins []string `json:"origins,omitempty"`
	// Hints say which parts of the call stand in untrusted content and not in the goal.
	Hints []string `json:"hints,omitempty"`
	// Egress says that the call could leave its box.
	Egress bool `json:"egress,omitempty"`
}

// AskAnswered closes an ask. Answer is allow or deny for a tool; done (it took effect), again (run it anew) or skip for one in doubt; text for a question.
type AskAnswered struct {
	Ask    string `json:"ask"`
	Answer string `json:"answer"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"` // who: a client, --yes, unattended
	// Scope says what else an allowance answers: nothing (""), what Rule holds of in this run (run), or in every run (always).
	Scope Scope  `json:"scope,omitempty"`
	Rule  string `json:"rule,omitempty"` // a condition, as policy has them
}

// Scope is how far a person's allowance reaches.
type Scope string

// The scopes.
const (
	ScopeOnce   Scope = "" // this call alone
	ScopeRun    Scope = "run"
	ScopeAlways Scope = "always"
)

// ToolStarted is written before a tool runs.
type ToolStarted struct {
	Call    Call    `json:"call"`
	Effect  string  `json:"effect"`           // read, idempotent, once
	Egress  bool    `json:"egress,omitempty"` // it could leave the box
	Verdict Verdict `json:"verdict"`
	Try     int     `json:"try"` // more than 1: run again after a crash
}

// ToolStatus is how a call ended.
type ToolStatus string

// The ends of a call.
const (
	ToolOK       ToolStatus = "ok"
	ToolFailed   ToolStatus = "failed"   // it ran and reports a failure
	ToolRefused  ToolStatus = "refused"  // never ran: policy or a person denied it
	ToolRejected ToolStatus = "rejected" // never ran: it can't be read, or repeats what gave its result already
	ToolInDoubt  ToolStatus = "in_doubt" // a crash cut it off; it may have taken effect
	ToolCanceled ToolStatus = "cancelled"
)

// ToolFinished settles a call. Refused calls have no ToolStarted before them, so Call is whole here too.
type ToolFinished struct {
	Call    Call       `json:"call"`
	Status  ToolStatus `json:"status"`
	Exit    int        `json:"exit"`
	Killed  string     `json:"killed,omitempty"` // which limit ended it
	Head    string     `json:"head,omitempty"`
	Tail    string     `json:"tail,omitempty"`
	Bytes   int64      `json:"bytes"`          // of the whole output
	Blob    string     `json:"blob,omitempty"` // sha256 of the whole output, if it is more than head and tail
	Ms      int64      `json:"ms"`
	Level   string     `json:"level,omitempty"` // isolation that held
	Rule    string     `json:"rule,omitempty"`  // of a refusal: the policy rule
	Changed []string   `json:"changed,omitempty"`

	Direct  []string `json:"direct,omitempty"`  // where untrusted text in this very result comes from: web:HOST, net:HOST, mcp:SERVER, memory:ID, …
	Origins []string `json:"origins,omitempty"` // Direct, and the origins of what the agent had before it when it wanted the call
	Egress  []Egress `json:"egress,omitempty"`  // connections that it made, and those that were refused
	Opened  []string `json:"opened,omitempty"`  // hosts that the run may reach from now on
	Tainted []string `json:"tainted,omitempty"` // workspace files that hold content of Origins now; "." is all
	Clean   []string `json:"clean,omitempty"`   // workspace files that hold none any more

	Pictures []Picture `json:"pictures,omitempty"` // that it gave, for models that see
}

// Picture is an image that a call gave.
type Picture struct {
	Blob   string `json:"blob"` // sha256
	Type   string `json:"type"` // image/png or image/jpeg
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// TaskFinished ends an attempt at a task.
type TaskFinished struct {
	Task   string `json:"task"`
	OK     bool   `json:"ok"`
	Result string `json:"result,omitempty"`
	Reason string `json:"reason,omitempty"` // of a failure
}

// Check is the measurement of one criterion.
type Check struct {
	Name    string `json:"name"`
	Cmd     string `json:"cmd"`
	Exit    int    `json:"exit"`
	OK      bool   `json:"ok"`
	Killed  string `json:"killed,omitempty"`
	Output  string `json:"output,omitempty"` // its end
	Vacuous bool   `json:"vacuous,omitempty"`
	Note    string `json:"note,omitempty"` // about how it was measured
	Ms      int64  `json:"ms"`

	Status  int             `json:"status,omitempty"`  // of an answer over HTTP
	Parsed  bool            `json:"parsed,omitempty"`  // Reading is what the output says
	Reading json.RawMessage `json:"reading,omitempty"` // what its parser read, as acceptance writes it
}

// CheckFinished is one measurement of all criteria.
type CheckFinished struct {
	Phase   string          `json:"phase"` // base (before the first call), progress, final, or damage (the final checks on spoilt copies)
	Checks  []Check         `json:"checks"`
	Require map[string]bool `json:"require,omitempty"` // condition -> holds

	Reasons map[string]string `json:"reasons,omitempty"` // condition -> why it could not be evaluated, or was left out

	OK       bool `json:"ok"`
	Revision int  `json:"revision,omitempty"` // the plan's
}

// MessageSent steers a run: a person's words, rendered into every later step.
type MessageSent struct {
	Text string `json:"text"`
	By   string `json:"by,omitempty"`
}

// LimitChanged replaces the bounds whose field is not zero.
type LimitChanged struct {
	Budget goals.Budget `json:"budget"`
	By     string       `json:"by,omitempty"`
}

// Paused stops a run before its next action. Parked: it waits for a person, whose answer resumes it.
type Paused struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	Parked bool   `json:"parked,omitempty"`
}

// Resumed lets a paused run go on.
type Resumed struct {
	By string `json:"by,omitempty"`
}

// CancelAsked asks a run to end.
type CancelAsked struct {
	By string `json:"by,omitempty"`
}

// Noted records something that a person may want to know and that changes nothing else: a failover, a repaired plan.
type Noted struct {
	Topic string `json:"topic"` // model, plan, sandbox, loop, budget
	Task  string `json:"task,omitempty"`
	Text  string `json:"text"`
}

// RunFinished ends a run.
type RunFinished struct {
	Status  Status   `json:"status"`
	Self    bool     `json:"self_checked,omitempty"` // accepted by criteria that the planner proposed
	Result  string   `json:"result,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Tests   []string `json:"tests,omitempty"` // of Changed: those that look like tests
	Hint    string   `json:"hint,omitempty"`  // what to type next
	Learn   bool     `json:"learn,omitempty"` // a model is asked afterwards what later runs should know; Learned settles it
}

// Undone says that the workspace was put back, and which files were kept because a person edited them since.
type Undone struct {
	By       string   `json:"by,omitempty"`
	Step     int      `json:"step,omitempty"` // put back to before this step; 0: to before the run
	At       int      `json:"at,omitempty"`   // the step whose state was noted and is there now; 0: that before the run
	Restored []string `json:"restored,omitempty"`
	Kept     []string `json:"kept,omitempty"`
}

// Applied says that what a run did in its copy was brought to its workspace, and which files were kept because they had changed there.
type Applied struct {
	By       string   `json:"by,omitempty"`
	Snapshot string   `json:"snapshot,omitempty"` // of the copy as it was applied
	Changed  []string `json:"changed,omitempty"`
	Kept     []string `json:"kept,omitempty"`
	Branch   string   `json:"branch,omitempty"` // in the mode worktree: the branch that holds the work
}

// Lesson is a fact that a model drew from an ended run, and what became of it.
type Lesson struct {
	ID          string   `json:"id"` // of the memory
	Text        string   `json:"text"`
	Events      []int64  `json:"events,omitempty"` // that it was drawn from
	Trust       string   `json:"trust,omitempty"`
	State       string   `json:"state,omitempty"` // proposed, accepted, or rejected before
	Known       bool     `json:"known,omitempty"` // it was there already
	Contradicts []string `json:"contradicts,omitempty"`
}

// Learned settles what RunFinished.Learn promised: what was proposed to remember, or a note on why nothing was.
type Learned struct {
	Items []Lesson `json:"items,omitempty"`
	Note  string   `json:"note,omitempty"`
}

// Tab is an open page of the run's browser. With Refs and Frames, numbers of what a model has seen are never given again.
type Tab struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Front  bool   `json:"front,omitempty"`
	Refs   int    `json:"refs,omitempty"`
	Frames int    `json:"frames,omitempty"`
}

// TabsChanged lists the tabs that a task has open in the run's browser after a call, so that they can be opened again.
type TabsChanged struct {
	Task string `json:"task"`
	Tabs []Tab  `json:"tabs"`
}

// TakenOver says that a person used a task's tabs, for how long, and where that led: never what was typed.
type TakenOver struct {
	Task   string   `json:"task"`
	By     string   `json:"by"`
	Ms     int64    `json:"ms"`
	Clicks int      `json:"clicks,omitempty"`
	Keys   int      `json:"keys,omitempty"`
	Pages  []string `json:"pages,omitempty"` // addresses that were seen, without what stands behind a question mark
}

// Kind methods name the events.
func (RunStarted) Kind() Kind    { return KindRunStarted }
func (DriverClaimed) Kind() Kind { return KindDriverClaimed }
func (SnapshotMade) Kind() Kind  { return KindSnapshotMade }
func (Recalled) Kind() Kind      { return KindRecalled }
func (PlanMade) Kind() Kind      { return KindPlanMade }
func (TaskStarted) Kind() Kind   { return KindTaskStarted }
func (ModelAsked) Kind() Kind    { return KindModelAsked }
func (ModelReplied) Kind() Kind  { return KindModelReplied }
func (ToolAsked) Kind() Kind     { return KindToolAsked }
func (AskAnswered) Kind() Kind   { return KindAskAnswered }
func (GoalRevised) Kind() Kind   { return KindGoalRevised }
func (ToolStarted) Kind() Kind   { return KindToolStarted }
func (ToolFinished) Kind() Kind  { return KindToolFinished }
func (TaskFinished) Kind() Kind  { return KindTaskFinished }
func (CheckFinished) Kind() Kind { return KindCheckFinished }
func (MessageSent) Kind() Kind   { return KindMessageSent }
func (LimitChanged) Kind() Kind  { return KindLimitChanged }
func (Paused) Kind() Kind        { return KindPaused }
func (Resumed) Kind() Kind       { return KindResumed }
func (CancelAsked) Kind() Kind   { return KindCancelAsked }
func (Noted) Kind() Kind         { return KindNoted }
func (RunFinished) Kind() Kind   { return KindRunFinished }
func (Undone) Kind() Kind        { return KindUndone }
func (Applied) Kind() Kind       { return KindApplied }
func (Learned) Kind() Kind       { return KindLearned }
func (TabsChanged) Kind() Kind   { return KindTabsChanged }
func (TakenOver) Kind() Kind     { return KindTakenOver }

// version is the schema version written with every event.
const version = 1

// Encode makes the record of an event; run, seq and time are the store's to fill.
func Encode(e Event) (Record, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s: %w", e.Kind(), err)
	}
	return Record{Kind: e.Kind(), V: version, Data: data}, nil
}

// Decode returns a record's event. An unknown kind or a newer version is an error: guessing would fold a wrong state.
func (r Record) Decode() (Event, error) {
	if r.V > version {
		return nil, fmt.Errorf("event %d of run %s has version %d, this program knows %d: use a newer agentd", r.Seq, r.Run, r.V, version)
	}
	var e Event
	var err error
	switch r.Kind {
	case KindRunStarted:
		e, err = decode[RunStarted](r.Data)
	case KindDriverClaimed:
		e, err = decode[DriverClaimed](r.Data)
	case KindSnapshotMade:
		e, err = decode[SnapshotMade](r.Data)
	case KindRecalled:
		e, err = decode[Recalled](r.Data)
	case KindPlanMade:
		e, err = decode[PlanMade](r.Data)
	case KindTaskStarted:
		e, err = decode[TaskStarted](r.Data)
	case KindModelAsked:
		e, err = decode[ModelAsked](r.Data)
	case KindModelReplied:
		e, err = decode[ModelReplied](r.Data)
	case KindToolAsked:
		e, err = decode[ToolAsked](r.Data)
	case KindGoalRevised:
		e, err = decode[GoalRevised](r.Data)
	case KindAskAnswered:
		e, err = decode[AskAnswered](r.Data)
	case KindToolStarted:
		e, err = decode[ToolStarted](r.Data)
	case KindToolFinished:
		e, err = decode[ToolFinished](r.Data)
	case KindTaskFinished:
		e, err = decode[TaskFinished](r.Data)
	case KindCheckFinished:
		e, err = decode[CheckFinished](r.Data)
	case KindMessageSent:
		e, err = decode[MessageSent](r.Data)
	case KindLimitChanged:
		e, err = decode[LimitChanged](r.Data)
	case KindPaused:
		e, err = decode[Paused](r.Data)
	case KindResumed:
		e, err = decode[Resumed](r.Data)
	case KindCancelAsked:
		e, err = decode[CancelAsked](r.Data)
	case KindNoted:
		e, err = decode[Noted](r.Data)
	case KindRunFinished:
		e, err = decode[RunFinished](r.Data)
	case KindToolsListed:
		e, err = decode[ToolsListed](r.Data)
	case KindUndone:
		e, err = decode[Undone](r.Data)
	case KindApplied:
		e, err = decode[Applied](r.Data)
	case KindLearned:
		e, err = decode[Learned](r.Data)
	case KindTabsChanged:
		e, err = decode[TabsChanged](r.Data)
	case KindTakenOver:
		e, err = decode[TakenOver](r.Data)
	default:
		return nil, fmt.Errorf("event %d of run %s has the unknown kind %q: use a newer agentd", r.Seq, r.Run, r.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("decode event %d (%s) of run %s: %w", r.Seq, r.Kind, r.Run, err)
	}
	return e, nil
}

func decode[E Event](data []byte) (Event, error) {
	var e E
	err := json.Unmarshal(data, &e)
	return e, err
}
