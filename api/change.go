package api

import (
	"slices"
	"strings"

	"agentd/goals"
	"agentd/journal"
)

// RunList is a page of runs.
type RunList struct {
	Runs []journal.Summary `json:"runs"`
}

// ModelList is the answer to GET /v1/models.
type ModelList struct {
	Models []ModelInfo `json:"models"`
}

// Page is a page of events, in order.
type Page struct {
	Records []journal.Record `json:"records"`
}

// Appended says where a change stands in the journal: the number of the run's last event.
type Appended struct {
	Seq journal.Seq `json:"seq"`
}

// Pull asks for a model's files.
type Pull struct {
	Name string `json:"name"`
}

// PullLine is one line of the answer to Pull: progress, or the error that ended it.
type PullLine struct {
	PullProgress
	Error *Error `json:"error,omitempty"`
}

// Answer closes an ask.
type Answer struct {
	Answer string `json:"answer"` // allow, deny; done, again, skip; or text, by the ask's kind
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// Scope and Rule make an allowance answer later asks too: what the condition holds of in this run (run), or from now on in every run (always). GET of the same
	// path proposes conditions.
	Scope journal.Scope `json:"scope,omitempty"`
	Rule  string        `json:"rule,omitempty"`
}

// AskRules are conditions that would answer an ask and others like it, the narrowest first.
type AskRules struct {
	Run    []string `json:"run"`
	Always []string `json:"always"`
	File   string   `json:"file,omitempty"` // where a rule for every run is added
	Note   string   `json:"note,omitempty"` // why there is none
}

// maxGranted bounds the allowances of one run that answer later asks.
const maxGranted = 100

// Message steers a run.
type Message struct {
	Text string `json:"text"`
	By   string `json:"by,omitempty"`
}

// Patch changes a run; nil fields stay.
type Patch struct {
	Paused *bool         `json:"paused,omitempty"`
	Limits *goals.Budget `json:"limits,omitempty"` // zero fields stay, negative ones mean no bound
	Goal   *string       `json:"goal,omitempty"`   // what is wanted from now on; the plan is revised, criteria and limits stay
	Reason string        `json:"reason,omitempty"` // of a pause
	By     string        `json:"by,omitempty"`
}

// Answers are the words that close an ask of a kind; nil is any text.
func Answers(kind journal.AskKind) []string {
	switch kind {
	case journal.AskTool:
		return []string{"allow", "deny"}
	case journal.AskDoubt:
		return []string{"done", "again", "skip"}
	case journal.AskTake:
		return []string{"done", "deny"}
	case journal.AskModel:
		return nil
	}
	return []string{}
}

func (a Answer) events(st *journal.State, id string) ([]journal.Event, error) {
	if len(a.Answer) > maxText || len(a.Reason) > maxText {
		return nil, Errorf(ErrTooLarge, "", "an answer and its reason have at most %d bytes each", maxText)
	}
	ask := st.Asks[id]
	if ask == nil {
		call := st.ToolCall(id)
		if call == nil || call.Asked == nil {
			return nil, Errorf(journal.ErrNotFound, "agentctl show "+string(st.Run)+" lists the open ones", "run %s has no ask %.64q", st.Run, id)
		}
		if call.Answer == nil {
			return nil, Errorf(ErrNotOpen, "", "ask %s of run %s was settled without an answer", id, st.Run)
		}
		if call.Answer.Answer == a.Answer && call.Answer.Scope == a.Scope && call.Answer.Rule == a.Rule { // the same answer again, say after a lost connection
			return nil, nil
		}
		return nil, Errorf(ErrNotOpen, "", "ask %s of run %s was answered already: %.100s, by %s", id, st.Run, call.Answer.Answer, call.Answer.By)
	}
	if st.Outcome != nil {
		return nil, Errorf(ErrEnded, "", "run %s has ended: %s", st.Run, st.Status())
	}
	legal := Answers(ask.Ask)
	if legal == nil && strings.TrimSpace(a.Answer) == "" {
		return nil, Errorf(ErrInvalid, "answer in words", "the answer is empty")
	}
	if legal != nil && !slices.Contains(legal, a.Answer) {
		return nil, Errorf(ErrInvalid, "answer one of: "+strings.Join(legal, ", "), "%.40q does not answer this ask", a.Answer)
	}
	switch {
	case a.Scope == journal.ScopeOnce && a.Rule == "":
	case a.Scope != journal.ScopeRun && a.Scope != journal.ScopeAlways:
		return nil, Errorf(ErrInvalid, "leave scope and rule out for this call alone", "scope %.40q with the rule %.40q: it is run or always", a.Scope, a.Rule)
	case ask.Ask != journal.AskTool || a.Answer != "allow":
		return nil, Errorf(ErrInvalid, "answer it alone", "only an allowed call can be allowed for more than once")
	case a.Rule == "":
		return nil, Errorf(ErrInvalid, "GET /v1/runs/"+string(st.Run)+"/answers/"+id+" proposes some", "scope %s needs a rule", a.Scope)
	case len(st.Granted) >= maxGranted:
		return nil, Errorf(ErrTooLarge, "allow it once, or for every run", "run %s has %d rules of its own already", st.Run, len(st.Granted))
	}
	return []journal.Event{journal.AskAnswered{Ask: id, Answer: a.Answer, Reason: a.Reason, By: a.By, Scope: a.Scope, Rule: a.Rule}}, nil
}

func (m Message) events(st *journal.State) ([]journal.Event, error) {
	switch {
	case strings.TrimSpace(m.Text) == "":
		return nil, Errorf(ErrInvalid, "say something", "the message is empty")
	case len(m.Text) > maxText:
		return nil, Errorf(ErrTooLarge, "put it into a file of the workspace and name that", "the message is longer than %d bytes", maxText)
	case st.Outcome != nil:
		return nil, ended(st)
	}
	return []journal.Event{journal.MessageSent{Text: m.Text, By: m.By}}, nil
}

func (p Patch) events(st *journal.State) ([]journal.Event, error) {
	if st.Outcome != nil {
		return nil, ended(st)
	}
	var events []journal.Event
	if p.Goal != nil && strings.TrimSpace(*p.Goal) != st.Start.Goal.Text {
		g, err := goals.FromText(*p.Goal, nil)
		if err != nil {
			return nil, err
		}
		events = append(events, journal.GoalRevised{Text: g.Text, By: p.By})
	}
	if p.Limits != nil && *p.Limits != (goals.Budget{}) {
		events = append(events, journal.LimitChanged{Budget: *p.Limits, By: p.By})
	}
	switch {
	case p.Paused == nil:
	case *p.Paused && st.Paused == nil:
		events = append(events, journal.Paused{By: p.By, Reason: p.Reason})
	case !*p.Paused && st.Paused != nil:
		events = append(events, journal.Resumed{By: p.By})
	}
	return events, nil
}

func cancel(st *journal.State, by string) ([]journal.Event, error) {
	if st.Outcome != nil {
		return nil, ended(st)
	}
	if st.Cancel {
		return nil, nil
	}
	return []journal.Event{journal.CancelAsked{By: by}}, nil
}

func ended(st *journal.State) error {
	return Errorf(ErrEnded, "agentctl show "+string(st.Run)+" says how", "run %s has ended: %s", st.Run, st.Status())
}
