package goals

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// fault is something wrong with a goal, and the path of keys to it.
type fault struct {
	path string
	err  error
}

// Error is the fault behind its path, unless it names it itself.
func (f fault) Error() string {
	if f.path == "" || strings.HasPrefix(f.err.Error(), f.path) {
		return f.err.Error()
	}
	return f.path + ": " + f.err.Error()
}

// limits are how long the texts of a kind may be, where that is not a line.
var limits = map[string]int{"body": MaxText, "text": MaxText, "cmd": maxCmd}

// kinds are the checks of texts by what they hold (the tag is).
var kinds = map[string]func(string) error{
	"name":   checkName,
	"glob":   checkGlob,
	"writes": checkGlob,
	"import": checkImport,
	"path":   checkPath,
	"word":   checkWord,
	"regexp": checkRegexp,
	"model":  checkModel,
	"host":   checkHost,
	"net":    checkNet,
	"url":    checkURL,
	"field":  checkField,
	"tool":   checkTool,
	"tz":     checkZone,
	"cron":   checkCron,
	"parser": checkParser,
}

// walk checks every value by itself and calls add for each fault.
func walk(s *spec, v reflect.Value, path string, add func(fault)) {
	for _, k := range s.keys {
		if k.key == "apiVersion" || k.empty(v) && !k.required {
			continue
		}
		walkValue(k, k.field(v), join(path, k.key), add)
	}
}

func walkValue(s *spec, v reflect.Value, path string, add func(fault)) {
	fail := func(format string, args ...any) { add(fault{path, fmt.Errorf(format, args...)}) }
	switch {
	case s.required && v.IsZero():
		fail("%s is missing", path)
	case s.named || s.item != nil:
		if v.Len() > maxList {
			fail("%s has %d entries, more than %d", path, v.Len(), maxList)
			return
		}
		for i := range v.Len() {
			p := fmt.Sprintf("%s[%d]", path, i)
			if s.named {
				p = join(path, v.Index(i).FieldByName("Name").String())
			}
			walkValue(s.item, v.Index(i), p, add)
		}
	case s.keys != nil:
		walk(s, v, path, add)
	case s.typ == jsonType:
		if err := checkSchema(json.RawMessage(v.Bytes())); err != nil {
			fail("%s: %w", path, err)
		}
	case s.typ == durationType:
		if d := time.Duration(v.Int()); d > maxDuration || d < 0 && s.is != "bound" {
			fail("%s: %v is not within 0 and %v", path, d, maxDuration)
		}
	case v.Kind() == reflect.String:
		if err := checkText(s, path, v.String()); err != nil {
			add(fault{path, err})
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		checkNumber(s, path, v.Elem(), fail)
	case v.Kind() != reflect.Bool && v.Kind() != reflect.Pointer:
		checkNumber(s, path, v, fail)
	}
}

func checkText(s *spec, path, text string) error {
	limit := maxLine
	if l, ok := limits[s.is]; ok {
		limit = l
	}
	if err := checkWords(path, text, limit); err != nil {
		return err
	}
	if s.one != nil && !slices.Contains(s.one, text) {
		return fmt.Errorf("%s: %q is none of %s%s", path, text, strings.Join(s.one, ", "), strings.TrimPrefix(didYouMean(text, s.one), ": known are "+strings.Join(slices.Sorted(slices.Values(s.one)), ", ")))
	}
	if check := kinds[s.is]; check != nil {
		return check(text)
	}
	return nil
}

func checkNumber(s *spec, path string, v reflect.Value, fail func(string, ...any)) {
	f := 0.0
	if v.CanInt() {
		f = float64(v.Int())
	} else {
		f = v.Float()
	}
	switch {
	case math.IsNaN(f) || math.Abs(f) > 1e12:
		fail("%s: %v is beyond 1000000000000", path, f)
	case s.most > 0 && (f < 0 || f > s.most):
		fail("%s: %v is not within 0 to %s", path, f, formatNumber(s.most))
	}
}

var goalName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

func checkName(s string) error {
	if !goalName.MatchString(s) {
		return fmt.Errorf("name: %q must be letters, digits, dots, hyphens and underscores, at most 100", s)
	}
	return nil
}

var word = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,99}$`)

func checkWord(s string) error {
	if !word.MatchString(s) {
		return fmt.Errorf("%q must be a letter followed by letters, digits, hyphens and underscores, at most 100", s)
	}
	return nil
}

// checkGlob accepts a glob of workspace paths: relative, slash-separated, inside.
func checkGlob(glob string) error {
	switch {
	case glob == "" || strings.Contains(glob, "\n"):
		return fmt.Errorf("%q is no glob: give one such as '**/*_test.go'", glob)
	case path.IsAbs(glob) || slices.Contains(strings.Split(glob, "/"), ".."):
		return fmt.Errorf("glob %q must be relative to the workspace and stay in it", glob)
	case !doublestar.ValidatePattern(glob):
		return fmt.Errorf("glob %q is malformed: close every [ and {", glob)
	}
	return nil
}

func checkImport(s string) error {
	if path.IsAbs(s) || !isGoalFile(s) || strings.ContainsAny(s, "\n\\") {
		return fmt.Errorf("%q must be the path of another goal file, relative to this one, such as ./shared/go.goal.md", s)
	}
	return nil
}

func checkPath(s string) error {
	if s == "" || strings.Contains(s, "\n") || !path.IsAbs(s) && slices.Contains(strings.Split(s, "/"), "..") {
		return fmt.Errorf("%q is no path of a file of the workspace", s)
	}
	return nil
}

func checkRegexp(s string) error {
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Errorf("%q is no regular expression: %w", s, err)
	}
	return nil
}

func checkModel(s string) error {
	if s == "" || strings.ContainsAny(s, ", \t\n") {
		return fmt.Errorf("%q is no model: write provider/model, or local; a chain is a list", s)
	}
	return nil
}

var hostName = regexp.MustCompile(`^(\*\.)?[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$`)

func checkHost(s string) error {
	if host, port, ok := strings.Cut(s, ":"); ok && checkPort(port) == nil {
		s = host
	}
	if len(s) > 253 || !hostName.MatchString(s) {
		return fmt.Errorf("%q is no host: write api.example.com, *.example.com or host:port", s)
	}
	return nil
}

func checkPort(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is no port from 1 to 65535", s)
	}
	return nil
}

// checkNet accepts what a box may be opened to. The sandbox checks it again, more strictly.
func checkNet(s string) error {
	if s == "public" {
		return nil
	}
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") && (strings.Count(s, ":") == 1 || strings.Contains(s, "]:")) {
		host, port = s[:i], s[i+1:]
		if err := checkPort(port); err != nil {
			return fmt.Errorf("%q: %w", s, err)
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParsePrefix(host); err == nil {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if checkHost(host) != nil {
		return fmt.Errorf("%q can't be opened: write host, host:port, *.suffix:port, CIDR:port or public", s)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(s, " \n") {
		return fmt.Errorf("%q is no address: write http://host:port/path", s)
	}
	if u.User != nil {
		return fmt.Errorf("%q holds a password: use secrets", u.Redacted())
	}
	return nil
}

func checkField(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) {
		return fmt.Errorf("%q can't be the name of a header or query parameter", s)
	}
	return nil
}

// toolNames are the tools and groups of tools that a goal file can name. A dotted or prefixed name is one tool of an MCP server.
var toolNames = []string{
	"files", "read", "write", "edit", "list", "search", "shell", "code", "browser", "web", "memory", "recall", "remember", "mcp",
}

func checkTool(s string) error {
	if slices.Contains(toolNames, s) || strings.Contains(s, "_") && checkWord(s) == nil {
		return nil
	}
	return fmt.Errorf("unknown tool %q%s", s, didYouMean(s, toolNames))
}

func checkZone(s string) error {
	if _, err := time.LoadLocation(s); err != nil || s == "Local" || s == "" {
		return fmt.Errorf("%q is no time zone: write one such as Europe/Berlin or UTC", s)
	}
	return nil
}

func checkParser(s string) error {
	if slices.Contains(Parsers(), Parser(s)) {
		return nil
	}
	known := []string{string(parseExit), string(parseText)}
	for _, p := range Parsers() {
		known = append(known, string(p))
	}
	return fmt.Errorf("unknown parser %q%s", s, didYouMean(s, known))
}
