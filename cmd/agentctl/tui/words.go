package tui

import (
	"time"

	"agentd/cmd/agentctl/words"
	"agentd/journal"
)

// Short names of what all clients share.

func safe(s string) string                          { return words.Safe(s) }
func safeSGR(s string) string                       { return words.SafeSGR(s) }
func line(s string) string                          { return words.Line(s) }
func parseSGR(s string) (string, int)               { return words.ParseSGR(s) }
func span(d time.Duration) string                   { return words.Span(d) }
func age(d time.Duration) string                    { return words.Age(d) }
func count(n int64) string                          { return words.Count(n) }
func dollars(usd float64) string                    { return words.Dollars(usd) }
func plural(n int, what string) string              { return words.Plural(n, what) }
func or(s, other string) string                     { return words.Or(s, other) }
func stripSGR(s string) string                      { return words.StripSGR(s) }
func bytesOf(n int64) string                        { return words.Bytes(n) }
func noteText(ev journal.Event) string              { return words.Note(ev) }
func statusWord(s journal.Status, self bool) string { return words.Status(s, self) }
func statusMark(s journal.Status) string            { return words.Mark(s) }
func what(c journal.Call) string                    { return words.Call(c) }
func full(c journal.Call) string                    { return words.CallFull(c) }
