//go:build linux

// Command miniwob measures the browser tool on MiniWoB++ pages with a scripted player, which sees only outlines and uses only
// the tool's actions. It plays episodes of a server that speaks the protocol of the suite's harness, or one page by address.
//
//	miniwob [-v] [-seeds 1,2,3] SERVER TASK…
//	miniwob [-v] URL
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"agentd/tools"
	"agentd/tools/args"
	"agentd/tools/browser"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// episode is what the server says of one.
type episode struct {
	ID, Task, URL, Utterance string
	Raw                      *float64
	Success, Suspect, Done   bool
}

func run(ctx context.Context, argv []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("miniwob", flag.ContinueOnError)
	flags.SetOutput(errs)
	verbose := flags.Bool("v", false, "print every action and its answer")
	seeds := flags.String("seeds", "1", "comma-separated")
	if err := flags.Parse(argv); err != nil || flags.NArg() == 0 {
		return 2
	}
	b, done, err := open()
	if err != nil {
		fmt.Fprintln(errs, "miniwob:", err)
		return 1
	}
	defer done()
	p := &player{ctx: ctx, tool: browser.Tool{}, tabs: b.Tabs("play"), log: io.Discard}
	if *verbose {
		p.log = out
	}
	if flags.NArg() == 1 {
		if err := p.play(flags.Arg(0)); err != nil {
			fmt.Fprintln(errs, "miniwob:", err)
			return 1
		}
		return 0
	}
	passed, all, suspect := 0, 0, 0
	for _, task := range flags.Args()[1:] {
		for _, seed := range strings.Split(*seeds, ",") {
			e, took, err := one(ctx, p, flags.Arg(0), task, seed)
			if err != nil {
				fmt.Fprintf(out, "%-24s seed %s error: %v\n", task, seed, err)
			}
			all++
			word := "fail"
			if e.Success {
				passed++
				word = "PASS"
			}
			if e.Suspect {
				suspect++
			}
			fmt.Fprintf(out, "%-24s seed %s %s %5.1fs %3d actions  %s\n", task, seed, word, took.Seconds(), p.n, e.Utterance)
		}
	}
	fmt.Fprintf(out, "%d of %d passed, %d suspect; action p50 %v\n", passed, all, suspect, p.median())
	if passed < all {
		return 1
	}
	return 0
}

// open makes a browser on this host.
func open() (*browser.Browser, func(), error) {
	program, err := browser.Find()
	if err != nil {
		return nil, nil, err
	}
	scratch, release, err := browser.NewScratch()
	if err != nil {
		return nil, nil, err
	}
	b, err := browser.New(browser.Options{Program: program, Start: browser.OnHost, Scratch: scratch, NoSandbox: os.Geteuid() == 0})
	if err != nil {
		return nil, nil, err
	}
	return b, func() {
		if err := b.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "miniwob:", err)
		}
		_ = release.Close() // the folder is gone already
	}, nil
}

func one(ctx context.Context, p *player, server, task, seed string) (episode, time.Duration, error) {
	var e episode
	body := fmt.Sprintf(`{"task":%q,"seed":%s}`, task, seed)
	if err := ask(ctx, http.MethodPost, server+"/episodes", body, &e); err != nil {
		return e, 0, err
	}
	began := time.Now()
	played := p.play(e.URL)
	err := ask(ctx, http.MethodGet, server+"/episodes/"+e.ID+"/wait?s=2", "", &e)
	if err == nil && !e.Success {
		err = played
	}
	return e, time.Since(began), err
}

func ask(ctx context.Context, method, to, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", to, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// player plays by the tool's actions.
type player struct {
	ctx   context.Context
	tool  tools.Tool
	tabs  tools.Tabs
	log   io.Writer
	n     int
	times []time.Duration

	query string // the instruction
}

func (p *player) median() time.Duration {
	if len(p.times) == 0 {
		return 0
	}
	slices.Sort(p.times)
	return p.times[len(p.times)/2].Round(time.Millisecond)
}

// failed is how a player gives up.
type failed struct{ error }

// do does one action and returns its text.
func (p *player) do(a args.Browser) string {
	raw, err := json.Marshal(a)
	if err != nil {
		panic(failed{err})
	}
	decoded, err := p.tool.Decode(raw)
	if err != nil {
		panic(failed{err})
	}
	began := time.Now()
	r, err := p.tool.Run(p.ctx, tools.Env{Tabs: p.tabs}, decoded)
	if err != nil {
		panic(failed{err})
	}
	p.n++
	p.times = append(p.times, time.Since(began))
	text := r.Output.Head() + r.Output.Tail()
	if f, err := r.Output.Spilled(); err == nil && f != nil {
		all, err := io.ReadAll(f)
		if err != nil {
			panic(failed{err})
		}
		text = string(all)
	}
	fmt.Fprintf(p.log, "%s\n%s\n", raw, text)
	if !r.OK {
		panic(failed{fmt.Errorf("%s: %s", raw, text)})
	}
	return text
}

// play plays the page at an address.
func (p *player) play(to string) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failed:
			err = r.error
		default:
			panic(r)
		}
	}()
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	p.n = 0
	p.do(args.Browser{Action: "open", URL: to})
	task := strings.TrimSuffix(path.Base(u.Path), ".html")
	f := games[task]
	if f == nil {
		return fmt.Errorf("nobody knows how to play %s", task)
	}
	f(p)
	return nil
}
