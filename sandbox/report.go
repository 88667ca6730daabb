package sandbox

// guaranteeNames are what every Report speaks about, in this order.
var guaranteeNames = []string{"fs", "protect", "net", "pid", "memory", "procs", "cpu", "disk", "output", "syscalls", "ids"}

// Guarantee returns what r says about name.
func (r Report) Guarantee(name string) Guarantee {
	for _, g := range r.Guarantees {
		if g.Name == name {
			return g
		}
	}
	return Guarantee{Name: name, State: "absent"}
}
