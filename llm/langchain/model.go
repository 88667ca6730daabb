package langchain

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"

	"github.com/tmc/langchaingo/llms"

	"agentd/llm"
)

// wire is what differs between the two wire forms.
type wire interface {
	// generate calls langchaingo's client, made anew around one call's HTTP client.
	generate(ctx context.Context, d doer, msgs []llms.MessageContent, opts []llms.CallOption) (*llms.ContentResponse, error)
	// prepare puts a request into langchaingo's words, as far as those reach.
	prepare(r *llm.Request) ([]llms.MessageContent, []llms.CallOption)
	// separable reports whether each message is encoded by itself, so that those of the step before need not be again.
	separable() bool
	// complete turns the body that langchaingo built into the one to send for r. Where messages are separable, known are the
	// first ones, which langchaingo was not given, and all of them are returned.
	complete(body []byte, r *llm.Request, known [][]byte) (whole []byte, all [][]byte, err error)
	// read consumes a stream until the reply's end.
	read(ev *events, t *turn) error
	// whole reads a reply that came in one piece.
	whole(body []byte, t *turn) error
	// synthesize puts the reply into the form that langchaingo reads.
	synthesize(t *turn) ([]byte, error)
	// args returns a call's arguments as the model wrote them.
	args(decoded string) string
	// settle puts the reply into the form that r asked for, where the provider could not.
	settle(reply *llm.Reply, r *llm.Request)
	// counted reads langchaingo's account of the tokens.
	counted(info map[string]any) llm.Usage
}

// doer is langchaingo's view of an HTTP client.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// model is one model at one endpoint.
type model struct {
	cfg  Config
	name string
	wire wire

	mu   sync.Mutex
	last encoded // guarded by mu: a step encodes the same request two or three times
}

// encoded is a request, its bytes, and those of its messages where they are separable. None is changed once it is here.
type encoded struct {
	req  *llm.Request
	body []byte
	msgs [][]byte
}

// Info describes the model.
func (m *model) Info() llm.Info {
	c := &m.cfg
	return llm.Info{Name: m.name, Window: c.Window, MaxOut: c.MaxOut, Style: c.Style, Schema: c.Schema, Grammar: c.Grammar, Price: c.Price, Local: c.Local, Sees: llm.Sees(c.Provider, c.Model)}
}

// errCaptured stops a call whose body was all that was wanted.
var errCaptured = errors.New("captured")

// Encode returns the body that Stream sends. The caller may keep and change it.
func (m *model) Encode(r *llm.Request) ([]byte, error) {
	body, err := m.encode(r)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), body...), nil
}

func (m *model) encode(r *llm.Request) ([]byte, error) {
	m.mu.Lock()
	last := m.last
	m.mu.Unlock()
	if last.req != nil && sameRequest(last.req, r) {
		return last.body, nil
	}
	kept := cloneRequest(r)
	fresh := *kept // without the messages that begin the last request too
	var known [][]byte
	if m.wire.separable() && last.req != nil {
		n := samePrefix(last.req.Messages, kept.Messages)
		known, fresh.Messages = last.msgs[:n:n], kept.Messages[n:]
	}
	msgs, opts := m.wire.prepare(&fresh)
	var body []byte
	_, err := m.wire.generate(context.Background(), doerFunc(func(req *http.Request) (*http.Response, error) {
		var err error
		if body, err = readRequest(req); err != nil {
			return nil, err
		}
		return nil, errCaptured
	}), msgs, opts)
	if body == nil {
		return nil, &llm.Error{Kind: llm.KindInvalid, Model: m.name, Message: "the request can't be encoded: " + m.safe(err.Error()), Err: err}
	}
	body, all, err := m.wire.complete(body, kept, known)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalid, Model: m.name, Message: "the request can't be encoded: " + m.safe(err.Error()), Err: err}
	}
	m.mu.Lock()
	m.last = encoded{kept, body, all}
	m.mu.Unlock()
	return body, nil
}

func readRequest(req *http.Request) ([]byte, error) {
	if n := req.ContentLength; n > 0 {
		b := make([]byte, n)
		_, err := io.ReadFull(req.Body, b)
		return b, err
	}
	return io.ReadAll(req.Body)
}

// placeholder stands for the conversation where the body is already encoded.
var placeholder = []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "-")}

// Stream asks the model once.
func (m *model) Stream(ctx context.Context, r *llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		body, err := m.encode(r)
		if err != nil {
			yield(llm.Delta{}, err)
			return
		}
		c := &call{m: m, body: body, ctx: ctx, yield: yield}
		defer c.close()
		resp, err := m.wire.generate(ctx, c, placeholder, []llms.CallOption{llms.WithModel(m.cfg.Model)})
		switch {
		case c.stopped:
			return
		case c.err != nil: // not err: langchaingo rewrites some errors
			yield(llm.Delta{}, c.err)
		case err != nil:
			yield(llm.Delta{}, &llm.Error{Kind: llm.KindUnexpected, Model: m.name, Message: m.safe(err.Error()), Err: err})
		default:
			reply := merge(resp, m.wire)
			reply.Stop, reply.Model = c.turn.stop(), m.name
			m.wire.settle(reply, r)
			yield(llm.Delta{Kind: llm.DeltaDone, Reply: reply}, nil)
		}
	}
}

// merge makes one reply of langchaingo's choices: for Anthropic there is one for each block of the content.
func merge(resp *llms.ContentResponse, w wire) *llm.Reply {
	reply := &llm.Reply{}
	for i, choice := range resp.Choices {
		if choice == nil {
			continue
		}
		if i == 0 {
			reply.Usage = w.counted(choice.GenerationInfo)
		}
		reply.Text += choice.Content
		for _, tc := range choice.ToolCalls {
			if tc.FunctionCall != nil {
				reply.Calls = append(reply.Calls, llm.Call{ID: tc.ID, Name: tc.FunctionCall.Name, Args: orEmptyObject(w.args(tc.FunctionCall.Arguments))})
			}
		}
	}
	return reply
}

// orEmptyObject stands in for the arguments of a call without any: some models write nothing.
func orEmptyObject(args string) string {
	if strings.TrimSpace(args) == "" {
		return "{}"
	}
	return args
}
