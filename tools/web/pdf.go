package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"agentd/sandbox"
	"agentd/tools"
)

// Bounds of a PDF's reading.
const (
	maxPDFText = 4 << 20 // bytes
	maxPDFTime = 30 * time.Second
)

// errNoReader says what reads a PDF.
var errNoReader = errors.New("pdftotext is not installed (Debian's package poppler-utils has it)")

// pdf reads the text of a PDF with pdftotext, which is fed by nobody's files but this one: in a box of its own that sees the workspace
// read-only, has no network and none of the run's variables.
func pdf(ctx context.Context, env tools.Env, body []byte) (string, error) {
	if env.Box == nil {
		return "", errors.New("there is no box to read it in")
	}
	p := env.Policy
	p.ReadOnlyWS, p.Net, p.Env, p.Caches = true, sandbox.Net{}, nil, nil
	if p.Limits.Wall <= 0 || p.Limits.Wall > maxPDFTime {
		p.Limits.Wall = maxPDFTime
	}
	out := &bounded{most: maxPDFText}
	res, err := env.Box.Run(ctx, p, sandbox.Command{
		Argv:  []string{"bash", "-c", "command -v pdftotext >/dev/null || exit 127; exec pdftotext -q -enc UTF-8 - -"},
		Stdin: bytes.NewReader(body), Stdout: out, Stderr: io.Discard,
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("read the PDF: %w", err)
	case res.Exit == 127:
		return "", errNoReader
	case res.Killed != "":
		return "", fmt.Errorf("pdftotext was ended: %s", res.Killed)
	case res.Exit != 0:
		return "", fmt.Errorf("pdftotext can't read it (exit %d)", res.Exit)
	}
	text := strings.ToValidUTF8(strings.ReplaceAll(out.String(), "\f", "\n"), "�")
	if strings.TrimSpace(text) == "" {
		return "", errors.New("it holds no text, pictures at most")
	}
	return text, nil
}

// bounded keeps the first bytes of what is written.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
