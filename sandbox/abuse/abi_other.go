//go:build linux && !amd64

package abuse

const abiSignal = ""

func otherABI(*world) error { return notApplicable("there is one ABI on this architecture") }
