//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"agentd/tools/args"
)

// item is something that stands in an outline: an element, or a text.
type item struct {
	line                  int
	role, name, ref, rest string
}

var (
	itemForm  = regexp.MustCompile(`([a-z][a-z0-9]*)(?: ("(?:[^"\\]|\\.)*"))? \[((?:f\d+)?e\d+)\]|(hint|value)=("(?:[^"\\]|\\.)*")|(\bh\d) ("(?:[^"\\]|\\.)*")|("(?:[^"\\]|\\.)*")`)
	unescaped = strings.NewReplacer(`\"`, `"`, `\\`, `\`)
)

func unquote(s string) string {
	return strings.TrimSpace(unescaped.Replace(strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)))
}

// items reads an outline.
func items(outline string) []item {
	var out []item
	for n, l := range strings.Split(outline, "\n") {
		if n == 0 {
			continue // the page's title and address
		}
		for _, m := range itemForm.FindAllStringSubmatchIndex(l, -1) {
			part := func(i int) string {
				if m[2*i] < 0 {
					return ""
				}
				return l[m[2*i]:m[2*i+1]]
			}
			switch {
			case part(1) != "":
				out = append(out, item{n, part(1), unquote(part(2)), part(3), ""})
			case part(4) != "" && len(out) > 0:
				out[len(out)-1].rest += " " + part(4) + "=" + unquote(part(5)) + " "
			case part(6) != "":
				out = append(out, item{n, "heading", unquote(part(7)), "", ""})
			case part(8) != "":
				out = append(out, item{n, "text", unquote(part(8)), "", ""})
			}
		}
	}
	return out
}

// look reads the page again and returns what is on it; the first text is the instruction.
func (p *player) look() []item {
	text := p.do(args.Browser{Action: "outline"})
	all := items(text)
	for _, m := range regexp.MustCompile(`… \d+ more like (e\d+)`).FindAllStringSubmatch(text, 3) { // what is folded
		all = append(all, items(p.do(args.Browser{Action: "outline", Ref: m[1]}))...)
	}
	for i, it := range all {
		if it.role == "text" {
			p.query = it.name
			return append(append([]item{}, all[:i]...), all[i+1:]...)
		}
	}
	return all
}

func give(format string, a ...any) { panic(failed{fmt.Errorf(format, a...)}) }

// pick finds the n-th element of a role; a name must fit when one is given.
func pick(all []item, role, name string, n int) item {
	same := func(a string) bool {
		return strings.EqualFold(strings.Trim(a, " .,"), strings.Trim(name, " .,"))
	}
	for _, it := range all {
		if it.ref != "" && (role == "" || it.role == role) && (name == "" || same(it.name)) {
			if n--; n < 0 {
				return it
			}
		}
	}
	give("there is no %s %q", role, name)
	return item{}
}

func (p *player) click(it item)         { p.do(args.Browser{Action: "click", Ref: it.ref}) }
func (p *player) typ(it item, s string) { p.do(args.Browser{Action: "type", Ref: it.ref, Text: s}) }

// match takes the instruction apart.
func (p *player) match(form string) []string {
	m := regexp.MustCompile(form).FindStringSubmatch(p.query)
	if m == nil {
		give("the instruction %q is of another form", p.query)
	}
	return m[1:]
}

func split(s string) []string {
	var out []string
	for _, x := range regexp.MustCompile(`,\s*|\s+and\s+`).Split(s, -1) {
		if x = strings.TrimSpace(x); x != "" {
			out = append(out, x)
		}
	}
	return out
}

func (p *player) submit(all []item) { p.click(pick(all, "button", "Submit", 0)) }

var games = map[string]func(*player){
	"click-test":   func(p *player) { p.click(pick(p.look(), "button", "", 0)) },
	"click-test-2": func(p *player) { all := p.look(); p.click(pick(all, "button", p.match(`button (\w+)`)[0], 0)) },
	"click-button": func(p *player) { all := p.look(); p.click(pick(all, "button", p.match(`"(.*)"`)[0], 0)) },
	"click-link":   func(p *player) { all := p.look(); p.click(pick(all, "clickable", p.match(`"(.*)"`)[0], 0)) },
	"click-dialog": func(p *player) { p.click(pick(p.look(), "button", "Close", 0)) },
	"click-option": func(p *player) {
		all := p.look()
		p.click(pick(all, "radio", p.match(`Select (.*) and click`)[0], 0))
		p.submit(all)
	},
	"click-checkboxes": func(p *player) {
		all := p.look()
		for _, n := range split(p.match(`Select (.*) and click`)[0]) {
			if n != "nothing" {
				p.do(args.Browser{Action: "check", Ref: pick(all, "checkbox", n, 0).ref})
			}
		}
		p.submit(all)
	},
	"enter-text": func(p *player) {
		all := p.look()
		p.typ(pick(all, "textbox", "", 0), p.match(`"(.*)"`)[0])
		p.submit(all)
	},
	"enter-password": func(p *player) {
		all := p.look()
		s := p.match(`"(.*)"`)[0]
		p.typ(pick(all, "textbox", "", 0), s)
		p.typ(pick(all, "textbox", "", 1), s)
		p.submit(all)
	},
	"focus-text":       func(p *player) { p.click(pick(p.look(), "textbox", "", 0)) },
	"login-user":       login,
	"login-user-popup": login,
	"read-table": func(p *player) {
		all := p.look()
		want := p.match(`value of (.*) into`)[0]
		for i, it := range all[:len(all)-1] {
			if it.role == "text" && it.name == want {
				p.typ(pick(all, "textbox", "", 0), all[i+1].name)
			}
		}
		p.submit(all)
	},
	"click-tab":   func(p *player) { all := p.look(); p.click(pick(all, "tab", p.match(`on (Tab #\d)`)[0], 0)) },
	"click-tab-2": clickTab2,
	"click-collapsible": func(p *player) {
		p.click(pick(p.look(), "tab", "", 0))
		time.Sleep(500 * time.Millisecond) // it opens slowly
		p.click(pick(p.look(), "button", "Submit", 0))
	},
	"enter-date": func(p *player) {
		all := p.look()
		m := p.match(`(\d+)/(\d+)/(\d{4})`)
		p.typ(pick(all, "textbox", "", 0), m[2]+"-"+pad(m[0])+"-"+pad(m[1]))
		p.submit(all)
	},
	"enter-time": func(p *player) {
		all := p.look()
		m := p.match(`(\d+):(\d+) (AM|PM)`)
		h, _ := strconv.Atoi(m[0])
		h %= 12
		if m[2] == "PM" {
			h += 12
		}
		p.typ(pick(all, "textbox", "", 0), fmt.Sprintf("%02d:%s", h, m[1]))
		p.submit(all)
	},
	"choose-list": func(p *player) {
		all := p.look()
		p.do(args.Browser{Action: "select", Ref: pick(all, "combobox", "", 0).ref, Text: p.match(`Select (.*) from`)[0]})
		p.submit(all)
	},
	"text-transform": func(p *player) {
		all := p.look()
		p.typ(pick(all, "textbox", "", 0), all[0].name)
		p.submit(all)
	},
	"simple-arithmetic": func(p *player) {
		all := p.look()
		m := regexp.MustCompile(`(\d+)\s*([-+x*])\s*(\d+)`).FindStringSubmatch(all[0].name)
		if m == nil {
			give("no problem in %q", all[0].name)
		}
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[3])
		p.typ(pick(all, "textbox", "", 0), strconv.Itoa(map[string]int{"+": a + b, "-": a - b, "x": a * b, "*": a * b}[m[2]]))
		p.submit(all)
	},
	"use-autocomplete": autocomplete,
	"form-sequence-2": func(p *player) {
		all := p.look()
		m := p.match(`Check the (\d)\w+ radio button and enter the number "(.*)" into the (\d)\w+ textbox`)
		i, _ := strconv.Atoi(m[0])
		j, _ := strconv.Atoi(m[2])
		p.click(pick(all, "radio", "", i-1))
		p.typ(pick(all, "textbox", "", j-1), m[1])
		p.submit(all)
	},
	"search-engine": searchEngine,
	"find-word": func(p *player) {
		all := p.look()
		m := p.match(`the (\d+)\w+ word`)
		i, _ := strconv.Atoi(m[0])
		words := strings.Fields(all[0].name)
		p.typ(pick(all, "textbox", "", 0), strings.Trim(words[i-1], ".,;:!?"))
		p.submit(all)
	},
}

func pad(s string) string {
	if len(s) == 1 {
		return "0" + s
	}
	return s
}

func login(p *player) {
	p.look() // at the instruction
	m := p.match(`username "(.*)" and the password "(.*)" into`)
	for i, s := range m {
		for range 3 { // something may pop up in front
			p.dismiss()
			all := p.look()
			if p.try(args.Browser{Action: "type", Ref: pick(all, "textbox", "", i).ref, Text: s}) && strings.Contains(pick(p.look(), "textbox", "", i).rest, "value=") {
				break
			}
		}
	}
	p.dismiss()
	all := p.look()
	for _, name := range []string{"Login", "OK"} {
		for _, it := range all {
			if it.role == "button" && it.name == name && p.try(args.Browser{Action: "click", Ref: it.ref}) {
				return
			}
		}
	}
	give("there is no button to log in")
}

// dismiss closes what popped up.
func (p *player) dismiss() {
	for _, it := range p.look() {
		if n := strings.ToLower(it.name); it.ref != "" && (n == "cancel" || n == "close" || n == "x" || n == "exit") && p.try(args.Browser{Action: "click", Ref: it.ref}) {
			return
		}
	}
}

// try does an action and says whether it was done.
func (p *player) try(a args.Browser) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(failed); !is {
				panic(r)
			}
		}
	}()
	p.do(a)
	return true
}

func clickTab2(p *player) {
	all := p.look()
	want := p.match(`link "(.*)"`)[0]
	for i := range 6 {
		for _, it := range all {
			if it.role == "clickable" && strings.EqualFold(strings.Trim(it.name, " .,"), strings.Trim(want, " .,")) {
				p.click(it)
				return
			}
		}
		p.click(pick(all, "tab", "", i+1))
		all = p.look()
	}
}

func autocomplete(p *player) {
	all := p.look()
	head := p.match(`starts with "([^"]*)"`)[0]
	tail := ""
	if m := regexp.MustCompile(`ends with "([^"]*)"`).FindStringSubmatch(p.query); m != nil {
		tail = m[1]
	}
	p.typ(pick(all, "textbox", "", 0), head)
	p.do(args.Browser{Action: "wait"})
	time.Sleep(500 * time.Millisecond) // suggestions come with a delay of their own
	for _, it := range p.look() {
		if it.ref != "" && it.role != "textbox" && strings.HasPrefix(strings.ToLower(it.name), strings.ToLower(head)) && strings.HasSuffix(strings.ToLower(it.name), strings.ToLower(tail)) {
			p.click(it)
			p.submit(p.look())
			return
		}
	}
	give("nothing suggested begins with %q and ends with %q", head, tail)
}

func searchEngine(p *player) {
	all := p.look()
	m := p.match(`enter "(.*)" and press "Search", then find and click the (\d+)\w+ search result`)
	p.typ(pick(all, "textbox", "", 0), m[0])
	p.click(pick(all, "button", "Search", 0))
	n, _ := strconv.Atoi(m[1])
	for page := 1; page < 10; page++ {
		var results []item
		all = p.look()
		for _, it := range all {
			if (it.role == "link" || it.role == "clickable") && !regexp.MustCompile(`^(\d+|<|>|«|»|)$`).MatchString(it.name) {
				results = append(results, it)
			}
		}
		if n <= len(results) {
			p.click(results[n-1])
			return
		}
		n -= len(results)
		p.click(pick(all, "", strconv.Itoa(page+1), 0))
	}
}
