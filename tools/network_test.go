package tools_test

import (
	"testing"

	"agentd/tools"
)

func TestNetworkRule(t *testing.T) {
	for in, want := range map[string]string{
		"files.example":                 "files.example:443",
		" Files.Example:8443 ":          "files.example:8443",
		"https://files.example/a?b":     "files.example:443",
		"http://files.example":          "files.example:80",
		"https://files.example:8443/":   "files.example:8443",
		"*.files.example:443":           "*.files.example:443",
		"10.0.0.0/8:5432":               "10.0.0.0/8:5432",
		"http://[2001:db8::1]:80/":      "[2001:db8::1]:80",
		"":                              "",
		"public":                        "",
		"*":                             "",
		"169.254.169.254:80":            "",
		"metadata.google.internal":      "",
		"a b":                           "",
		"https://":                      "",
		"files.example:0":               "",
		"user@files.example":            "",
		"https://user:pw@files.example": "files.example:443",
	} {
		got, err := tools.NetworkRule(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}
