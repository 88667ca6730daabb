package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// conventions are goals that name something only memory knows. Their checks are what a person would type without thinking of it:
// whether the right thing was done is for the strict verdict.
var conventions = []task{
	{"usual-place", usualPlace, true},
	{"reviewer", reviewer, true},
	{"house-style", houseStyle, true},
}

func usualPlace(dir string, r *rand.Rand) (instance, error) {
	place := "results/" + nouns[r.IntN(len(nouns))] + ".txt"
	sum := 0
	var b strings.Builder
	for range 12 {
		n := r.IntN(90) + 10
		sum += n
		fmt.Fprintln(&b, n)
	}
	add := "awk '{s+=$1} END {print s}' numbers.txt"
	return instance{
		goal:     "Add up the numbers in numbers.txt and write the sum to the usual place for sums.",
		check:    fmt.Sprintf("grep -rqx --include='*.txt' %d .", sum),
		fact:     "The usual place for sums is the file " + place,
		solution: fmt.Sprintf("mkdir -p results && %s > %s", add, place),
		guess:    add + " > sum.txt",
		strict: func(dir string) error {
			got, err := read(dir, place)
			if err != nil || strings.TrimSpace(got) != strconv.Itoa(sum) {
				return fmt.Errorf("%s holds %q, want %d (%v)", place, got, sum, err)
			}
			return nil
		},
	}, write(dir, "numbers.txt", b.String())
}

func reviewer(dir string, r *rand.Rand) (instance, error) {
	name := nouns[r.IntN(len(nouns))] + strconv.Itoa(10+r.IntN(90))
	return instance{
		goal:     "Write the login of the person who reviews our changes to reviewer.txt, and nothing else.",
		check:    "test -s reviewer.txt",
		fact:     "Our changes are reviewed by the person with the login " + name,
		solution: "echo " + name + " > reviewer.txt",
		guess:    "whoami > reviewer.txt",
		strict: func(dir string) error {
			got, err := read(dir, "reviewer.txt")
			if err != nil || strings.TrimSpace(got) != name {
				return fmt.Errorf("reviewer.txt holds %q, want %q (%v)", got, name, err)
			}
			return nil
		},
	}, write(dir, "CHANGES", "none yet\n")
}

func houseStyle(dir string, r *rand.Rand) (instance, error) {
	mark := strings.ToUpper(nouns[r.IntN(len(nouns))])
	version := fmt.Sprintf("%d.%d", 1+r.IntN(9), r.IntN(20))
	return instance{
		goal:     "Put the version " + version + " into release.txt as one line in our house style for versions.",
		check:    "grep -q " + version + " release.txt",
		fact:     "Our house style for versions is " + mark + ":VERSION:" + mark + ", with the number in place of VERSION",
		solution: fmt.Sprintf("echo %s:%s:%s > release.txt", mark, version, mark),
		guess:    "echo " + version + " > release.txt",
		strict: func(dir string) error {
			got, err := read(dir, "release.txt")
			if want := mark + ":" + version + ":" + mark; err != nil || strings.TrimSpace(got) != want {
				return fmt.Errorf("release.txt holds %q, want %q (%v)", got, want, err)
			}
			return nil
		},
	}, write(dir, "README", "Nothing about versions.\n")
}

// ablate runs the same goals in each mode of memory, and prints what differs: the ten goals, which memory can't help and could
// disturb, and the conventions, which can't be right without it. All facts are in memory together.
func ablate(o options) (int, error) {
	modes := strings.Split(o.memory, ",")
	for _, m := range modes {
		if m != "off" && m != "read" {
			return 0, fmt.Errorf("-memory %s: compare off and read; the other modes would change what later goals see", m)
		}
	}
	var err error
	if o.home, err = os.MkdirTemp("", "evals-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(o.home)
	defer stop(o)
	if o.scripted {
		if o.script, err = serveScript(); err != nil {
			return 0, err
		}
		defer o.script.Close()
	}
	all := map[string][]verdict{}
	for seed := o.from; seed < o.from+o.seeds; seed++ {
		if err := teach(o, seed); err != nil {
			return 0, err
		}
		for i, t := range append(conventions[:len(conventions):len(conventions)], tasks...) {
			if !o.wants(t) {
				continue
			}
			for _, mode := range modes {
				v, err := one(o, t, i, seed, mode)
				if err != nil {
					return 0, fmt.Errorf("%s, seed %d: %w", t.name, seed, err)
				}
				all[mode] = append(all[mode], v)
				fmt.Printf("%-14s seed %d memory %-5s recalled %d  %5.1fs  %2d steps %6d tokens  accepted %-5v right %v%s\n",
					v.Task, v.Seed, mode, v.Recalled, v.Seconds, v.Steps, v.Tokens, v.Accepted, v.Right, suffix(v.Why))
				if err := record(o.out, v); err != nil {
					return 0, err
				}
			}
		}
		if err := unteach(o); err != nil {
			return 0, err
		}
	}
	for _, group := range []string{"conventions", "other goals"} {
		fmt.Println(group + ":")
		sums := map[string]verdictSum{}
		for _, mode := range modes {
			s := total(all[mode], group == "conventions")
			sums[mode] = s
			if s.n > 0 {
				fmt.Printf("  %-5s %d runs, %d accepted, %d right, recalled %.1f, %.1f steps, %.0f tokens and %.1f s a run\n",
					mode, s.n, s.accepted, s.right, s.per(s.recalled), s.per(s.steps), s.per(s.tokens), s.per(s.seconds))
			}
		}
		if a, b := sums[modes[0]], sums[modes[len(modes)-1]]; len(modes) == 2 && a.n > 0 {
			better, worse := pairs(all[modes[0]], all[modes[1]], group == "conventions")
			fmt.Printf("  %s against %s: right %+d of %d (%d better, %d worse), steps %+.1f, tokens %+.0f, seconds %+.1f a run\n",
				modes[1], modes[0], b.right-a.right, a.n, better, worse, b.per(b.steps)-a.per(a.steps), b.per(b.tokens)-a.per(a.tokens), b.per(b.seconds)-a.per(a.seconds))
		}
	}
	return 0, nil
}

type verdictSum struct {
	n, accepted, right               int
	recalled, steps, tokens, seconds float64
}

func (s verdictSum) per(x float64) float64 { return x / float64(max(s.n, 1)) }

func isConvention(v verdict) bool {
	for _, t := range conventions {
		if t.name == v.Task {
			return true
		}
	}
	return false
}

func total(l []verdict, convention bool) (s verdictSum) {
	for _, v := range l {
		if isConvention(v) != convention {
			continue
		}
		s.n++
		if v.Accepted {
			s.accepted++
		}
		if v.Right {
			s.right++
		}
		s.recalled, s.steps, s.tokens, s.seconds = s.recalled+float64(v.Recalled), s.steps+float64(v.Steps), s.tokens+float64(v.Tokens), s.seconds+v.Seconds
	}
	return s
}

// pairs counts the goals that only one of two modes got right.
func pairs(a, b []verdict, convention bool) (better, worse int) {
	for i := range a {
		switch {
		case isConvention(a[i]) != convention || a[i].Right == b[i].Right:
		case b[i].Right:
			better++
		default:
			worse++
		}
	}
	return better, worse
}

// teach puts the facts of all conventions of a seed into the user's memory.
func teach(o options, seed int) error {
	dir, err := os.MkdirTemp("", "eval-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, t := range conventions {
		ws := filepath.Join(dir, t.name)
		if err := os.Mkdir(ws, 0o755); err != nil {
			return err
		}
		in, err := t.make(ws, rand.New(rand.NewPCG(uint64(seed), uint64(i))))
		if err != nil {
			return err
		}
		if _, err := ctl(o, "memory", "add", in.fact); err != nil {
			return err
		}
	}
	return nil
}

func unteach(o options) error {
	out, err := ctl(o, "memory", "ls", "--json")
	if err != nil {
		return err
	}
	var items []struct{ ID string }
	if err := json.Unmarshal(out, &items); err != nil {
		return err
	}
	args := []string{"memory", "forget"}
	for _, it := range items {
		args = append(args, it.ID)
	}
	_, err = ctl(o, args...)
	return err
}

// ctl runs the client against the runs' daemon.
func ctl(o options, args ...string) ([]byte, error) {
	cmd := exec.Command(o.ctl, args...)
	cmd.Env = append(os.Environ(), "AGENTD_HOME="+o.home)
	if o.script != nil {
		cmd.Env = append(cmd.Env, o.script.env()...)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("agentctl %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes(), nil
}

// count takes what a run used and recalled from its events.
func (v *verdict) count(events []byte) {
	for l := range bytes.Lines(events) {
		var e struct {
			Kind string
			Data struct {
				Used  int64
				Step  int
				Items []struct{}
			}
		}
		if json.Unmarshal(l, &e) != nil {
			continue
		}
		switch e.Kind {
		case "model_asked":
			v.Steps = max(v.Steps, e.Data.Step)
		case "model_replied":
			v.Tokens += e.Data.Used
		case "recalled":
			v.Recalled += len(e.Data.Items)
		}
	}
}
