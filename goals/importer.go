package goals

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Imported is a goal that was made of another program's file.
type Imported struct {
	Goal   Goal
	Format string   // whose file it was
	Left   []string // what has no counterpart, and why
}

// foreign gathers a conversion.
type foreign struct {
	g    Goal
	left []string
	data map[string]any // what is not yet converted
}

// Import converts a goose recipe, AutoGPT's ai_settings.yaml, an opencode agent or a GitHub agentic workflow. What it does not know is listed, never left out silently. The
// error wraps ErrInvalid.
func Import(name string, data []byte) (Imported, error) {
	d := newDecoder("x.md")
	front, body, isMarkdown := string(data), "", bytes.HasPrefix(data, []byte("---"))
	if isMarkdown {
		var ok bool
		if front, body, ok = d.split(data); !ok {
			return Imported{}, d.err()
		}
	}
	if len(data) > MaxFile || depth(front) > 50 {
		return Imported{}, fmt.Errorf("%w: %s is too large or too deep", ErrInvalid, name)
	}
	f := &foreign{data: map[string]any{}}
	if err := unmarshal([]byte(front), &f.data); err != nil {
		return Imported{}, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	f.g.Text = tidy(body)
	format := ""
	has := func(key string) bool { _, ok := f.data[key]; return ok }
	switch {
	case isMarkdown && (has("on") || has("safe-outputs") || has("engine")):
		format = "a GitHub agentic workflow"
		f.workflow()
	case isMarkdown:
		format = "an opencode agent"
		f.opencode()
	case has("ai_goals") || has("ai_role"):
		format = "AutoGPT's ai_settings.yaml"
		f.autogpt()
	case has("title") && (has("instructions") || has("prompt")):
		format = "a goose recipe"
		f.goose()
	default:
		return Imported{}, fmt.Errorf("%w: %s is neither a goose recipe, nor AutoGPT's ai_settings.yaml, an opencode agent or a GitHub agentic workflow", ErrInvalid, name)
	}
	for _, key := range slices.Sorted(maps.Keys(f.data)) {
		f.leave("%s: goal files have no such key", key)
	}
	base, _, _ := strings.Cut(path.Base(name), ".")
	f.g.Name = slug(cmp.Or(f.g.Name, base))
	if f.g.Text == "" {
		f.g.Text = f.g.Description
	}
	f.g.canonical()
	if err := f.g.Validate(); err != nil {
		return Imported{}, fmt.Errorf("%s: %w", name, err)
	}
	return Imported{Goal: f.g, Format: format, Left: f.left}, nil
}

// unmarshal reads YAML of a stranger.
func unmarshal(data []byte, into any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it can't be read as YAML: %v", p)
		}
	}()
	if err := yaml.Unmarshal(data, into); err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) {
			return errors.New(ye.GetMessage())
		}
		return err
	}
	return nil
}

func (f *foreign) leave(format string, args ...any) {
	f.left = append(f.left, fmt.Sprintf(format, args...))
}

// text takes a key's text.
func (f *foreign) text(key string) string {
	v, ok := f.data[key]
	delete(f.data, key)
	if s, is := v.(string); is {
		return tidy(s)
	} else if ok {
		return fmt.Sprint(v)
	}
	return ""
}

func (f *foreign) list(key string) []any {
	v, _ := f.data[key].([]any)
	delete(f.data, key)
	return v
}

func line(s string) string {
	s, _, _ = strings.Cut(tidy(s), "\n")
	return strings.ToValidUTF8(s[:min(len(s), maxLine)], "")
}

var notSlug = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

func slug(s string) string {
	s = strings.Trim(notSlug.ReplaceAllString(strings.ToLower(s), "-"), "-.")
	return s[:min(len(s), 60)]
}

func (f *foreign) goose() {
	f.g.Name = f.text("title")
	f.g.Description = line(f.text("description"))
	f.g.Text = strings.TrimSpace(f.text("instructions") + "\n\n" + f.text("prompt"))
	delete(f.data, "version")
	for _, v := range f.list("parameters") {
		p, _ := v.(map[string]any)
		f.gooseParam(p)
	}
	f.g.Text = gooseTemplate.ReplaceAllStringFunc(f.g.Text, func(t string) string {
		name := gooseTemplate.FindStringSubmatch(t)[1]
		if slices.Contains(f.g.paramNames(), strings.ToLower(name)) {
			return "{{ params." + strings.ToLower(name) + " }}"
		}
		return t
	})
	for _, v := range f.list("extensions") {
		e, _ := v.(map[string]any)
		name := slug(fmt.Sprint(e["name"]))
		switch kind := e["type"]; kind {
		case "builtin":
			f.leave("extensions: %s is built into goose; the tools of agentd take its place", name)
		case "stdio":
			s := MCPServer{Name: name, Cmd: fmt.Sprint(e["cmd"])}
			args, _ := e["args"].([]any)
			for _, a := range args {
				s.Args = append(s.Args, fmt.Sprint(a))
			}
			f.g.Tools.MCP = append(f.g.Tools.MCP, s)
			if e["env_keys"] != nil || e["envs"] != nil {
				f.leave("extensions: the environment of %s: no box holds a secret; see secrets", name)
			}
		case "sse", "streamable_http":
			f.g.Tools.MCP = append(f.g.Tools.MCP, MCPServer{Name: name, URL: fmt.Sprint(e["uri"])})
		default:
			f.leave("extensions: %s of type %v", name, kind)
		}
	}
	if r, ok := f.data["response"].(map[string]any); ok {
		f.g.Result.Schema = toJSON(r["json_schema"])
		delete(f.data, "response")
	}
	if r, ok := f.data["retry"].(map[string]any); ok {
		f.gooseRetry(r)
		delete(f.data, "retry")
	}
	if s, ok := f.data["settings"].(map[string]any); ok {
		if m, p := fmt.Sprint(s["goose_model"]), fmt.Sprint(s["goose_provider"]); s["goose_model"] != nil && s["goose_provider"] != nil {
			f.g.Models.Worker = []string{p + "/" + m}
		}
		if s["temperature"] != nil {
			f.leave("settings: temperature: agentd sets it by itself")
		}
		delete(f.data, "settings")
	}
}

var gooseTemplate = regexp.MustCompile(`\{\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}\}`)

func (f *foreign) gooseParam(p map[string]any) {
	name := strings.ToLower(fmt.Sprint(p["key"]))
	if !paramName.MatchString(name) {
		f.leave("parameters: %q can't name a param", name)
		return
	}
	out := Param{Name: name, Description: line(str(p["description"])), Required: p["requirement"] == "required" || p["requirement"] == "user_prompt"}
	switch str(p["input_type"]) {
	case "number":
		out.Type = ParamFloat
	case "boolean":
		out.Type = ParamBool
	case "file":
		out.Type = ParamFile
	case "select":
		out.Type = ParamChoice
		options, _ := p["options"].([]any)
		for _, o := range options {
			out.Options = append(out.Options, fmt.Sprint(o))
		}
	}
	if d := str(p["default"]); d != "" && !out.Required && out.Type != ParamFile {
		out.Default = d
	}
	f.g.Params = append(f.g.Params, out)
}

func (f *foreign) gooseRetry(r map[string]any) {
	if n, err := strconv.Atoi(str(r["max_retries"])); err == nil && n >= 0 {
		n = min(n, 20)
		f.g.OnFail.Retries = &n
	}
	checks, _ := r["checks"].([]any)
	for i, v := range checks {
		c, _ := v.(map[string]any)
		if c["type"] == "shell" && str(c["command"]) != "" {
			name := "check" + strconv.Itoa(i+1)
			f.g.Probes = append(f.g.Probes, Probe{Name: name, Cmd: str(c["command"])})
			f.g.Require = append(f.g.Require, name+".exit == 0")
		} else {
			f.leave("retry: a check of type %v", c["type"])
		}
	}
	if r["on_failure"] != nil {
		f.leave("retry: on_failure: agentd tells the model what failed")
	}
}

func (f *foreign) autogpt() {
	f.g.Name = f.text("ai_name")
	f.g.Description = line(f.text("ai_role"))
	var b strings.Builder
	b.WriteString(f.g.Description + "\n\n")
	for _, v := range f.list("ai_goals") {
		fmt.Fprintf(&b, "- %s\n", tidy(fmt.Sprint(v)))
	}
	f.g.Text = strings.TrimSpace(b.String())
	if usd, err := strconv.ParseFloat(f.text("api_budget"), 64); err == nil && usd > 0 {
		f.g.Budget.USD = usd
	}
}

func (f *foreign) opencode() {
	f.g.Description = line(f.text("description"))
	delete(f.data, "mode") // who talks to the agent: a goal is no conversation
	if m := f.text("model"); m != "" {
		f.g.Models.Worker = []string{m}
	}
	if f.data["temperature"] != nil {
		f.leave("temperature: agentd sets it by itself")
		delete(f.data, "temperature")
	}
	if t, ok := f.data["tools"].(map[string]any); ok {
		f.opencodeTools(t)
		delete(f.data, "tools")
	}
	perms, _ := f.data["permission"].(map[string]any)
	delete(f.data, "permission")
	for _, what := range slices.Sorted(maps.Keys(perms)) {
		do, ok := perms[what].(string)
		when := map[string]string{"edit": `tool in ["write", "edit"]`, "bash": `tool == "shell"`, "webfetch": `tool == "browser"`}[what]
		switch {
		case !ok || when == "" || do != "allow" && do != "ask" && do != "deny":
			f.leave("permission: %s: write it as a rule of policy", what)
		case do != "allow":
			f.g.Policy = append(f.g.Policy, Rule{When: when, Do: do})
		}
	}
}

func (f *foreign) opencodeTools(tools map[string]any) {
	ours := map[string]string{"write": "write", "edit": "edit", "patch": "edit", "bash": "shell", "read": "read", "grep": "search", "glob": "list", "list": "list", "webfetch": "browser"}
	off := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		switch on, is := tools[name].(bool); {
		case ours[name] == "":
			f.leave("tools: %s: agentd has no such tool", name)
		case is && !on:
			off[ours[name]] = true
		}
	}
	if len(off) == 0 {
		return
	}
	for _, t := range []string{"read", "write", "edit", "list", "search", "shell", "code", "browser"} {
		if !off[t] {
			f.g.Tools.Allow = append(f.g.Tools.Allow, t)
		}
	}
}

// workflow converts a GitHub agentic workflow.
func (f *foreign) workflow() {
	f.g.Description = line(cmp.Or(f.text("description"), f.text("name")))
	f.on()
	if m := str(f.data["timeout-minutes"]); m != "" {
		if n, err := strconv.Atoi(m); err == nil && n > 0 {
			f.g.Budget.Wall = time.Duration(n) * time.Minute
		}
		delete(f.data, "timeout-minutes")
	}
	if n, ok := f.data["network"].(map[string]any); ok {
		hosts, _ := n["allowed"].([]any)
		for _, h := range hosts {
			if s := fmt.Sprint(h); checkNet(s) == nil && strings.Contains(s, ".") {
				f.g.Sandbox.Net = append(f.g.Sandbox.Net, s)
			} else {
				f.leave("network: %s is a group of hosts: name them", s)
			}
		}
		delete(f.data, "network")
	}
	for _, key := range []string{"permissions", "safe-outputs"} {
		if f.data[key] != nil {
			f.leave("%s: what a run of agentd may do outside its sandbox is said by sandbox.net, secrets and policy", key)
			delete(f.data, key)
		}
	}
	if e, ok := f.data["engine"]; ok {
		f.leave("engine: %v: name models under models", e)
		delete(f.data, "engine")
	}
	if t, ok := f.data["tools"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(t)) {
			f.leave("tools: %s: see tools.allow and tools.mcp", name)
		}
		delete(f.data, "tools")
	}
}

func (f *foreign) on() {
	on := f.data["on"]
	delete(f.data, "on")
	events, ok := on.(map[string]any)
	if !ok {
		f.leave("on: %v: start it by hand, by cron, by changed files or by a webhook", on)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(events)) {
		crons, _ := events[name].([]any)
		if name != "schedule" {
			f.leave("on: %s: start it by hand, by cron, by changed files or by a webhook", name)
			continue
		}
		for _, c := range crons {
			m, _ := c.(map[string]any)
			f.g.Triggers = append(f.g.Triggers, Trigger{Cron: str(m["cron"])})
		}
	}
}

func str(v any) string {
	if v == nil {
		return ""
	}
	return tidy(fmt.Sprint(v))
}

// toJSON writes a value that YAML was read to as JSON, nil for none.
func toJSON(v any) []byte {
	if v == nil {
		return nil
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return out
}
