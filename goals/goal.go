// Package goals says what is wanted: a goal, its bounds and how anyone can tell that it is done.
package goals

import (
	"encoding/json"
	"time"
)

// Goal is one wish, as a run stores it. It is plain data: a run keeps its own copy and never reads the file again.
//
// The tags of this and the structs below are the format of goal files (spec.go): goal is the key, is what it holds beside its Go type, doc
// what people read of it.
type Goal struct {
	Name        string   `json:"name,omitempty" merge:"no" goal:"name" is:"name" doc:"Unique in the repository. Default: the file's name."`
	Description string   `json:"description,omitempty" merge:"no" goal:"description" doc:"What is wanted, in one line."`
	Intent      string   `json:"intent,omitempty" merge:"no" goal:"intent" doc:"Why. It survives every replan."`
	Labels      []string `json:"labels,omitempty" merge:"no" goal:"labels" doc:"Free words to find it by."`
	Imports     []string `json:"imports,omitempty" merge:"no" goal:"imports" is:"import" doc:"Goal files to merge into this one, relative to it. A conflict is an error."`
	Params      []Param  `json:"params,omitempty" goal:"params,named" doc:"What differs from run to run, by name."`

	Models Models `json:"models,omitzero" goal:"models" doc:"Models by role. Each is a failover chain: the next one is used where the one before it fails."`
	Memory Memory `json:"memory,omitzero" goal:"memory" doc:"What the run recalls and what it may keep."`

	Readable []string `json:"readable,omitempty" merge:"one" goal:"scope.read" is:"glob" doc:"Files of the workspace that the run sees. Default: all."`
	Writable []string `json:"writable,omitempty" merge:"one" goal:"scope.write" is:"glob" doc:"Files that it may create, change and delete. Default: all that are not protected."`
	Protect  []string `json:"protect,omitempty" goal:"scope.protect" is:"glob" doc:"Files that nothing in the run may write, the shell neither. It wins over write."`

	Sandbox Sandbox  `json:"sandbox,omitzero" goal:"sandbox" doc:"What the boxes of the run must hold and may reach."`
	Secrets []Secret `json:"secrets,omitempty" goal:"secrets" doc:"Secrets that the proxy adds to requests. No box ever holds one."`
	Tools   Tools    `json:"tools,omitzero" goal:"tools" doc:"What the run may use."`

	Budget     Budget     `json:"budget" goal:"budget" doc:"Bounds of the run; a number, or none. The first that is reached ends it."`
	Policy     []Rule     `json:"policy,omitempty" goal:"policy" doc:"Rules over calls. The first whose condition holds decides; they only narrow what the user and the organisation allow."`
	Unattended Unattended `json:"unattended,omitempty" goal:"unattended" one:"deny,park" doc:"What becomes of a call that asks while nobody can answer: deny refuses it, park keeps the run until somebody does."`
	Plan       Plan       `json:"plan,omitzero" goal:"plan" doc:"A seed for the planner, who may refine it and drops no task."`

	Probes   []Probe  `json:"probes,omitempty" goal:"accept.probes,named" doc:"What the daemon measures, by the name that conditions use."` // sorted by name
	Require  []string `json:"require,omitempty" goal:"accept.require" is:"condition" doc:"Conditions over probes. All must hold for the run to be accepted."`
	Judge    Judge    `json:"judge,omitzero" goal:"accept.judge" doc:"A model's opinion of the result. It is reported and never decides."`
	OnFail   OnFail   `json:"on_fail,omitzero" goal:"accept.on_fail" doc:"What happens when conditions don't hold."`
	StopWhen []string `json:"stop_when,omitempty" goal:"stop_when" is:"stop" doc:"Conditions over the run's progress. One that holds ends it."`

	Result   ResultForm `json:"result,omitzero" goal:"result" doc:"The form of the run's result."`
	Triggers []Trigger  `json:"triggers,omitempty" merge:"no" goal:"triggers" doc:"What starts a run by itself, once a person approved this very file."`

	Text string `json:"text" merge:"no" goal:"body,yaml" is:"body" doc:"The goal in plain words: background, pitfalls, links. In Markdown it is what follows the front matter."` // the description where there is none
	File string `json:"file,omitempty"`                                                                                                                                          // where it was read, "" for the command line
	Hash string `json:"hash,omitempty"`                                                                                                                                          // sha256 of the file and what it imports, hex

	Merged []string          `json:"merged,omitempty"` // the files that this goal was made of, where it imports some
	Values map[string]string `json:"values,omitempty"` // of params, once they are filled in; in the text they stand already
	Inlets []string          `json:"inlets,omitempty"` // the params of type file that were filled in: what they hold is untrusted text
}

// ParamType says what a param holds.
type ParamType string

// The types of params.
const (
	ParamString ParamType = "string"
	ParamInt    ParamType = "int"
	ParamFloat  ParamType = "float"
	ParamBool   ParamType = "bool"
	ParamChoice ParamType = "choice"
	ParamFile   ParamType = "file"
)

// Param is one thing that differs from run to run. Its value is a string until Fill checks it.
type Param struct {
	Name        string    `json:"name"`
	Type        ParamType `json:"type,omitempty" goal:"type" one:"string,int,float,bool,choice,file" doc:"What it holds. Default: string. A file's content is untrusted text."`
	Description string    `json:"description,omitempty" goal:"description" doc:"What it is for: shown where it is asked for."`
	Required    bool      `json:"required,omitempty" goal:"required" doc:"A run can't start without it."`
	Default     string    `json:"default,omitempty" goal:"default" is:"value" doc:"Its value where none is given. Without one: the type's zero value."`
	Options     []string  `json:"options,omitempty" goal:"options" doc:"The values of a choice."`
	Pattern     string    `json:"pattern,omitempty" goal:"pattern" is:"regexp" doc:"RE2 expression that all of a string must match."`
	Min         *float64  `json:"min,omitempty" goal:"min" is:"limit" doc:"Least value of a number, least length of a string."`
	Max         *float64  `json:"max,omitempty" goal:"max" is:"limit" doc:"Largest value of a number, most characters of a string, most bytes of a file (64KiB if not given)."`
}

// Models are the models of a run by role, each a failover chain of provider/model. An empty one is the daemon's default.
type Models struct {
	Planner []string `json:"planner,omitempty" merge:"one" goal:"planner" is:"model" doc:"Makes and revises the plan. Default: as worker."`
	Worker  []string `json:"worker,omitempty" merge:"one" goal:"worker" is:"model" doc:"Does the tasks."`
	Judge   []string `json:"judge,omitempty" merge:"one" goal:"judge" is:"model" doc:"Gives accept.judge's opinion. Default: as planner."`
	Embed   []string `json:"embed,omitempty" merge:"one" goal:"embed" is:"model" doc:"Makes vectors for memory."`
}

// Memory says what a run recalls and what it may keep.
type Memory struct {
	Scope    string  `json:"scope,omitempty" goal:"scope" one:"repo,user" doc:"Whose facts are recalled: this repository's, or the user's too."`
	Recall   int     `json:"recall,omitempty" goal:"recall" most:"100" doc:"Most facts that are recalled at once."`
	MinScore float64 `json:"min_score,omitempty" goal:"min_score" most:"1" doc:"Least score of a recalled fact, 0 to 1."`
	Write    string  `json:"write,omitempty" goal:"write" one:"off,read,propose,auto" doc:"off: no memory. read: recall only. propose: what it wants kept waits for a review. auto: kept at once."`
}

// Sandbox says what the boxes of a run must hold and may reach.
type Sandbox struct {
	Min string   `json:"min,omitempty" goal:"min" one:"landlock,namespaces,gvisor" doc:"Least isolation. A machine without it refuses the run."`
	Net []string `json:"net,omitempty" goal:"net" is:"net" doc:"Hosts that it may reach: host, host:port, *.suffix, CIDR:port, or public. Without a port: 443."`
}

// Secret is a named secret that the proxy adds to requests to some hosts.
type Secret struct {
	Name  string   `json:"name" goal:"name,required" is:"word" doc:"The name under which the daemon keeps it."`
	Hosts []string `json:"hosts" goal:"hosts,required" is:"host" doc:"Hosts whose requests get it. They must be reachable by sandbox.net."`
	As    string   `json:"as,omitempty" goal:"as" one:"header,bearer,basic,query" doc:"How it is added. header: as the header's whole value. bearer: Authorization: Bearer. basic: Authorization: Basic. query: a query parameter. Default: bearer."`
	Field string   `json:"field,omitempty" goal:"field" is:"field" doc:"Name of the header or query parameter. Default: Authorization, or token."`
}

// Tools says what a run may use.
type Tools struct {
	Allow []string    `json:"allow,omitempty" merge:"one" goal:"allow" is:"tool" doc:"Tools by name or group: files, shell, code, browser, web, memory, mcp. Default: all that the daemon has."`
	MCP   []MCPServer `json:"mcp,omitempty" goal:"mcp" doc:"MCP servers whose tools are added. A local one runs in a box of its own."`
}

// MCPServer is an MCP server: a command in a box, or a URL.
type MCPServer struct {
	Name  string   `json:"name" goal:"name,required" is:"word" doc:"Its tools are called NAME.tool."`
	Cmd   string   `json:"cmd,omitempty" goal:"cmd" doc:"The program of a local server, which speaks on standard input and output."`
	Args  []string `json:"args,omitempty" goal:"args" doc:"Its arguments."`
	URL   string   `json:"url,omitempty" goal:"url" is:"url" doc:"The address of a remote server, which must be reachable by sandbox.net."`
	Allow []string `json:"allow,omitempty" goal:"allow" doc:"The only tools of it that may be used. Default: all."`
	Net   []string `json:"net,omitempty" goal:"net" is:"net" doc:"Hosts that a local server's box may reach."`
}

// Rule is one rule of a policy, over calls.
type Rule struct {
	When string `json:"when" goal:"when,required" is:"rule" doc:"Condition over the call."`
	Do   string `json:"do" goal:"do,required" one:"allow,ask,deny" doc:"The verdict."`
	Why  string `json:"why,omitempty" goal:"why" doc:"Told to the person who is asked, or to the model that is refused."`
}

// Unattended says what becomes of an ask that nobody can answer.
type Unattended string

// The ways to go on unattended. The zero value leaves it to who starts the run.
const (
	UnattendedDeny Unattended = "deny"
	UnattendedPark Unattended = "park"
)

// Plan seeds the planner.
type Plan struct {
	MaxTasks int    `json:"max_tasks,omitempty" goal:"max_tasks" most:"1000" doc:"Most tasks of the whole plan."`
	Tasks    []Task `json:"tasks,omitempty" goal:"tasks" doc:"Tasks that the plan must have."`
}

// Task is one task of a plan's seed.
type Task struct {
	ID       string          `json:"id" goal:"id,required" is:"word" doc:"Its name for needs, and for conditions as tasks.ID."`
	Do       string          `json:"do,omitempty" goal:"do" is:"text" doc:"What is to be done. Default: the id."`
	Needs    []string        `json:"needs,omitempty" goal:"needs" is:"word" doc:"Tasks that must be done before."`
	Each     string          `json:"each,omitempty" goal:"each" is:"each" doc:"A list, such as tasks.ID.out of a needed task: the task is done once for each of its items, as ${item} and ${item.field}."`
	Parallel int             `json:"parallel,omitempty" goal:"parallel" most:"100" doc:"Most items at once."`
	Writes   []string        `json:"writes,omitempty" goal:"writes" is:"writes" doc:"Globs of the files that it writes. Tasks whose writes can meet don't run side by side. None: it runs alone."`
	Out      json.RawMessage `json:"out,omitempty" goal:"out" is:"schema" doc:"JSON Schema of its result."`
	Budget   Bounds          `json:"budget,omitzero" goal:"budget" doc:"Bounds of this task, within budget.per_task."`
}

// Judge is a model's opinion of a result.
type Judge struct {
	Rubric string  `json:"rubric,omitempty" goal:"rubric" is:"text" doc:"What makes the result good."`
	Min    float64 `json:"min,omitempty" goal:"min" most:"1" doc:"A score below this is shown as a warning, 0 to 1."`
}

// OnFail says what happens when conditions don't hold.
type OnFail struct {
	Retries *int   `json:"retries,omitempty" goal:"retries" most:"20" doc:"How often the work is taken up again, with the conditions that don't hold and what their probes printed. Default: 3."`
	Then    string `json:"then,omitempty" goal:"then" one:"replan,stop" doc:"What happens when the retries are spent. replan: a new plan is made, once, and the retries begin anew. stop: the run ends. Default: stop."`
}

// ResultForm is the form of a run's result.
type ResultForm struct {
	Schema json.RawMessage `json:"schema,omitempty" goal:"schema" is:"schema" doc:"JSON Schema of the result."`
}

// Trigger starts a run: at times, when files change, or when somebody asks over HTTP. Exactly one of Cron, Files and Webhook is set.
type Trigger struct {
	Cron    string        `json:"cron,omitempty" goal:"cron" is:"cron" doc:"Minute, hour, day of the month, month, day of the week."`
	TZ      string        `json:"tz,omitempty" goal:"tz" is:"tz" doc:"Time zone of cron. Default: UTC."`
	Missed  string        `json:"missed,omitempty" goal:"missed" one:"once,skip,all" doc:"What becomes of times at which the daemon did not run. Default: once."`
	Files   []string      `json:"files,omitempty" goal:"files" is:"glob" doc:"A change of one of these files starts a run."`
	Settle  time.Duration `json:"settle,omitempty" goal:"settle" doc:"How long files must be still. Default: 2s."`
	Webhook string        `json:"webhook,omitempty" goal:"webhook" is:"word" doc:"POST /hooks/NAME on the daemon's loopback address starts a run."`
	Secret  string        `json:"secret,omitempty" goal:"secret" is:"word" doc:"Name of the secret that signs the webhook's body (HMAC-SHA256)."`
	Overlap string        `json:"overlap,omitempty" goal:"overlap" one:"skip,queue,cancel" doc:"What happens while an earlier run of it goes on. Default: skip."`
}

// Bounds are the bounds of one task. A zero field means no bound of its own.
type Bounds struct {
	USD    float64       `json:"usd,omitempty" goal:"usd" is:"bound" doc:"Most US dollars."`
	Tokens int64         `json:"tokens,omitempty" goal:"tokens" is:"bound" doc:"Most tokens, such as 800k."`
	Steps  int           `json:"steps,omitempty" goal:"steps" is:"bound" doc:"Most model calls."`
	Wall   time.Duration `json:"wall,omitempty" goal:"wall" is:"bound" doc:"Most time."`
}

// Budget bounds a run. A zero field means that bound's default, a negative one no bound.
type Budget struct {
	USD      float64       `json:"usd,omitempty" goal:"usd" is:"bound" doc:"Most US dollars. Default: 2."`
	Tokens   int64         `json:"tokens,omitempty" goal:"tokens" is:"bound" doc:"Most tokens, such as 800k. Default: 1M."`
	Steps    int           `json:"steps,omitempty" goal:"steps" is:"bound" doc:"Most model calls. Default: 100."`
	Wall     time.Duration `json:"wall,omitempty" goal:"wall" is:"bound" doc:"Most time. Waiting for a person does not count. Default: 1h."`
	Work     time.Duration `json:"work,omitempty" goal:"work" is:"bound" doc:"Most time in which models or tools work, all tasks together. Default: none."`
	PerTask  Bounds        `json:"per_task,omitzero" goal:"per_task" doc:"Bounds of each task."`
	Unpriced string        `json:"unpriced,omitempty" goal:"unpriced" one:"deny,allow" doc:"What becomes of a call to a model whose price is not known while usd is bounded. Default: deny."`
}

// DefaultBudget bounds a run that nobody bounded.
var DefaultBudget = Budget{USD: 2, Tokens: 1_000_000, Steps: 100, Wall: time.Hour}

// Or returns b with each zero field taken from d.
func (b Budget) Or(d Budget) Budget {
	or(&b.USD, d.USD)
	or(&b.Tokens, d.Tokens)
	or(&b.Steps, d.Steps)
	or(&b.Wall, d.Wall)
	or(&b.Work, d.Work)
	or(&b.PerTask.USD, d.PerTask.USD)
	or(&b.PerTask.Tokens, d.PerTask.Tokens)
	or(&b.PerTask.Steps, d.PerTask.Steps)
	or(&b.PerTask.Wall, d.PerTask.Wall)
	or(&b.Unpriced, d.Unpriced)
	return b
}

func or[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}
