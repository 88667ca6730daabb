package langchain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/tmc/langchaingo/llms/openai"

	"agentd/llm"
)

// Bounds of an embedding call.
const (
	embedBatch   = 64 // texts of one request
	embedTimeout = time.Minute
	maxEmbedBody = 64 << 20 // of its reply
)

// NewEmbedder returns the embedder that c names, at an endpoint in OpenAI's wire form. Only Provider, Model, BaseURL, Key,
// KeyEnv, HTTPClient, DialContext and HeaderTimeout (a minute, unless set) of c are used.
func NewEmbedder(c Config) (llm.Embedder, error) {
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, embedTimeout)
	c.Window = 1 // not used
	if c.Provider == "anthropic" {
		return nil, fmt.Errorf("provider anthropic has no embeddings: name another")
	}
	m, err := New(c)
	if err != nil {
		return nil, err
	}
	return &embedder{m: m.(*model)}, nil
}

// NewUnixEmbedder returns an embedder served on a unix socket.
func NewUnixEmbedder(socket, name string) (llm.Embedder, error) {
	return NewEmbedder(Config{Provider: "local", Model: name, BaseURL: "http://agentmodel/v1", DialContext: Unix(socket)})
}

type embedder struct {
	m *model

	mu  sync.Mutex
	dim int // guarded by mu: of the first vector; 0 before it
}

// ID names the model and where it runs: two servers may give one name to different weights.
func (e *embedder) ID() string {
	if e.m.cfg.Provider == "local" {
		return e.m.name
	}
	if p, ok := llm.FindProvider(e.m.cfg.Provider); ok && p.BaseURL == e.m.cfg.BaseURL {
		return e.m.name
	}
	return e.m.name + "@" + hostOf(e.m.cfg.BaseURL)
}

// Embed asks for the vectors of texts, in batches.
func (e *embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, 0, len(texts))
	for len(texts) > 0 {
		n := min(len(texts), embedBatch)
		batch, err := e.batch(ctx, texts[:n])
		if err != nil {
			return nil, err
		}
		vectors, texts = append(vectors, batch...), texts[n:]
	}
	return vectors, nil
}

func (e *embedder) batch(ctx context.Context, texts []string) ([][]float32, error) {
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(errStopped)
	timer := time.AfterFunc(e.m.cfg.HeaderTimeout, func() { cancel(errNoHeader) })
	defer timer.Stop()
	var failure *llm.Error // as langchaingo would reword it
	d := doerFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := e.do(ctx, own, req, len(texts))
		if err != nil {
			failure = err
			return nil, fmt.Errorf("%s", err)
		}
		return resp, nil
	})
	c := &e.m.cfg
	client, err := openai.New(openai.WithHTTPClient(d), openai.WithToken(cmp.Or(c.Key, "none")), openai.WithBaseURL(c.BaseURL), openai.WithOrganization(""),
		openai.WithAPIType(openai.APITypeOpenAI), openai.WithModel(c.Model), openai.WithEmbeddingModel(c.Model))
	if err != nil {
		return nil, fmt.Errorf("embedder %s: %w", e.m.name, err)
	}
	vectors, err := client.CreateEmbedding(own, texts)
	switch {
	case failure != nil:
		return nil, failure
	case err != nil:
		return nil, &llm.Error{Kind: llm.KindUnexpected, Model: e.m.name, Message: e.m.safe(err.Error()), Err: err}
	}
	if err := e.check(vectors); err != nil {
		return nil, &llm.Error{Kind: llm.KindUnexpected, Model: e.m.name, Message: err.Error()}
	}
	return vectors, nil
}

// do sends a request and returns its reply with the vectors in the order of the texts, which langchaingo takes for granted.
func (e *embedder) do(ctx, own context.Context, req *http.Request, n int) (*http.Response, *llm.Error) {
	req = req.WithContext(own)
	req.Header.Set("User-Agent", "agentd")
	if e.m.cfg.Key == "" {
		req.Header.Del("Authorization")
	}
	resp, err := e.m.cfg.HTTPClient.Do(req)
	if err != nil {
		return nil, e.m.failed(err, ctx, own)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxFault)) // what could be read is what can be said
		f := parseFault(b)
		f.status = resp.StatusCode
		return nil, e.m.errorOf(f, resp.Header)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxEmbedBody))
	if err != nil {
		return nil, e.m.failed(err, ctx, own)
	}
	sorted, err := sortVectors(b, n)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindUnexpected, Model: e.m.name, Message: "the vectors can't be read: " + e.m.safe(err.Error()), Err: err}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(sorted))}, nil
}

func sortVectors(b []byte, n int) ([]byte, error) {
	type item struct {
		Index     int             `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	}
	var in struct {
		Data  []item          `json:"data"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, err
	}
	if len(in.Data) != n {
		return nil, fmt.Errorf("%d vectors for %d texts", len(in.Data), n)
	}
	out := make([]item, n)
	for at, d := range in.Data {
		i := d.Index
		if i == 0 && out[0].Embedding != nil {
			i = at // a server that does not number them
		}
		if i < 0 || i >= n || out[i].Embedding != nil || len(d.Embedding) == 0 {
			return nil, fmt.Errorf("vector %d is missing or there twice", i)
		}
		out[i] = item{i, d.Embedding}
	}
	return json.Marshal(map[string]any{"data": out})
}

// check refuses vectors of differing dimensions and numbers that are none: mixed into a memory they would poison it.
func (e *embedder) check(vectors [][]float32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range vectors {
		if e.dim == 0 {
			e.dim = len(v)
		}
		if len(v) == 0 || len(v) != e.dim {
			return fmt.Errorf("a vector has %d dimensions, want %d", len(v), e.dim)
		}
		for _, x := range v {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("a vector holds %v", x)
			}
		}
	}
	return nil
}
