package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"agentd/journal"
)

// A sentinel survives the way over the socket: wrapped by the engine, encoded, decoded by the client.
func TestErrorsCrossTheSocket(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.code, func(t *testing.T) {
			sent := ErrorOf(fmt.Errorf("start: %w", k.err))
			if sent.Code != k.code || sent.status() != k.status {
				t.Errorf("code %q status %d, want %q %d", sent.Code, sent.status(), k.code, k.status)
			}
			data, err := json.Marshal(sent)
			if err != nil {
				t.Fatal(err)
			}
			var got Error
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			wrapped := fmt.Errorf("agentctl: %w", &got)
			for _, other := range kinds {
				if is := errors.Is(wrapped, other.err); is != (other.code == k.code) {
					t.Errorf("errors.Is(%s, %v) = %v", k.code, other.err, is)
				}
			}
			if code := ExitCode(wrapped); code != k.exit {
				t.Errorf("exit code %d, want %d", code, k.exit)
			}
		})
	}
}

type codedError struct{ code, hint string }

func (e codedError) Error() string { return "the key was refused" }
func (e codedError) Code() string  { return e.code }
func (e codedError) Hint() string  { return e.hint }

func TestErrorOf(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Error
	}{
		{"an unknown error tells nothing", errors.New("open /home/u/.secret: denied"), Error{Code: "internal", Message: "internal error of the daemon", Hint: "see agentctl daemon log"}},
		{"its own code and hint", fmt.Errorf("start: %w", codedError{"no_provider", "set OPENAI_API_KEY"}), Error{Code: "no_provider", Message: "start: the key was refused", Hint: "set OPENAI_API_KEY"}},
		{"a code that nobody knows", codedError{"tea", "boil water"}, Error{Code: "internal", Message: "internal error of the daemon", Hint: "boil water"}},
		{"an Error stays", fmt.Errorf("x: %w", Errorf(ErrLive, "wait", "run %s lives", "a")), Error{Code: "live", Message: "run a lives", Hint: "wait"}},
		{"a sentinel keeps its context", fmt.Errorf("append: %w", journal.ErrFull), Error{Code: "full", Message: "append: no space left in the data folder"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ErrorOf(tt.err); *got != tt.want {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
		})
	}
}
