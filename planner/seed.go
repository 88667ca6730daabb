package planner

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"agentd/goals"
)

// maxItems bounds the tasks that one fan-out makes.
const maxItems = 200

// fromSeed is the task of a plan that a seed asks for.
func fromSeed(s goals.Task) Task {
	t := Task{ID: slug(s.ID), Do: s.Do, Writes: slices.Clone(s.Writes), Seed: s.ID, Each: s.Each, Parallel: s.Parallel}
	for _, n := range s.Needs {
		t.Needs = append(t.Needs, slug(n))
	}
	if t.Do == "" {
		t.Do = s.ID
	}
	if len(s.Out) > 0 {
		t.Out = "JSON, and nothing else, of this schema: " + clip(string(s.Out), maxText-100)
	}
	return t
}

// SeedPlan is the plan that consists of a goal file's tasks alone.
func SeedPlan(seeds []goals.Task, revision int) Plan {
	p := Plan{Revision: revision}
	for _, s := range seeds {
		p.Tasks = append(p.Tasks, fromSeed(s))
	}
	return p
}

// KeepSeeds makes a plan hold what a goal file asks for: a task of it that the planner dropped is put back, one that it kept may say more precisely what
// to do and may need more, and writes, form of the result and fan-out stay the file's. previous is the plan before, whose items of a fan-out stay too.
func KeepSeeds(p *Plan, seeds []goals.Task, previous *Plan) {
	for i := range p.Tasks { // what a planner may not claim
		p.Tasks[i].Seed, p.Tasks[i].Each, p.Tasks[i].Parallel = "", "", 0
	}
	if previous != nil {
		for _, old := range previous.Tasks {
			if old.Seed != "" {
				p.keep(old)
			}
		}
	}
	for _, s := range seeds {
		if !slices.ContainsFunc(p.Tasks, func(t Task) bool { return t.Seed == s.ID }) {
			p.keep(fromSeed(s))
		}
	}
}

// keep puts a task of a seed into the plan, or makes the plan's task of that id one of the seed.
func (p *Plan) keep(t Task) {
	i := slices.IndexFunc(p.Tasks, func(o Task) bool { return o.ID == t.ID })
	if i < 0 {
		p.Tasks = append(p.Tasks, t)
		return
	}
	o := p.Tasks[i]
	for _, n := range o.Needs {
		if !slices.Contains(t.Needs, n) {
			t.Needs = append(t.Needs, n)
		}
	}
	if strings.TrimSpace(o.Do) != "" && t.Each == "" && t.Item == "" {
		t.Do = o.Do
	}
	t.Done = o.Done
	if len(t.Writes) == 0 {
		t.Writes = o.Writes
	}
	if t.Out == "" {
		t.Out = o.Out
	}
	p.Tasks[i] = t
}

// FanOut returns the plan with one task for each item of a list in place of a task that has Each. result gives the finished tasks' results.
func (p Plan) FanOut(id string, result func(task string) string) (Plan, error) {
	i := slices.IndexFunc(p.Tasks, func(t Task) bool { return t.ID == id })
	if i < 0 || p.Tasks[i].Each == "" {
		return p, fmt.Errorf("task %q is none that is done for each item of a list", id)
	}
	t := p.Tasks[i]
	items, err := list(t.Each, result)
	if err != nil {
		return p, fmt.Errorf("each: %s: %w", t.Each, err)
	}
	next := Plan{Revision: p.Revision + 1}
	var ids []string
	for k, item := range items {
		one := t
		one.ID, one.Each, one.Item = fmt.Sprintf("%s-%d", clip(t.ID, 34), k+1), "", string(item)
		one.Needs, one.Writes = slices.Clone(t.Needs), nil
		if one.Do, err = fill(t.Do, item); err != nil {
			return p, err
		}
		if !strings.Contains(t.Do, "${item") {
			one.Do += "\nThis item (data): " + clip(string(item), 1000)
		}
		one.Do = clip(one.Do, maxText-len("…"))
		for _, w := range t.Writes {
			if w, err = fill(w, item); err != nil {
				return p, err
			}
			if err := checkPath(w); err != nil {
				return p, fmt.Errorf("item %d writes %q: %w", k+1, clip(w, 80), err)
			}
			one.Writes = append(one.Writes, w)
		}
		ids = append(ids, one.ID)
		next.Tasks = append(next.Tasks, one)
	}
	made := next.Tasks
	next.Tasks = nil
	for k, o := range p.Tasks {
		if k == i {
			next.Tasks = append(next.Tasks, made...)
			continue
		}
		if j := slices.Index(o.Needs, id); j >= 0 {
			o.Needs = slices.Concat(o.Needs[:j], ids, o.Needs[j+1:])
			if len(ids) == 0 { // what it waits for is then what the list came from
				for _, n := range t.Needs {
					if !slices.Contains(o.Needs, n) {
						o.Needs = append(o.Needs, n)
					}
				}
			}
		}
		next.Tasks = append(next.Tasks, o)
	}
	return next, next.check()
}

// check is Validate for a plan that the daemon made, which has as many tasks as a list has items.
func (p Plan) check() error {
	if len(p.Tasks) == 0 {
		return nil
	}
	return p.Validate(len(p.Tasks))
}

var eachForm = regexp.MustCompile(`^tasks\.([a-zA-Z0-9_-]+)\.out((?:\.[a-zA-Z0-9_-]+)*)$`)

// list is what Each names: the result of a task, or a field of it.
func list(each string, result func(string) string) ([]json.RawMessage, error) {
	m := eachForm.FindStringSubmatch(strings.TrimSpace(each))
	if m == nil {
		return nil, errors.New("write tasks.ID.out, or tasks.ID.out.FIELD")
	}
	raw, err := ResultJSON(result(slug(m[1])))
	if err != nil {
		return nil, fmt.Errorf("the result of task %s: %w", m[1], err)
	}
	for _, field := range strings.Split(strings.TrimPrefix(m[2], "."), ".") {
		if field == "" {
			continue
		}
		var obj map[string]json.RawMessage
		if err := json.Unmarshal(raw, &obj); err != nil {
			return nil, fmt.Errorf("the result of task %s is no object with the field %s", m[1], field)
		}
		raw = obj[field]
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("it is no list: %s", clip(string(raw), 80))
	}
	if len(items) > maxItems {
		return nil, fmt.Errorf("it has %d items, more than %d", len(items), maxItems)
	}
	return items, nil
}

// ResultJSON is the JSON value of a task's result: the whole text, or what a code fence or the outermost brackets hold.
func ResultJSON(text string) (json.RawMessage, error) {
	text = strings.TrimSpace(text)
	tried := []string{text}
	if _, after, ok := strings.Cut(text, "```"); ok {
		if _, body, ok := strings.Cut(after, "\n"); ok {
			body, _, _ = strings.Cut(body, "```")
			tried = append(tried, body)
		}
	}
	for _, pair := range []string{"[]", "{}"} {
		if i, j := strings.IndexByte(text, pair[0]), strings.LastIndexByte(text, pair[1]); i >= 0 && j > i {
			tried = append(tried, text[i:j+1])
		}
	}
	for _, t := range tried {
		if t = strings.TrimSpace(t); t != "" && json.Valid([]byte(t)) {
			return json.RawMessage(t), nil
		}
	}
	return nil, errors.New("it holds no JSON value")
}

var itemForm = regexp.MustCompile(`\$\{item((?:\.[a-zA-Z0-9_-]+)*)\}`)

// fill replaces ${item} and ${item.field} by an item's value: a text as it is, anything else as JSON.
func fill(text string, item json.RawMessage) (string, error) {
	var fault error
	out := itemForm.ReplaceAllStringFunc(text, func(m string) string {
		raw := item
		for _, field := range strings.Split(strings.TrimPrefix(itemForm.FindStringSubmatch(m)[1], "."), ".") {
			if field == "" {
				continue
			}
			var obj map[string]json.RawMessage
			if json.Unmarshal(raw, &obj) != nil || obj[field] == nil {
				fault = fmt.Errorf("the item %s has no field %s", clip(string(item), 80), field)
				return ""
			}
			raw = obj[field]
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		return s
	})
	return out, fault
}
