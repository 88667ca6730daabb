package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentd/policy"
	"agentd/tools/args"
)

// Every proposal holds of its own call, of no call with other arguments (the narrowest), and of no content from elsewhere.
func TestProposals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   policy.Call
		other  args.Args
		first  string
		number int
	}{
		{"shell", policy.Call{Args: args.Shell{Command: "git push \"a\\b\"\n"}, Egress: true}, args.Shell{Command: "git push"}, `tool == "shell" && shell.command == "git push \"a\\b\"\n" && not tainted && workspace == "/ws"`, 2},
		{"what runs can't be known", policy.Call{Args: args.Shell{Command: "$X y"}}, args.Shell{Command: "x"}, "", 1},
		{"code", policy.Call{Args: args.Code{Language: "python", Source: "print('é\u202e\x01')"}}, args.Code{Language: "python", Source: "print(1)"}, "", 2},
		{"long code", policy.Call{Args: args.Code{Language: "python", Source: strings.Repeat("x", 5000)}}, args.Code{Language: "node"}, `tool == "code" && code.language == "python" && not tainted && workspace == "/ws"`, 1},
		{"network", policy.Call{Args: args.Network{Host: "a.example:443"}, Egress: true, Origins: []string{"web:b.example", "web:b.example"}}, args.Network{Host: "b.example:443"},
			`tool == "network" && network.host == "a.example:443" && all(origins, # in ["web:b.example"]) && workspace == "/ws"`, 1},
		{"http", policy.Call{Args: args.HTTP{Method: "POST", URL: "https://a.example/x"}, Egress: true}, args.HTTP{Method: "POST", URL: "https://a.example/y"}, "", 2},
		{"browser", policy.Call{Args: args.Browser{Action: "evaluate", Text: "1+1"}, Egress: true}, args.Browser{Action: "evaluate", Text: "2"}, "", 1},
		{"mcp", policy.Call{Args: args.MCP{Server: "s", Name: "t", Args: `{"a":"b"}`}}, args.MCP{Server: "s", Name: "t", Args: `{}`}, `tool == "s.t" && mcp.args == "{\"a\":\"b\"}" && not tainted && workspace == "/ws"`, 2},
		{"write", policy.Call{Args: args.WriteFile{Path: "a/../b", Content: "x"}}, args.WriteFile{Path: "a"}, `tool == "write" && path == "b" && not tainted && workspace == "/ws"`, 1},
		{"finish", policy.Call{Args: args.Finish{Result: "x"}}, args.Recall{Query: "x"}, `tool == "finish" && not tainted && workspace == "/ws"`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.call
			c.Workspace, c.Effect, c.Sandboxed = "/ws", "once", true
			got := policy.Proposals(c, true)
			if len(got) != tt.number || tt.first != "" && got[0] != tt.first {
				t.Fatalf("got %d: %s\nwant %d: %s", len(got), strings.Join(got, "\n"), tt.number, tt.first)
			}
			for _, when := range got {
				if err := policy.Covers(when, c); err != nil {
					t.Errorf("%s: %v", when, err)
				}
				read := c
				read.Origins = append([]string{"web:evil.example"}, c.Origins...)
				if policy.Covers(when, read) == nil {
					t.Errorf("%s answers for content from elsewhere", when)
				}
				away := c
				away.Workspace = "/other"
				if policy.Covers(when, away) == nil {
					t.Errorf("%s holds in another workspace", when)
				}
			}
			other := c
			other.Args = tt.other
			if policy.Covers(got[0], other) == nil {
				t.Errorf("%s holds of %+v", got[0], tt.other)
			}
		})
	}
}

func TestAddGrant(t *testing.T) {
	path := filepath.Join(t.TempDir(), policy.GrantsFile)
	if r, err := policy.ReadGrants(path); r != nil || err != nil {
		t.Fatalf("%v, %v", r, err)
	}
	when := `tool == "shell" && shell.command == "curl \"x\" é\n"`
	text, err := policy.AddGrant(path, nil, when, "by ada: \"yes\" # why not\nx")
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.AddGrant(path, text, when, "twice")
	if err != nil || string(again) != string(text) {
		t.Errorf("added twice: %v\n%s", err, again)
	}
	if text, err = policy.AddGrant(path, text, `tool == "browser"`, strings.Repeat("é", 400)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	granted, err := policy.ReadGrants(path)
	if err != nil {
		t.Fatal(err)
	}
	call := policy.Call{Args: args.Shell{Command: "curl \"x\" é\n"}, Effect: "once", Egress: true, Sandboxed: true}
	layer := func(do string) *policy.Rules {
		r, err := policy.Parse("p", []byte("- {when: 'tool == \"shell\"', do: "+do+"}"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tt := range []struct {
		name      string
		user, org *policy.Rules
		want      policy.Decision
	}{
		{"it answers the user's ask", layer("ask"), nil, policy.Allow},
		{"and the shipped one", policy.Default(), nil, policy.Allow},
		{"no denial of the user's", layer("deny"), nil, policy.Deny},
		{"no ask of the organisation's", layer("ask"), layer("ask"), policy.Ask},
		{"no denial of the organisation's", layer("ask"), layer("deny"), policy.Deny},
	} {
		if v := policy.Combine(tt.user, tt.org, granted).Decide(call); v.Do != tt.want {
			t.Errorf("%s: got %+v, want %s", tt.name, v, tt.want)
		}
	}
	for name, text := range map[string]string{"no list": "a: b\n", "a flow list": "[{when: 'true', do: allow}]\n"} {
		if out, err := policy.AddGrant("g.yaml", []byte(text), `tool == "shell"`, ""); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// What a call says can't leave the quotes of a proposed rule, in the condition or in the file.
func FuzzProposals(f *testing.F) {
	f.Add("rm -rf / # \" || true", "web:a\"]) || true")
	f.Fuzz(func(t *testing.T, command, origin string) {
		c := policy.Call{Args: args.Shell{Command: command}, Effect: "once", Egress: true, Sandboxed: true, Workspace: "/w", Origins: []string{origin}}
		for i, when := range policy.Proposals(c, true) {
			if i == 0 {
				for _, other := range []string{"", command + " ", "x" + command} {
					d := c
					d.Args = args.Shell{Command: other}
					if policy.Covers(when, d) == nil && other != command {
						t.Fatalf("%s holds of %q", when, other)
					}
				}
			}
			text, err := policy.AddGrant("g.yaml", nil, when, origin)
			if err != nil {
				continue // such as a reason of bytes that are no text
			}
			r, err := policy.ParseGrants("g.yaml", text)
			if err != nil || r.Decide(c).Do != policy.Allow {
				t.Fatalf("%s\n%v", text, err)
			}
		}
	})
}
