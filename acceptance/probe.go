package acceptance

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"agentd/goals"
)

// Command is what a probe does, in one line for people.
func Command(p goals.Probe) string {
	switch {
	case p.Path != "":
		return "read " + p.Path
	case p.HTTP.URL != "":
		s := cmp.Or(p.HTTP.Method, http.MethodGet) + " " + p.HTTP.URL
		if p.Start != "" {
			s += " (started: " + p.Start + ")"
		}
		return s
	}
	return p.Cmd
}

// argvOf is the command that measures a probe in its box.
func argvOf(p goals.Probe, wall time.Duration) ([]string, error) {
	switch {
	case p.Path != "":
		return []string{"cat", "--", p.Path}, nil
	case p.HTTP.URL != "":
		host, port, request, err := requestOf(p.HTTP)
		if err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		wait := max(1, int(wall/time.Second)-2) // the rest is for saying that nothing answered
		return []string{"bash", "-c", askScript, "ask", p.Start, host, port, request, strconv.Itoa(wait)}, nil
	}
	return []string{"bash", "-c", p.Cmd}, nil
}

// askScript starts a server and asks it, until it answers. bash alone can connect, so a box needs no HTTP client. It prints the answer as it came; when there
// is none it prints what the server said, and fails. The box takes the server down with it.
const askScript = `
log=$(mktemp)
if [ -n "$1" ]; then bash -c "$1" >"$log" 2>&1 </dev/null & server=$!; fi
end=$((SECONDS + $5))
while [ $SECONDS -lt $end ]; do
  if { exec 3<>"/dev/tcp/$2/$3"; } 2>/dev/null; then
    if printf '%s' "$4" >&3 2>/dev/null; then
      answer=$(mktemp)
      timeout $((end - SECONDS + 1)) cat <&3 >"$answer" 2>/dev/null
      if [ -s "$answer" ]; then cat "$answer"; exit 0; fi
    fi
    exec 3>&-
  elif [ -n "$1" ] && ! kill -0 $server 2>/dev/null && ! wait $server; then
    echo "the server ended before it answered"; tail -c 1500 "$log"; exit 1
  fi
  sleep 0.1
done
echo "nothing answered at $2:$3"; tail -c 1500 "$log"; exit 1
`

// requestOf is a request as it goes over the wire, and where to.
func requestOf(r goals.Request) (host, port, text string, err error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", "", "", err
	}
	host, port = u.Hostname(), cmp.Or(u.Port(), "80")
	if ip := net.ParseIP(host); u.Scheme != "http" || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", "", "", fmt.Errorf("%s: a probe asks over plain http and in its own box: write http://127.0.0.1:PORT/", r.URL)
	}
	req, err := http.NewRequest(cmp.Or(r.Method, http.MethodGet), u.String(), bytes.NewReader([]byte(r.Body)))
	if err != nil {
		return "", "", "", err
	}
	req.Header.Set("User-Agent", "agentd")
	if r.Body != "" {
		req.Header.Set("Content-Type", cmp.Or(r.Type, "application/json"))
	}
	req.Close = true
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return "", "", "", err
	}
	return host, port, b.String(), nil
}

// answer takes an answer apart.
func answer(p goals.Probe, raw []byte) (status int, body []byte, err error) {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: cmp.Or(p.HTTP.Method, http.MethodGet)})
	if err != nil {
		return 0, nil, errors.New("the answer is not HTTP")
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, maxParsed)); err != nil {
		return 0, nil, fmt.Errorf("the answer broke off: %w", err)
	}
	return res.StatusCode, body, nil
}
