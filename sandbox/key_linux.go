package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"agentd/sandbox/boxinit"
)

// keys are compared at every command, so they are built by hand and not by reflection.

// templateKey is equal for plans that can share a template.
func (pl *plan) templateKey() string {
	k := make([]byte, 0, 8<<10)
	k = appendOps(k, pl.base)
	k = appendSources(k, pl.baseSources)
	return string(k)
}

// key is equal for plans that ask for the same box, on the same files.
func (pl *plan) key() string {
	k := fmt.Appendf(make([]byte, 0, 16<<10), "%+v %+v\n", pl.limits, pl.policy.Net)
	k = appendOps(k, pl.base)
	k = appendSources(k, pl.baseSources)
	k = appendOps(k, pl.before)
	k = appendSources(k, pl.sources)
	k = appendOps(k, pl.after)
	k = append(k, pl.ident...)
	for _, name := range slices.Sorted(maps.Keys(pl.env)) {
		k = strconv.AppendQuote(k, name)
		k = strconv.AppendQuote(k, pl.env[name])
	}
	return string(k)
}

// field appends a string so that no other list of strings looks the same.
func field(k []byte, s string) []byte {
	k = strconv.AppendInt(k, int64(len(s)), 10)
	k = append(k, ':')
	return append(k, s...)
}

func appendOps(k []byte, ops []boxinit.Op) []byte {
	for _, op := range ops {
		k = append(k, '\n', byte(op.Kind))
		k = field(field(k, op.Src), op.Dst)
		k = strconv.AppendUint(k, uint64(op.Flags), 10)
		k = append(k, ',')
		k = strconv.AppendUint(k, op.Num, 10)
	}
	return append(k, '\n', '\n')
}

func appendSources(k []byte, list []source) []byte {
	for _, s := range list {
		k = field(field(append(k, '\n'), s.host), s.in)
		k = strconv.AppendUint(k, uint64(s.flags), 10)
		k = strconv.AppendBool(k, s.owned)
	}
	return append(k, '\n', '\n')
}
