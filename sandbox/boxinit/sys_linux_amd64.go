package boxinit

const (
	sysSetns      = 308
	sysSeccomp    = 317
	sysNewfstatat = 262
)
