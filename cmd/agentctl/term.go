package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"agentd/cmd/agentctl/words"
)

// terminal reports whether a stream is one.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is the number of columns of a terminal, 80 where it doesn't say.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// Short names of what all clients share.

func span(d time.Duration) string   { return words.Span(d) }
func age(d time.Duration) string    { return words.Age(d) }
func count(n int64) string          { return words.Count(n) }
func size(n int64) string           { return words.Bytes(n) }
func dollars(usd float64) string    { return words.Dollars(usd) }
func or(s, other string) string     { return words.Or(s, other) }
func plural(n int, s string) string { return words.Plural(n, s) }
