package mcp

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"agentd/tools"
)

// maxBlocks bounds the parts of one result that are written out.
const maxBlocks = 1000

// result writes what a server answered as text. Everything in it is data from outside.
func result(server string, r *sdk.CallToolResult) tools.Result {
	out := tools.NewOutput(tools.DefaultKeep)
	parts := 0
	for i, c := range r.Content {
		if i == maxBlocks {
			fmt.Fprintf(out, "[%d more parts]\n", len(r.Content)-i)
			break
		}
		writeContent(out, c)
		parts++
	}
	if parts == 0 && r.StructuredContent != nil {
		writeJSON(out, r.StructuredContent)
	}
	res := tools.Result{OK: !r.IsError, Output: out, Origins: []string{origin(server)}}
	if r.IsError {
		res.Exit = 1
	}
	return res
}

func writeContent(w io.Writer, c sdk.Content) {
	switch c := c.(type) {
	case *sdk.TextContent:
		writeText(w, c.Text)
	case *sdk.ImageContent:
		fmt.Fprintf(w, "[an image, %s, %d bytes]\n", word(c.MIMEType), len(c.Data))
	case *sdk.AudioContent:
		fmt.Fprintf(w, "[sound, %s, %d bytes]\n", word(c.MIMEType), len(c.Data))
	case *sdk.ResourceLink:
		fmt.Fprintf(w, "[resource %s %q %s]\n", clip(visible(c.URI), 500), clip(visible(c.Name), 100), clip(visible(c.Description), 300))
	case *sdk.EmbeddedResource:
		if c.Resource != nil {
			writeResource(w, c.Resource)
		}
	default:
		fmt.Fprintf(w, "[a part of kind %T that can't be shown]\n", c)
	}
}

func writeResource(w io.Writer, r *sdk.ResourceContents) {
	uri, kind := clip(visible(r.URI), 500), word(r.MIMEType)
	switch {
	case r.Text != "" || r.Blob == nil:
		fmt.Fprintf(w, "[resource %s %s]\n", uri, kind)
		writeText(w, r.Text)
	case len(r.Blob) < 1<<20 && utf8.Valid(r.Blob) && strings.HasPrefix(r.MIMEType, "text/"):
		fmt.Fprintf(w, "[resource %s %s]\n", uri, kind)
		writeText(w, string(r.Blob))
	default:
		fmt.Fprintf(w, "[resource %s %s, %d bytes that are no text]\n", uri, kind, len(r.Blob))
	}
}

// writeText writes a text without what hides in it, and ends its line.
func writeText(w io.Writer, s string) {
	s = visible(s)
	_, _ = io.WriteString(w, s) // an Output never fails
	if !strings.HasSuffix(s, "\n") {
		_, _ = io.WriteString(w, "\n")
	}
}

func writeJSON(w io.Writer, v any) {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		fmt.Fprintf(w, "[an answer that can't be shown: %v]\n", err)
		return
	}
	writeText(w, string(data))
}

func word(s string) string { return clip(visible(strings.Join(strings.Fields(s), " ")), 80) }
