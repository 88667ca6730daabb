package journal

import (
	"context"
	"errors"
)

// Update appends what decide makes of a run's current state, and decides again when another appended meanwhile. It is
// how a client changes a run. Nothing is appended when decide returns no event or an error, which Update returns.
func Update(ctx context.Context, st Store, run RunID, decide func(*State) ([]Event, error)) (Seq, error) {
	s := new(State)
	for {
		if err := CatchUp(ctx, st, run, s); err != nil {
			return 0, err
		}
		events, err := decide(s)
		if err != nil || len(events) == 0 {
			return s.Last, err
		}
		seq, err := st.Append(ctx, run, s.Last, events...)
		if !errors.Is(err, ErrConflict) {
			return seq, err
		}
	}
}

// CatchUp folds the events that s has not seen yet. It returns ErrNotFound for a run that does not exist.
func CatchUp(ctx context.Context, st Store, run RunID, s *State) error {
	for r, err := range st.Read(ctx, run, s.Last) {
		if err != nil {
			return err
		}
		if err := s.Apply(r); err != nil {
			return err
		}
	}
	if s.Last == 0 {
		return ErrNotFound
	}
	return nil
}
