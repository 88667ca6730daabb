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
	who := regexp.MustCompile(`(?i)(?:email by|from|by) ([A-Z]\w+)`).FindStringSubmatch(q)
	if who == nil {
		who = regexp.MustCompile(`([A-Z]\w+)'s`).FindStringSubmatch(q)
	}
	if who == nil {
		who = regexp.MustCompile(`(?:email|message|mail) ([A-Z]\w+)`).FindStringSubmatch(q)
	}
	if who == nil {
		give("whose mail: %q", q)
	}
	var mail item
	for _, it := range all {
		if it.ref != "" && strings.HasPrefix(it.name, who[1]+" ") {
			mail = it
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
	case strings.Contains(low, "forward") || regexp.MustCompile(`(?i)send .* to |to [A-Z]\w+`).MatchString(q) && !strings.Contains(low, "reply"):
		to := ""
		for _, m := range regexp.MustCompile(`to ([A-Z]\w+)|(?:Give|give|Send|send|Let|let|forward|Forward) ([A-Z]\w+)`).FindAllStringSubmatch(q, -1) {
			if n := m[1] + m[2]; n != who[1] {
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
		case mine && it.ref != "" && strings.Contains(strings.ToLower(it.rest+it.name), want):
			p.click(it)
			mine = false
			n--
		}
		if n == 0 {
			break
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
		if what == "shortest" {
			value = duration
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
	if strings.Contains(p.query, "cheapest") {
		p.best("cheapest")
	} else {
		p.best("shortest")
	}
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
	m := p.match(`Create an? ([\d.]+) hours? event named "(.*)", between (\d+)(AM|PM) and (\d+)(AM|PM)`)
	hours, _ := strconv.ParseFloat(m[0], 64)
	hour := func(s, half string) int {
		h, _ := strconv.Atoi(s)
		return h%12 + map[string]int{"AM": 0, "PM": 12}[half]
	}
	from, to := hour(m[2], m[3]), hour(m[4], m[5])
	slots := int(hours * 2)
	for slot := from * 2; slot+slots <= to*2; slot++ {
		all := p.look()
		var cells []item
		for _, it := range all {
			if it.role == "clickable" && it.name == "" {
				cells = append(cells, it)
			}
		}
		if slot+slots > len(cells) {
			give("the day has %d slots", len(cells))
		}
		a := args.Browser{Action: "drag", Ref: cells[slot].ref, To: cells[slot+slots-1].ref}
		if slots == 1 {
			a = args.Browser{Action: "click", Ref: cells[slot].ref}
		}
		if !p.try(a) {
			continue // something is there
		}
		all = p.look()
		for _, it := range all {
			if it.role == "textbox" {
				p.typ(it, m[1])
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
