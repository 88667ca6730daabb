package browser

import (
	"context"
	"strings"

	"agentd/tools"
)

// Whole is the outline of what a task has in front, with nothing folded and in one piece.
func Whole(ctx context.Context, k tools.Tabs) (string, error) {
	t := k.(*Task).current
	s, err := t.capture(ctx)
	return t.head(s) + "\n" + strings.Join(write(s.Lines, nil), "\n") + "\n", err
}
