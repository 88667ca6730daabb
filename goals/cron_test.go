package goals_test

import (
	"strings"
	"testing"
	"time"

	"agentd/goals"
)

func TestCronNext(t *testing.T) {
	for _, tt := range []struct{ name, table, zone, after, want string }{
		{"every minute", "* * * * *", "", "2026-03-01T10:00:30Z", "2026-03-01T10:01:00Z"},
		{"strictly after", "0 6 * * *", "", "2026-03-01T06:00:00Z", "2026-03-02T06:00:00Z"},
		{"Monday in Berlin", "0 6 * * 1", "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-05T05:00:00Z"},
		{"summer time in Berlin", "0 6 * * 1", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-06T04:00:00Z"},
		{"names and a range", "30 8 * jun mon-fri", "", "2026-06-05T09:00:00Z", "2026-06-08T08:30:00Z"},
		{"steps", "*/20 9-17/4 * * *", "", "2026-06-05T09:41:00Z", "2026-06-05T13:00:00Z"},
		{"day or weekday", "0 0 13 * 5", "", "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z"},
		{"Sunday is 7", "0 0 * * 7", "", "2026-02-02T00:00:00Z", "2026-02-08T00:00:00Z"},
		{"leap day", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"end of the month", "0 0 31 * *", "", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"},
		{"a word", "@monthly", "", "2026-03-02T00:00:00Z", "2026-04-01T00:00:00Z"},
		{"skipped by the clocks", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"the day after", "30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"repeated by the clocks", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"only once", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"hourly through a gap", "0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"hourly through a repetition", "0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := goals.ParseCron(tt.table, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Next(after).UTC().Format(time.RFC3339); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCronErrors(t *testing.T) {
	for _, tt := range []struct{ table, zone, want string }{
		{"0 6 * *", "", "has 4 fields"},
		{"60 6 * * *", "", `minute: "60" is not within 0 to 59`},
		{"0 6 * * mo", "", `day of the week: "mo"`},
		{"0 6 5-1 * *", "", "ends before it begins"},
		{"*/0 * * * *", "", "is no step"},
		{"0 0 30 2 *", "", "never comes"},
		{"0 6 * * *", "Europe/Berlim", "unknown time zone"},
		{"0 6 * * *", "Local", "unknown time zone"},
	} {
		if _, err := goals.ParseCron(tt.table, tt.zone); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q in %q: %v, want %q", tt.table, tt.zone, err, tt.want)
		}
	}
}

func FuzzCron(f *testing.F) {
	f.Add("*/5 1-3,7 * jan mon-fri", int64(1e9))
	f.Add("0 0 29 2 *", int64(2e9))
	f.Fuzz(func(t *testing.T, table string, at int64) {
		c, err := goals.ParseCron(table, "Europe/Berlin")
		if err != nil || at < 0 || at > 1<<33 {
			return
		}
		now := time.Unix(at, 0)
		if next := c.Next(now); next.IsZero() || !next.After(now) || next.Second() != 0 {
			t.Errorf("%q after %v: %v", table, now, next)
		}
	})
}
