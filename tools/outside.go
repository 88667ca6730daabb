package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"agentd/tools/args"
)

// Doubter is a tool that may want a person to be asked where the rules allow a call.
type Doubter interface {
	// Doubt says why, "" for no reason. It is asked once a call, and blocks on nothing.
	Doubt(a args.Args) string
}

// AskPerson puts a question to a person and waits for the answer. An error says that nobody can answer, or that the run ends.
type AskPerson func(ctx context.Context, text string) (answer string, err error)

// Join is the name of a server's tool.
func Join(server, tool string) string { return server + "." + tool }

// WireName is a tool's name as providers take one: at most 64 letters, digits, _ and -. The dot between a server and its tool
// becomes two underscores.
func WireName(name string) string {
	var b strings.Builder
	plain := true
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			b.WriteRune(r)
		case r == '.' && i == strings.IndexByte(name, '.'):
			b.WriteString("__")
		default:
			b.WriteByte('_')
			plain = false
		}
	}
	out := b.String()
	if plain && len(out) <= 64 {
		return out
	}
	sum := sha256.Sum256([]byte(name))
	return out[:min(len(out), 55)] + "_" + hex.EncodeToString(sum[:4])
}
