package boxinit

const (
	sysSeccomp    = 317
	sysNewfstatat = 262
)
