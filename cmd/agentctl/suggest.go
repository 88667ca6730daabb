package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	unknownFlag    = regexp.MustCompile(`^unknown flag: --(\S+)`)
	unknownCommand = regexp.MustCompile(`^unknown command "([^"]*)"`)
)

// suggest finds the flag or command that was meant by one that is unknown, or "".
func suggest(cmd *cobra.Command, msg string) string {
	if m := unknownFlag.FindStringSubmatch(msg); m != nil {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if n := nearest(m[1], names); n != "" {
			return "--" + n
		}
	}
	if m := unknownCommand.FindStringSubmatch(msg); m != nil {
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		if n := nearest(m[1], names); n != "" {
			return cmd.CommandPath() + " " + n
		}
	}
	return ""
}

// nearest is the name that differs least from word, or "" when all differ too much.
func nearest(word string, names []string) string {
	best, least := "", len(word)/3+2
	for _, n := range names {
		d := distance(word, n)
		if strings.HasPrefix(n, word) && len(word) > 1 {
			d = 1
		}
		if d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
