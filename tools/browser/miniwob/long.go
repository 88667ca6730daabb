//go:build linux

package main

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"agentd/tools/args"
)

func init() { // the table refers to functions that look games up no more than by name
	for name, f := range map[string]func(*player){
		"email-inbox": email, "email-inbox-forward-nl": email, "email-inbox-star-reply": email,
		"social-media-some": social, "book-flight-nodelay": flight, "order-food": food, "buy-ticket": ticket,
		"navigate-tree": tree, "guess-number": guess, "daily-calendar": calendar, "terminal": terminal, "phone-book": phone,
	} {
		games[name] = f
	}
}

func hinted(all []item, hint string, from int) (item, bool) {
	for _, it := range all {
		if it.line >= from && it.ref != "" && strings.Contains(strings.ToLower(it.rest+" "+it.name), hint) {
			return it, true
		}
	}
	return item{}, false
}

func email(p *player) {
	all := p.look()
	q := p.query
	capital := `([A-Z]\w+)`
	var who []string
	for _, form := range []string{`(?i:from|by|of) ` + capital, capital + ` (?:sent|gave|wrote|has sent|shared)`, capital + `'s`, `(?i:email|message|mail|e-mail) ` + capital} {
		if who = regexp.MustCompile(form).FindStringSubmatch(q); who != nil {
			break
		}
	}
	if who == nil {
		give("whose mail: %q", q)
	}
	var mail item
	for i, it := range all {
		if it.ref != "" && strings.HasPrefix(it.name, who[1]+" ") {
			mail = it
		} else if it.role == "text" && it.name == who[1] && i > 0 {
			mail = all[i-1] // the element that holds the line
		}
		if mail.ref != "" {
			break
		}
	}
	low := strings.ToLower(q)
	if mail.ref == "" {
		give("no mail of %s", who[1])
	}
	p.click(mail)
	all = p.look()
	press := func(hints ...string) {
		for _, h := range hints {
			if it, ok := hinted(all, h, 0); ok {
				p.click(it)
				all = p.look()
				return
			}
		}
		give("no button %v", hints)
	}
	switch {
	case strings.Contains(low, "important") || strings.Contains(low, "star"):
		press("star")
	case strings.Contains(low, "delete") || strings.Contains(low, "trash"):
		press("trash")
	case !strings.Contains(low, "reply") && !strings.Contains(low, "respond"):
		to := ""
		for _, n := range regexp.MustCompile(`[A-Z]\w+`).FindAllString(q, -1) {
			if n != who[1] && !regexp.MustCompile(`^(Forward|Send|Give|Let|Find|The|Please|Show|Share|I|Navigate|Deliver|Pass|Email|Can|Could|You|My)$`).MatchString(n) {
				to = n
			}
		}
		press("forward")
		p.typ(pick(all, "textbox", "", 0), to)
		all = p.look()
		press("send")
	default:
		text := regexp.MustCompile(`"(.*)"`).FindStringSubmatch(q)
		press("reply")
		box, ok := hinted(all, "reply-text", 0)
		if !ok {
			box = pick(all, "textbox", "", 0)
		}
		p.typ(box, text[1])
		all = p.look()
		press("send")
	}
}

func social(p *player) {
	all := p.look()
	m := p.match(`Click the "(.*)" button on (\d+|all) posts? by (@\w+)`)
	n, _ := strconv.Atoi(m[1])
	want := strings.ToLower(m[0])
	mine := false
	for _, it := range all {
		switch {
		case it.role == "text" && strings.Contains(it.name, "@"):
			mine = strings.HasSuffix(it.name, m[2])
		case mine && it.ref != "" && strings.Contains(strings.ToLower(it.rest+it.name), "="+want):
			p.click(it)
			mine = false
			if n--; n == 0 {
				p.submit(p.look())
				return
			}
		}
	}
	p.submit(p.look())
}

func flight(p *player) {
	all := p.look()
	m := p.match(`Book the (\w+) one-way flight from: (.*) to: (.*) on (\d+)/(\d+)/(\d+)`)
	for i, place := range []string{m[1], m[2]} {
		box := []string{"From:", "To:"}[i]
		p.typ(pick(all, "textbox", box, 0), place)
		time.Sleep(500 * time.Millisecond)
		done := false
		for _, it := range p.look() {
			if it.ref != "" && it.role != "textbox" && strings.Contains(it.name, place) {
				p.click(it)
				done = true
				break
			}
		}
		if !done {
			give("no suggestion for %s", place)
		}
	}
	p.click(pick(p.look(), "textbox", "", 2))
	wantMonth, _ := strconv.Atoi(m[3])
	names := []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	for range 14 {
		all = p.look()
		month := 0
		for _, it := range all {
			for i, n := range names {
				if strings.Contains(it.name, n) {
					month = i + 1
				}
			}
		}
		if month == 0 || month == wantMonth {
			break
		}
		p.click(pick(all, "", map[bool]string{true: "Prev", false: "Next"}[month > wantMonth], 0))
	}
	day, _ := strconv.Atoi(m[4])
	p.click(pick(all, "", strconv.Itoa(day), 0))
	p.click(pick(p.look(), "button", "Search", 0))
	p.best(m[0])
}

// best books the flight that is the shortest or the cheapest of those that are shown.
func (p *player) best(what string) {
	all := p.look()
	best, cost, duration := item{}, 0, 0
	time := regexp.MustCompile(`(?:(\d+)h)?\s*(\d+)m\b`)
	for _, it := range all {
		if m := time.FindStringSubmatch(it.name); m != nil && it.ref == "" {
			h, _ := strconv.Atoi(m[1])
			min, _ := strconv.Atoi(m[2])
			duration = h*60 + min
		}
		m := regexp.MustCompile(`Book .*\$(\d+)`).FindStringSubmatch(it.name)
		if m == nil || it.ref == "" {
			continue
		}
		value, _ := strconv.Atoi(m[1])
		if strings.Contains(what, "shortest") || strings.Contains(what, "longest") {
			value = duration
		}
		if strings.Contains(what, "longest") || strings.Contains(what, "expensive") {
			value = -value
		}
		if best.ref == "" || value < cost {
			best, cost = it, value
		}
	}
	if best.ref == "" {
		give("nothing to book")
	}
	p.click(best)
}

func ticket(p *player) {
	p.look()
	p.best(p.query)
}

func food(p *player) {
	all := p.look()
	if m := regexp.MustCompile(`Order one of each item: (.*)`).FindStringSubmatch(p.query); m != nil {
		for _, dish := range strings.Split(m[1], ", ") {
			plus(p, all, dish)
		}
	} else {
		m := p.match(`(\d+) items? that (?:is|are) (.*)`)
		n, _ := strconv.Atoi(m[0])
		kind := strings.Trim(m[1], `".`)
		for i, it := range all {
			if n > 0 && it.role == "text" && it.ref == "" {
				ok := false
				for _, next := range all[i+1:] {
					if next.role == "text" || next.role == "heading" && next.name != kind {
						ok = ok || next.name == kind
						if next.name != kind && !strings.EqualFold(next.name, kind) {
							break
						}
					}
				}
				if ok {
					plus(p, all, it.name)
					n--
				}
			}
		}
	}
	p.click(pick(p.look(), "button", "Order!", 0))
}

func plus(p *player, all []item, dish string) {
	found := false
	for _, it := range all {
		if it.role == "text" && strings.EqualFold(it.name, strings.TrimSpace(dish)) {
			found = true
		}
		if found && it.ref != "" && it.name == "+" {
			p.click(it)
			return
		}
	}
	give("no %s on the menu", dish)
}

func tree(p *player) {
	p.look()
	want := p.match(`named "(.*)"`)[0]
	opened := map[string]bool{}
	for range 30 {
		all := p.look()
		for _, it := range all {
			if it.ref != "" && it.name == want {
				p.click(it)
				return
			}
		}
		moved := false
		for _, it := range all {
			if it.ref != "" && it.name != "" && !opened[it.ref] && !strings.Contains(it.name, "TASK OVER") {
				opened[it.ref] = true
				p.click(it)
				moved = true
				break
			}
		}
		if !moved {
			give("%s is nowhere", want)
		}
	}
}

func guess(p *player) {
	lo, hi := 0, 9
	for range 6 {
		all := p.look()
		n := (lo + hi) / 2
		p.typ(pick(all, "spinbutton", "", 0), strconv.Itoa(n))
		p.submit(p.look())
		for _, it := range p.look() {
			switch {
			case strings.Contains(it.name, "higher"):
				lo = n + 1
			case strings.Contains(it.name, "lower"):
				hi = n - 1
			}
		}
	}
}

func calendar(p *player) {
	p.look()
	m := p.match(`Create an? ([\d.]+) (hour|min)s? event named "(.*)", between (\d+)(AM|PM) and (\d+)(AM|PM)`)
	hours, _ := strconv.ParseFloat(m[0], 64)
	hour := func(s, half string) int {
		h, _ := strconv.Atoi(s)
		return h%12 + map[string]int{"AM": 0, "PM": 12}[half]
	}
	from, to := hour(m[3], m[4]), hour(m[5], m[6])
	slots := int(hours * 2)
	if m[1] == "min" {
		slots = int(hours) / 30
	}
	for slot := from * 2; slot+slots <= to*2; slot++ {
		all := p.look()
		first, ok := hinted(all, "hint=hh-"+strconv.Itoa(slot)+" ", 0)
		last, ok2 := hinted(all, "hint=hh-"+strconv.Itoa(slot+slots-1)+" ", 0)
		if !ok || !ok2 {
			give("there is no slot %d", slot)
		}
		a := args.Browser{Action: "drag", Ref: first.ref, To: last.ref}
		if !p.try(a) {
			continue // something is there
		}
		all = p.look()
		for _, it := range all {
			if it.role == "textbox" {
				p.typ(it, m[2])
				all = p.look()
				for _, name := range []string{"Create", "Save", "OK", "Submit"} {
					for _, b := range all {
						if b.role == "button" && strings.EqualFold(b.name, name) {
							p.click(b)
							return
						}
					}
				}
				p.do(args.Browser{Action: "press", Text: "Enter"})
				return
			}
		}
	}
	give("no room for the event")
}

func terminal(p *player) {
	all := p.look()
	box := pick(all, "textbox", "", 0)
	ext := ""
	if m := regexp.MustCompile(`extension (\.\w+)`).FindStringSubmatch(p.query); m != nil {
		ext = m[1]
	}
	enter := func(s string) string {
		for _, r := range s {
			p.do(args.Browser{Action: "press", Ref: box.ref, Text: string(r)})
		}
		return p.do(args.Browser{Action: "press", Ref: box.ref, Text: "Enter"})
	}
	enter("ls")
	out := p.do(args.Browser{Action: "outline"})
	for _, w := range regexp.MustCompile(`[\w-]+(\.\w+)?`).FindAllString(out[strings.LastIndex(out, "ls"):], -1) {
		if ext != "" && strings.HasSuffix(w, ext) || ext == "" && w != "ls" && w != "user" && !strings.Contains(w, ".") {
			enter("rm " + w)
			return
		}
	}
	give("no file ends with %q", ext)
}

func phone(p *player) {
	p.look()
	m := p.match(`Find (\w+) in the contact book and click on their (.*)\.`)
	for range 15 {
		all := p.look()
		here := false
		for i, it := range all {
			if it.role == "heading" && it.name == m[0] {
				here = true
			}
			if here && it.role == "text" && strings.HasPrefix(strings.ToLower(it.name), strings.ToLower(strings.Fields(m[1])[0])) && i+1 < len(all) {
				p.click(all[i+1])
				return
			}
		}
		p.click(pick(all, "", ">", 0))
	}
}
