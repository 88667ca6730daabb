package tui

import (
	"math"
	"strconv"
	"strings"
	"time"

	"agentd/goals"
)

// setLimit sets one limit of a budget; false when there is no such limit or value. Zero would silently mean the default.
func setLimit(b *goals.Budget, name, value string) bool {
	switch name {
	case "steps":
		n, ok := number(value)
		b.Steps = int(n)
		return ok
	case "tokens":
		n, ok := number(value)
		b.Tokens = n
		return ok
	case "usd", "money":
		f, err := strconv.ParseFloat(strings.TrimPrefix(value, "$"), 64)
		b.USD = f
		return err == nil && f != 0 && !math.IsNaN(f) && !math.IsInf(f, 0)
	case "wall", "time":
		if value == "-1" {
			value = "-1s"
		}
		d, err := time.ParseDuration(value)
		b.Wall = d
		return err == nil && d != 0
	}
	return false
}

// number reads 800000, 800k or 1.5M.
func number(s string) (int64, bool) {
	unit := 1.0
	s = strings.ToLower(s)
	if n, ok := strings.CutSuffix(s, "k"); ok {
		s, unit = n, 1e3
	} else if n, ok := strings.CutSuffix(s, "m"); ok {
		s, unit = n, 1e6
	}
	v, err := strconv.ParseFloat(s, 64)
	v *= unit
	if err != nil || math.IsNaN(v) || v == 0 || math.Abs(v) > 1e15 || v != math.Trunc(v) {
		return 0, false
	}
	return int64(v), true
}
