package langchain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"agentd/llm"
)

// Causes with which a call cancels itself.
var (
	errNoHeader = errors.New("the reply did not begin in time")
	errSilent   = errors.New("the reply stopped")
	errStopped  = errors.New("the consumer stopped")
)

// maxMessage bounds the provider's words in an error.
const maxMessage = 400

var keyLike = regexp.MustCompile(`\b(sk|gsk|pk|xai|AIza)[-_A-Za-z0-9*.]{12,}`)

// safe makes a provider's words fit to show: bounded, on one line, without control characters and keys.
func (m *model) safe(s string) string { return safeText(s, m.cfg.Key) }

func safeText(s, key string) string {
	if len(s) > 4*maxMessage {
		s = s[:4*maxMessage]
	}
	if len(key) >= 4 {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	s = keyLike.ReplaceAllString(s, "[key]")
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxMessage {
		s = string(r[:maxMessage]) + "…"
	}
	return s
}

// fault is what a provider says went wrong, in whichever form it says it.
type fault struct {
	message, kind, code string
	status              int
	retry               time.Duration
}

// parseFault reads the many forms of an error body: {"error":{…}}, {"error":"…"}, [{"error":{…}}], {"message":…}, {"detail":…}.
func parseFault(b []byte) fault {
	b = bytes.TrimSpace(b)
	var list []json.RawMessage
	if json.Unmarshal(b, &list) == nil && len(list) > 0 {
		b = list[0]
	}
	var top struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"`
	}
	if json.Unmarshal(b, &top) != nil {
		return fault{message: plainText(b)}
	}
	var in struct {
		Message json.RawMessage `json:"message"`
		Type    string          `json:"type"`
		Status  json.RawMessage `json:"status"`
		Code    json.RawMessage `json:"code"`
		Details []struct {
			RetryDelay string `json:"retryDelay"`
		} `json:"details"`
	}
	if json.Unmarshal(top.Error, &in) != nil {
		msg := cmp.Or(text(top.Error), text(top.Message), text(top.Detail), plainText(b))
		return withCode(fault{message: msg, kind: top.Type}, top.Code)
	}
	f := withCode(fault{message: cmp.Or(text(in.Message), text(top.Message)), kind: cmp.Or(in.Type, text(in.Status))}, in.Code)
	for _, d := range in.Details {
		if n, err := time.ParseDuration(d.RetryDelay); err == nil && n > 0 {
			f.retry = n
		}
	}
	return f
}

func withCode(f fault, code json.RawMessage) fault {
	f.code = text(code)
	if n, err := strconv.Atoi(f.code); err == nil && n >= 400 && n < 600 {
		f.status, f.code = n, ""
	}
	return f
}

// text returns a JSON string's value, or any other value as it is written; null is nothing.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if s = string(raw); s == "null" {
		return ""
	}
	return s
}

var markup = regexp.MustCompile(`(?s)<(script|style).*?</(script|style)>|<[^>]*>`)

func plainText(b []byte) string {
	if len(b) > 4<<10 {
		b = b[:4<<10]
	}
	return strings.TrimSpace(markup.ReplaceAllString(string(b), " "))
}

// errorOf makes the typed error of a fault.
func (m *model) errorOf(f fault, h http.Header) *llm.Error {
	e := &llm.Error{Kind: classify(f), Model: m.name, Status: f.status, RetryAfter: f.retry, Message: cmp.Or(m.safe(f.message), m.safe(f.kind), "no reason given")}
	if d := retryAfter(h, time.Now()); d > 0 {
		e.RetryAfter = d
	}
	switch {
	case e.Kind == llm.KindAuth && (f.status == http.StatusPaymentRequired || f.noCredit()):
		e.Hint = "the account has no credit left: add some, or name another model"
	case e.Kind == llm.KindAuth && m.cfg.KeyEnv != "":
		e.Hint = fmt.Sprintf("check the key in %s", m.cfg.KeyEnv)
	case f.status == http.StatusNotFound:
		e.Hint = fmt.Sprintf("check the model's name and the address %s", hostOf(m.cfg.BaseURL))
	case e.Kind == llm.KindInvalid && f.status >= 300 && f.status < 400:
		e.Hint = "the address redirects: set the base URL to where it leads"
	}
	return e
}

func (f fault) noCredit() bool {
	return f.code == "insufficient_quota" || f.kind == "insufficient_quota" || has(f.message, "credit balance", "insufficient balance", "exceeded your current quota")
}

func has(s string, words ...string) bool {
	s = strings.ToLower(s)
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// classify decides by the provider's own words where they are more exact than the status.
func classify(f fault) llm.Kind {
	words := f.kind + " " + f.code + " " + f.message
	switch {
	case f.status == http.StatusPaymentRequired || f.noCredit():
		return llm.KindAuth
	case has(words, "context_length", "context length", "context window", "prompt is too long", "maximum number of tokens", "exceed_context", "exceeds the available context", "too many tokens", "request_too_large", "input token count") && f.status != http.StatusTooManyRequests:
		return llm.KindContext
	case has(words, "content_filter", "content management policy", "content_policy", "safety system", "moderation"):
		return llm.KindFilter
	}
	switch f.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return llm.KindAuth
	case http.StatusRequestTimeout:
		return llm.KindTimeout
	case http.StatusConflict, http.StatusTooEarly:
		return llm.KindOverload
	case http.StatusRequestEntityTooLarge:
		return llm.KindContext
	case http.StatusTooManyRequests:
		return llm.KindRate
	case http.StatusNotImplemented:
		return llm.KindInvalid
	}
	switch {
	case f.status >= 500:
		return llm.KindOverload
	case f.status >= 300:
		return llm.KindInvalid
	}
	switch { // no status: an event in the stream
	case has(words, "authentication", "permission", "invalid_api_key"):
		return llm.KindAuth
	case has(words, "rate_limit", "rate limit", "resource_exhausted"):
		return llm.KindRate
	case has(words, "overloaded", "server_error", "api_error", "unavailable", "internal", "server had an error"):
		return llm.KindOverload
	case has(words, "timeout", "timed out"):
		return llm.KindTimeout
	case has(words, "invalid_request"):
		return llm.KindInvalid
	}
	return llm.KindUnexpected
}

// retryAfter reads how long the provider wants to be left alone: milliseconds, seconds or a date. Nonsense is zero.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return min(most, time.Duration(min(ms, 1e9)*float64(time.Millisecond)))
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if s > 0 {
			return min(most, time.Duration(min(s, 1e6)*float64(time.Second)))
		}
		return 0
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(most, max(0, t.Sub(now)))
	}
	return 0
}

// failed classifies an error of the transport or of the stream. ctx is the caller's, own the call's.
func (m *model) failed(err error, ctx, own context.Context) *llm.Error {
	e := &llm.Error{Model: m.name, Err: err}
	cause := context.Cause(own)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind, e.Message, e.Err = llm.KindCanceled, "cancelled", context.Cause(ctx)
	case ctx.Err() != nil:
		e.Kind, e.Message, e.Err = llm.KindTimeout, "the deadline passed before the reply was complete", context.Cause(ctx)
	case cause == errNoHeader:
		e.Kind, e.Message, e.Err = llm.KindTimeout, fmt.Sprintf("no reply began within %s", m.cfg.HeaderTimeout), cause
	case cause == errSilent:
		e.Kind, e.Message, e.Err = llm.KindTimeout, fmt.Sprintf("the reply stopped for %s", m.cfg.IdleTimeout), cause
	default:
		return m.transport(err, e)
	}
	return e
}

func (m *model) transport(err error, e *llm.Error) *llm.Error {
	if typed := (*llm.Error)(nil); errors.As(err, &typed) {
		return typed // a dialer that starts a worker knows better why there is none
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the URL
	}
	e.Message = m.safe(err.Error())
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, errTooLong):
		e.Kind = llm.KindUnexpected
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		e.Kind = llm.KindConnect
		e.Hint = fmt.Sprintf("is a model served at %s?", hostOf(m.cfg.BaseURL))
	default:
		var to interface{ Timeout() bool }
		if errors.As(err, &to) && to.Timeout() {
			e.Kind = llm.KindTimeout
		} else {
			e.Kind = llm.KindConnect
		}
	}
	return e
}

func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return "the base URL"
}
