package sandbox

import "log/slog"

// Options are what a Box needs beyond the policies of its commands.
type Options struct {
	// Init is the program that becomes a box's init: static, and linking this package. Empty means the running one.
	Init string
	// Backend names the only backend to try: native, bubblewrap, landlock or none. Empty tries them in this order.
	Backend string
	// AllowNone permits LevelNone where nothing better can be had.
	AllowNone bool
	// Background makes Open return at once and try the machine meanwhile: what it finds shows at the first Start, and
	// Report waits for it.
	Background bool
	// NewEgress makes what serves a box's connections, one per box: a proxy of package egress for Net.Policy, with the
	// daemon's own addresses, secrets and CA. Nil means one without these.
	NewEgress func(Net) (Egress, error)
	// Roots is a PEM file that boxes with secrets trust instead of the machine's roots: those, and the CA of NewEgress.
	Roots string
	// FailSetup makes every set-up fail at its last step: a test of what is left then.
	FailSetup bool
	// State is a folder in which boxes note the mount points that they make in workspaces, so that Open removes what a
	// killed process left there. Empty means that nothing is noted. Two processes never share one.
	State string
	// Log receives what an operator would act on. Nil discards.
	Log *slog.Logger
}
