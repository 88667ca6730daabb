package args

import (
	"bytes"
	"encoding/json"
)

// MCP is a call of a tool that an MCP server offers. Rules see who is called and with what; the hints are the server's own.
type MCP struct {
	Server      string `json:"server" expr:"server"`
	Name        string `json:"name" expr:"name"`
	Args        string `json:"args" expr:"args"` // a JSON object
	ReadOnly    bool   `json:"read_only" expr:"read_only"`
	Destructive bool   `json:"destructive" expr:"destructive"`
}

// Tool names the tool as SERVER.TOOL.
func (m MCP) Tool() string { return m.Server + "." + m.Name }

// MarshalJSON gives the arguments as a model wrote them: the rest stands in the tool's name.
func (m MCP) MarshalJSON() ([]byte, error) { return []byte(m.Args), nil }

// DecodeMCP reads the arguments of a server's tool, which are whatever object its schema says.
func DecodeMCP(server, name string, raw json.RawMessage) (MCP, error) {
	got, err := object(raw)
	if err != nil {
		return MCP{}, err
	}
	if got == nil {
		got = map[string]json.RawMessage{}
	}
	text, err := json.Marshal(got) // sorted
	if err != nil {
		return MCP{}, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return MCP{}, err
	}
	return MCP{Server: server, Name: name, Args: b.String()}, nil
}

// MCPResource lists the resources of MCP servers, or reads one.
type MCPResource struct {
	Server string `json:"server,omitempty" expr:"server"`
	URI    string `json:"uri,omitempty" expr:"uri" desc:"reads it; left out: lists them"`
}

// Tool names the tool.
func (MCPResource) Tool() string { return "mcp_resource" }

// MCPPrompt lists the prompts of MCP servers, or fills one in.
type MCPPrompt struct {
	Server string `json:"server,omitempty" expr:"server"`
	Name   string `json:"name,omitempty" expr:"name" desc:"left out: lists them"`
	Args   string `json:"args,omitempty" expr:"args" desc:"JSON object of texts"`
}

// Tool names the tool.
func (MCPPrompt) Tool() string { return "mcp_prompt" }

// ToolSearch finds tools that are not shown in full.
type ToolSearch struct {
	Query string `json:"query" expr:"query" desc:"words, or a tool's name"`
}

// Tool names the tool.
func (ToolSearch) Tool() string { return "tools.search" }
