package journal

import (
	"slices"
	"strings"
)

// Secret is a named secret that the proxy of a run's boxes adds to requests for its hosts. Its value is in no event.
type Secret struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"`           // HOST or HOST:PORT
	As    string   `json:"as,omitempty"`    // bearer (also ""), basic, or header: the value alone
	Field string   `json:"field,omitempty"` // the header; Authorization if not given
}

// Egress is what was decided about a box's connections to one host and port.
type Egress struct {
	Host     string `json:"host"`
	Port     int    `json:"port,omitempty"`
	Allowed  bool   `json:"allowed,omitempty"`
	Rule     string `json:"rule,omitempty"`   // what allowed it
	Reason   string `json:"reason,omitempty"` // of a refusal
	Count    int64  `json:"count"`            // connections
	Sent     int64  `json:"sent,omitempty"`   // bytes
	Received int64  `json:"received,omitempty"`
}

// Bounds of what a state keeps about the network and about content that nobody vouches for.
const (
	maxHosts   = 200 // rows of State.Hosts
	maxOrigins = 64  // of one thing; what comes on top is OriginMany
	maxFiles   = 500 // tainted files that are told apart
)

// OriginMany stands for more origins than are told apart.
const OriginMany = "many"

// AllFiles is the key of State.Files that stands for the whole workspace.
const AllFiles = "."

// Union is all origins of several lists, sorted, each once; nil for none.
func Union(lists ...[]string) []string {
	var out []string
	for _, l := range lists {
		out = append(out, l...)
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxOrigins {
		out = append(out[:maxOrigins:maxOrigins], OriginMany)
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// untrusted are the origins of a receipt's facts for which nobody vouches.
func (r Recalled) untrusted() []string {
	var out []string
	for _, it := range r.Items {
		if it.Trust == "untrusted" {
			out = append(out, "memory:"+it.ID)
		}
	}
	return out
}

// Origins are where those facts come from for which nobody vouches.
func (r Recalled) Origins() []string { return Union(r.untrusted()) }

// TaskOrigins are the origins of everything untrusted that a task's context may hold: what the plan was made from, recalled facts,
// results of the tasks it builds on, and its own calls, of earlier attempts too.
func (s *State) TaskOrigins(id string) []string {
	all := [][]string{s.PlanOrigins, s.Recalls[""].untrusted(), s.Recalls[id].untrusted()}
	if t := s.Tasks[id]; t != nil {
		all = append(all, t.Origins)
		for _, n := range t.Needs {
			all = append(all, s.TaskOrigins(n))
		}
	}
	return Union(all...)
}

// PlannerOrigins are the origins of everything untrusted that a new plan would be made from.
func (s *State) PlannerOrigins() []string {
	all := [][]string{s.PlanOrigins, s.Recalls[""].untrusted()}
	for _, t := range s.Tasks {
		all = append(all, t.Origins)
	}
	return Union(all...)
}

// Origins are the origins of all untrusted content that the run has met.
func (s *State) Origins() []string {
	all := [][]string{s.PlannerOrigins(), s.FileOrigins(AllFiles)}
	for _, r := range s.Recalls {
		all = append(all, r.untrusted())
	}
	return Union(all...)
}

// FileOrigins are the origins of a workspace path's content, and of what lies below it; those of all files for ".".
func (s *State) FileOrigins(path string) []string {
	all := [][]string{s.Files[AllFiles]}
	for p, o := range s.Files {
		if path == AllFiles || p == path || strings.HasPrefix(p, path+"/") || strings.HasPrefix(path, p+"/") {
			all = append(all, o)
		}
	}
	return Union(all...)
}

// taint folds what a call's result says about origins, files and the network.
func (s *State) taint(e ToolFinished) {
	if t := s.Tasks[e.Call.Task]; t != nil && len(e.Origins) > 0 {
		t.Origins = Union(t.Origins, e.Origins)
	}
	for _, f := range e.Clean {
		delete(s.Files, f)
	}
	for _, f := range e.Tainted {
		if len(s.Files) >= maxFiles && s.Files[f] == nil {
			f = AllFiles
		}
		put(&s.Files, f, Union(s.Files[f], e.Origins))
	}
	for _, h := range e.Opened {
		if !slices.Contains(s.Net, h) {
			s.Net = append(s.Net, h)
		}
	}
	for _, d := range e.Egress {
		s.connected(d)
	}
}

// connected adds to what is known of a host.
func (s *State) connected(d Egress) {
	i := slices.IndexFunc(s.Hosts, func(h Egress) bool {
		return h.Host == d.Host && h.Port == d.Port && h.Allowed == d.Allowed
	})
	if i < 0 && len(s.Hosts) >= maxHosts {
		d = Egress{Host: "(others)", Allowed: d.Allowed, Count: d.Count, Sent: d.Sent, Received: d.Received}
		i = slices.IndexFunc(s.Hosts, func(h Egress) bool { return h.Host == d.Host && h.Allowed == d.Allowed })
	}
	if i < 0 {
		s.Hosts = append(s.Hosts, d)
		return
	}
	h := &s.Hosts[i]
	h.Count, h.Sent, h.Received = h.Count+d.Count, h.Sent+d.Sent, h.Received+d.Received
}
