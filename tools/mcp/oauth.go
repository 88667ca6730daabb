package mcp

// Logins will hold OAuth tokens
type Logins struct{}
