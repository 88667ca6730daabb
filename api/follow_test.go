package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestReadEvent(t *testing.T) {
	tests := []struct {
		name, in   string
		event, out string
		err        error
	}{
		{"a record", "id: 3\ndata: {\"seq\":3}\n\n", "", `{"seq":3}`, nil},
		{"a comment before", ": ping\n\n: ping\n\ndata: x\n\n", "", "x", nil},
		{"a name", "event: end\ndata: {}\n\n", "end", "{}", nil},
		{"several data lines", "data: a\ndata: b\n\n", "", "a\nb", nil},
		{"no space after the colon", "data:a\n\n", "", "a", nil},
		{"line ends of other systems", "event: end\r\ndata: a\r\n\r\n", "end", "a", nil},
		{"cut in a line", "data: {\"se", "", "", io.ErrUnexpectedEOF},
		{"cut in an event", "data: a\n", "", "", io.EOF},
		{"a large one", "data: " + strings.Repeat("x", 100<<10) + "\n\n", "", strings.Repeat("x", 100<<10), nil},
		{"too large a one", "data: " + strings.Repeat("x", maxEvent) + "\n\n", "", "", errEventSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			event, data, err := readEvent(bufio.NewReader(strings.NewReader(tt.in)))
			if event != tt.event || string(data) != tt.out || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %.40q, %v; want %q, %.40q, %v", event, data, err, tt.event, tt.out, tt.err)
			}
		})
	}
}

// What the server writes, the client reads, whatever the data is.
func FuzzReadEvent(f *testing.F) {
	f.Add("delta", `{"text":"a"}`)
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, name, data string) {
		if strings.ContainsAny(name+data, "\r\n") || strings.HasPrefix(name, " ") || strings.HasPrefix(data, " ") {
			return // the server writes JSON on one line
		}
		in := fmt.Sprintf(": c\n\nevent: %s\nid: 1\ndata: %s\n\n", name, data)
		gotName, gotData, err := readEvent(bufio.NewReader(strings.NewReader(in)))
		if err != nil || gotName != name || string(gotData) != data {
			t.Errorf("got %q, %q, %v from %q", gotName, gotData, err, in)
		}
	})
}
