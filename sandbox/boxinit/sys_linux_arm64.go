package boxinit

const (
	sysSeccomp    = 277
	sysNewfstatat = 79
)
