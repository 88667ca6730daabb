package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"agentd/goals"
)

// Authority is what the server needs to say what a goal file may have, and to keep what a person grants. Methods are safe for concurrent use.
type Authority interface {
	// ReviewGoal says what becomes of what a goal file asks for.
	ReviewGoal(ctx context.Context, r GoalReview) (GoalReviewed, error)
	// GrantGoal keeps what a person grants a goal file's very text.
	GrantGoal(ctx context.Context, g GrantAdd) (Grant, error)
	// Grants lists what was granted, the oldest first.
	Grants(ctx context.Context) ([]Grant, error)
	// Revoke takes grants back, by hash or goal, and says how many.
	Revoke(ctx context.Context, which string) (int, error)
	// Limits refuses bounds of a run that are beyond the organisation's.
	Limits(b goals.Budget) error
}

// GoalReview asks what a goal file asks for.
type GoalReview struct {
	File    GoalFile `json:"file"`
	Granted []string `json:"granted,omitempty"` // by other means than the daemon's grants
}

// GoalReviewed is what becomes of what a goal file asks for.
type GoalReviewed struct {
	Goal     string       `json:"goal"`
	Hash     string       `json:"hash"`
	Requests []GoalWanted `json:"requests,omitempty"`
	Previous *Grant       `json:"previous,omitempty"` // the last grant of another text of the same file
}

// GoalWanted is one thing that a goal file asks for.
type GoalWanted struct {
	Request string `json:"request"`
	State   string `json:"state"`           // default, granted, needed or beyond
	Layer   string `json:"layer,omitempty"` // whose default grants it, or whose ceiling it is beyond
}

// GrantAdd grants a goal file, as it is, exactly these requests.
type GrantAdd struct {
	File     GoalFile `json:"file"`
	Requests []string `json:"requests"`
	By       string   `json:"by,omitempty"`
}

// Grant is what a person granted one text of a goal file.
type Grant struct {
	Goal     string    `json:"goal"`
	Hash     string    `json:"hash"`
	Requests []string  `json:"requests"`
	File     string    `json:"file,omitempty"`
	Source   string    `json:"source,omitempty"` // the text; of a review's previous grant alone
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

// GrantList is the answer to GET /v1/grants.
type GrantList struct {
	Grants []Grant `json:"grants"`
}

// Revoked is the answer to DELETE /v1/grants/{which}.
type Revoked struct {
	Removed int `json:"removed"`
}

func (s *Server) grantRoutes() []route {
	return []route{
		{"POST", "/v1/goals/review", s.goalReview, 0},
		{"GET", "/v1/grants", s.grantList, 0},
		{"POST", "/v1/grants", s.grantAdd, 0},
		{"DELETE", "/v1/grants/{which}", s.grantRemove, 0},
	}
}

func (s *Server) authority() (Authority, error) {
	if s.opt.Authority == nil {
		return nil, Errorf(ErrInvalid, "", "this daemon grants nothing")
	}
	return s.opt.Authority, nil
}

func (s *Server) goalReview(w http.ResponseWriter, r *http.Request) (any, error) {
	req, err := read[GoalReview](w, r, maxStart)
	if err != nil {
		return nil, err
	}
	a, err := s.authority()
	if err != nil {
		return nil, err
	}
	return a.ReviewGoal(r.Context(), req)
}

func (s *Server) grantList(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, err := s.authority()
	if err != nil {
		return nil, err
	}
	all, err := a.Grants(r.Context())
	if all == nil {
		all = []Grant{}
	}
	return GrantList{Grants: all}, err
}

func (s *Server) grantAdd(w http.ResponseWriter, r *http.Request) (any, error) {
	g, err := read[GrantAdd](w, r, maxStart)
	if err != nil {
		return nil, err
	}
	if g.By, err = who(g.By); err != nil {
		return nil, err
	}
	a, err := s.authority()
	if err != nil {
		return nil, err
	}
	return a.GrantGoal(r.Context(), g)
}

func (s *Server) grantRemove(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, err := s.authority()
	if err != nil {
		return nil, err
	}
	n, err := a.Revoke(r.Context(), r.PathValue("which"))
	return Revoked{Removed: n}, err
}

// ReviewGoal asks what a goal file asks for.
func (c *Client) ReviewGoal(ctx context.Context, r GoalReview) (GoalReviewed, error) {
	return call[GoalReviewed](ctx, c, "POST", "/v1/goals/review", nil, r)
}

// GrantGoal grants a goal file what it asks for.
func (c *Client) GrantGoal(ctx context.Context, g GrantAdd) (Grant, error) {
	return call[Grant](ctx, c, "POST", "/v1/grants", nil, g)
}

// Grants lists what was granted.
func (c *Client) Grants(ctx context.Context) ([]Grant, error) {
	l, err := call[GrantList](ctx, c, "GET", "/v1/grants", nil, nil)
	return l.Grants, err
}

// Revoke takes grants back.
func (c *Client) Revoke(ctx context.Context, which string) (int, error) {
	r, err := call[Revoked](ctx, c, "DELETE", "/v1/grants/"+url.PathEscape(which), nil, nil)
	return r.Removed, err
}
