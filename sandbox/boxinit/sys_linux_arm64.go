package boxinit

const (
	sysSetns      = 268
	sysSeccomp    = 277
	sysNewfstatat = 79
)
