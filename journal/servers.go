package journal

import "encoding/json"

// KindToolsListed is the kind of ToolsListed.
const KindToolsListed Kind = "tools_listed"

// ToolsListed says what a server outside of the daemon offers to the run: it is told so from now on.
type ToolsListed struct {
	Server    string       `json:"server"`
	Version   string       `json:"version,omitempty"` // what it calls itself
	Tools     []ServerTool `json:"tools,omitempty"`
	Resources bool         `json:"resources,omitempty"`
	Prompts   bool         `json:"prompts,omitempty"`
}

// ServerTool is one tool in its server's words.
type ServerTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"`
	ReadOnly    bool            `json:"read_only,omitempty"`   // a hint of the server
	Destructive bool            `json:"destructive,omitempty"` // another
}

// Kind names the event.
func (ToolsListed) Kind() Kind { return KindToolsListed }

// toolsListed folds what a server offers.
func (s *State) toolsListed(e ToolsListed) {
	s.Listed++
	for i, have := range s.Servers {
		if have.Server == e.Server {
			next := append([]ToolsListed(nil), s.Servers...)
			next[i] = e
			s.Servers = next
			return
		}
	}
	s.Servers = append(s.Servers, e)
}
