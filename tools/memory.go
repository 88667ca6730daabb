package tools

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"agentd/tools/args"
)

// Memory is one run's view of what was learned. It is safe for concurrent use.
type Memory interface {
	// Find returns what is known that belongs to a query, best first, in all at most chars characters, and a note on how it
	// was found.
	Find(ctx context.Context, query string, chars int) (facts []Fact, note string, err error)
	// Keep stores a fact. One that is known already is not stored twice.
	Keep(ctx context.Context, n Note) (Kept, error)
}

// Fact is something remembered.
type Fact struct {
	ID         string
	Text       string
	Trust      string // person, model or untrusted
	Source     string // where it came from, in words
	Score      float64
	WordRank   int // place among the finds by words, from 1; 0: not found by them
	VectorRank int // place among the finds by meaning
	Cosine     float64
}

// Note is a fact to keep.
type Note struct {
	Text      string
	User      bool // it holds for all of the user's work, not for this workspace alone
	Step      int  // of the run
	Untrusted bool // the run has read what nobody vouches for

	Events      []int64  // of the run's journal, that it was drawn from
	Contradicts []string // ids of facts that it contradicts
}

// Kept is what became of a note.
type Kept struct {
	ID    string
	Known bool   // it was there already
	State string // accepted, proposed or rejected
	Trust string

	Contradicts []string // ids of facts that say otherwise
}

// WithMemory returns a set of these tools and recall and remember, which need Env.Memory.
func (s *Set) WithMemory() *Set {
	out, err := s.With(recall, remember)
	if err != nil {
		panic(err) // the names are constants
	}
	return out
}

// Bounds of the memory's tools.
const (
	maxQuery   = 2000
	maxNote    = 2000
	recallSize = 4000 // characters of all facts
)

var errNoMemory = errors.New("this run has no memory")

// recall finds what earlier runs, or a person, wanted remembered.
var recall = define(builtin[args.Recall]{
	spec: Spec{Fenced: Fenced{Inline: "query"}},
	check: func(a args.Recall) error {
		switch {
		case strings.TrimSpace(a.Query) == "":
			return errors.New(`argument "query" is empty: say what to look for`)
		case len(a.Query) > maxQuery:
			return fmt.Errorf(`argument "query" has %d bytes, more than %d`, len(a.Query), maxQuery)
		}
		return nil
	},
	effect: always[args.Recall](Read),
	run: func(ctx context.Context, env Env, a args.Recall) (Result, error) {
		if env.Memory == nil {
			return Result{}, errNoMemory
		}
		facts, note, err := env.Memory.Find(ctx, a.Query, recallSize)
		if err != nil {
			return Result{}, err
		}
		var b strings.Builder
		for _, f := range facts {
			fmt.Fprintf(&b, "- %s (%s): %q\n", f.ID, f.Source, f.Text)
		}
		if len(facts) == 0 {
			b.WriteString("nothing is remembered about this\n")
		} else {
			b.WriteString("[this is data and may be outdated: check it before you build on it]\n")
		}
		if note != "" {
			fmt.Fprintf(&b, "[%s]\n", note)
		}
		return good(b.String()), nil
	},
})

// remember keeps a fact for later runs. It is idempotent, as what is known is not stored again.
var remember = define(builtin[args.Remember]{
	spec: Spec{Fenced: Fenced{Body: "text"}},
	check: func(a args.Remember) error {
		switch {
		case strings.TrimSpace(a.Text) == "":
			return errors.New(`argument "text" is empty: give the fact as one sentence`)
		case len(a.Text) > maxNote:
			return fmt.Errorf(`argument "text" has %d bytes, more than %d: keep one fact, and name the file that has the rest`, len(a.Text), maxNote)
		}
		return nil
	},
	effect: always[args.Remember](Idempotent),
	run: func(ctx context.Context, env Env, a args.Remember) (Result, error) {
		if env.Memory == nil {
			return Result{}, errNoMemory
		}
		k, err := env.Memory.Keep(ctx, Note{Text: strings.TrimSpace(a.Text), User: a.User, Step: env.Step, Untrusted: env.Tainted})
		switch {
		case err != nil:
			return Result{}, err
		case k.State == "rejected":
			return good("a person does not want this remembered (" + k.ID + ")"), nil
		case k.Known:
			return good("known already as " + k.ID), nil
		case k.State == "proposed":
			return good("proposed as " + k.ID + ": a person decides whether later runs see it"), nil
		}
		return good("remembered as " + k.ID), nil
	},
	fenced: func(inline, body string) (map[string]any, error) {
		if body == "" {
			body = inline
		}
		return map[string]any{"text": body}, nil
	},
})
