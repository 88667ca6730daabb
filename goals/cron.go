package goals

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the same zones on every machine
)

// Cron is a parsed time table: minute, hour, day of the month, month, day of the week, in a time zone.
type Cron struct {
	minute, hour, day, month, week uint64 // bit sets
	anyDay, anyWeek                bool
	zone                           *time.Location
}

// cronField is one of the five fields.
type cronField struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var cronWords = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
}

// ParseCron reads a time table of five fields, or @hourly, @daily, @weekly, @monthly or @yearly. An empty zone is UTC.
func ParseCron(table, zone string) (Cron, error) {
	loc, err := time.LoadLocation(zone) // "" is UTC
	if err != nil || zone == "Local" {
		return Cron{}, fmt.Errorf("tz: unknown time zone %q: use a name such as Europe/Berlin", zone)
	}
	if words, ok := cronWords[strings.ToLower(strings.TrimSpace(table))]; ok {
		table = words
	}
	fields := strings.Fields(table)
	if len(fields) != len(cronFields) {
		return Cron{}, fmt.Errorf("cron: %q has %d fields, not 5: minute, hour, day of the month, month, day of the week, such as '0 6 * * 1'", table, len(fields))
	}
	c := Cron{zone: loc}
	for i, into := range []*uint64{&c.minute, &c.hour, &c.day, &c.month, &c.week} {
		if *into, err = cronFields[i].parse(fields[i]); err != nil {
			return Cron{}, fmt.Errorf("cron: %s: %w", cronFields[i].name, err)
		}
	}
	if c.week&(1<<7) != 0 {
		c.week |= 1 // 7 is Sunday too
	}
	c.anyDay, c.anyWeek = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	if c.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, fmt.Errorf("cron: %q never comes", table)
	}
	return c, nil
}

func (f cronField) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.max {
				return 0, fmt.Errorf("%q is no step from 1 to %d", stepText, f.max)
			}
		}
		from, to := f.min, f.max
		if f.max == 7 {
			to = 6
		}
		if span != "*" {
			lo, hi, ranged := strings.Cut(span, "-")
			if from, err = f.value(lo); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = f.value(hi); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
			if to < from {
				return 0, fmt.Errorf("%q ends before it begins", span)
			}
		}
		for v := from; v <= to; v += step {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f cronField) value(s string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(s)); i >= 0 {
		return f.min + i, nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < f.min || v > f.max {
		return 0, fmt.Errorf("%q is not within %d to %d", s, f.min, f.max)
	}
	return v, nil
}

// everyHour are all hours of a day.
const everyHour = 1<<24 - 1

// Next is the first time after t, zero if there is none within eight years. A time that the clocks skip in spring comes right after the gap, one
// that they repeat in autumn comes once; a table of all hours goes on by the hour through both.
func (c Cron) Next(t time.Time) time.Time {
	at := t.In(c.zone)
	for i := range 8 * 366 {
		day := time.Date(at.Year(), at.Month(), at.Day()+i-1, 12, 0, 0, 0, c.zone)
		if !c.on(day) {
			continue
		}
		if next := c.first(day, t); !next.IsZero() {
			return next
		}
	}
	return time.Time{}
}

// on reports whether a day is in the table. Where both the day of the month and of the week are given, either will do.
func (c Cron) on(day time.Time) bool {
	if c.month&(1<<day.Month()) == 0 {
		return false
	}
	inMonth, inWeek := c.day&(1<<day.Day()) != 0, c.week&(1<<day.Weekday()) != 0
	if !c.anyDay && !c.anyWeek {
		return inMonth || inWeek
	}
	return inMonth && inWeek
}

// first is the earliest time of a day that is after t.
func (c Cron) first(day, t time.Time) (first time.Time) {
	take := func(at time.Time) {
		if at.After(t) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if c.hour == everyHour {
		y, m, d := day.Date()
		at := time.Date(y, m, d, 0, 0, 0, 0, c.zone)
		if at.Before(t) {
			at = t.Truncate(time.Minute)
		}
		for range 26 * 60 {
			if l := at.In(c.zone); l.Day() == d && c.minute&(1<<l.Minute()) != 0 && at.After(t) {
				return at
			}
			at = at.Add(time.Minute)
		}
		return time.Time{}
	}
	for h := range 24 {
		if c.hour&(1<<h) == 0 {
			continue
		}
		for m := range 60 {
			if c.minute&(1<<m) != 0 {
				take(c.wall(day, h, m))
			}
		}
	}
	return first
}

// wall is the instant at which a clock on the wall shows a time: the first one, or the end of the gap that the time is in.
func (c Cron) wall(day time.Time, hour, minute int) time.Time {
	y, m, d := day.Date()
	for late := range 25 * 60 {
		at := time.Date(y, m, d, hour, minute+late, 0, 0, c.zone)
		want := time.Date(y, m, d, hour, minute+late, 0, 0, time.UTC)
		if at.Hour() != want.Hour() || at.Minute() != want.Minute() {
			continue // in a gap
		}
		for _, back := range []time.Duration{time.Hour, 30 * time.Minute} { // the clocks may show it twice
			if e := at.Add(-back); e.Hour() == at.Hour() && e.Minute() == at.Minute() {
				return e
			}
		}
		return at
	}
	return time.Date(y, m, d, hour, minute, 0, 0, c.zone)
}

// checkCron checks a time table without its zone.
func checkCron(table string) error {
	_, err := ParseCron(table, "")
	return err
}

// ErrNoTriggers is returned for a goal file that is to be scheduled and has no triggers.
var ErrNoTriggers = errors.New("the goal file has no triggers")
