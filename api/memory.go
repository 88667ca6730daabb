package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Memory is what the server needs to serve what the daemon remembers. Items are named m17. Methods are safe for concurrent use.
type Memory interface {
	// AddMemory stores an item; it is durable on return.
	AddMemory(ctx context.Context, a MemoryAdd) (MemoryItem, error)
	// SearchMemory finds items, best first.
	SearchMemory(ctx context.Context, q MemoryQuery) (MemoryFound, error)
	// ListMemory lists items by id.
	ListMemory(ctx context.Context, f MemoryFilter) ([]MemoryItem, error)
	// Memory returns one item.
	Memory(ctx context.Context, id string) (MemoryItem, error)
	// ForgetMemory removes an item; its bytes leave the file with CompactMemory.
	ForgetMemory(ctx context.Context, id string) (MemoryForgotten, error)
	// ReviewMemory decides about proposed items.
	ReviewMemory(ctx context.Context, r MemoryReview) error
	// MemoryStats counts.
	MemoryStats(ctx context.Context) (MemoryStats, error)
	// ExportMemory writes every item as one line of JSON.
	ExportMemory(ctx context.Context, w io.Writer, vectors bool) error
	// ImportMemory adds the items of exported lines, and returns how many it added, also with an error.
	ImportMemory(ctx context.Context, r io.Reader) (int, error)
	// CompactMemory writes the file anew without what was forgotten.
	CompactMemory(ctx context.Context) error
	// ReembedMemory makes all vectors anew. A later call goes on where one was cut.
	ReembedMemory(ctx context.Context, progress func(done, of int)) error
}

// MemoryItem is one thing remembered.
type MemoryItem struct {
	ID           string       `json:"id"`
	Namespace    string       `json:"namespace"` // user, or repository:PATH, goal:NAME, run:ID
	Text         string       `json:"text"`
	Trust        string       `json:"trust"` // person, model, untrusted
	State        string       `json:"state"` // accepted, proposed, rejected
	Source       MemorySource `json:"source"`
	Tags         []string     `json:"tags,omitempty"`
	Created      time.Time    `json:"created"`
	Updated      time.Time    `json:"updated,omitzero"`
	Expires      time.Time    `json:"expires,omitzero"`
	Supersedes   []string     `json:"supersedes,omitempty"`
	Contradicts  []string     `json:"contradicts,omitempty"`
	SupersededBy string       `json:"superseded_by,omitempty"`
}

// MemorySource says where an item came from.
type MemorySource struct {
	Kind   string  `json:"kind,omitempty"` // user, model, tool, web, file or import
	Run    string  `json:"run,omitempty"`
	Step   int     `json:"step,omitempty"`
	File   string  `json:"file,omitempty"`
	URL    string  `json:"url,omitempty"`
	Events []int64 `json:"events,omitempty"`
}

// MemoryAdd asks to store an item. Only Text is needed; it is the user's if neither Namespace nor Workspace says otherwise.
type MemoryAdd struct {
	Text        string       `json:"text"`
	Workspace   string       `json:"workspace,omitempty"` // absolute path: it holds for this folder's repository
	Namespace   string       `json:"namespace,omitempty"` // wins over workspace
	Trust       string       `json:"trust,omitempty"`     // "" is person
	Source      MemorySource `json:"source,omitzero"`
	Tags        []string     `json:"tags,omitempty"`
	Expires     time.Time    `json:"expires,omitzero"`
	Supersedes  []string     `json:"supersedes,omitempty"`
	Contradicts []string     `json:"contradicts,omitempty"`
}

// MemoryQuery asks what is remembered. Without a namespace and a workspace all is searched.
type MemoryQuery struct {
	Text       string              `json:"text"`
	K          int                 `json:"k,omitempty"`         // 0 is 10
	Workspace  string              `json:"workspace,omitempty"` // what a run in this folder would see: the user's and the repository's
	Namespaces []string            `json:"namespaces,omitempty"`
	MinScore   float64             `json:"min_score,omitempty"` // least cosine similarity
	Filter     map[string][]string `json:"filter,omitempty"`    // tag, kind, run, file, url or trust
	WordsOnly  bool                `json:"words_only,omitempty"`
	Exact      bool                `json:"exact,omitempty"` // provably the nearest vectors
}

// MemoryFound is what a search found and how.
type MemoryFound struct {
	Mode  string      `json:"mode"`           // words and vectors, or words
	Note  string      `json:"note,omitempty"` // why an arm was left out
	Model string      `json:"model,omitempty"`
	Hits  []MemoryHit `json:"hits"`
}

// MemoryHit is a found item and why it was found.
type MemoryHit struct {
	Item       MemoryItem `json:"item"`
	Score      float64    `json:"score"`
	WordRank   int        `json:"word_rank,omitempty"` // from 1; 0: not found by words
	VectorRank int        `json:"vector_rank,omitempty"`
	Cosine     float64    `json:"cosine,omitempty"`
}

// MemoryFilter chooses items of a list.
type MemoryFilter struct {
	State     string // accepted, proposed, rejected; "" is all
	Namespace string
	Workspace string // as in MemoryQuery
	After     string // continue after this item
	Limit     int    // 0 is 100
}

// MemoryList is a page of items.
type MemoryList struct {
	Items []MemoryItem `json:"items"`
}

// MemoryForgotten names the runs whose journals still hold what was forgotten.
type MemoryForgotten struct {
	Runs []string `json:"runs,omitempty"`
}

// MemoryReview decides about proposed items.
type MemoryReview struct {
	Accept []string `json:"accept,omitempty"`
	Reject []string `json:"reject,omitempty"`
}

// MemoryStats describes the memory's file.
type MemoryStats struct {
	Path      string `json:"path"`
	Items     int    `json:"items"`
	Proposed  int    `json:"proposed"`
	Segments  int    `json:"segments"`
	Tail      int    `json:"tail"`   // rows that are not sealed
	Rows      int    `json:"rows"`   // forgotten ones that are not compacted away included
	Hidden    int    `json:"hidden"` // rows that searches do not see
	Vectors   int    `json:"vectors"`
	Model     string `json:"model,omitempty"`    // that made the vectors
	Embedder  string `json:"embedder,omitempty"` // of this machine now; "" is none
	Dim       int    `json:"dim,omitempty"`
	FileBytes int64  `json:"file_bytes"`
	CodeBytes int64  `json:"code_bytes"` // of memory
}

// MemoryImported says how many items an import added.
type MemoryImported struct {
	Added int `json:"added"`
}

// MemoryProgress is one line of a long operation's answer; the last one has state done, or an error.
type MemoryProgress struct {
	State string `json:"state,omitempty"` // working, done
	Done  int    `json:"done"`
	Of    int    `json:"of"`
	Error *Error `json:"error,omitempty"`
}

// maxImport bounds the lines of one import, in bytes.
const maxImport = 4 << 30

func (s *Server) memoryRoutes() []route {
	return []route{
		{"POST", "/v1/memory/items", s.remembers(s.addMemory), http.StatusCreated},
		{"GET", "/v1/memory/items", s.remembers(s.listMemory), 0},
		{"GET", "/v1/memory/items/{item}", s.remembers(s.getMemory), 0},
		{"DELETE", "/v1/memory/items/{item}", s.remembers(s.forgetMemory), 0},
		{"POST", "/v1/memory/search", s.remembers(s.searchMemory), 0},
		{"POST", "/v1/memory/review", s.remembers(s.reviewMemory), 0},
		{"GET", "/v1/memory/stats", s.remembers(s.memoryStats), 0},
		{"GET", "/v1/memory/export", s.remembers(s.exportMemory), 0},
		{"POST", "/v1/memory/import", s.remembers(s.importMemory), 0},
		{"POST", "/v1/memory/compact", s.remembers(s.compactMemory), 0},
		{"POST", "/v1/memory/reembed", s.remembers(s.reembedMemory), 0},
	}
}

// remembers refuses where the daemon has no memory.
func (s *Server) remembers(do func(http.ResponseWriter, *http.Request) (any, error)) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if s.opt.Memory == nil {
			return nil, Errorf(ErrInvalid, "", "this daemon has no memory")
		}
		return do(w, r)
	}
}

func (s *Server) addMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	a, err := read[MemoryAdd](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	s.unhurried(w)
	return s.opt.Memory.AddMemory(r.Context(), a)
}

func (s *Server) searchMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	q, err := read[MemoryQuery](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	s.unhurried(w)
	found, err := s.opt.Memory.SearchMemory(r.Context(), q)
	if found.Hits == nil {
		found.Hits = []MemoryHit{}
	}
	return found, err
}

func (s *Server) listMemory(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	f := MemoryFilter{State: q.text("state"), Namespace: q.text("namespace"), Workspace: q.text("workspace"), After: q.text("after"), Limit: int(min(q.uint("limit"), 1000))}
	if err := q.done(); err != nil {
		return nil, err
	}
	items, err := s.opt.Memory.ListMemory(r.Context(), f)
	if items == nil {
		items = []MemoryItem{}
	}
	return MemoryList{Items: items}, err
}

func (s *Server) getMemory(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.opt.Memory.Memory(r.Context(), r.PathValue("item"))
}

func (s *Server) forgetMemory(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.opt.Memory.ForgetMemory(r.Context(), r.PathValue("item"))
}

func (s *Server) reviewMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	v, err := read[MemoryReview](w, r, maxBody)
	if err != nil {
		return nil, err
	}
	if len(v.Accept)+len(v.Reject) == 0 {
		return nil, Errorf(ErrInvalid, "send accept or reject", "nothing to decide")
	}
	return Appended{}, s.opt.Memory.ReviewMemory(r.Context(), v)
}

func (s *Server) memoryStats(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.opt.Memory.MemoryStats(r.Context())
}

func (s *Server) exportMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	q := query{r: r}
	vectors := q.flag("vectors")
	if err := q.done(); err != nil {
		return nil, err
	}
	return nil, s.stream(w, "application/x-ndjson", func(w io.Writer) error { return s.opt.Memory.ExportMemory(r.Context(), w, vectors) })
}

func (s *Server) importMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // unsupported only in tests without a connection
	s.unhurried(w)
	n, err := s.opt.Memory.ImportMemory(r.Context(), http.MaxBytesReader(w, r.Body, maxImport))
	if err != nil && n > 0 {
		e := *ErrorOf(err)
		e.Message = fmt.Sprintf("%s (%d items were added before it)", e.Message, n)
		return nil, &e
	}
	return MemoryImported{Added: n}, err
}

func (s *Server) compactMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	s.unhurried(w)
	if err := s.opt.Memory.CompactMemory(r.Context()); err != nil {
		return nil, err
	}
	return s.opt.Memory.MemoryStats(r.Context())
}

// reembedMemory answers with one JSON value a line, as pull does.
func (s *Server) reembedMemory(w http.ResponseWriter, r *http.Request) (any, error) {
	s.unhurried(w)
	out := &streamWriter{w: w, rc: http.NewResponseController(w), patience: s.opt.Timeout, kind: "application/x-ndjson"}
	line := func(p MemoryProgress) {
		data, err := json.Marshal(p)
		if err != nil {
			panic(fmt.Sprintf("api: encode progress: %v", err))
		}
		_, _ = out.Write(append(data, '\n')) // a client that left ends the work by ctx
		_ = out.rc.Flush()
	}
	last := MemoryProgress{State: "done"}
	err := s.opt.Memory.ReembedMemory(r.Context(), func(done, of int) {
		last.Done, last.Of = done, of
		line(MemoryProgress{State: "working", Done: done, Of: of})
	})
	if err != nil {
		if !out.began {
			return nil, err
		}
		line(MemoryProgress{Error: ErrorOf(err)})
		return nil, nil
	}
	line(last)
	return nil, nil
}

// AddMemory stores an item.
func (c *Client) AddMemory(ctx context.Context, a MemoryAdd) (MemoryItem, error) {
	return call[MemoryItem](ctx, c, "POST", "/v1/memory/items", nil, a)
}

// SearchMemory finds items, best first.
func (c *Client) SearchMemory(ctx context.Context, q MemoryQuery) (MemoryFound, error) {
	return call[MemoryFound](ctx, c, "POST", "/v1/memory/search", nil, q)
}

// ListMemory lists items by id.
func (c *Client) ListMemory(ctx context.Context, f MemoryFilter) ([]MemoryItem, error) {
	q := url.Values{}
	for name, v := range map[string]string{"state": f.State, "namespace": f.Namespace, "workspace": f.Workspace, "after": f.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	l, err := call[MemoryList](ctx, c, "GET", "/v1/memory/items", q, nil)
	return l.Items, err
}

// Memory returns one item.
func (c *Client) Memory(ctx context.Context, id string) (MemoryItem, error) {
	return call[MemoryItem](ctx, c, "GET", "/v1/memory/items/"+url.PathEscape(id), nil, nil)
}

// ForgetMemory removes an item.
func (c *Client) ForgetMemory(ctx context.Context, id string) (MemoryForgotten, error) {
	return call[MemoryForgotten](ctx, c, "DELETE", "/v1/memory/items/"+url.PathEscape(id), nil, nil)
}

// ReviewMemory decides about proposed items.
func (c *Client) ReviewMemory(ctx context.Context, r MemoryReview) error {
	_, err := call[Appended](ctx, c, "POST", "/v1/memory/review", nil, r)
	return err
}

// MemoryStats counts.
func (c *Client) MemoryStats(ctx context.Context) (MemoryStats, error) {
	return call[MemoryStats](ctx, c, "GET", "/v1/memory/stats", nil, nil)
}

// ExportMemory copies every item to w, a line of JSON each, and returns the number of bytes.
func (c *Client) ExportMemory(ctx context.Context, w io.Writer, vectors bool) (int64, error) {
	path := "/v1/memory/export"
	if vectors {
		path += "?vectors=1"
	}
	return c.copy(ctx, path, w)
}

// ImportMemory adds the items of exported lines and returns how many.
func (c *Client) ImportMemory(ctx context.Context, r io.Reader) (int, error) {
	resp, err := c.upload(ctx, "/v1/memory/import", "application/x-ndjson", r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var out MemoryImported
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&out); err != nil {
		return 0, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return out.Added, nil
}

// CompactMemory writes the memory's file anew without what was forgotten.
func (c *Client) CompactMemory(ctx context.Context) (MemoryStats, error) {
	return call[MemoryStats](ctx, c, "POST", "/v1/memory/compact", nil, nil)
}

// ReembedMemory makes all vectors anew.
func (c *Client) ReembedMemory(ctx context.Context, progress func(done, of int)) error {
	resp, err := c.send(ctx, "POST", "/v1/memory/reembed", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var p MemoryProgress
		if err := dec.Decode(&p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return Errorf(ErrNotRunning, "run it again: it goes on where it was", "the daemon went away during the work: %v", err)
		}
		switch {
		case p.Error != nil:
			return p.Error
		case p.State == "done":
			return nil
		}
		progress(p.Done, p.Of)
	}
}
