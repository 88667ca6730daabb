package journal_test

import (
	"strings"
	"testing"

	"agentd/journal"
)

func TestVeil(t *testing.T) {
	values := []string{"s3cr3t-canary", `odd"value`, "short"}
	for _, c := range []struct{ name, text, want string }{
		{"none", "plain text, short too", "plain text, short too"},
		{"one", "a s3cr3t-canary b", "a ************* b"},
		{"twice", "s3cr3t-canarys3cr3t-canary", strings.Repeat("*", 26)},
		{"begun and left", "s3cr3t-can s3cr3", "s3cr3t-can s3cr3"},
		{"begun again", "s3cs3cr3t-canary", "s3c*************"},
		{"escaped", `{"x":"odd\"value"}`, `{"x":"**********"}`},
	} {
		for size := 1; size <= len(c.text); size++ {
			v := journal.NewVeil(values)
			var got strings.Builder
			for at := 0; at < len(c.text); at += size {
				got.WriteString(v.Next(c.text[at:min(at+size, len(c.text))]))
			}
			got.WriteString(v.Rest())
			if got.String() != c.want {
				t.Errorf("%s in pieces of %d: got %q, want %q", c.name, size, got.String(), c.want)
			}
		}
	}
}

// FuzzVeil compares a text in pieces with the same text at once.
func FuzzVeil(f *testing.F) {
	f.Add("a secret-value b", "secret-value", uint8(3))
	f.Add("aaaaaaaaaaaaaaaaaaaaaab", "aaaaaaaaaab", uint8(1))
	f.Fuzz(func(t *testing.T, text, value string, size uint8) {
		v := journal.NewVeil([]string{value})
		var got strings.Builder
		for at := 0; at < len(text); at += int(size) + 1 {
			got.WriteString(v.Next(text[at:min(at+int(size)+1, len(text))]))
		}
		got.WriteString(v.Rest())
		if len(value) >= journal.MinMasked && !strings.Contains(value, "*") && strings.Contains(got.String(), value) {
			t.Errorf("%q shows %q", got.String(), value)
		}
		if len(got.String()) != len(text) {
			t.Errorf("%d bytes became %d", len(text), got.Len())
		}
	})
}
