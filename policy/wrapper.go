package policy

import (
	"regexp"
	"slices"
	"strings"
)

// prefixes are commands of the form NAME options [arguments] COMMAND: the options that take a value of their own, and the number
// of arguments before the command.
var prefixes = map[string]struct {
	values string // space-separated; a short one as -x
	skip   int
	sets   bool // NAME=value may stand before the command
}{
	"sudo":        {"-u -g -h -p -C -D -R -r -t -T -U --user --group --host --prompt --chdir --chroot --role --type --command-timeout --other-user --close-from", 0, true},
	"doas":        {"-u -C", 0, false},
	"pkexec":      {"--user", 0, false},
	"runuser":     {"-u --user -g --group -G", 0, false},
	"env":         {"-u -C --unset --chdir", 0, true},
	"nice":        {"-n --adjustment", 0, false},
	"ionice":      {"-c -n -p -P -u --class --classdata", 0, false},
	"chrt":        {"-T -P -D", 1, false},
	"taskset":     {"", 1, false},
	"nohup":       {"", 0, false},
	"setsid":      {"", 0, false},
	"setarch":     {"", 1, false},
	"timeout":     {"-s -k --signal --kill-after", 1, false},
	"time":        {"-o -f --output --format", 0, false},
	"stdbuf":      {"-i -o -e --input --output --error", 0, false},
	"strace":      {"-a -b -e -E -I -o -O -p -P -s -S -u -U -X", 0, false},
	"ltrace":      {"-a -A -e -l -n -o -p -s -u -x -X", 0, false},
	"unshare":     {"-S -G -R -w --setuid --setgid --root --wd", 0, false},
	"nsenter":     {"-t -S -G --target --setuid --setgid", 0, false},
	"chroot":      {"--userspec --groups", 1, false},
	"setpriv":     {"--reuid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits", 0, false},
	"fakeroot":    {"-l -s -i -b --lib --faked", 0, false},
	"exec":        {"-a", 0, false},
	"builtin":     {"", 0, false},
	"busybox":     {"", 0, false},
	"toybox":      {"", 0, false},
	"watch":       {"-n --interval", 0, false},
	"flock":       {"-w -E --timeout --conflict-exit-code", 1, false},
	"catchsegv":   {"", 0, false},
	"xvfb-run":    {"-e -f -n -p -s -w --server-args --server-num", 0, false},
	"systemd-run": {"-p -u -M -H -E --unit --property --slice --uid --gid --setenv --machine --host", 0, false},
}

var shells = []string{"sh", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "ash", "rbash", "fish"}

// runnerOf returns what lists the commands that a command of that name runs and reports whether they are known; nil for a
// command that runs no other.
func runnerOf(name string) func(*reader, []field, scope) bool {
	switch name {
	case "command":
		return runCommand
	case "eval":
		return runEval
	case "trap":
		return runTrap
	case "find":
		return runFind
	case "xargs":
		return runXargs
	case "parallel":
		return runParallel
	case "su", "script":
		return runSu
	case "ssh":
		return runSSH
	case "alias":
		return runAlias
	case ".", "source":
		return runSource
	}
	switch {
	case slices.Contains(shells, name):
		return runShell
	case slices.Contains(interpreters, name):
		return runInterpreter
	case slices.Contains(evaluators, name):
		return runEvaluator
	}
	if _, ok := prefixes[name]; ok {
		return func(r *reader, fs []field, in scope) bool { return r.prefix(name, fs, in) }
	}
	return nil
}

// interpreters run a program from standard input when they are given none.
var interpreters = []string{"python", "python2", "python3", "node", "nodejs", "deno", "bun", "perl", "ruby", "php", "lua", "osascript", "Rscript"}

// evaluators are builtins that take the name of a variable, in whose index bash runs what is substituted, quoted or not.
var evaluators = []string{"test", "[", "printf", "unset", "read", "mapfile", "readarray", "wait"}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// options skips the options of a command: it returns what follows them, and calls see for each with its value, if it has one.
func options(fs []field, values string, see func(name string, val *field)) (rest []field, known bool) {
	takes := strings.Fields(values)
	known = true
	for i := 0; i < len(fs); i++ {
		f := fs[i]
		switch {
		case f.unsure():
			return fs[i:], false // it may be an option, a value or the command
		case f.s == "--":
			return fs[i+1:], known
		case len(f.s) < 2 || f.s[0] != '-' && f.s[0] != '+':
			return fs[i:], known
		}
		name, val, has := strings.Cut(f.s, "=")
		if !strings.HasPrefix(f.s, "--") {
			// a cluster such as -xu: the first that takes a value takes the rest or the next word
			name, has = f.s, false
			for j := 1; j < len(f.s); j++ {
				if o := f.s[:1] + f.s[j:j+1]; slices.Contains(takes, o) {
					name, val, has = o, f.s[j+1:], j+1 < len(f.s)
					break
				}
			}
		}
		var value *field
		switch {
		case has:
			value = &field{s: val}
		case slices.Contains(takes, name) && i+1 < len(fs):
			i++
			value = &fs[i]
		}
		see(name, value)
	}
	return nil, known
}

func ignore(string, *field) {}

// prefix runs what stands behind the options and arguments of a simple wrapper.
func (r *reader) prefix(name string, fs []field, in scope) bool {
	w := prefixes[name]
	var script *field
	shell := false
	values := w.values
	switch name {
	case "env":
		values += " -S --split-string"
	case "flock":
		values += " -c --command"
	}
	rest, known := options(fs[1:], values, func(opt string, val *field) {
		switch {
		case val != nil && (opt == "-S" || opt == "--split-string" || opt == "-c" || opt == "--command"):
			script = val
		case name == "sudo" && (opt == "-s" || opt == "-i"):
			shell = true
		}
	})
	if name == "env" && script != nil {
		return known && r.script(*script, quoteFields(rest), in)
	}
	if name == "env" && len(rest) > 0 && rest[0].s == "-" {
		rest = rest[1:] // the same as -i
	}
	var c Command
	if name == "flock" && len(rest) > 2 && (rest[1].s == "-c" || rest[1].s == "--command") {
		return r.script(rest[2], "", in)
	}
	for range w.skip {
		if len(rest) == 0 {
			return known
		}
		rest = rest[1:]
	}
	for w.sets && len(rest) > 0 && assignment.MatchString(rest[0].s) {
		c.Sets = append(c.Sets, rest[0].s)
		rest = rest[1:]
	}
	if name == "watch" && len(rest) > 0 {
		return known && r.joined(rest, in)
	}
	if len(rest) == 0 {
		return known && !shell
	}
	r.nested(rest, c, in)
	return known
}

// nested lists a command that another runs.
func (r *reader) nested(fs []field, c Command, in scope) {
	c.Wrapped, c.Redirects = in.wrapped, in.redirects
	r.command(fs, c, in)
}

// script reads a text that a shell gets; more stands behind it.
func (r *reader) script(f field, more string, in scope) bool {
	if f.expands {
		r.unknown(f.s, in) // beside what of it can be read
	}
	if more != "" {
		f.s += " " + more
	}
	r.line(f.s, scope{wrapped: in.wrapped, redirects: in.redirects, depth: in.depth, piped: in.piped, input: in.input})
	return !f.expands
}

// joined reads words that a shell gets as one text.
func (r *reader) joined(fs []field, in scope) bool {
	all := field{}
	words := make([]string, len(fs))
	for i, f := range fs {
		words[i] = f.s
		all.expands = all.expands || f.expands
	}
	all.s = strings.Join(words, " ")
	return r.script(all, "", in)
}

func quoteFields(fs []field) string {
	words := make([]string, len(fs))
	for i, f := range fs {
		words[i] = f.s
	}
	return quoteAll(words)
}

// runShell reads sh -c TEXT, sh FILE, and sh with its commands on standard input.
func runShell(r *reader, fs []field, in scope) bool {
	c, stdin := false, false
	rest, known := options(fs[1:], "-o -O +o +O --rcfile --init-file", func(opt string, _ *field) {
		if strings.HasPrefix(opt, "-") && !strings.HasPrefix(opt, "--") {
			c = c || strings.Contains(opt, "c")
			stdin = stdin || strings.Contains(opt, "s")
		}
	})
	switch {
	case !known:
		return false
	case c && len(rest) == 0:
		return false // the text comes from somewhere else, such as xargs
	case c:
		return r.script(rest[0], "", in)
	case len(rest) > 0 && !stdin && rest[0].s != "-" && rest[0].s != "/dev/stdin" && rest[0].s != "/dev/fd/0":
		return !rest[0].expands && !rest[0].glob // a file
	}
	return r.stdin(in)
}

// runInterpreter tells a program in a file or an argument from one that comes through a pipe.
func runInterpreter(_ *reader, fs []field, in scope) bool {
	if !in.piped {
		return true
	}
	for _, f := range fs[1:] {
		if f.s != "-" && (!strings.HasPrefix(f.s, "-") || strings.HasPrefix(f.s, "-c") || strings.HasPrefix(f.s, "-e") || strings.HasPrefix(f.s, "-m")) {
			return true
		}
	}
	return false
}

func runEvaluator(_ *reader, fs []field, _ scope) bool {
	return !slices.ContainsFunc(fs[1:], func(f field) bool { return strings.Contains(f.s, "[$(") || strings.Contains(f.s, "[`") })
}

// stdin reads commands that come from standard input, where that stands in the command line.
func (r *reader) stdin(in scope) bool {
	if in.input == nil {
		return false
	}
	f := field{s: in.input.s, expands: in.input.expands}
	in.input = nil
	return r.script(f, "", in)
}

// runSource reads ". FILE": a file's content is not known, but which file it is.
func runSource(r *reader, fs []field, in scope) bool {
	if len(fs) < 2 {
		return true
	}
	if fs[1].s == "/dev/stdin" || fs[1].s == "/dev/fd/0" {
		return r.stdin(in)
	}
	return !fs[1].expands && !fs[1].glob
}

func runCommand(r *reader, fs []field, in scope) bool {
	asks := false
	rest, known := options(fs[1:], "", func(opt string, _ *field) { asks = asks || strings.ContainsAny(opt, "vV") })
	if !asks && len(rest) > 0 {
		r.nested(rest, Command{}, in)
	}
	return known
}

func runEval(r *reader, fs []field, in scope) bool {
	rest := fs[1:]
	if len(rest) > 0 && rest[0].s == "--" {
		rest = rest[1:]
	}
	return len(rest) == 0 || r.joined(rest, in)
}

func runTrap(r *reader, fs []field, in scope) bool {
	rest, known := options(fs[1:], "", ignore)
	if len(rest) < 2 || rest[0].s == "-" || rest[0].s == "" {
		return known
	}
	return known && r.script(rest[0], "", in)
}

func runAlias(r *reader, fs []field, _ scope) bool {
	known := true
	for _, f := range fs[1:] {
		name, body, ok := strings.Cut(f.s, "=")
		if ok && len(r.aliases) < maxCommands {
			if r.aliases == nil {
				r.aliases = map[string]string{}
			}
			r.aliases[name] = body
		}
		known = known && !f.expands
	}
	return known
}

func runFind(r *reader, fs []field, in scope) bool {
	known := true
	for i := 1; i < len(fs); i++ {
		switch fs[i].s {
		case "-exec", "-execdir", "-ok", "-okdir":
		default:
			continue
		}
		var inner []field
		for i++; i < len(fs) && fs[i].s != ";" && (fs[i].s != "+" || len(inner) == 0 || inner[len(inner)-1].s != "{}"); i++ {
			f := fs[i]
			f.expands = f.expands || strings.Contains(f.s, "{}")
			inner = append(inner, f)
		}
		if len(inner) > 0 {
			known = known && !inner[0].expands
			r.nested(inner, Command{}, in)
		}
	}
	return known
}

func runXargs(r *reader, fs []field, in scope) bool {
	replace := ""
	rest, known := options(fs[1:], "-a -d -E -I -L -n -P -s --arg-file --delimiter --max-args --max-procs --max-chars --max-lines --process-slot-var", func(opt string, val *field) {
		switch {
		case opt == "-I" && val != nil:
			replace = val.s
		case opt == "-i" || strings.HasPrefix(opt, "--replace"):
			replace = "{}"
		}
	})
	if len(rest) == 0 {
		return known // it runs echo
	}
	rest = slices.Clone(rest)
	for i := range rest {
		if replace != "" && strings.Contains(rest[i].s, replace) {
			rest[i].expands = true
		}
	}
	in.expands, in.piped, in.input = true, true, nil
	r.nested(rest, Command{}, in)
	return known && !rest[0].expands
}

// runParallel knows what is run but not with what: parallel hands its text to a shell with the input put into it.
func runParallel(r *reader, fs []field, in scope) bool {
	rest, _ := options(fs[1:], "-j -a -S -N -n -L -I --jobs --arg-file --sshlogin --colsep --delay --results", ignore)
	if len(rest) > 0 {
		in.expands = true
		r.nested(rest, Command{}, in)
	}
	return false
}

// runSu reads su and script, which run a shell unless -c gives a text.
func runSu(r *reader, fs []field, in scope) bool {
	var text *field
	for i := 1; i < len(fs); i++ {
		f := fs[i]
		switch val, has := strings.CutPrefix(f.s, "--command="); {
		case has:
			text = &field{s: val, expands: f.expands}
		case (f.s == "--command" || len(f.s) > 1 && f.s[0] == '-' && f.s[1] != '-' && strings.HasSuffix(f.s, "c")) && i+1 < len(fs):
			text = &fs[i+1]
		}
	}
	return text != nil && r.script(*text, "", in)
}

func runSSH(r *reader, fs []field, in scope) bool {
	rest, known := options(fs[1:], "-B -b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w", ignore)
	if len(rest) < 2 {
		return false // a shell elsewhere
	}
	return r.joined(rest[1:], in) && known
}
