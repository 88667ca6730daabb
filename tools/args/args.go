// Package args holds the argument structs of all built-in tools: what a model fills in and what a policy rule can see.
package args

// Args is the decoded arguments of one call: one of the structs of this package.
type Args interface {
	// Tool is the name of the tool that takes these arguments.
	Tool() string
}

// Shell runs bash in the workspace.
type Shell struct {
	Command string `json:"command" desc:"bash, may be several lines; runs in the workspace without network"`
	Timeout int    `json:"timeout,omitempty" desc:"seconds, 1 to 3600; 120 if not given"`
}

// Code runs a program from its source.
type Code struct {
	Language string `json:"language" enum:"python,node,bash,go" desc:"python, node, bash or go"`
	Source   string `json:"source" desc:"the whole program"`
	Stdin    string `json:"stdin,omitempty" desc:"its standard input"`
	Timeout  int    `json:"timeout,omitempty" desc:"seconds, 1 to 3600; 120 if not given"`
}

// ReadFile reads a text file, or a range of its lines.
type ReadFile struct {
	Path string `json:"path" desc:"relative to the workspace"`
	From int    `json:"from,omitempty" desc:"first line, from 1"`
	To   int    `json:"to,omitempty" desc:"last line"`
}

// WriteFile creates or replaces a file.
type WriteFile struct {
	Path    string `json:"path" desc:"relative to the workspace"`
	Content string `json:"content" desc:"the whole file"`
}

// EditFile replaces one exact piece of text.
type EditFile struct {
	Path string `json:"path" desc:"relative to the workspace"`
	Old  string `json:"old" desc:"text to replace, exactly as in the file and only once in it"`
	New  string `json:"new" desc:"text to put there"`
	All  bool   `json:"all,omitempty" desc:"replace every occurrence"`
}

// ListFiles lists a folder or what matches a glob.
type ListFiles struct {
	Path string `json:"path,omitempty" desc:"folder, the workspace if not given"`
	Glob string `json:"glob,omitempty" desc:"for example **/*.go"`
}

// Search finds lines by a regular expression.
type Search struct {
	Pattern string `json:"pattern" desc:"RE2 regular expression"`
	Glob    string `json:"glob,omitempty" desc:"only files that match, for example **/*.py"`
}

// Finish ends the task.
type Finish struct {
	Result string `json:"result" desc:"what was done, and the answer if one was asked for"`
	Failed bool   `json:"failed,omitempty" desc:"true if the task can't be done; say why in result"`
}

// Tool names the tool.
func (Shell) Tool() string     { return "shell" }
func (Code) Tool() string      { return "code" }
func (ReadFile) Tool() string  { return "read" }
func (WriteFile) Tool() string { return "write" }
func (EditFile) Tool() string  { return "edit" }
func (ListFiles) Tool() string { return "list" }
func (Search) Tool() string    { return "search" }
func (Finish) Tool() string    { return "finish" }
