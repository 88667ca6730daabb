package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// requestError is a request that can't be read, or that could be read in two ways.
type requestError struct {
	status int
	text   string
}

func (e *requestError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, "bad request: " + fmt.Sprintf(format, args...)}
}

// ours are the headers that belong to one connection, or that the proxy writes itself. None is passed on.
var ours = []string{"connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

type field struct{ name, value string }

// head is the beginning of a request, read strictly: what two programs could read differently is refused.
type head struct {
	method  string
	target  string
	minor   int // of HTTP/1
	fields  []field
	length  int64 // of the body; -1: chunked
	host    string
	hasHost bool
	upgrade string   // the protocol to switch to, if asked for
	drop    []string // what Connection names, lower case
	expect  bool     // the client waits for 100 Continue
}

// readHead reads up to the empty line.
func readHead(in *bufio.Reader) (*head, error) {
	left := maxHead
	line, err := readLine(in, &left)
	if err != nil {
		return nil, err
	}
	h := &head{}
	if err := h.requestLine(line); err != nil {
		return nil, err
	}
	for {
		if line, err = readLine(in, &left); err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, badRequest("header line %q", cut(line))
		}
		value = strings.Trim(value, " \t")
		if !isFieldValue(value) {
			return nil, badRequest("header %s holds a control character", name)
		}
		if len(h.fields) == 256 {
			return nil, badRequest("more than 256 headers")
		}
		h.fields = append(h.fields, field{name, value})
	}
	return h, h.meaning()
}

// readLine returns a line without its CRLF. A bare LF is refused: some take it for the end of a line, some don't.
func readLine(in *bufio.Reader, left *int) (string, error) {
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", &requestError{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request's head has more than %d bytes", maxHead)}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", &requestError{http.StatusBadRequest, "read the request: " + err.Error()}
		}
		line := string(append(long, part...))
		line, ok := strings.CutSuffix(line, "\r\n")
		if !ok || strings.ContainsAny(line, "\r\x00") {
			return "", badRequest("a line must end with CRLF and hold none")
		}
		return line, nil
	}
}

func (h *head) requestLine(line string) error {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" {
		return badRequest("request line %q", cut(line))
	}
	for i := range len(parts[1]) {
		if c := parts[1][i]; c <= ' ' || c >= 0x7f {
			return badRequest("the URL holds a byte that must be encoded")
		}
	}
	switch parts[2] {
	case "HTTP/1.0":
	case "HTTP/1.1":
		h.minor = 1
	default:
		return &requestError{http.StatusHTTPVersionNotSupported, fmt.Sprintf("version %q: want HTTP/1.1", cut(parts[2]))}
	}
	h.method, h.target = parts[0], parts[1]
	return nil
}

// meaning reads the headers that say how long the body is and whom it is for. What says it twice is refused.
func (h *head) meaning() error {
	var chunked, sized bool
	for _, f := range h.fields {
		switch strings.ToLower(f.name) {
		case "host":
			if h.hasHost {
				return badRequest("two Host headers")
			}
			h.host, h.hasHost = f.value, true
		case "content-length":
			n, err := strconv.ParseUint(f.value, 10, 62)
			if sized || err != nil || f.value[0] == '+' {
				return badRequest("Content-Length: want one number")
			}
			sized, h.length = true, int64(n)
		case "transfer-encoding":
			if chunked || !strings.EqualFold(f.value, "chunked") || h.minor == 0 {
				return badRequest("Transfer-Encoding: only chunked is read, once")
			}
			chunked = true
		case "connection", "proxy-connection":
			for word := range strings.SplitSeq(f.value, ",") {
				h.drop = append(h.drop, strings.ToLower(strings.Trim(word, " \t")))
			}
		case "upgrade":
			h.upgrade = f.value
		case "expect":
			if !strings.EqualFold(f.value, "100-continue") {
				return &requestError{http.StatusExpectationFailed, "Expect: only 100-continue is known"}
			}
			h.expect = h.minor > 0
		}
	}
	if chunked && sized {
		return badRequest("the request has two lengths, Content-Length and Transfer-Encoding")
	}
	if chunked {
		h.length = -1
	}
	if !slices.Contains(h.drop, "upgrade") {
		h.upgrade = ""
	}
	return nil
}

// absolute splits an absolute http URL into where it leads and what is asked for there.
func (h *head) absolute() (Target, string, error) {
	scheme, rest, ok := strings.Cut(h.target, "://")
	if !ok || !strings.EqualFold(scheme, "http") {
		return Target{}, "", badRequest("this is a proxy: want CONNECT HOST:PORT (for https, too) or an absolute http URL")
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if strings.Contains(path, "#") {
		return Target{}, "", badRequest("the URL has a fragment")
	}
	if path[0] == '?' {
		path = "/" + path
	}
	if strings.ContainsAny(authority, `@\%`) {
		return Target{}, "", refuseSyntax(authority, errors.New("the host holds @, \\ or %: want plain HOST[:PORT]"))
	}
	t, err := ParseTarget(authority, 80)
	if err != nil {
		return Target{}, "", refuseSyntax(authority, err)
	}
	return t, path, nil
}

// checkHost refuses a request whose Host header names another host than the one that was judged.
func (h *head) checkHost(t Target) error {
	if !h.hasHost {
		if h.minor > 0 {
			return badRequest("there is no Host header")
		}
		return nil
	}
	got, err := ParseTarget(h.host, t.Port)
	if err != nil || got != t {
		return badRequest("the Host header says %q, the connection is for %s", cut(h.host), t)
	}
	return nil
}

// write sends the head on, for the host that was judged.
func (h *head) write(w *bufio.Writer, path, authority string, add []Secret) {
	fmt.Fprintf(w, "%s %s HTTP/1.1\r\nHost: %s\r\n", h.method, path, authority)
	for _, f := range h.fields {
		lower := strings.ToLower(f.name)
		if slices.Contains(ours, lower) || slices.Contains(h.drop, lower) || len(add) > 0 && replaced(lower, add) {
			continue
		}
		fmt.Fprintf(w, "%s: %s\r\n", f.name, f.value)
	}
	for _, s := range add {
		fmt.Fprintf(w, "%s: %s\r\n", s.Header, s.Value)
	}
	if len(add) > 0 {
		w.WriteString("Accept-Encoding: identity\r\n") // so that a value that comes back is seen
	}
	switch {
	case h.length < 0:
		w.WriteString("Transfer-Encoding: chunked\r\n")
	case h.length > 0 || h.method == http.MethodPost || h.method == http.MethodPut || h.method == http.MethodPatch:
		fmt.Fprintf(w, "Content-Length: %d\r\n", h.length)
	}
	if h.upgrade != "" {
		fmt.Fprintf(w, "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", h.upgrade)
	} else {
		w.WriteString("Connection: close\r\n\r\n")
	}
}

// replaced says whether a header is one that a secret stands for, or would hide that it comes back.
func replaced(lower string, add []Secret) bool {
	return lower == "accept-encoding" || slices.ContainsFunc(add, func(s Secret) bool { return strings.EqualFold(s.Header, lower) })
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// cut shortens what is quoted back.
func cut(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
