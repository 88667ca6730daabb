// Package args holds the argument structs of all built-in tools: what a model fills in and what a policy rule can see.
//
// The tags say everything about an argument: json its name for the model, expr its name in a rule (they are the same), desc
// what the model reads of it, enum its only values. An argument without omitempty must be given.
package args

// Args is the decoded arguments of one call: one of the structs of this package.
type Args interface {
	// Tool is the name of the tool that takes these arguments.
	Tool() string
}

// Shell runs bash in the workspace.
type Shell struct {
	Command string `json:"command" expr:"command"`
	Timeout int    `json:"timeout,omitempty" expr:"timeout" desc:"seconds, default 120"`
}

// Code runs a program from its source.
type Code struct {
	Language string `json:"language" expr:"language" enum:"python,node,bash,go"`
	Source   string `json:"source" expr:"source" desc:"the whole program"`
	Stdin    string `json:"stdin,omitempty" expr:"stdin"`
	Timeout  int    `json:"timeout,omitempty" expr:"timeout"`
}

// ReadFile reads a text file, or a range of its lines.
type ReadFile struct {
	Path string `json:"path" expr:"path"`
	From int    `json:"from,omitempty" expr:"from" desc:"first line"`
	To   int    `json:"to,omitempty" expr:"to" desc:"last line"`
}

// WriteFile creates or replaces a file.
type WriteFile struct {
	Path    string `json:"path" expr:"path"`
	Content string `json:"content" expr:"content" desc:"the whole file"`
}

// EditFile replaces one exact piece of text.
type EditFile struct {
	Path string `json:"path" expr:"path"`
	Old  string `json:"old" expr:"old" desc:"exact text, once in the file"`
	New  string `json:"new" expr:"new"`
	All  bool   `json:"all,omitempty" expr:"all" desc:"replace every one"`
}

// ListFiles lists a folder or what matches a glob.
type ListFiles struct {
	Path string `json:"path,omitempty" expr:"path" desc:"folder"`
	Glob string `json:"glob,omitempty" expr:"glob" desc:"e.g. **/*.go"`
}

// Search finds lines by a regular expression.
type Search struct {
	Pattern string `json:"pattern" expr:"pattern" desc:"RE2"`
	Glob    string `json:"glob,omitempty" expr:"glob" desc:"only these files"`
}

// Finish ends the task.
type Finish struct {
	Result string `json:"result" expr:"result" desc:"the answer, or what was done"`
	Failed bool   `json:"failed,omitempty" expr:"failed"`
}

// Recall searches the memory.
type Recall struct {
	Query string `json:"query" expr:"query"`
}

// Remember keeps a fact.
type Remember struct {
	Text string `json:"text" expr:"text"`
	User bool   `json:"user,omitempty" expr:"user" desc:"holds in every project"`
}

// Network asks for a host.
type Network struct {
	Host string `json:"host" expr:"host" desc:"HOST:PORT"`
	Why  string `json:"why,omitempty" expr:"why" desc:"what for"`
}

// Tool names the tool.
func (Network) Tool() string { return "network" }

// Tool names the tool.
func (Recall) Tool() string { return "recall" }

// Tool names the tool.
func (Remember) Tool() string { return "remember" }

// Tool names the tool.
func (Shell) Tool() string { return "shell" }

// Tool names the tool.
func (Code) Tool() string { return "code" }

// Tool names the tool.
func (ReadFile) Tool() string { return "read" }

// Tool names the tool.
func (WriteFile) Tool() string { return "write" }

// Tool names the tool.
func (EditFile) Tool() string { return "edit" }

// Tool names the tool.
func (ListFiles) Tool() string { return "list" }

// Tool names the tool.
func (Search) Tool() string { return "search" }

// Tool names the tool.
func (Finish) Tool() string { return "finish" }
