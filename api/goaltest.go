package api

import (
	"context"
	"net/http"
)

// GoalTester tries a goal's criteria on a workspace and on broken copies of it.
type GoalTester interface {
	// TestGoal measures; nothing of the workspace changes.
	TestGoal(ctx context.Context, r GoalTest) (GoalTested, error)
}

// GoalTest asks for a goal file's criteria to be tried.
type GoalTest struct {
	File      GoalFile          `json:"file"`
	Workspace string            `json:"workspace"`
	Params    map[string]string `json:"params,omitempty"`
}

// GoalTested is what each criterion says of the workspace and of its broken copies.
type GoalTested struct {
	Trials []GoalTrial `json:"trials"`
}

// GoalTrial is one criterion.
type GoalTrial struct {
	Condition string   `json:"condition"`
	Holds     bool     `json:"holds"`             // on the workspace as it is; one that doesn't can't be tried
	Why       string   `json:"why,omitempty"`     // it could not be evaluated
	Notices   []string `json:"notices,omitempty"` // what it notices, such as "delete a file a.go"
	Misses    []string `json:"misses,omitempty"`  // where it still holds
	Blind     bool     `json:"blind,omitempty"`   // it holds whatever is broken
}

func (s *Server) goalTest(w http.ResponseWriter, r *http.Request) (any, error) {
	req, err := read[GoalTest](w, r, maxStart)
	if err != nil {
		return nil, err
	}
	if s.opt.Goals == nil {
		return nil, Errorf(ErrInvalid, "", "this daemon tries no goals")
	}
	s.unhurried(w)
	return s.opt.Goals.TestGoal(r.Context(), req)
}

// TestGoal tries a goal file's criteria.
func (c *Client) TestGoal(ctx context.Context, r GoalTest) (GoalTested, error) {
	return call[GoalTested](ctx, c, "POST", "/v1/goals/test", nil, r)
}
